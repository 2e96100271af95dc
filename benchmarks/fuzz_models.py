"""Damaged parameter and model files of every kind are read or refused in one line: no crash, hang, leak or traceback.

Makes small valid files for every reader (pickles of all protocols, cuda-convnet, torch's two formats, safetensors, npz,
ONNX, Caffe's three, mean images), damages them, and reads each. Members of zip files are damaged before they are packed
as well, so that the damage gets past the checksums. What is read must be what the reader promises: named arrays not
many times larger than the file, or a network whose layers can be listed. Files are read in groups, each in a process of
its own with capped memory, so that a crash or a hang can be laid at one file's door: file N of a seed is
always the same. Exit code 1 where anything failed. Linux only; needs torch and the folder of tests.

    python benchmarks/fuzz_models.py [--files 20000] [--seed 0]
"""

from __future__ import annotations

import argparse
import functools
import io
import pickle
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from decaf.errors import DecafError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.features.helpers import tiny_net  # noqa: E402
from tests.nets import caffe_files, cuda_files  # noqa: E402
from tests.nets.readers.test_cuda_convnet import CIFAR  # noqa: E402
from tests.nets.readers.test_plain_pickle import PYTHON_2, PYTHON_2_TEXT  # noqa: E402

Parts = tuple[bytes, ...]
"""The bytes of the files that are read together: a prototxt and its caffemodel, else one."""

EXTREMES = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**40,
    2**62,
    2**63,
    2**64 - 1,
)
WORDS = (
    b"cos\nsystem\n",
    b"(S'true'\ntR",
    b"\x81",
    b"\x92",
    b"Q",
    b"b",
    b"\x8f",
    b"2",
    b"h\x00",
    b"q\x00",
    b"\x94",
    b"\x93",
)
TEXT = (b"{", b"}", b'"', b"layer {", b"999999999999", b"-1", b"0.1e400", b"nan", b"group: 7", b"\xff", b"#", b"\\")
RULE = "mean=128,std=64"


def seeds() -> list[tuple[str, Parts]]:
    """Small valid files: the reader's name, and the bytes."""
    value = {"a": [np.arange(3, dtype="f4"), np.float32(2)], "b": ("x", None, True, 2**70, -1.5), "c": {"d": b"\xff"}}
    found = [("pickle", pickle.dumps(value, protocol)) for protocol in range(6)]
    found += [("pickle", PYTHON_2), ("pickle", PYTHON_2_TEXT)]
    found += [("cuda-convnet", pickle.dumps(CIFAR, protocol)) for protocol in (0, 2, 4)]
    meta = {"label_names": ["owl", "gull"], "data_mean": np.arange(48, dtype="f4")}
    found += [("meta", pickle.dumps(meta, protocol)) for protocol in (1, 2, 5)]
    found += [(kind, data) for kind, data in checkpoints()]
    found += [("onnx", tiny_net().data), ("onnx", cuda_model())] * 2
    found += [("binaryproto", caffe_files.blob(np.ones((1, 3, 4, 4), "f4"), old)) for old in (False, True)]
    found += [("mean", npy(np.ones((3, 4, 4), "f4")))]
    pairs = [(prototxt or b"", model) for prototxt, model in caffe_files.seeds()]
    narrow = cuda_files.prototxt(), caffe_files.caffemodel(cuda_files.random_parameters())
    return [(kind, (data,)) for kind, data in found] + [("caffe", pair) for pair in [*pairs, narrow]]


def checkpoints() -> list[tuple[str, bytes]]:
    import safetensors.torch
    import torch

    x = torch.arange(6.0).reshape(2, 3)
    state = {"a": x, "b.c": x.t(), "n": torch.tensor(3), "h": x.half(), "g": x.bfloat16()[:1]}
    made = []
    for zipped in (False, True):
        for value in (state, {"state_dict": state, "epoch": 3, "best": np.float64(0.5)}):
            file = io.BytesIO()
            torch.save(value, file, _use_new_zipfile_serialization=zipped)
            made.append(("torch zip" if zipped else "torch legacy", file.getvalue()))
    arrays = {"a": x.numpy(), "n": np.array(3)}
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **arrays)
        made.append(("npz", file.getvalue()))
    whole = {name: value.contiguous() for name, value in state.items()}
    return [*made, ("safetensors", safetensors.torch.save(whole, {"format": "pt"}))]


def cuda_model() -> bytes:
    from decaf.nets.readers.cuda_convnet import read_cuda_convnet

    return bytes(read_cuda_convnet(pickle.dumps(CIFAR)).SerializeToString())


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


# Damage


