"""Networks in eight bits: telling one from another, and what is done to a graph before and after it becomes one."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from decaf.errors import NetError

WEIGHING = ("Conv", "Gemm", "MatMul")
"""The operators worth computing in eight bits: all the multiply-adds of a network."""

_EIGHT_BITS = {
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    *("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
}
_PER_CHANNEL_SINCE = 13  # opset in which a tensor may have a scale per channel
_OPSET = 17


def is_quantised(model: onnx.ModelProto) -> bool:
    """Whether a network computes in eight bits already, in part or altogether."""
    return any(node.op_type in _EIGHT_BITS for node in model.graph.node)


def weighing_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Convolutions and matrix products with stored parameters, in the order of the graph."""
    stored = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in WEIGHING and node.input[1] in stored:
            yield node


def ready(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A copy that a quantiser takes: its parameters stored as such, every node named, and in a recent operator set.

    Raises:
        NetError: it is quantised already, or written in operators too old to be rewritten.
    """
    if is_quantised(model):
        raise NetError(f"{name} is quantised already: name the network it was made from")
    copy = _recent(model, name)
    del copy.metadata_props[:]
    _store_constants(copy.graph)
    stored = {tensor.name for tensor in copy.graph.initializer}
    inputs = [value for value in copy.graph.input if value.name not in stored]
    del copy.graph.input[:]
    copy.graph.input.extend(inputs)
    copy.ir_version = max(copy.ir_version, 4)  # before 4, every parameter had to be an input as well
    for node in copy.graph.node:
        node.name = node.name or node.output[0]
    return copy


def _recent(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    opset = max((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), default=1)
    if opset < _PER_CHANNEL_SINCE:
        from onnx.version_converter import convert_version

        try:
            recent: onnx.ModelProto = convert_version(model, _OPSET)
        except Exception as error:  # onnx raises several kinds of its own
            why = str(error).split("\n")[0]
            raise NetError(f"{name} is of opset {opset} and cannot be rewritten ({why}): export it anew") from None
        if lost := _made(model.graph) - _made(recent.graph):
            raise NetError(
                f"{name} is of opset {opset} and would lose layer {min(lost)!r} in a newer one: export it anew"
            )
        return recent
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _made(graph: onnx.GraphProto) -> set[str]:
    return {name for node in graph.node for name in node.output}


def _store_constants(graph: onnx.GraphProto) -> None:
    """Let constants that nodes make be stored: quantisers look for parameters nowhere else."""
    for node in list(graph.node):
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            graph.initializer.add().CopyFrom(node.attribute[0].t)
            graph.initializer[-1].name = node.output[0]
            graph.node.remove(node)


def in_order_of(model: onnx.ModelProto, made: onnx.ModelProto) -> None:
    """Put the nodes of a graph made of another one into its order, each new node right before what it is for."""
    makers = {name: node for node in made.graph.node for name in node.output}
    ordered: dict[str, onnx.NodeProto] = {}

    def put(node: onnx.NodeProto) -> None:
        if node.output[0] not in ordered:
            for name in node.input:
                if name in makers:
                    put(makers[name])
            ordered[node.output[0]] = node

    for node in model.graph.node:
        put(makers[node.output[0]])
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered.values()]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
