"""Filters are as they act on pixels, whatever the order of channels and rows the network has them in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.features.helpers import tiny_net
from tests.features.small_nets import narrow_caffenet

from decaf.engines import make_engine
from decaf.errors import NetError
from decaf.nets.fill import he, seeded
from decaf.nets.filters import first_filters
from decaf.nets.graph import GraphBuilder
from decaf.nets.net import Net, net_of


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_a_filter_is_what_one_more_step_of_a_pixel_adds(channels: str) -> None:
    net = tiny_net()
    net = replace(net, preprocess=replace(net.preprocess, channels=channels, std=(64.0, 50.0, 40.0)))
    filters = first_filters(net)
    assert (filters.layer, filters.stride, filters.values.shape) == ("conv", 2, (6, 5, 5, 3))
    engine = make_engine(net, ["conv"], threads=1)
    grey = np.full((24, 24, 3), 100, np.uint8)
    before = engine.run([grey])[0].reshape(6, 10, 10)
    for y, x, colour in ((0, 0, 0), (2, 3, 1), (4, 4, 2), (1, 4, 0)):
        changed = grey.copy()
        changed[6 + y, 8 + x, colour] += 100  # in the window that begins at row 6, column 8
        difference = engine.run([changed])[0].reshape(6, 10, 10) - before
        np.testing.assert_allclose(difference[:, 3, 4], 100 * filters.values[:, y, x, colour], rtol=1e-3, atol=1e-4)


def test_rows_of_a_network_that_sees_pictures_upside_down_are_turned() -> None:
    net = tiny_net()
    turned = replace(net, preprocess=replace(net.preprocess, orientation="upside-down"))
    np.testing.assert_array_equal(first_filters(turned).values, first_filters(net).values[:, ::-1])


def test_grouped_normalised_and_biased_ones_are_found() -> None:
    assert first_filters(narrow_caffenet()).values.shape == (16, 5, 5, 3)


def without_convolution() -> Net:
    graph = GraphBuilder("flat", seeded(0, he), (3, 8, 8))
    model = graph.finish(graph.linear(graph.input, "fc", 5), {})
    return net_of(model.SerializeToString(), "flat.onnx", "flat", "size=8,mean=0,std=1")


def with_weights(values: np.ndarray) -> Net:
    net = tiny_net()
    model = onnx.ModelProto()
    model.CopyFrom(net.model)
    stored = next(tensor for tensor in model.graph.initializer if tensor.name == "w")
    stored.CopyFrom(numpy_helper.from_array(values.astype(np.float32), "w"))
    return replace(net, data=model.SerializeToString())


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (without_convolution(), "has no convolution"),
        (with_weights(np.ones((6, 1, 5, 5))), "not of three colours"),
        (with_weights(np.full((6, 3, 5, 5), np.nan)), "not finite"),
    ],
)
def test_one_line_for_what_has_none(net: Net, message: str) -> None:
    with pytest.raises(NetError, match=message):
        first_filters(net)


def test_filters_in_eight_bits_are_told(tmp_path: Path) -> None:
    net = tiny_net()
    model = onnx.ModelProto()
    model.CopyFrom(net.model)
    model.graph.node.insert(0, onnx.helper.make_node("Identity", ["w"], ["made"]))
    model.graph.node[1].input[1] = "made"
    with pytest.raises(NetError, match="filters of conv are not stored as numbers"):
        first_filters(replace(net, data=model.SerializeToString()))
