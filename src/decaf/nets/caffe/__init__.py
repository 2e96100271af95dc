"""Caffe's files: `prototxt` (the graph), `caffemodel` (its parameters), `binaryproto` (a mean image).

Nothing in them is executed: they are read as messages of known fields, and every size is checked before it is used.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray


def read_caffe(prototxt: bytes | None = None, caffemodel: bytes | None = None, name: str = "caffe") -> onnx.ModelProto:
    """Turn a Caffe network into an ONNX model.

    Args:
        prototxt: the text of the network, `deploy` or `train_val`; without it, the graph inside of the caffemodel is
            taken.
        caffemodel: the parameters, in the format of 2014 (V1) or later (V2).
        name: what messages and the graph call it where the file does not say.

    Returns:
        The model; its tensors are named as Caffe's layers, its parameters `conv1.weight`, `conv1.bias`.

    Raises:
        NetError: not such files, a layer nobody here knows, or parameters that do not fit the graph.
    """
    raise NotImplementedError


def caffe_parameters(caffemodel: bytes) -> dict[str, NDArray[np.float32]]:
    """The arrays of a caffemodel by name: `conv1.weight` (out, in / groups, h, w), `fc6.weight` (out, in), `fc6.bias`.

    Raises NetError.
    """
    raise NotImplementedError


def read_binaryproto(data: bytes) -> NDArray[np.float32]:
    """The mean image of a `binaryproto` file: (channels, h, w), channels in the file's order: BGR. Raises NetError."""
    raise NotImplementedError
