"""The first filters of the published CaffeNet: half of them see contrast, half see colour, one half per group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from decaf.nets.fill import stored
from decaf.nets.filters import first_filters
from decaf.nets.graph import GraphBuilder
from decaf.nets.net import net_of


def test_colour_is_in_the_second_group(real_data: Path) -> None:
    file = real_data / "fixtures" / "caffenet_reference_activations.npz"
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    with np.load(file) as arrays:
        weights = {"conv1.weight": arrays["conv1_w"], "conv1.bias": arrays["conv1_b"]}
    graph = GraphBuilder("conv1", stored(weights), (3, 227, 227))
    model = graph.finish(graph.conv(graph.input, "conv1", 96, 11, stride=4), {})
    net = net_of(model.SerializeToString(), "conv1.onnx", "conv1", "size=256,crop=227,mean=117,std=1,channels=BGR")
    values = first_filters(net).values
    np.testing.assert_array_equal(values[..., 0], weights["conv1.weight"][:, 2])  # red is the last of BGR
    colour = (values - values.mean(axis=3, keepdims=True)).var(axis=(1, 2, 3)) / values.var(axis=(1, 2, 3))
    assert np.median(colour[:48]) < 0.1 and np.median(colour[48:]) > 0.4  # Krizhevsky et al. 2012, figure 3