def damaged(kind: str, parts: Parts, others: Sequence[Parts], chance: random.Random) -> Parts:
    """The files with one to eight changes; inside of zip members half of the time."""
    part = chance.randrange(len(parts))
    other = chance.choice(others)[part]
    changed = parts[part]
    if changed.startswith(b"PK") and chance.random() < 0.5:
        changed = repacked(changed, chance)
    else:
        for _ in range(chance.choice((1, 1, 1, 2, 6))):
            changed = chance.choice(CHANGES)(changed, chance, other)
    return (*parts[:part], changed, *parts[part + 1 :])


def repacked(data: bytes, chance: random.Random) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", chance.choice((0, 8))) as new:
        names = old.namelist()
        hit = chance.choice(names)
        for name in names:
            member = old.read(name)
            if name == hit or "pkl" in name:
                for _ in range(chance.choice((0, 1, 2)) if name != hit else 1):
                    member = chance.choice(CHANGES)(member, chance, member)
            new.writestr(name, member)
    return made.getvalue()


def cut(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def flip(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    broken = bytearray(data or b"\0")
    broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
    return bytes(broken)


def number(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    at, size = chance.randrange(len(data) + 1), chance.choice((1, 2, 4, 8))
    extreme = (chance.choice(EXTREMES) & (2 ** (8 * size) - 1)).to_bytes(size, chance.choice(("little", "big")))
    return data[:at] + extreme + data[at + size :]


def word(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.choice(WORDS + TEXT) + data[at + chance.choice((0, 0, 1, 4)) :]


def move(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """A piece of this or another file, put elsewhere, up to a thousand times."""
    source = chance.choice((data, other))
    first = chance.randrange(len(source) + 1)
    piece = source[first : first + chance.choice((1, 4, 16, 64))] * chance.choice((1, 1, 1, 2, 1000))
    at = chance.randrange(len(data) + 1)
    return data[:at] + piece + data[at + chance.choice((0, len(piece))) :]


def drop(data: bytes, chance: random.Random, _other: bytes) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + data[at + chance.choice((1, 2, 4, 16)) :]


CHANGES = (cut, flip, flip, flip, flip, number, number, word, move, drop)


# Reading


def read_pickle(data: bytes) -> None:
    from decaf.nets.readers.plain_pickle import read_plain_pickle

    repr(read_plain_pickle(data))  # walks through all of it


def read_cuda(data: bytes) -> None:
    from decaf.nets.readers.cuda_convnet import read_cuda_convnet

    look_at_network(bytes(read_cuda_convnet(data).SerializeToString()))


def read_cuda_meta(data: bytes) -> None:
    from decaf.nets.readers.cuda_convnet import read_meta

    read_meta(data)


def read_arrays(data: bytes) -> None:
    from decaf.nets.readers.checkpoint import read_checkpoint

    arrays = read_checkpoint(data)
    assert all(type(name) is str and type(value) is np.ndarray for name, value in arrays.items())
    assert sum(value.nbytes for value in arrays.values()) <= 20 * len(data) + 2**16


def read_caffe_files(prototxt: bytes, caffemodel: bytes) -> None:
    from decaf.nets.readers.caffe import read_caffe

    model = read_caffe(prototxt or None, caffemodel)
    if model.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 3:
        look_at_network(bytes(model.SerializeToString()))


def read_mean_blob(data: bytes) -> None:
    from decaf.nets.readers.caffe import read_binaryproto

    assert read_binaryproto(data).nbytes <= 20 * len(data)


def read_mean(data: bytes) -> None:
    from decaf.nets.mean_image import read_mean_image

    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        file.write(data)
        file.flush()
        read_mean_image(Path(file.name), "RGB")


def look_at_network(data: bytes) -> None:
    from decaf.nets.net import net_of

    assert all(layer.multiply_adds >= 0 for layer in net_of(data, "fuzz.onnx", "fuzz.onnx", RULE).layers)


READERS: dict[str, Callable[..., None]] = {
    "pickle": read_pickle,
    "cuda-convnet": read_cuda,
    "meta": read_cuda_meta,
    "torch zip": read_arrays,
    "torch legacy": read_arrays,
    "npz": read_arrays,
    "safetensors": read_arrays,
    "onnx": look_at_network,
    "binaryproto": read_mean_blob,
    "mean": read_mean,
    "caffe": read_caffe_files,
}


@functools.cache
def stored_seeds(folder: Path) -> list[tuple[str, Parts]]:
    known: list[tuple[str, Parts]] = pickle.loads((folder / "seeds").read_bytes())  # noqa: S301  # of this program
    return known


def case(folder: Path, seed: int, index: int) -> tuple[str, Parts]:
    """The file of this number; the same for a seed."""
    chance = random.Random(f"{seed} {index}")
    known = stored_seeds(folder)
    kind, parts = known[index % len(known)]
    return kind, damaged(kind, parts, [other for also, other in known if also == kind], chance)


def outcome(kind: str, parts: Parts) -> str:
    """`read`, `refused: MESSAGE`, or what must not be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            READERS[kind](*parts)
    except DecafError as error:
        said = str(error)
        if "\n" in said or len(said) > 1000:
            return f"FAILED several lines: {said[:500]!r}"
        return f"FAILED memory: {said}" if "MemoryError" in said else f"refused: {said}"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"FAILED {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
    return "read"


def child(arguments: argparse.Namespace) -> None:
    """Read a range of files; say before each which it is, and after it what came out and what it took."""
    folder, (first, last) = arguments.seeds, arguments.child
    resource.setrlimit(resource.RLIMIT_DATA, (arguments.megabytes * 2**20,) * 2)
    for index in range(first, last):
        kind, parts = case(folder, arguments.seed, index)
        print(index, kind, sep="\t", end="\t", flush=True)
        started = time.monotonic()
        said = outcome(kind, parts)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{time.monotonic() - started:.3f}", peak, repr(said), sep="\t", flush=True)


# The run


class Found:
    """What came out."""

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.slowest, self.peak = 0.0, 0

    def fail(self, what: str, index: int, story: str) -> None:
        """Count a failure; the first few stories of a kind are told."""
        if self.failures[what] < 5:
            print(f"{what}: file {index}: {story[:400]}", flush=True)
        self.failures[what] += 1

    def take(self, line: str, slow: float) -> None:
        """Count what a child says of one file."""
        index, kind, seconds, peak, quoted = line.split("\t")
        said = quoted[1:-1]
        self.slowest, self.peak = max(self.slowest, float(seconds)), max(self.peak, int(peak))
        if said == "read":
            self.read[kind] += 1
        elif said.startswith("refused"):
            self.refused[kind] += 1
            self.reasons[re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "_", said)[:90]] += 1
        else:
            self.fail(f"{kind} {said.split(':')[0]}", int(index), said)
        if float(seconds) > slow:
            self.fail(f"{kind} slow", int(index), f"{seconds} s")


def run_group(arguments: argparse.Namespace, folder: Path, first: int, last: int, found: Found) -> int:
    """Read some files in a process; the number of the first that was not read because of a crash or a hang."""
    command = [sys.executable, __file__, "--seeds", str(folder), "--child", str(first), str(last)]
    command += ["--seed", str(arguments.seed), "--megabytes", str(arguments.megabytes)]
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
        try:
            ended = subprocess.run(command, stdout=out, stderr=err, timeout=arguments.seconds, check=False)
            code: int | str = ended.returncode
        except subprocess.TimeoutExpired:
            code = f"hangs for {arguments.seconds} s"
    lines = (folder / "out").read_text().split("\n")
    for line in lines[:-1]:
        found.take(line, arguments.slow)
    said = (folder / "err").read_text().strip()
    done = first + len(lines) - 1
    if code != 0:
        found.fail("crash" if isinstance(code, int) else "hang", done, f"{code} {said}")
        return done + 1
    if said:
        found.fail("stderr", first, said)
    return last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--group", type=int, default=1000, help="files per process")
    parser.add_argument("--slow", type=float, default=10, help="seconds one file may take")
    parser.add_argument("--seconds", type=float, default=900, help="seconds a group may take")
    parser.add_argument("--megabytes", type=int, default=1024, help="what a process may allocate")
    parser.add_argument("--seeds", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    with tempfile.TemporaryDirectory() as name:
        folder, found = Path(name), Found()
        known = seeds()
        (folder / "seeds").write_bytes(pickle.dumps(known))
        for kind, parts in known:
            if (said := outcome(kind, parts)) != "read":
                sys.exit(f"an intact {kind} file is not read: {said}")
        print(f"{len(known)} files of {len(READERS)} readers, all read", flush=True)
        started, index = time.monotonic(), 0
        while index < arguments.files:
            index = run_group(arguments, folder, index, min(index + arguments.group, arguments.files), found)
        read, refused = sum(found.read.values()), sum(found.refused.values())
        seconds = time.monotonic() - started
        print(f"{arguments.files:,} damaged files in {seconds:.0f} s: {read:,} read, {refused:,} refused")
        for kind in READERS:
            print(f"  {kind}: {found.read[kind]:,} read, {found.refused[kind]:,} refused")
        for reason, count in found.reasons.most_common(12):
            print(f"{count:>8,}  {reason}")
        print(f"slowest {found.slowest:.2f} s; most memory {found.peak} MB")
        print("failures: " + (", ".join(f"{count:,} {what}" for what, count in found.failures.items()) or "none"))
    sys.exit(1 if found.failures else 0)


if __name__ == "__main__":
    main()
