"""Caffe's files: `prototxt` (the graph), `caffemodel` (its parameters), `binaryproto` (a mean image).

Nothing in them is executed: they are read as messages of known fields, and every size is checked before it is used.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from decaf.errors import NetError
from decaf.nets.fill import Parameters, stored
from decaf.nets.readers.caffe.blobs import read_blob
from decaf.nets.readers.caffe.convert import convert
from decaf.nets.readers.caffe.definition import read_caffemodel, read_prototxt
from decaf.nets.readers.caffe.parameters import named_parameters


def read_caffe(
    prototxt: bytes | None = None,
    caffemodel: bytes | None = None,
    *,
    parameters: Parameters | None = None,
    name: str = "caffe",
) -> onnx.ModelProto:
    """Turn a Caffe network into an ONNX model.

    Args:
        prototxt: the text of the network, `deploy` or `train_val`, taken as it is at test time. Without it, the graph
            inside of the caffemodel is taken.
        caffemodel: the parameters, in the format of 2014 (V1) or later (V2).
        parameters: where they come from in place of a caffemodel, such as `decaf.nets.fill.zeros`.
        name: of the graph where the file says none.

    Returns:
        The model. Its tensors are named as Caffe's layers, not as the blobs that layers
        overwrite: `fc6` is before, `relu6` after the ReLU, `drop6` an alias of it. Its parameters are `conv1.weight`
        (out, in / group, h, w), `fc6.weight` (out, in), `fc6.bias` (out,). Its metadata has its name, aliases, default
        layer and, for colour pictures, the preset `caffe` with what the data layer says of mean and scale.

    Raises:
        NetError: not such files, a layer or setting nobody here knows, or parameters that do not fit the graph.
    """
    trained = None if caffemodel is None else read_caffemodel(caffemodel)
    net = trained if prototxt is None else read_prototxt(prototxt)
    if trained is not None:
        parameters = stored(named_parameters(trained.layers))
    if net is None or parameters is None:
        raise NetError("a prototxt is a graph without parameters: name its caffemodel as well")
    return convert(net, parameters, name)


def caffe_parameters(caffemodel: bytes) -> dict[str, NDArray[np.float32]]:
    """The arrays of a caffemodel by name: `conv1.weight` (out, in / group, h, w), `fc6.weight` (out, in), `fc6.bias`.

    They are views of the file's bytes, not to be written to. Raises NetError.
    """
    return named_parameters(read_caffemodel(caffemodel).layers)


def read_binaryproto(data: bytes) -> NDArray[np.float32]:
    """The mean image of a `binaryproto` file: (channels, h, w), channels in the file's order: BGR.

    Raises NetError.
    """
    mean = read_blob(memoryview(data), "the mean image")
    if mean.ndim == 4 and mean.shape[0] == 1:
        mean = mean[0]
    if mean.ndim != 3 or not mean.size:
        raise NetError(f"a mean image of shape {mean.shape} cannot be used: (1, channels, height, width) is needed")
    return mean
