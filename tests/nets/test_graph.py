"""Layers written by `GraphBuilder` compute what Caffe's do, by an independent sum over windows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from decaf.errors import NetError
from decaf.nets.fill import he, seeded, zeros
from decaf.nets.graph import GraphBuilder

Array = NDArray[np.float32]


def run(write: Callable[[GraphBuilder], str], x: Array) -> Array:
    """One layer, or a few, in ONNX Runtime; the shape promised while building is the one that comes out."""
    graph = GraphBuilder("test", seeded(0, he), tuple(map(int, x.shape[1:])))  # type: ignore[arg-type]
    out = write(graph)
    session = onnxruntime.InferenceSession(graph.finish(out, {}).SerializeToString())
    (y,) = session.run([out], {"data": x})
    assert y.shape[1:] == graph.shape(out)
    return np.asarray(y)


def picture(channels: int, side: int) -> Array:
    return np.random.default_rng(side).normal(size=(2, channels, side, side)).astype(np.float32)


def caffe_pool(x: Array, kernel: int, stride: int, pad: int, average: bool) -> Array:
    """Caffe's loops: ceil, no window that starts in the lower or right padding, areas cut at the padding."""
    n, channels, side, _ = x.shape
    count = math.ceil((side + 2 * pad - kernel) / stride) + 1
    if pad and (count - 1) * stride >= side + pad:
        count -= 1
    y = np.zeros((n, channels, count, count))
    for i in range(count):
        for j in range(count):
            rows, columns = i * stride - pad, j * stride - pad
            last_row, last_column = min(rows + kernel, side + pad), min(columns + kernel, side + pad)
            area = (last_row - rows) * (last_column - columns)
            window = x[:, :, max(rows, 0) : min(last_row, side), max(columns, 0) : min(last_column, side)]
            y[:, :, i, j] = window.sum((2, 3)) / area if average else window.max((2, 3))
    return y.astype(np.float32)


@pytest.mark.parametrize("average", [False, True], ids=["max", "average"])
@pytest.mark.parametrize(
    ("side", "kernel", "stride", "pad"),
    [
        (13, 3, 2, 0),
        (12, 3, 2, 0),
        (12, 3, 2, 1),
        (13, 3, 2, 1),
        (11, 3, 3, 1),
        (10, 5, 3, 2),
        (7, 2, 2, 1),
        (6, 3, 1, 1),
    ],
)
def test_pooling_is_that_of_caffe(side: int, kernel: int, stride: int, pad: int, average: bool) -> None:
    x = picture(3, side)

    def write(graph: GraphBuilder) -> str:
        layer = graph.average_pool if average else graph.max_pool
        return layer(graph.input, "pool", kernel, stride=stride, pads=pad)

    np.testing.assert_allclose(run(write, x), caffe_pool(x, kernel, stride, pad, average), rtol=1e-5, atol=1e-6)


def test_pooling_without_ceil_drops_the_rest() -> None:
    x = picture(3, 12)
    made = run(lambda graph: graph.max_pool(graph.input, "pool", 3, stride=2, ceil=False), x)
    assert np.array_equal(made, caffe_pool(x[:, :, :11, :11], 3, 2, 0, average=False))


def test_normalisation_over_channels_divides_alpha_by_size() -> None:
    x = picture(9, 4) * 30
    made = run(lambda graph: graph.lrn(graph.input, "norm", 5, 1e-2, 0.75, 2.0), x)
    squares = np.pad(x.astype(np.float64) ** 2, ((0, 0), (2, 2), (0, 0), (0, 0)))
    total = sum(squares[:, start : start + 9] for start in range(5))
    np.testing.assert_allclose(made, x / (2 + 1e-2 / 5 * total) ** 0.75, rtol=1e-5)


def test_a_linear_layer_flattens_channel_first() -> None:
    x = picture(3, 4)
    made = run(lambda graph: graph.linear(graph.input, "fc", 5), x)
    weight = seeded(0, he)("fc.weight", (5, 48))
    np.testing.assert_allclose(made, x.reshape(2, -1) @ weight.T, rtol=1e-4, atol=1e-5)


def test_groups_bias_and_unequal_sides_of_a_kernel() -> None:
    x = picture(4, 9)
    given = {"c.weight": np.random.default_rng(1).normal(size=(6, 2, 3, 1)).astype(np.float32)}
    given["c.bias"] = np.arange(6, dtype=np.float32)
    graph = GraphBuilder("test", lambda name, shape: given[name].reshape(shape), (4, 9, 9))
    out = graph.conv(graph.input, "c", 6, (3, 1), stride=(2, 1), pads=(1, 0, 1, 0), group=2)
    (made,) = onnxruntime.InferenceSession(graph.finish(out, {}).SerializeToString()).run([out], {"data": x})
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    windows = np.stack([padded[:, :, row : row + 9 : 2] for row in range(3)])  # kernel row, n, c, h, w
    for filter_ in range(6):
        part = windows[:, :, :2] if filter_ < 3 else windows[:, :, 2:]
        expected = np.einsum("knchw,ck->nhw", part, given["c.weight"][filter_, :, :, 0]) + filter_
        np.testing.assert_allclose(made[:, filter_], expected, rtol=1e-4, atol=1e-5)


def test_channels_are_joined_and_tensors_added() -> None:
    x = picture(3, 4)

    def write(graph: GraphBuilder) -> str:
        return graph.concat([graph.relu(graph.input, "relu"), graph.add(graph.input, graph.input, "twice")], "both")

    np.testing.assert_array_equal(run(write, x), np.concatenate([x.clip(0), x + x], axis=1))


@pytest.mark.parametrize(
    "write",
    [
        lambda graph: graph.conv("data", "bad", 4, 3, group=2),
        lambda graph: graph.conv("data", "bad", 4, 20),
        lambda graph: graph.max_pool("data", "bad", 2, pads=2),
        lambda graph: graph.max_pool("data", "bad", 2, stride=0),
        lambda graph: graph.lrn("data", "bad", 4),
        lambda graph: graph.add("data", graph.flatten("data", "flat"), "bad"),
        lambda graph: graph.concat(["data", graph.max_pool("data", "p", 2)], "bad"),
        lambda graph: graph.conv(graph.flatten("data", "flat"), "bad", 4, 3),
    ],
)
def test_a_layer_that_does_not_fit_is_named(write: Callable[[GraphBuilder], Any]) -> None:
    with pytest.raises(NetError, match="'bad'"):
        write(GraphBuilder("test", zeros, (3, 8, 8)))
