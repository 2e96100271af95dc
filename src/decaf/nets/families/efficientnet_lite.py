"""EfficientNet-lite: EfficientNet without squeeze-excitation, with ReLU6 (Tan & Le 2019; the 2020 lite release).

A stem convolution, seven stages of inverted residual blocks, a 1x1 head convolution, the mean over positions (1280
values: the default feature) and a linear classifier. The variants differ in width, depth and input side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import onnx

from decaf.nets.design import Design
from decaf.nets.fill import Parameters
from decaf.nets.graph import GraphBuilder
from decaf.nets.labels import ilsvrc_labels
from decaf.nets.preprocess import Preprocess

_BATCH_NORM_EPSILON = 1e-3
_EXPANSION = 6  # of a block's channels


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
    channels: int
    expands: bool
    skips: bool


def preprocess(variant: Variant) -> Preprocess:
    """RGB, (x - 127) / 128, bicubic; the short side is 32 px more than the crop, as the networks were evaluated."""
    return Preprocess(size=variant.side + 32, crop=variant.side, mean=(127.0,) * 3, std=(128.0,) * 3)


def build(variant: Variant, parameters: Parameters, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Write the network. `parameters` has the names of the torch checkpoints."""
    graph = _Writer(variant, parameters)
    x = graph.unit(graph.input, "stem", "_conv_stem", "_bn0", 32, kernel=3, stride=2)
    for index, block in enumerate(_blocks(variant)):
        x = graph.block(x, f"block{index + 1}", f"_blocks.{index}", block)
    x = graph.unit(x, "head", "_conv_head", "_bn1", 1280)
    x = graph.global_average(x, "pool")
    x = graph.linear(x, "fc", 1000, source="_fc")
    return graph.finish(graph.softmax(x, "prob"), metadata)


def design(variant: Variant) -> Design:
    """One variant without its parameters."""
    return Design(partial(build, variant), preprocess(variant), "pool", aliases(variant), ilsvrc_labels)


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
            yield _Block(stage.kernel, stride, out, expands=stage is not _STAGES[0], skips=skips)
            channels = out


def _round_to_eight(channels: float) -> int:
    rounded = int(channels + 4) // 8 * 8
    return rounded + 8 if rounded < 0.9 * channels else rounded


class _Writer(GraphBuilder):
    """A graph builder with TensorFlow's padding and the network's units."""

    def __init__(self, variant: Variant, parameters: Parameters) -> None:
        super().__init__(variant.name, parameters, (3, variant.side, variant.side))

    def unit(
        self,
        x: str,
        name: str,
        conv: str,
        norm: str,
        filters: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        group: int = 1,
        active: bool = True,
        ends_in: str | None = None,
    ) -> str:
        """Convolution, batch normalisation and, where `active`, ReLU6; `name` is the last of the three."""
        last = ends_in or name
        before, after = _same_padding(self.shape(x)[1], kernel, stride)
        pads = (before, before, after, after)
        x = self.conv(
            x, f"{name}.conv", filters, kernel, stride=stride, pads=pads, group=group, bias=False, source=conv
        )
        x = self.batch_norm(x, f"{name}.bn" if active else last, _BATCH_NORM_EPSILON, norm)
        return self.relu6(x, last) if active else x

    def block(self, x: str, name: str, source: str, block: _Block) -> str:
        """An inverted residual block: expand (1x1), depthwise, project (1x1), and the sum with its input."""
        start = x
        if block.expands:
            wide = _EXPANSION * self.shape(x)[0]
            x = self.unit(x, f"{name}.expand", f"{source}._expand_conv", f"{source}._bn0", wide)
        channels = self.shape(x)[0]
        x = self.unit(
            x,
            f"{name}.depthwise",
            f"{source}._depthwise_conv",
            f"{source}._bn1",
            channels,
            kernel=block.kernel,
            stride=block.stride,
            group=channels,
        )
        ends_in = None if block.skips else name
        project = (f"{source}._project_conv", f"{source}._bn2", block.channels)
        x = self.unit(x, f"{name}.project", *project, active=False, ends_in=ends_in)
        return self.add(x, start, name) if block.skips else x


def _same_padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's rule: as much as gives ceil(side / stride); the odd zero goes right and below."""
    total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2
