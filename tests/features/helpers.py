"""What the tests of features share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from decaf.engines import Runtime
from decaf.nets.net import Net
from decaf.nets.preprocess import Preprocess


def write_pictures(folder: Path, count: int) -> list[str]:
    """Small pictures, no two alike; their paths in listing order."""
    random = np.random.default_rng(count)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:04d}.png" for index in range(count)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (16, 20, 3), dtype=np.uint8)).save(path)
    return [str(path) for path in paths]


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.parquet"))}


def tiny_net(scale: float = 1.0) -> Net:
    """A network that compiles in no time: a convolution, its mean `pool` (6,), `fc` (5,) and `prob` (5,).

    Args:
        scale: what `fc` is multiplied by.
    """
    random = np.random.default_rng(0)
    weights = {"w": random.normal(size=(6, 3, 5, 5)), "v": scale * random.normal(size=(5, 6))}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["conv"], strides=[2, 2]),
            helper.make_node("GlobalAveragePool", ["conv"], ["average"]),
            helper.make_node("Flatten", ["average"], ["pool"]),
            helper.make_node("Gemm", ["pool", "v"], ["fc"], transB=1),
            helper.make_node("Softmax", ["fc"], ["prob"], axis=1),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 24, 24])],
        [helper.make_tensor_value_info("prob", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return Net("tiny", model.SerializeToString(), Preprocess(32, 24, (128,) * 3, (64,) * 3), "pool")


class MeanEngine:
    """An engine whose two layers are the mean colour of a picture, and its first pixel doubled."""

    def __init__(self, threads: int = 2, batch: int = 3) -> None:
        self.runtime = Runtime("mean", "1", "none", "f32", threads, batch)
        self.sizes = (3, 6)

    def run(self, pictures: Sequence[NDArray[np.uint8]], views: Sequence[int] = ()) -> tuple[NDArray[np.float32], ...]:
        assert 0 < len(pictures) <= self.runtime.batch
        means = [picture.mean(axis=(0, 1)) for picture in pictures]
        firsts = [np.tile(picture[0, 0], 2) for picture in pictures]
        return np.array(means, np.float32), np.array(firsts, np.float32)
