"""The filters of a network's first convolution, as they act on pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from decaf.errors import NetError
from decaf.nets.catalogue import image_input, nodes_on_the_way
from decaf.nets.net import Net

_MOST = 4096  # pixels of a filter; a window of the whole picture is no filter to look at


@dataclass(frozen=True, eq=False)
class Filters:
    """Filters that read the picture itself.

    Attributes:
        layer: their layer.
        stride: pixels from one place to the next.
        values: (filters, height, width, 3) float64, RGB, upright: what one more step of a pixel's value adds.
    """

    layer: str
    stride: int
    values: NDArray[np.float64]


def first_filters(net: Net) -> Filters:
    """The filters of the first convolution.

    In the order of RGB and of upright rows whatever the network's own, and divided by the preparation's standard
    deviations, so that they are as they act on pixels. A batch normalisation that follows scales each as a whole.

    Raises:
        NetError: the network has no convolution that reads three colours, or it is quantised.
    """
    graph = net.model.graph
    convolution = next((n for n in nodes_on_the_way(graph, image_input(net.model).name) if n.op_type == "Conv"), None)
    if convolution is None:
        raise NetError(f"{net.name} has no convolution: its first layer has no filters to draw")
    weights = next((tensor for tensor in graph.initializer if tensor.name == convolution.input[1]), None)
    if weights is None:
        raise NetError(
            f"the filters of {convolution.output[0]} are not stored as numbers: name the net it was made from"
        )
    values = numpy_helper.to_array(weights).astype(np.float64)
    if values.ndim != 4 or values.shape[1] != 3 or values.shape[2] * values.shape[3] > _MOST:
        raise NetError(
            f"the first convolution, {convolution.output[0]}, has filters {values.shape}, not of three colours"
        )
    if not np.isfinite(values).all():
        raise NetError(f"the filters of {convolution.output[0]} are not finite: fetch the parameters again")
    values = values.transpose(0, 2, 3, 1)
    prepared = net.preprocess
    values = values / np.array(prepared.std)  # in the network's order of channels
    if prepared.channels == "BGR":
        values = values[..., ::-1]
    if prepared.orientation == "upside-down":
        values = values[:, ::-1]
    strides = next((list(one.ints) for one in convolution.attribute if one.name == "strides"), [1])
    return Filters(convolution.output[0], strides[0], values)
