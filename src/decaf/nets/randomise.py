"""Random parameters for any ONNX network: the same for a seed on every machine."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from decaf.nets.fill import Draw, Shape, draw

_FLOATS = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.DOUBLE: np.float64,
}
_ONE, _ZERO = Draw(mean=1.0), Draw()
# What the inputs after the first are, of operators that normalise: scale, offset, mean, variance.
_NORMALISING = {
    "BatchNormalization": (_ONE, _ZERO, _ZERO, _ONE),
    "InstanceNormalization": (_ONE, _ZERO),
    "LayerNormalization": (_ONE, _ZERO),
    "GroupNormalization": (_ONE, _ZERO),
}
_WEIGHING = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def randomised(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """A copy of a network with random parameters.

    Kernels and matrices are drawn as He et al. 2015 do, N(0, 2 / fan-in); their biases are 0, and normalisations are
    the identity. Other constants, bounds and factors for example, stay what they are. Parameters that the graph makes
    itself, as ONNX's test networks do, become stored ones.
    """
    fresh = onnx.ModelProto()
    fresh.CopyFrom(model)
    graph = fresh.graph
    kinds = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer} | dict(_made(graph))
    drawn: dict[str, onnx.TensorProto] = {}
    for node in graph.node:
        for name, rule in _rules(node, {name: shape for name, (_, shape) in kinds.items()}):
            kind, shape = kinds[name]
            if kind in _FLOATS and name not in drawn:
                values = draw(seed, name, shape, rule)
                drawn[name] = numpy_helper.from_array(values.astype(_FLOATS[kind]), name)
    kept = [tensor for tensor in graph.initializer if tensor.name not in drawn]
    nodes = [node for node in graph.node if node.output[0] not in drawn]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*kept, *drawn.values()])
    graph.node.extend(nodes)
    fresh.ir_version = max(fresh.ir_version, 4)  # before 4, every parameter had to be an input as well
    return fresh


def _made(graph: onnx.GraphProto) -> Iterator[tuple[str, tuple[int, Shape]]]:
    """Constants that nodes of the graph make: name, kind and shape."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        value = node.attribute[0].t if node.attribute else None
        if node.op_type == "Constant" and value is not None and node.attribute[0].name == "value":
            yield node.output[0], (value.data_type, tuple(value.dims))
        elif node.op_type == "ConstantOfShape" and node.input[0] in stored:
            shape = tuple(map(int, numpy_helper.to_array(stored[node.input[0]])))
            yield node.output[0], (value.data_type if value is not None else onnx.TensorProto.FLOAT, shape)


def _rules(node: onnx.NodeProto, shapes: dict[str, Shape]) -> Iterator[tuple[str, Draw]]:
    """How the parameters of one node are drawn."""
    if node.op_type in _NORMALISING:
        yield from (
            (name, rule)
            for name, rule in zip(node.input[1:], _NORMALISING[node.op_type], strict=False)
            if name in shapes
        )
    elif node.op_type in _WEIGHING:
        weights = [name for name in node.input[:2] if len(shapes.get(name, ())) > 1]
        yield from ((name, Draw(math.sqrt(2 / _fan_in(node, shapes[name])))) for name in weights)
        yield from ((name, _ZERO) for name in node.input[2:3] if weights and name in shapes)


def _fan_in(node: onnx.NodeProto, shape: Shape) -> int:
    """How many numbers of the input each number of the output is summed from."""
    attributes: dict[str, int] = {attribute.name: attribute.i for attribute in node.attribute}
    match node.op_type:
        case "Conv":
            return max(math.prod(shape[1:]), 1)
        case "ConvTranspose":
            return max(shape[0] // attributes.get("group", 1) * math.prod(shape[2:]), 1)
        case "Gemm" if attributes.get("transB"):
            return max(shape[1], 1)
        case _:
            return max(shape[-2], 1)
