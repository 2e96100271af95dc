"""EfficientNet-lite: EfficientNet without squeeze-excitation, with ReLU6 (Tan & Le 2019; the 2020 lite release).

A stem convolution, seven stages of inverted residual blocks, a 1x1 head convolution, the mean over positions (1280
values: the default feature) and a linear classifier. The variants differ in width, depth and input side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from decaf.nets.graph import GraphBuilder
from decaf.nets.preprocess import Preprocess

_BATCH_NORM_EPSILON = 1e-3


@dataclass(frozen=True)
class Variant:
    """What distinguishes one EfficientNet-lite from another: multipliers of width and depth, input side in pixels."""

    name: str
    width: float
    depth: float
    side: int


VARIANTS = (
    Variant("efficientnet-lite0", 1.0, 1.0, 224),
    Variant("efficientnet-lite1", 1.0, 1.1, 240),
    Variant("efficientnet-lite2", 1.1, 1.2, 260),
)


@dataclass(frozen=True)
class _Stage:
    kernel: int
    stride: int
    channels: int
    repeats: int


_STAGES = (
    _Stage(3, 1, 16, 1),
    _Stage(3, 2, 24, 2),
    _Stage(5, 2, 40, 2),
    _Stage(3, 2, 80, 3),
    _Stage(5, 1, 112, 3),
    _Stage(5, 2, 192, 4),
    _Stage(3, 1, 320, 1),
)


@dataclass(frozen=True)
class _Block:
    kernel: int
    stride: int
    expands: bool
    skips: bool


def preprocess(variant: Variant) -> Preprocess:
    """RGB, (x - 127) / 128, bicubic; the short side is 32 px more than the crop, as the networks were evaluated."""
    return Preprocess(size=variant.side + 32, crop=variant.side, mean=(127.0,) * 3, std=(128.0,) * 3)


def build(variant: Variant, parameters: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Write the network. `parameters` has the names of the torch checkpoints; a missing one is a KeyError."""
    graph = _Writer(variant, parameters)
    x = graph.unit(graph.input, "stem", "_conv_stem", "_bn0", kernel=3, stride=2)
    for index, block in enumerate(_blocks(variant)):
        x = graph.block(x, f"block{index + 1}", f"_blocks.{index}", block)
    x = graph.unit(x, "head", "_conv_head", "_bn1")
    x = graph.global_average(x, "pool")
    x = graph.linear(x, "fc", "_fc.weight", "_fc.bias")
    return graph.finish(graph.softmax(x, "prob"), len(parameters["_fc.bias"]), metadata)


def aliases(variant: Variant) -> dict[str, str]:
    """Other names for layers: a block without a skip ends with its projection."""
    numbered = enumerate(_blocks(variant), start=1)
    return {f"block{number}.project": f"block{number}" for number, block in numbered if not block.skips}


def _blocks(variant: Variant) -> Iterator[_Block]:
    channels = 32
    for stage in _STAGES:
        fixed = stage in (_STAGES[0], _STAGES[-1])
        repeats = stage.repeats if fixed else math.ceil(stage.repeats * variant.depth)
        out = _round_to_eight(stage.channels * variant.width)
        for repeat in range(repeats):
            stride = stage.stride if repeat == 0 else 1
            skips = stride == 1 and channels == out
            yield _Block(stage.kernel, stride, expands=stage is not _STAGES[0], skips=skips)
            channels = out


def _round_to_eight(channels: float) -> int:
    rounded = int(channels + 4) // 8 * 8
    return rounded + 8 if rounded < 0.9 * channels else rounded


class _Writer(GraphBuilder):
    """A graph builder that keeps the side of the current tensor, which TensorFlow's SAME padding depends on."""

    def __init__(self, variant: Variant, parameters: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__(variant.name, parameters, variant.side)
        self._current_side = variant.side

    def unit(
        self,
        x: str,
        name: str,
        conv: str,
        norm: str,
        *,
        kernel: int = 1,
        stride: int = 1,
        group: int = 1,
        active: bool = True,
        ends_in: str | None = None,
    ) -> str:
        """Convolution, batch normalisation and, where `active`, ReLU6; `name` is the last of the three."""
        last = ends_in or name
        x = self.conv(x, f"{name}.conv", f"{conv}.weight", stride, self._same_padding(kernel, stride), group)
        x = self.batch_norm(x, f"{name}.bn" if active else last, norm, _BATCH_NORM_EPSILON)
        return self.relu6(x, last) if active else x

    def block(self, x: str, name: str, source: str, block: _Block) -> str:
        """An inverted residual block: expand (1x1), depthwise, project (1x1), and the sum with its input."""
        start = x
        if block.expands:
            x = self.unit(x, f"{name}.expand", f"{source}._expand_conv", f"{source}._bn0")
        depthwise = f"{source}._depthwise_conv"
        x = self.unit(
            x,
            f"{name}.depthwise",
            depthwise,
            f"{source}._bn1",
            kernel=block.kernel,
            stride=block.stride,
            group=len(self._parameters[f"{depthwise}.weight"]),
        )
        ends_in = None if block.skips else name
        project = (f"{source}._project_conv", f"{source}._bn2")
        x = self.unit(x, f"{name}.project", *project, active=False, ends_in=ends_in)
        return self.add(x, start, name) if block.skips else x

    def _same_padding(self, kernel: int, stride: int) -> tuple[int, int]:
        """TensorFlow's rule: as much as gives ceil(side / stride); the odd zero goes right and below."""
        out = math.ceil(self._current_side / stride)
        total = max((out - 1) * stride + kernel - self._current_side, 0)
        self._current_side = out
        return total // 2, total - total // 2
