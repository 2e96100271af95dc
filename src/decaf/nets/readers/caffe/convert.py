"""A Caffe network as an ONNX model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx
from numpy.typing import NDArray

from decaf.errors import NetError
from decaf.nets.fill import Parameters, Shape
from decaf.nets.net import LARGEST_FILE, properties
from decaf.nets.preprocess import LARGEST_SIDE
from decaf.nets.readers.caffe.definition import CaffeLayer, CaffeNet
from decaf.nets.readers.caffe.layers import Writer
from decaf.nets.readers.caffe.preparation import FEEDS, preparation

_PROBABILITIES = "prob"
_SOFTMAX_LOSS = "SoftmaxWithLoss"
_USELESS = {"Accuracy", "HDF5Output", "Silence"}


def convert(net: CaffeNet, parameters: Parameters, name: str) -> onnx.ModelProto:
    """Write a network as ONNX, layer by layer, under the names of its layers.

    Layers of training are left out; what remains of `SoftmaxWithLoss` is its softmax, called `prob` where that is
    free. A layer that changes nothing (dropout) and a blob that is not called as a layer become aliases. The default
    layer is the one that the last linear layer reads; pictures are prepared as Caffe does.

    Raises:
        NetError: a layer or a setting that is not known, or a graph that does not fit together.
    """
    picture, shape = _picture(net)
    graph = Writer(net.name or name, _bounded(parameters), shape)
    holds = {picture: graph.input}  # blob -> the tensor that holds it at this point of the file
    aliases: dict[str, str] = {}
    made = graph.input
    for layer, called in _computing(net.layers):
        made = _add(graph, layer, called, holds)
        aliases |= dict.fromkeys((layer.name, *layer.tops), made)
    if made == graph.input:
        raise NetError("the network computes nothing from its picture: it holds no layers that do")
    return _finish(graph, made, properties(_said(net, graph, made, aliases)))


def _said(net: CaffeNet, graph: Writer, output: str, aliases: Mapping[str, str]) -> dict[str, Any]:
    """What is known of the network beside its graph, as `Net` has it."""
    others = {alias: tensor for alias, tensor in aliases.items() if not graph.has(alias) and tensor != graph.input}
    default = graph.classified if graph.classified not in ("", graph.input) else output
    channels, height, width = graph.shape(graph.input)
    prepared = {"preprocess": preparation(net, height).to_dict()} if channels == 3 and height == width else {}
    return {"name": graph.name, "aliases": others, "default_layer": default, **prepared}


def _add(graph: Writer, layer: CaffeLayer, name: str, holds: dict[str, str]) -> str:
    """The tensor a layer makes, which now holds the layer's tops."""
    if missing := [blob for blob in layer.bottoms if blob not in holds]:
        raise NetError(f"layer {layer.name!r} takes {missing[0]!r}, which no layer before it makes at test time")
    made = graph.write(layer, [holds[blob] for blob in layer.bottoms], name)
    holds |= dict.fromkeys(layer.tops, made)
    return made


def _computing(layers: Sequence[CaffeLayer]) -> Iterator[tuple[CaffeLayer, str]]:
    """The layers that compute something at test time, and what their tensors are called."""
    kinds = [layer.kind for layer in layers]
    free = kinds.count(_SOFTMAX_LOSS) == 1 and all(layer.name != _PROBABILITIES for layer in layers)
    for layer in layers:
        if layer.kind == _SOFTMAX_LOSS:
            softmax = replace(layer, kind="Softmax", bottoms=layer.bottoms[:1], tops=())
            yield softmax, _PROBABILITIES if free else layer.name
        elif layer.kind not in FEEDS | _USELESS and not layer.kind.endswith("Loss"):
            yield layer, layer.name


def _picture(net: CaffeNet) -> tuple[str, tuple[int, int, int]]:
    """The blob that holds the picture, and its shape (channels, height, width)."""
    fed = [(layer.tops[0], _fed_shape(layer)) for layer in net.layers if layer.kind in FEEDS and layer.tops]
    inputs = [*net.inputs.items(), *fed]
    if not inputs:
        raise NetError("the network has no input at test time: name the `deploy` prototxt")
    blob, shape = inputs[0]
    if not shape:
        raise NetError(f"nothing says how large the pictures in {blob!r} are: name the `deploy` prototxt")
    if len(shape) != 4 or not all(0 < side <= LARGEST_SIDE for side in shape[1:]):
        raise NetError(f"the input {blob!r} has the shape {shape}: pictures (n, channels, height, width) are needed")
    return blob, (shape[1], shape[2], shape[3])


def _fed_shape(layer: CaffeLayer) -> Shape:
    """What a data layer says about its pictures, with a batch axis; () where it says nothing."""
    settings = layer.settings
    dummy, memory, transform = settings.dummy_data_param, settings.memory_data_param, settings.transform_param
    shapes = settings.input_param.shape if layer.kind == "Input" else dummy.shape
    if layer.kind in ("Input", "DummyData") and shapes:
        return tuple(shapes[0].dim)
    if layer.kind == "DummyData" and dummy.channels and dummy.height and dummy.width:
        return 1, dummy.channels[0], dummy.height[0], dummy.width[0]
    if layer.kind == "MemoryData":
        return 1, memory.channels, memory.height, memory.width
    crop = transform.crop_size or settings.data_param.crop_size or settings.image_data_param.crop_size
    return (1, 1 if transform.force_gray else 3, crop, crop) if crop else ()


def _bounded(parameters: Parameters) -> Parameters:
    """The same source, which is never asked for more than an ONNX file can hold."""
    left = LARGEST_FILE // 4

    def ask(name: str, shape: Shape) -> NDArray[Any]:
        nonlocal left
        left -= math.prod(shape)
        if left < 0:
            raise NetError(f"parameter {name!r} of shape {shape} is too large: no ONNX file can hold it")
        return parameters(name, shape)

    return ask


def _finish(graph: Writer, output: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
    try:
        return graph.finish(output, metadata)
    except Exception as error:  # onnx raises several kinds of its own for a malformed graph
        why = str(error).split("\n")[0]
        raise NetError(f"the network makes no valid graph ({why}): correct the prototxt") from None
