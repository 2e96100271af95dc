"""The parameters of Caffe's layers, under the names and in the shapes decaf gives them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from decaf.errors import NetError
from decaf.nets.readers.caffe.blobs import read_blob
from decaf.nets.readers.caffe.definition import CaffeLayer

Arrays = dict[str, NDArray[np.float32]]

# Type of layer -> what its arrays are called, in Caffe's order, and how many axes each has.
_NAMES = {
    "Convolution": (("weight", 4), ("bias", 1)),
    "InnerProduct": (("weight", 2), ("bias", 1)),
    "Scale": (("weight", 1), ("bias", 1)),
    "Bias": (("bias", 1),),
    "PReLU": (("weight", 1),),
    "BatchNorm": (("running_mean", 1), ("running_var", 1), ("factor", 1)),
}


def named_parameters(layers: Iterable[CaffeLayer]) -> Arrays:
    """The arrays of all layers, by name. Raises NetError."""
    found: Arrays = {}
    for layer in layers:
        arrays = _of_layer(layer)
        if twice := found.keys() & arrays.keys():
            raise NetError(f"the caffemodel holds {min(twice)!r} twice: no network is saved like that")
        found |= arrays
    return found


def _of_layer(layer: CaffeLayer) -> Arrays:
    names = _NAMES.get(layer.kind, ())
    if names and len(layer.blobs) > len(names):
        raise NetError(f"layer {layer.name!r} has {len(layer.blobs)} arrays, a {layer.kind} layer has {len(names)}")
    arrays: Arrays = {}
    for index, data in enumerate(layer.blobs):
        name, axes = names[index] if names else (str(index), 0)
        arrays[name] = _without_leading_ones(read_blob(data, f"{layer.name}.{name}"), axes)
    if layer.kind == "BatchNorm" and arrays:
        arrays = _statistics(layer.name, arrays)
    elif layer.kind == "InnerProduct" and arrays and layer.settings.inner_product_param.transpose:
        arrays["weight"] = arrays["weight"].T
    return {f"{layer.name}.{name}": array for name, array in arrays.items()}


def _without_leading_ones(array: NDArray[np.float32], axes: int) -> NDArray[np.float32]:
    """V1 files give every array four axes: the bias of 96 filters is (1, 1, 1, 96)."""
    while axes and array.ndim > axes and array.shape[0] == 1:
        array = array[0]
    return array


def _statistics(layer: str, arrays: Arrays) -> Arrays:
    """Caffe keeps sums of moving averages and the sum of their weights; a weight of 0 means that nothing was seen."""
    if len(arrays) != 3 or arrays["factor"].shape != (1,):
        raise NetError(f"layer {layer!r} lacks the mean, the variance or the count of its batch normalisation")
    factor = arrays["factor"][0]
    scale = np.float32(1) / factor if factor else np.float32(0)
    mean, var = arrays["running_mean"], arrays["running_var"]
    ones = np.ones(mean.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # refused by the check for finite numbers
        return {"weight": ones, "bias": 0 * ones, "running_mean": mean * scale, "running_var": var * scale}
