"""Damaged pictures of every format end in rows: features or a reason, never a crash, a hang, a gap or a leak.

Makes small samples of real pictures in all formats that are read, damages them, and runs `decaf extract` on them: first
in groups, each in a process of its own, so that a crash can be laid at one picture's door; then all at once in one long
process, where a leak would add up. Every row is looked at: its path, that its vector is finite where there is no error
and null where there is one, and that both runs say the same, bit for bit. One picture in fifty is left intact, and must
give the vector that it gives among intact ones. Anything on stderr is a failure, but for
what libtiff itself prints there about damaged files, which is counted. Exit code 1 where anything failed; the
picture at fault is kept. Linux only.

    python benchmarks/fuzz_images.py PICTURES [--pictures 20000] [--seed 0]

The network is a tiny one (see `memory.py`): decoding is what is put to the test. Memory is capped by RLIMIT_DATA, which
counts the memory a process may write to. RLIMIT_AS would count what OpenVINO merely maps as well, and watching the
resident memory would come too late for one large allocation. HEIF samples are made where
`pillow_heif` is installed, which writes them, beside `pi_heif`, which reads them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import shutil
import struct
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

import decaf
from decaf.images.find import find_images
from memory import KINDS, PNG, Ended, at, extract, make_samples, net_options, png_chunk

INTACT_ONE_IN = 50
# 16 MB of zeros in 16 KB, behind the name that PNG wants there.
BOMB = b"a\0\0" + zlib.compress(bytes(2**24), 9)
# In the long run the C library has one arena and gives blocks back at once (glibc's manual, "Malloc Tunable
# Parameters"). What it keeps for later use otherwise goes up by a hundred megabytes a thread with the largest pictures,
# and hides a leak of a few kilobytes a picture.
GIVE_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_TRIM_THRESHOLD_": "32768"}
EXTREMES = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
# Just below and above the greatest picture that is decoded, and what fields of 14, 16, 24 and 31 bits can say.
SIDES = (0, 1, 5000, 9400, 9500, 16383, 30000, 65535, 2**24 - 1, 2**31 - 1)


@dataclass(frozen=True)
class Picture:
    """A picture file.

    Attributes:
        path: where it lies.
        kind: of the sample it was made of.
        intact: which sample it is a copy of; -1: it is damaged.
    """

    path: str
    kind: str
    intact: int = -1


Row = tuple[str | None, str]
"""The error, and a digest of the vector."""


# "LZWDecode: Not enough data ...", "tempfile.tif: Using code not yet in table."
LIBTIFF = re.compile(r"(tempfile\.tif|JPEGLib|_?TIFF\w+|Fax\w+|[A-Za-z]+(Decode|PreDecode|SetupDecode|Setup\w*)\w*): ")


@dataclass
class Found:
    """What came out."""

    errors: Counter[str] = field(default_factory=Counter)
    read: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    peaks: list[float] = field(default_factory=list)
    libtiff: int = 0

    def fail(self, what: str, story: str, count: int = 1) -> None:
        """Count failures; the first few stories of a kind are told."""
        if self.failures[what] < 5:
            print(f"{what}: {story[:400]}", flush=True)
        self.failures[what] += count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="PICTURES", help="a folder of pictures to make samples of")
    parser.add_argument("--pictures", type=int, default=20_000, help="how many damaged ones to make")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--group", type=int, default=1000, help="pictures per process in the first part")
    parser.add_argument("--seconds", type=float, default=120, help="a group that takes longer hangs")
    parser.add_argument("--gigabytes", type=float, default=8, help="what a process may allocate")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="where pictures that failed go")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(1 if run(arguments, Path(folder)) else 0)


def run(arguments: argparse.Namespace, folder: Path) -> bool:
    """Make, damage, extract, compare, tell; whether anything failed."""
    samples, found = make_samples(find_images(arguments.folder).paths), Found()
    options = [*net_options("tiny", folder), "--shard-size", "200"]

    def ended(pictures: Sequence[Picture], groups: int = 1) -> tuple[Ended, list[Row]]:
        limits = arguments.seconds * groups, int(arguments.gigabytes * 2**30)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            paths = [picture.path for picture in pictures]
            done = extract(paths, Path(work), options, *limits, GIVE_BACK if groups > 1 else {})
            return done, read_rows(Path(work) / "out", pictures, done, found)

    intact = [write(folder, -index, kind, data, index) for index, (kind, data) in enumerate(samples, 1)]
    expected = ended(intact)[1]
    if not expected or any(error for error, _ in expected):
        reasons = {kind: error for (kind, _), (error, _) in zip(samples, expected, strict=False) if error}
        sys.exit(f"intact samples are not read: {reasons}")
    print(f"{len(samples)} samples of {len(KINDS)} kinds, all read", flush=True)
    pictures: list[Picture] = []
    told: list[Row] = []
    for first in range(0, arguments.pictures, arguments.group):
        last = min(first + arguments.group, arguments.pictures)
        group = [make(samples, index, arguments.seed, folder) for index in range(first, last)]
        done, rows = ended(group)
        while group and not rows:
            found.fail(*why(done))
            guilty = blame(group, lambda part: not ended(part)[1], arguments.keep)
            group = [picture for picture in group if picture not in guilty]
            done, rows = ended(group)
        look(group, done, rows, expected, found)
        pictures, told = pictures + group, told + rows
    long, rows = ended(pictures, len(found.peaks) + 1)
    if not rows:
        found.fail(*why(long))
    for picture, before, now in zip(pictures, told, rows, strict=False):
        if before != now:
            found.fail("rows that differ in the long run", f"{picture.path}: {before}, then {now}")
    tell(arguments.pictures, pictures, long, found)
    return bool(found.failures)


# ---- damage: each takes the bytes, a generator of random numbers and some intact file


def flip_bits(data: bytearray, rng: random.Random, other: bytes) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def overwrite(data: bytearray, rng: random.Random, other: bytes) -> None:
    start, count = rng.randrange(len(data)), rng.choice((1, 4, 16, 256))
    run = rng.choice((bytes(count), b"\xff" * count, rng.randbytes(count)))
    data[start : start + count] = run[: len(data) - start]


def truncate(data: bytearray, rng: random.Random, other: bytes) -> None:
    del data[rng.choice((rng.randrange(len(data)), rng.randrange(min(64, len(data))), len(data) - 1)) :]


def delete_chunk(data: bytearray, rng: random.Random, other: bytes) -> None:
    start, end = rng.choice(chunks(data))
    del data[start:end]


def repeat_chunk(data: bytearray, rng: random.Random, other: bytes) -> None:
    start, end = rng.choice(chunks(data))
    where = rng.choice(chunks(data))[0]
    data[where:where] = bytes(data[start:end]) * rng.choice((1, 1, 2, 50))


def insert_chunk(data: bytearray, rng: random.Random, other: bytes) -> None:
    """Another file's chunk, or one that is well formed outside and random, or a bomb, within."""
    where = rng.choice(chunks(data))[0]
    start, end = rng.choice(chunks(other))
    noise = rng.choice((rng.randbytes(rng.choice((0, 4, 300))), BOMB))
    if rng.random() < 0.5:
        new = other[start:end]
    elif data[:8] == PNG:
        new = png_chunk(rng.choice((b"zTXt", b"iCCP", b"PLTE", b"tRNS", b"eXIf", b"pHYs", b"acTL", b"fdAT")), noise)
    elif data[:2] == b"\xff\xd8":
        new = bytes((0xFF, rng.randrange(0xC0, 0xFF))) + struct.pack(">H", len(noise) + 2) + noise
    else:
        new = rng.choice((b"ALPH", b"ICCP", b"EXIF", b"ANMF", b"!\xff\x0b")) + struct.pack("<I", len(noise)) + noise
    data[where:where] = new


