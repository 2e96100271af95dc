"""What the tests of updates share: a network of one small convolution, pictures to edit, what a run computed."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import decaf
from decaf.features import extract as module
from decaf.nets.net import Net
from decaf.nets.registry import load_net

SHARD_SIZE = 3
PREPROCESS = "size=8,mean=127,std=128"
NAMES = ("cat/0.bmp", "cat/1.bmp", "cat/2.bmp", "cat/3.bmp", "dog/4.bmp", "dog/5.bmp", "dog/6.bmp")
BROKEN = "dog/5.bmp"

Source = Path | Sequence[Path]
_clock = count(1_600_000_000 * 10**9, 10**9)


def write_tiny_net(path: Path) -> Path:
    """One convolution of 4 x 4 pixels, as a vector of 16 numbers."""
    from onnx import TensorProto, helper, numpy_helper

    kernels = np.random.default_rng(0).normal(0, 0.05, (4, 3, 4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["pixels", "kernels"], ["conv"], strides=[4, 4]),
        helper.make_node("Flatten", ["conv"], ["vector"]),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [1, 16])
    graph = helper.make_graph(nodes, "tiny", [pixels], [vector], [numpy_helper.from_array(kernels, "kernels")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def load_tiny_net(path: Path) -> Net:
    return load_net(write_tiny_net(path), PREPROCESS)


@contextmanager
def engines_compiled_once() -> Iterator[None]:
    """What is compiled once is used again: three quarters of the time of so small an extraction."""
    compiled: dict[Any, Any] = {}
    real = module.make_engine

    def make(net: Net, layers: Sequence[str], *rest: Any) -> Any:
        key = (net.sha256, tuple(layers), *rest)
        if key not in compiled:
            compiled[key] = real(net, layers, *rest)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "make_engine", make)
        yield


def draw(path: Path, seed: int) -> None:
    """A picture that no other seed gives; all take as many bytes; each is a second younger than the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    touch(path)


def touch(path: Path) -> None:
    now = next(_clock)
    os.utime(path, ns=(now, now))


def spoil(path: Path) -> None:
    """No picture any more, of the same size."""
    path.write_bytes(b"spoilt" + bytes(path.stat().st_size - 6))
    touch(path)


def draw_all(folder: Path) -> Path:
    """Seven pictures in two classes, the last but one broken."""
    for seed, name in enumerate(NAMES):
        draw(folder / name, seed)
    spoil(folder / BROKEN)
    return folder


def edit_all_over(photos: Path) -> None:
    """Two added, three changed, two removed, two kept; none broken any more."""
    draw(photos / "ant" / "7.bmp", 7)
    draw(photos / "cat" / "1.bmp", 101)
    (photos / "cat" / "2.bmp").unlink()
    (photos / "cat" / "3.bmp").rename(photos / "dog" / "3.bmp")
    draw(photos / BROKEN, 5)
    touch(photos / "dog" / "6.bmp")


@dataclass(frozen=True)
class Ran:
    """What a run made: the features, how many rows it computed, and what it said of the update."""

    features: decaf.FeatureSet
    computed: int
    numbers: Mapping[str, int] | None


def run(source: Source, net: Net, out: Path, **options: Any) -> Ran:
    """As `decaf extract` does it."""
    told: list[int] = []
    job = module.plan(source, net, None, out, module.Options(**options))
    with module.held(job.out, job.meta, job.rows, job.options) as work:
        module.run(job, work, lambda rows, broken: told.append(rows))
    assert sum(told) == work.rows
    return Ran(decaf.FeatureSet.open(out), work.rows, work.update.to_dict() if work.update else None)


def first_run(source: Source, net: Net, out: Path, **options: Any) -> Ran:
    return run(source, net, out, shard_size=SHARD_SIZE, **options)


def numbers(added: int = 0, changed: int = 0, removed: int = 0, kept: int = 0) -> dict[str, int]:
    return {"added": added, "changed": changed, "removed": removed, "kept": kept}


def content(features: decaf.FeatureSet) -> dict[str, Any]:
    """All that a feature set tells of its rows; vectors to the bit."""
    names = ("paths", "labels", "errors", "regions", "views")
    told = {name: getattr(features, name).tolist() for name in names}
    vectors = {layer: features.X(layer).tobytes() for layer in features.layers}
    return told | {"boxes": features.boxes.tobytes(), "broken": features.broken.tolist()} | vectors


def fresh_content(source: Source, net: Net, **options: Any) -> dict[str, Any]:
    return content(decaf.extract(source, net, shard_size=SHARD_SIZE, **options))


def order_files(out: Path) -> list[str]:
    return sorted(path.name for path in out.glob("order-*"))


def write_boxes(path: Path, *boxes: str) -> str:
    path.write_text("\n".join(["path,x0,y0,x1,y1,id,label", *boxes]) + "\n")
    return str(path)


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, nth: int) -> None:
    """Let the disk be full when one of the extraction's functions is called for the n-th time."""
    real, calls = getattr(module, name), Counter[str]()

    def counted(*arguments: Any) -> Any:
        calls[name] += 1
        return no_space() if calls[name] == nth else real(*arguments)

    monkeypatch.setattr(module, name, counted)
