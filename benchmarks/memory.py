"""Memory, open files and threads of `decaf extract` stay flat, however many pictures, and with broken ones among them.

Extracts the same pictures, listed over and over with a broken one in ten, once for each count, each in a process of
its own. Prints the greatest resident memory the system saw, and what a sampler saw along the way. Exit code 1 where
anything grew by more than a tenth between the first and the last tenth of the run, a broken picture went unnoticed,
or an intact one did not. Linux only: it reads /proc.

    python benchmarks/memory.py PICTURES [--counts 10000 200000] [--net tiny]

`--net tiny` is a network of one small convolution, made on the spot: everything around the network is the same, and
200,000 pictures of 64 x 64 take two minutes instead of ten.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from decaf.images.find import find_images

DECAF = str(Path(sys.executable).with_name("decaf"))
SHARDS = "shard-*.parquet"
POINTS = (0.1, 0.5, 1.0)
TINY_SIDE = 64
PNG = b"\x89PNG\r\n\x1a\n"
# A kind of sample -> Pillow's mode, Pillow's options for writing it. The first word is the format, and the suffix.
ANIMATED = {"save_all": True}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    **{"jpeg": ("RGB", {}), "jpeg grey": ("L", {}), "jpeg cmyk": ("CMYK", {})},
    **{"jpeg progressive": ("RGB", {"progressive": True}), "jpeg restarts": ("RGB", {"restart_marker_rows": 1})},
    **{"png": ("RGB", {}), "png alpha": ("RGBA", {}), "png 16 bits": ("I;16", {}), "png 1 bit": ("1", {})},
    **{"png palette": ("P", {"transparency": 3}), "png interlaced": ("RGB", {}), "png animated": ("RGB", ANIMATED)},
    **{"webp": ("RGB", {}), "webp alpha": ("RGBA", {}), "webp lossless": ("RGB", {"lossless": True})},
    **{"webp animated": ("RGB", ANIMATED), "gif": ("P", {}), "gif animated": ("P", ANIMATED)},
    **{"tiff": ("RGB", {}), "tiff 16 bits": ("I;16", {}), "tiff lzw": ("RGB", {"compression": "tiff_lzw"})},
    **{"tiff deflate": ("RGB", {"compression": "tiff_adobe_deflate"}), "tiff fax": ("1", {"compression": "group4"})},
    **{"tiff packbits": ("P", {"compression": "packbits"}), "tiff jpeg": ("RGB", {"compression": "jpeg"})},
    **{"tiff cmyk": ("CMYK", {"compression": "tiff_lzw"}), "bmp": ("RGB", {}), "bmp palette": ("P", {})},
    **({"avif": ("RGB", {}), "avif alpha": ("RGBA", {})} if features.check("avif") else {}),
    **({"heif": ("RGB", {})} if find_spec("pillow_heif") and find_spec("pi_heif") else {}),
}


@dataclass(frozen=True)
class Sample:
    """What a process held at one moment.

    Attributes:
        seconds: since it was started.
        shards: finished ones in its folder.
        resident: MB.
        files: open ones.
        threads: of the process.
    """

    seconds: float
    shards: int
    resident: float
    files: int
    threads: int


@dataclass(frozen=True)
class Ended:
    """A `decaf` that ended.

    Attributes:
        code: exit code; negative: the signal that ended it; None: it was ended because it took too long.
        stdout: all it printed.
        stderr: all it complained of.
        peak: the greatest resident memory the system saw, MB.
        samples: in the order of time.
    """

    code: int | None
    stdout: str
    stderr: str
    peak: float
    samples: tuple[Sample, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", help="a folder of pictures")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 200_000], help="in rising order")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--net", help="as `decaf extract` takes it, or `tiny`; its default where none is named")
    parser.add_argument("--broken", type=int, default=10, help="one picture in so many is broken; 0: none")
    arguments = parser.parse_args()
    paths = find_images(arguments.pictures).paths
    peaks, flat = [], True
    for count in sorted(arguments.counts):
        with tempfile.TemporaryDirectory() as folder:
            names = listed(paths, count, arguments.broken, Path(folder))
            options = ["--precision", arguments.precision, *net_options(arguments.net, Path(folder))]
            ended = extract(names, Path(folder), options)
        if ended.code != 0 or ended.stderr:
            sys.exit(f"exit code {ended.code}\n{ended.stderr}")
        peaks.append(ended.peak)
        print(f"{count:>9,} pictures: {peaks[-1]:.0f} MB resident at most", flush=True)
        flat = report(ended.samples) and rows_told(ended, count, arguments.broken) and flat
    print(f"growth: {peaks[-1] / peaks[0]:.3f} x")
    sys.exit(0 if flat else 1)


def listed(paths: Sequence[str], count: int, one_in: int, folder: Path) -> list[str]:
    """The pictures over and over, one in so many replaced by a broken one, kind after kind."""
    bad = broken_pictures(paths, folder)
    return [
        bad[row // one_in % len(bad)] if one_in and row % one_in == one_in - 1 else paths[row % len(paths)]
        for row in range(count)
    ]


def broken_pictures(paths: Sequence[str], folder: Path) -> list[str]:
    """One of every kind of broken picture."""
    whole = dict(make_samples(paths))
    # Animated ones may be cut behind their first frame, which is all that is read.
    files = {f"cut {kind}": data[: len(data) // 2] for kind, data in whole.items() if KINDS[kind][1] is not ANIMATED}
    png, bmp = bytearray(whole["png"]), bytearray(whole["bmp"])
    png[len(png) // 2] ^= 1
    bmp[18:26] = b"\xff\xff\0\0" * 2  # width and height
    files |= {"flipped": bytes(png), "enormous": bytes(bmp), "empty": b"", "text": b"no picture\n" * 100}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder").mkdir()
    return [str(folder / name) for name in (*files, "folder", "missing")]


def make_samples(paths: Sequence[str]) -> list[tuple[str, bytes]]:
    """Four of the pictures in every kind, with sides of 64 to 160 pixels: kind and file."""
    samples = []
    for index in range(4):
        source = Image.open(paths[index * len(paths) // 4]).convert("RGB")
        picture = source.resize((64 + 32 * index, 160 - 24 * index), Image.Resampling.BICUBIC)
        samples += [(kind, encoded(picture, kind)) for kind in KINDS]
    return samples


def encoded(picture: Image.Image, kind: str) -> bytes:
    """The picture as a file with an EXIF block."""
    mode, options = KINDS[kind]
    if kind == "heif":
        import_module("pillow_heif").register_heif_opener()
    if kind == "png interlaced":
        return interlaced_png(np.asarray(picture))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        image = picture.convert(mode)
    if options is ANIMATED:
        options = {**options, "append_images": [image.rotate(angle) for angle in (90, 180)]}
    exif, where = Image.Exif(), io.BytesIO()
    exif.update({0x0112: 6, 0x010F: "maker", 0x013B: "someone"})
    image.save(where, kind.split(maxsplit=1)[0], exif=exif.tobytes(), **options)
    return where.getvalue()


def interlaced_png(pixels: NDArray[np.uint8]) -> bytes:
    """Adam7, which Pillow reads but does not write: seven coarse pictures, each line after its filter's number, 0."""
    height, width = pixels.shape[:2]
    lines = b""
    for top, left, down, right in (
        *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4)),
        *((0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
    ):
        lines += b"".join(b"\0" + line.tobytes() for line in pixels[top::down, left::right])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return PNG + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(lines)) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def net_options(net: str | None, folder: Path) -> list[str]:
    """What to tell `decaf extract`; `tiny` is made in the folder."""
    if net != "tiny":
        return ["--net", net] if net else []
    path = folder / "tiny.onnx"
    path.write_bytes(tiny_network())
    return ["--net", str(path), "--layer", "vector", "--preprocess", f"size={TINY_SIDE},mean=127,std=128"]


