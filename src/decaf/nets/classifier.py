"""The linear classifier a network ends in, as a matrix to apply to stored features."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from decaf.nets.net import Net

_SAME_NUMBERS = {"Flatten", "Identity", "Dropout", "Reshape", "Squeeze"}  # of a vector per picture
Linear = tuple[NDArray[np.float32], NDArray[np.float32]]
"""(classes, d) weights and (classes,) biases."""


def linear_classifier(net: Net, layer: str) -> Linear | None:
    """What gives the scores of the network's classes from a layer, None where that is no one matrix.

    Args:
        net: a network with labels.
        layer: a layer's name.

    Example:
        >>> weights, biases = linear_classifier(net, "pool")
        >>> net.labels[(weights @ x + biases).argmax()]
    """
    values = {tensor.name: tensor for tensor in net.model.graph.initializer}
    name = net.layer(layer).name
    for node in net.model.graph.node:
        if name not in node.input:
            continue
        if node.op_type in _SAME_NUMBERS and node.input[0] == name:
            name = node.output[0]
        elif node.op_type in ("Gemm", "MatMul") and node.input[0] == name and node.input[1] in values:
            found = _gemm(node, values) if node.op_type == "Gemm" else _matmul(node, net.model.graph, values)
            return found if found and len(found[0]) == len(found[1]) == len(net.labels) else None
    return None


def _gemm(node: onnx.NodeProto, values: dict[str, onnx.TensorProto]) -> Linear | None:
    options = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if options.get("transA") or options.get("alpha", 1) != 1 or options.get("beta", 1) != 1:
        return None
    weights = numpy_helper.to_array(values[node.input[1]])
    weights = weights if options.get("transB") else weights.T
    if len(node.input) < 3 or not node.input[2]:
        return weights, np.zeros(len(weights), np.float32)
    return (weights, numpy_helper.to_array(values[node.input[2]]).reshape(-1)) if node.input[2] in values else None


def _matmul(node: onnx.NodeProto, graph: onnx.GraphProto, values: dict[str, onnx.TensorProto]) -> Linear | None:
    weights = numpy_helper.to_array(values[node.input[1]]).T
    for other in graph.node:
        if other.op_type == "Add" and node.output[0] in other.input:
            biases = [name for name in other.input if name in values]
            return (weights, numpy_helper.to_array(values[biases[0]]).reshape(-1)) if biases else None
    return weights, np.zeros(len(weights), np.float32)