def splice(data: bytearray, rng: random.Random, other: bytes) -> None:
    """The beginning of one file and the end of another."""
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


def extreme_field(data: bytearray, rng: random.Random, other: bytes) -> None:
    """A length or an offset at a chunk's beginning, or any number near the file's, becomes an extreme one."""
    start = rng.choice((rng.choice(chunks(data))[0] + rng.choice((0, 2, 4)), rng.randrange(min(len(data), 300))))
    layout = rng.choice((">H", "<H", ">I", "<I"))
    put(data, start, layout, rng.choice((*EXTREMES, len(data))))


def enlarge(data: bytearray, rng: random.Random, other: bytes) -> None:
    """The sides that the header tells become others."""
    fields = list(size_fields(data))
    for start, layout in fields if rng.random() < 0.7 else fields[:1]:
        put(data, start, layout, rng.choice(SIDES))


def damage_exif(data: bytearray, rng: random.Random, other: bytes) -> None:
    found = [data.find(mark) for mark in (b"Exif\0\0", b"eXIf", b"EXIF") if mark in data]
    start = found[0] + 4 if found else 0  # a TIFF file is such a block as a whole
    for _ in range(rng.choice((1, 3, 10))):
        put(data, start + rng.randrange(120), rng.choice((">H", "<H", "<I", "B")), rng.choice(EXTREMES))