def tiny_network() -> bytes:
    """One convolution of 16 x 16 pixels, 64 channels, as a vector of 1024 numbers."""
    from onnx import TensorProto, helper, numpy_helper

    kernels = np.random.default_rng(0).normal(0, 0.05, (64, 3, 16, 16)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["pixels", "kernels"], ["conv"], strides=[16, 16]),
        helper.make_node("Flatten", ["conv"], ["vector"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, TINY_SIDE, TINY_SIDE])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, 64 * (TINY_SIDE // 16) ** 2])],
        [numpy_helper.from_array(kernels, "kernels")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def extract(
    names: Sequence[str],
    folder: Path,
    options: Sequence[str],
    seconds: float = float("inf"),
    most_bytes: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run `decaf extract` over a list of pictures into `folder/out`, and watch it.

    Past `seconds` it is ended; `most_bytes` limits what it may allocate: RLIMIT_DATA, see `fuzz_images.py`;
    `environment` is added to ours.
    """
    (folder / "list.txt").write_bytes(b"".join(os.fsencode(name) + b"\n" for name in names))
    command = [DECAF, "extract", str(folder / "list.txt"), "-o", str(folder / "out"), "--json", *options]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))

    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            command,
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=limit if most_bytes else None,  # noqa: PLW1509 - no threads here
        )
        late, samples, usage = _watch(process, folder / "out", seconds)
        texts = []
        for stream in (stdout, stderr):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return Ended(None if late else process.returncode, texts[0], texts[1], usage.ru_maxrss / 1024, tuple(samples))


def _watch(
    process: subprocess.Popen[bytes], out: Path, seconds: float
) -> tuple[bool, list[Sample], resource.struct_rusage]:
    """Sample a process until it ends; end it when it takes longer than allowed."""
    samples: list[Sample] = []
    late, started = False, time.monotonic()
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return late, samples, usage
        if sample := _sample(process.pid, out, time.monotonic() - started):
            samples.append(sample)
        if not late and time.monotonic() - started > seconds:
            os.killpg(process.pid, signal.SIGKILL)
            late = True
        # Often at first, so that a short run gives enough samples.
        time.sleep(min(0.5, 0.02 + len(samples) / 10_000))


def _sample(pid: int, out: Path, seconds: float) -> Sample | None:
    """None for a process that is ending."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
        files = len(os.listdir(f"/proc/{pid}/fd"))
        shards = sum(1 for _ in out.glob(SHARDS))
        return Sample(seconds, shards, int(fields["VmRSS"].split()[0]) / 1024, files, int(fields["Threads"]))
    except (OSError, KeyError):
        return None


def at(
    samples: Sequence[Sample], share: float, width: float = 0.1, of: Callable[[list[float]], float] = statistics.median
) -> list[float]:
    """Memory, files and threads, their medians, in the part that ends there of the time from first to last shard."""
    writing = [sample for sample in samples if 0 < sample.shards < samples[-1].shards]
    if len(writing) < 5 / width:
        sys.exit("too short a run to watch: take more pictures")
    first, last = writing[0].seconds, writing[-1].seconds
    within = [sample for sample in writing if share - width <= (sample.seconds - first) / (last - first) <= share]
    columns = ([getattr(sample, name) for sample in within] for name in ("resident", "files", "threads"))
    return [of(column) for column in columns]


def report(samples: Sequence[Sample]) -> bool:
    """Print the table; whether nothing grew."""
    points = [at(samples, share) for share in POINTS]
    most = [max(getattr(sample, name) for sample in samples) for name in ("resident", "files", "threads")]
    print("           " + "".join(f"{f'at {share:.0%}':>9}" for share in POINTS) + "     most")
    for name, *values in zip(("MB resident", "open files", "threads"), *points, most, strict=True):
        print(f"{name:11}" + "".join(f"{value:9.0f}" for value in values), flush=True)
    flat = all(late <= 1.1 * early + 2 for early, late in zip(points[0], points[-1], strict=True))
    print("flat" if flat else "GROWS: more than a tenth between the first tenth and the last")
    return flat


def rows_told(ended: Ended, count: int, one_in: int) -> bool:
    """Whether there is a row for every picture, and the broken ones were found broken and no others."""
    said = json.loads(ended.stdout)
    broken = count // one_in if one_in else 0
    print(f"{said['rows']:,} rows, {said['broken']:,} broken of {broken:,}, {said['images_per_second']:.0f} images/s")
    return (said["rows"], said["broken"]) == (count, broken)


if __name__ == "__main__":
    main()
