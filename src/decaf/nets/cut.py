"""The part of a network that some layers need, fed with the pixels themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from decaf.nets.catalogue import Layer, image_input
from decaf.nets.preprocess import Preprocess

PIXELS = "decaf.pixels"
VIEW = "decaf.view"


Pool = Literal["none", "avg", "max"]
_POOLING = {"avg": "GlobalAveragePool", "max": "GlobalMaxPool"}


def pooled(layer: Layer, pool: Pool) -> Layer:
    """The layer as it comes out of a graph cut with this pooling: without positions, unless `pool` is none."""
    if pool == "none" or layer.shape is None or len(layer.shape) != 3:
        return layer
    return replace(layer, shape=layer.shape[:1])


def cut(
    model: onnx.ModelProto, layers: Sequence[Layer], preprocess: Preprocess, batch: int, pool: Pool = "none"
) -> onnx.ModelProto:
    """A graph from prepared pictures to layers.

    Args:
        model: the whole network.
        layers: the outputs, in this order.
        preprocess: channel order, mean and scale, which become part of the graph. A mean image does with one part for
            each of the ten views.
        batch: pictures per call, fixed.
        pool: `avg` or `max` replaces the positions of a layer (c, h, w) by their mean or maximum: (c,).

    Returns:
        A model with an input `PIXELS` (batch, side, side, 3) uint8, RGB, and with a mean image a second one, `VIEW`
        (batch,) int64: which of `decaf.nets.views.VIEWS` each picture is. It shares nothing with `model`.
    """
    start = image_input(model).name
    nodes = needed_nodes(model.graph, [layer.name for layer in layers])
    outputs = [layer.name for layer in layers]
    for index, layer in enumerate(layers):
        if pooled(layer, pool) != layer:
            outputs[index] = f"decaf.{pool}.{layer.name}"
            nodes.append(helper.make_node(_POOLING[pool], [layer.name], [outputs[index]]))
    used = {name for node in nodes for name in node.input}
    first, constants = _scaling(preprocess, start)
    parameters = [tensor for tensor in model.graph.initializer if tensor.name in used]
    graph = helper.make_graph(
        [*first, *nodes],
        model.graph.name,
        _inputs(preprocess, batch),
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    made = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version, functions=model.functions
    )
    made.graph.initializer.extend([*parameters, *constants])  # now: `make_model` copies what it is given once more
    return made


def scaling(model: onnx.ModelProto, preprocess: Preprocess, batch: int) -> onnx.ModelProto:
    """The beginning of every cut graph: from prepared pictures to the network's own input, which is its output."""
    start = image_input(model).name
    nodes, constants = _scaling(preprocess, start)
    made = helper.make_tensor_value_info(start, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "scaling", _inputs(preprocess, batch), [made], constants)
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def needed_nodes(graph: onnx.GraphProto, layers: Sequence[str]) -> list[onnx.NodeProto]:
    """The nodes that some tensors depend on, in the order of the graph."""
    wanted, nodes = set(layers), []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.append(node)
    return nodes[::-1]


def _inputs(preprocess: Preprocess, batch: int) -> list[onnx.ValueInfoProto]:
    side = preprocess.crop
    pixels = helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, [batch, side, side, 3])
    if preprocess.mean_image is None:
        return [pixels]
    return [pixels, helper.make_tensor_value_info(VIEW, TensorProto.INT64, [batch])]


def _scaling(preprocess: Preprocess, out: str) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """uint8 NHWC RGB -> float NCHW in the network's channel order, (value - mean) / std."""
    constants: dict[str, NDArray[Any]] = {"decaf.std": np.array(preprocess.std, np.float32)}
    nodes = [helper.make_node("Cast", [PIXELS], ["decaf.float"], to=TensorProto.FLOAT)]
    if preprocess.channels == "BGR":
        constants["decaf.order"] = np.array([2, 1, 0], np.int64)
        nodes.append(helper.make_node("Gather", ["decaf.float", "decaf.order"], ["decaf.ordered"], axis=3))
    ordered = nodes[-1].output[0]
    if preprocess.mean_image is None:
        constants["decaf.mean"] = np.array(preprocess.mean, np.float32)
    else:
        constants["decaf.means"] = preprocess.mean_image.views(preprocess.crop)
        nodes.append(helper.make_node("Gather", ["decaf.means", VIEW], ["decaf.mean"], axis=0))
    nodes += [
        helper.make_node("Sub", [ordered, "decaf.mean"], ["decaf.centred"]),
        helper.make_node("Div", ["decaf.centred", "decaf.std"], ["decaf.scaled"]),
        helper.make_node("Transpose", ["decaf.scaled"], [out], perm=[0, 3, 1, 2]),
    ]
    return nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()]