Damage = Callable[[bytearray, random.Random, bytes], None]
DAMAGES: tuple[Damage, ...] = (
    *(flip_bits, overwrite, truncate, delete_chunk, repeat_chunk),
    *(insert_chunk, splice, extreme_field, enlarge, damage_exif),
)


def put(data: bytearray, start: int, layout: str, value: int) -> None:
    """Write a number, its lower bits where it has too many; nothing beyond the end."""
    size = struct.calcsize(layout)
    if 0 <= start <= len(data) - size:
        struct.pack_into(layout, data, start, value % 256**size)


def chunks(data: bytes | bytearray) -> list[tuple[int, int]]:
    """Start and end of the parts a format is made of; sixteen equal ones where it has no simple parts."""
    found = list(_chunks(data))
    return found or list(pairwise(len(data) * index // 16 for index in range(17)))


def _chunks(data: bytes | bytearray) -> Iterator[tuple[int, int]]:
    # Where the first part begins, where in a part its length stands, and what that length does not count.
    if data[:2] == b"\xff\xd8":
        start, where, layout, extra = 2, 2, ">H", 2
    elif data[:8] == PNG:
        start, where, layout, extra = 8, 0, ">I", 12
    elif data[:4] == b"RIFF":
        start, where, layout, extra = 12, 4, "<I", 8
    elif data[4:8] == b"ftyp":
        start, where, layout, extra = 0, 0, ">I", 0
    else:
        return
    while start + 8 <= len(data):
        (length,) = struct.unpack_from(layout, data, start + where)
        scan = layout == ">H" and data[start : start + 2] == b"\xff\xda"
        end = len(data) if scan else min(len(data), start + max(length + extra, 4))
        yield start, end
        # Inside `meta` of AVIF and HEIF the parts are of the same form.
        start = start + 12 if data[start + 4 : start + 8] == b"meta" else end


def size_fields(data: bytes | bytearray) -> Iterator[tuple[int, str]]:
    """Where the width and the height stand, and how they are written."""
    if data[:2] == b"\xff\xd8":
        for start, _ in chunks(data):
            if data[start : start + 2] in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2"):
                yield from ((start + 5, ">H"), (start + 7, ">H"))
    elif data[:8] == PNG:
        yield from ((16, ">I"), (20, ">I"))
    elif data[:3] == b"GIF":
        image = data.find(b",", 13)
        yield from ((6, "<H"), (8, "<H"), (image + 5, "<H"), (image + 7, "<H"))
    elif data[:2] == b"BM":
        yield from ((18, "<I"), (22, "<I"))
    elif data[:4] == b"RIFF":
        marks = (("VP8X", 12, "<H"), ("VP8X", 15, "<H"), ("VP8 ", 14, "<H"), ("VP8 ", 16, "<H"), ("VP8L", 9, "<I"))
        yield from ((data.find(mark.encode()) + off, how) for mark, off, how in marks if mark.encode() in data)
    elif data[:4] == b"II*\0":
        for tag in (b"\x00\x01", b"\x01\x01"):
            yield data.find(tag, 8) + 8, "<H"
    elif b"ispe" in data:
        yield from ((data.find(b"ispe") + 8, ">I"), (data.find(b"ispe") + 12, ">I"))


def with_true_checksums(data: bytearray) -> None:
    """So that damage to a PNG file gets past its checksums."""
    for start, end in chunks(data):
        if end - start >= 12:
            struct.pack_into(">I", data, end - 4, zlib.crc32(data[start + 4 : end - 4]))


def make(samples: Sequence[tuple[str, bytes]], index: int, seed: int, folder: Path) -> Picture:
    """One picture, which depends on the seed, its index and the samples only."""
    rng = random.Random(f"{seed}/{index}")
    chosen = rng.randrange(len(samples))
    kind, whole = samples[chosen]
    if index % INTACT_ONE_IN == 0:
        return write(folder, index, kind, whole, chosen)
    data = bytearray(whole)
    for damage in rng.choices(DAMAGES, k=rng.choice((1, 1, 2, 3))):
        if data:
            damage(data, rng, rng.choice(samples)[1])
    if data[:8] == PNG and rng.random() < 0.7:
        with_true_checksums(data)
    return write(folder, index, kind, data)


def write(folder: Path, index: int, kind: str, data: bytes | bytearray, intact: int = -1) -> Picture:
    path = folder / f"{index:06d} {kind}.{kind.split(maxsplit=1)[0]}"
    path.write_bytes(data)
    return Picture(str(path), kind, intact)


# ---- running and looking


def read_rows(out: Path, pictures: Sequence[Picture], ended: Ended, found: Found) -> list[Row]:
    """Look at every row; there are none where `decaf extract` did not end well."""
    if ended.code != 0:
        return []
    for line in ended.stderr.splitlines():
        if LIBTIFF.match(line):
            found.libtiff += 1
        else:
            found.fail("lines on stderr", line)
    made = decaf.FeatureSet.open(out)
    rows: list[Row] = []
    for picture, path, error, vector in zip(pictures, made.paths, made.errors, made.X(), strict=True):
        if path != picture.path:
            found.fail("rows out of place", f"{path} where {picture.path} belongs")
        if not (np.isfinite(vector).all() if error is None else np.isnan(vector).all()):
            found.fail("vectors and errors that contradict", f"{path}: {error}, {vector[:4]}")
        if error is not None and (not error.isprintable() or not 3 < len(error) < 300):
            found.fail("errors that nobody can read", f"{path}: {error!r}")
        rows.append((error, hashlib.sha256(vector.tobytes()).hexdigest()))
    said = json.loads(ended.stdout)
    counts = len(rows), sum(error is not None for error, _ in rows)
    if (said["rows"], said["broken"]) != counts:
        found.fail("summaries that are wrong", f"{said['rows']} rows, {said['broken']} broken; there are {counts}")
    return rows


def look(group: Sequence[Picture], done: Ended, rows: list[Row], expected: Sequence[Row], found: Found) -> None:
    """Count what a group gave."""
    found.peaks.append(done.peak)
    for picture, row in zip(group, rows, strict=True):
        if picture.intact >= 0 and row != expected[picture.intact]:
            found.fail("intact pictures that suffer", f"{picture.path}: {row[0]}")
        if row[0] is None:
            found.read[picture.kind] += picture.intact < 0
        else:
            found.errors[re.sub(r"\d+", "N", row[0])] += 1


def why(ended: Ended) -> tuple[str, str]:
    """What kind of failure, and its story."""
    kind = "hangs" if ended.code is None else "crashes" if ended.code < 0 else "runs that failed"
    return kind, f"exit code {ended.code}; stderr: {ended.stderr.strip()[-350:]}"


def blame(group: Sequence[Picture], fails: Callable[[Sequence[Picture]], bool], keep: Path) -> Sequence[Picture]:
    """Halve a group that failed until one picture is left; all where no half fails alone. What is left is kept."""
    while len(group) > 1:
        half = len(group) // 2
        part = next((part for part in (group[:half], group[half:]) if fails(part)), None)
        if part is None:
            break
        group = part
    keep.mkdir(parents=True, exist_ok=True)
    for picture in group:
        shutil.copy(picture.path, keep)
    print(f"  {len(group)} kept in {keep} and left out from here: {Path(group[0].path).name}", flush=True)
    return group


def tell(count: int, pictures: Sequence[Picture], long: Ended, found: Found) -> None:
    """Print the counts, and look for growth."""
    broken, rows = found.errors.total(), len(pictures)
    print(f"\n{count:,} pictures, {sum(picture.intact >= 0 for picture in pictures):,} of them left intact")
    print(f"{rows:,} rows: {rows - broken:,} with features, {broken:,} with a reason; {count - rows:,} unaccounted for")
    for error, number in found.errors.most_common(12):
        print(f"{number:>9,}  {error[:100]}")
    made = Counter(picture.kind for picture in pictures if picture.intact < 0)
    shares = ", ".join(f"{kind} {found.read[kind] / made[kind]:.0%}" for kind in KINDS if made[kind])
    print(f"damaged and read all the same: {shares}")
    print(
        f"MB at most per group: {found.peaks[0]:.0f} first, {found.peaks[-1]:.0f} last, {max(found.peaks):.0f} greatest"
    )
    # The least: what is held between large pictures, which come and go.
    early, half, late = (at(long.samples, share, 0.2, min)[0] for share in (0.2, 0.6, 1.0))
    print(f"MB at least in the long run: {early:.0f} early, {half:.0f} half way, {late:.0f} late; most {long.peak:.0f}")
    if late > 1.1 * early + 16:
        found.fail("growth", f"{early:.0f} MB, then {late:.0f}")
    print(f"{found.libtiff:,} lines of libtiff on stderr")
    print("failures: " + (", ".join(f"{count:,} {what}" for what, count in found.failures.items()) or "none"))


if __name__ == "__main__":
    main()
