"""Parse an ONNX file that nobody vouches for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import onnx
from google.protobuf.message import Message

from decaf.errors import NetError

_SMALL = 64  # numbers; shapes and bounds, whose values decide shapes


def parse_model(data: bytes, name: str) -> onnx.ModelProto:
    """Parse an ONNX file.

    Args:
        data: the whole file.
        name: what messages call it.

    Raises:
        NetError: not an ONNX file, not a valid graph, or its parameters lie in other files, which are never opened.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's own error type moves between its versions
        raise NetError(f"{name} is not an ONNX file ({error}): export or download it again") from None
    if not _is_text(model):
        raise NetError(f"{name} is not an ONNX file (a name in it is not UTF-8): export or download it again")
    if not model.graph.node or not model.graph.output:
        raise NetError(f"{name} is not an ONNX network: it holds no layers; export or download it again")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
        raise NetError(f"{name} keeps parameters in other files: save it as one ONNX file")
    try:
        onnx.checker.check_model(data)
    except Exception as error:  # ValidationError, and others for what it cannot even read
        why = str(error).split("\n")[0]
        raise NetError(f"{name} is not a valid ONNX network ({why}): export or download it again") from None
    return model


def without_parameters(model: onnx.ModelProto, inputs: Sequence[onnx.ValueInfoProto]) -> onnx.ModelProto:
    """A small copy of a model to work out shapes with: large parameters are mere declarations.

    Args:
        model: the network.
        inputs: of the copy, beside those declarations.
    """
    graph = model.graph
    small = [tensor for tensor in graph.initializer if math.prod(tensor.dims) <= _SMALL]
    large = [tensor for tensor in graph.initializer if math.prod(tensor.dims) > _SMALL]
    declared = [onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in large]
    bare = onnx.helper.make_graph(
        graph.node, graph.name, [*inputs, *declared], graph.output, small, value_info=graph.value_info
    )
    return onnx.helper.make_model(bare, opset_imports=model.opset_import, ir_version=model.ir_version)


def _is_text(model: onnx.ModelProto) -> bool:
    """Whether every text in the file is one: protobuf lets other bytes pass and fails, or returns bytes, later."""
    messages: list[Any] = [model]
    try:
        while messages:
            message = messages.pop()
            for field, value in _named(message):
                values = [value] if isinstance(value, str | bytes | Message) else list(value)
                if field.type == field.TYPE_MESSAGE:
                    messages.extend(values)
                elif not all(isinstance(text, str) for text in values):
                    return False
    except UnicodeDecodeError:
        return False
    return True


def _named(message: Any) -> Iterator[tuple[Any, Any]]:
    """The fields of text and of messages; of a tensor only its name, as listing its fields would copy its values."""
    if isinstance(message, onnx.TensorProto):
        yield message.DESCRIPTOR.fields_by_name["name"], message.name
        return
    for field, value in message.ListFields():
        if field.type in (field.TYPE_STRING, field.TYPE_MESSAGE):
            yield field, value


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor in the file, in graphs inside of nodes as well."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            nodes.extend(graph.node)
            yield from graph.initializer
            yield from _dense(graph.sparse_initializer)
            continue
        for attribute in nodes.pop().attribute:
            graphs.extend([attribute.g, *attribute.graphs])
            yield from [attribute.t, *attribute.tensors]
            yield from _dense([attribute.sparse_tensor, *attribute.sparse_tensors])


def _dense(sparse: object) -> Iterator[onnx.TensorProto]:
    return chain.from_iterable((tensor.values, tensor.indices) for tensor in sparse)  # type: ignore[attr-defined]
