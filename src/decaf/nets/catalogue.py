"""The layers of any ONNX graph: names, kinds, shapes, parameters and multiply-adds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import onnx
from onnx import TensorProto

from decaf.errors import NetError
from decaf.nets.model_file import without_parameters

_OPEN = (None, None)  # a shape that nothing is known of: batch and the rest
_FROM_EIGHT_BITS = "DequantizeLinear"
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}


@dataclass(frozen=True)
class Layer:
    """One tensor a network computes on its way from the picture to its output.

    Attributes:
        name: the name of the tensor in the ONNX graph; what `--layer` takes.
        kind: the ONNX operator that makes it.
        shape: without the batch axis: (channels, height, width) or (channels,); None where the graph leaves it open.
        parameters: trained numbers of this layer (statistics of a batch normalisation not counted).
        multiply_adds: of this layer, for one picture.
        aliases: other names that `--layer` takes.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    multiply_adds: int
    aliases: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Numbers per picture."""
        if self.shape is None:
            raise NetError(f"the size of layer {self.name!r} is not fixed by its graph: ask for another layer")
        if 0 in self.shape:
            raise NetError(f"layer {self.name!r} is empty, {self.shape}: ask for another layer")
        return math.prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def image_input(model: onnx.ModelProto) -> Any:
    """The graph's only real input. Raises NetError unless it is one (N, 3, side, side) float tensor of fixed side."""
    parameters = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in parameters]
    shapes = [_dimensions(value) for value in inputs]
    match shapes:
        case [(_, 3, int(height), int(width))] if height == width > 0 and _is_float(inputs[0]):
            return inputs[0]
    described = ", ".join(f"{value.name} {shape}" for value, shape in zip(inputs, shapes, strict=True)) or "none"
    raise NetError(
        f"the network's input is {described}: it must be one image of shape (N, 3, side, side), side fixed, in float32"
    )


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)


def input_side(model: onnx.ModelProto) -> int:
    """Height and width of the network's input, pixels."""
    return int(image_input(model).type.tensor_type.shape.dim[2].dim_value)


def read_layers(model: onnx.ModelProto, aliases: Mapping[str, str]) -> tuple[Layer, ...]:
    """List the layers of a graph, in the order they are computed.

    A layer is the first output of a node that depends on the picture and holds floating-point numbers. In a quantised
    network it is what a node computes, not the rounded copy that the next one reads.

    Args:
        model: any ONNX model with one image input.
        aliases: other name -> layer name.
    """
    inferred = infer_at(skeleton(model), 1)
    names = _layer_names(model, aliases)
    copies = _rounded_copies(model.graph)
    sizes = _parameter_sizes(model)
    shapes = {value.name: _dimensions(value) for value in _typed_values(inferred)}
    floats = {value.name for value in _typed_values(inferred) if value.type.tensor_type.elem_type in _FLOATS}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return tuple(
        Layer(
            node.output[0],
            node.op_type,
            _fixed(shapes.get(node.output[0], _OPEN)[1:]),
            _count_parameters(node, sizes),
            _count_multiply_adds(node, shapes),
            names.get(node.output[0], ()),
        )
        for node in nodes_on_the_way(model.graph, image_input(model).name)
        if node.output[0] not in copies and (node.output[0] in floats or node.output[0] not in shapes)
    )


def _rounded_copies(graph: onnx.GraphProto) -> set[str]:
    """Tensors that hold another one, rounded to eight bits and back, on its way into a layer."""
    rounded = {node.output[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    copies = {node.output[0] for node in graph.node if node.op_type == _FROM_EIGHT_BITS and node.input[0] in rounded}
    return copies - {value.name for value in graph.output}


def nodes_on_the_way(graph: onnx.GraphProto, picture: str) -> Iterator[onnx.NodeProto]:
    """The nodes that depend on the input `picture`, in the order of the graph."""
    reached = {picture}
    for node in graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
            yield node


def skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which large parameters are mere declarations; its first input is the picture."""
    bare = without_parameters(model, [image_input(model)])
    bare.ir_version = max(bare.ir_version, 4)  # before 4, parameters that are not inputs as well have no shape
    return bare


def infer_at(bare: onnx.ModelProto, pictures: int) -> onnx.ModelProto:
    """A copy of a skeleton with every tensor's shape for some number of pictures."""
    bare.graph.input[0].type.tensor_type.shape.dim[0].dim_value = pictures
    try:
        return onnx.shape_inference.infer_shapes(bare, data_prop=True)
    except Exception as error:  # onnx raises several kinds of its own for a malformed graph
        raise NetError(f"the graph's shapes cannot be worked out ({error}): export the network again") from error


def _typed_values(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    yield from model.graph.input
    yield from model.graph.value_info
    yield from model.graph.output


def _dimensions(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    if not value.type.tensor_type.HasField("shape"):
        return _OPEN
    dimensions = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in dimensions)


def _fixed(shape: tuple[int | None, ...]) -> tuple[int, ...] | None:
    known = tuple(side for side in shape if side is not None)
    return known if len(known) == len(shape) else None


def _layer_names(model: onnx.ModelProto, aliases: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Tensor -> its other names: those given, and the node's own name where the file has one."""
    names: dict[str, tuple[str, ...]] = {}
    pairs = [(node.name, node.output[0]) for node in model.graph.node if node.name]
    tensors = {tensor for _, tensor in pairs}
    for alias, tensor in [*aliases.items(), *pairs]:
        if alias not in tensors and alias not in names.get(tensor, ()):
            names[tensor] = (*names.get(tensor, ()), alias)
    return names


def _parameter_sizes(model: onnx.ModelProto) -> dict[str, int]:
    """Of tensors that hold trained numbers: stored ones, and those made of eight stored bits."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer if tensor.dims}
    sizes = {name: math.prod(tensor.dims) for name, tensor in stored.items() if tensor.data_type in _FLOATS}
    rounded = [node for node in model.graph.node if node.op_type == _FROM_EIGHT_BITS and node.input[0] in stored]
    return sizes | {node.output[0]: math.prod(stored[node.input[0]].dims) for node in rounded}


def _count_parameters(node: onnx.NodeProto, sizes: Mapping[str, int]) -> int:
    trained = node.input[1:3] if node.op_type == "BatchNormalization" else node.input
    return sum(sizes.get(name, 0) for name in trained)


def _count_multiply_adds(node: onnx.NodeProto, shapes: Mapping[str, tuple[int | None, ...]]) -> int:
    operands = {"Conv": 1, "Gemm": 1, "MatMul": 0, "ConvTranspose": 1}
    if node.op_type not in operands:
        return 0
    per_output = _fixed(shapes.get(node.input[operands[node.op_type]], (None,)))
    made = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
    outputs = _fixed(shapes.get(made, (None,)))
    if per_output is None or outputs is None:
        return 0
    match node.op_type:
        case "Conv" | "ConvTranspose":
            terms = math.prod(per_output[1:])
        case "Gemm":
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            terms = per_output[1 if transposed else 0]
        case _:
            terms = per_output[-1]
    return math.prod(outputs) * terms
