"""Adapt a published ONNX classifier: channels first, any number of pictures, a layer to start with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from decaf.nets.catalogue import image_input, infer_at, nodes_on_the_way, skeleton
from decaf.nets.model_file import parse_model
from decaf.nets.net import metadata
from decaf.nets.preprocess import Preprocess

_PICTURES = "decaf.pictures"  # the new input of a graph that wants its channels last
_PASSING = {"Softmax", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout", "Identity"}
_CLASSIFYING = {"Gemm", "MatMul", "Conv"}
_POOLING = {"GlobalAveragePool", "AveragePool", "ReduceMean"}


def adapted(
    data: bytes, name: str, preprocess: Preprocess, labels: Sequence[str], provenance: Mapping[str, Any]
) -> bytes:
    """The ONNX file that decaf runs, made of a published one.

    Raises:
        NetError: not an ONNX file, or not a network of one image.
    """
    model = read_graph(data, name)
    del model.metadata_props[:]
    said = metadata(name, preprocess, features_layer(model), labels, {}, provenance)
    helper.set_model_props(model, said)
    return bytes(model.SerializeToString(deterministic=True))


def caffe2_parameters(data: bytes) -> dict[str, NDArray[Any]]:
    """The parameters of a file that came from Caffe2, under our names: `conv1_w_0` is `conv1.weight`."""
    parts = {"w": "weight", "b": "bias"}
    found = {}
    for tensor in parse_model(data, "the parameter file").graph.initializer:
        layer, _, kind = tensor.name.removesuffix("_0").rpartition("_")
        if kind in parts:
            found[f"{layer}.{parts[kind]}"] = numpy_helper.to_array(tensor)
    return found


def read_graph(data: bytes, name: str) -> onnx.ModelProto:
    """Read a published file. Its names and parameters stay; its input is (N, 3, side, side) where that can be had.

    A graph that is not shown to keep one row per picture stays as it is, for one picture at a time.
    """
    model = parse_model(data, name)
    _put_channels_first(model.graph)
    picture = image_input(model)
    model.ir_version = max(model.ir_version, 4)  # before 4, every parameter had to be an input as well
    for value in [value for value in model.graph.input if value.name != picture.name]:
        model.graph.input.remove(value)
    if picture.type.tensor_type.shape.dim[0].dim_value:
        trial = skeleton(model)
        _open_batch(trial.graph, picture.name)
        if _keeps_a_row_per_picture(trial, picture.name):
            _open_batch(model.graph, picture.name)
    return model


def features_layer(model: onnx.ModelProto) -> str:
    """The tensor that the classifier reads, or what it gives for each position where positions are averaged after it.

    The graph's output where it ends in something else, as quantised graphs do.
    """
    makers = {output: node for node in model.graph.node for output in node.output}
    output = str(model.graph.output[0].name)
    last = makers.get(_before(output, makers, _PASSING))
    if last is not None and last.op_type in _POOLING:
        return str(last.output[0])
    if last is not None and last.op_type == "Add":  # a bias added to a product
        last = makers.get(last.input[0])
    if last is None or last.op_type not in _CLASSIFYING:
        return output
    read = _before(last.input[0], makers, _PASSING)
    return read if read in makers else output


def _before(name: str, makers: dict[str, onnx.NodeProto], kinds: set[str]) -> str:
    """Go up from a tensor through nodes that only pass it on."""
    while name in makers and makers[name].op_type in kinds:
        name = makers[name].input[0]
    return name


def _put_channels_first(graph: onnx.GraphProto) -> None:
    """Where the input is (n, side, side, 3), as TensorFlow has it, put a (n, 3, side, side) one in front."""
    parameters = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        sides = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if value.name not in parameters and len(sides) == 4 and sides[3] == 3 != sides[1]:
            first = helper.make_node("Transpose", [_PICTURES], [value.name], perm=[0, 2, 3, 1])
            nodes = [first, *graph.node]
            del graph.node[:]
            graph.node.extend(nodes)
            shape = [sides[0] or "N", 3, *sides[1:3]]
            value.CopyFrom(helper.make_tensor_value_info(_PICTURES, TensorProto.FLOAT, shape))
            return


def _open_batch(graph: onnx.GraphProto, picture: str) -> None:
    """Let the first axis be open: of the input, of the outputs, and where a constant shape says 1."""
    del graph.value_info[:]
    for value in [*graph.output, *(value for value in graph.input if value.name == picture)]:
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    shapes = {name: shape for name, shape in _constant_shapes(graph) if shape.ndim == 1 and shape[:1] == [1]}
    for node in nodes_on_the_way(graph, picture):
        if node.op_type == "Reshape" and node.input[1] in shapes:
            opened = f"{node.input[1]}.open"
            if opened not in {tensor.name for tensor in graph.initializer}:
                shape = np.array([0, *shapes[node.input[1]][1:]], np.int64)  # 0: as in the tensor reshaped
                graph.initializer.append(numpy_helper.from_array(shape, opened))
            node.input[1] = opened


def _constant_shapes(graph: onnx.GraphProto) -> Iterator[tuple[str, NDArray[Any]]]:
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.INT64:
            yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], numpy_helper.to_array(node.attribute[0].t)


def _keeps_a_row_per_picture(trial: onnx.ModelProto, picture: str) -> bool:
    """Whether every tensor on the way has as many rows as there are pictures, whatever their number."""
    two, three = (_shapes(infer_at(trial, pictures)) for pictures in (2, 3))
    made = [node.output[0] for node in nodes_on_the_way(trial.graph, picture)]
    return all(two.get(name, ())[:1] == (2,) and three.get(name, ()) == (3, *two[name][1:]) for name in made)


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    values = [*model.graph.value_info, *model.graph.output]
    return {value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in values}
