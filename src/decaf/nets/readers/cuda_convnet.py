"""Read networks that cuda-convnet trained, such as decaf's own: pickled lists of layers. Nothing is unpickled.

The format is described by what cuda-convnet writes: every layer is a dict that names its type, its inputs as indices
into the list, and its numbers. Kernels are matrices (channels / groups * k * k, filters), channel first; the matrix of
a fully connected layer is (in, out), `in` channel first too; padding has a negative sign; `scale` of a normalisation
was divided by its size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray

from decaf.errors import NetError
from decaf.nets.fill import stored
from decaf.nets.graph import GraphBuilder
from decaf.nets.net import properties
from decaf.nets.preprocess import LARGEST_SIDE, preset
from decaf.nets.readers.pickle_machine import reading
from decaf.nets.readers.plain_pickle import read_plain_pickle

PREPARATION = "decaf-release"  # the preset of such networks
_REMEDY = "fetch or save the file again"
_LARGEST = 2**31
_MOST_LABELS = 10**6
_IGNORED = ("data", "cost.")
# What layers are called in the DeCAF network's own file, and here.
_RENAMED = ((r"^(?:conv|fc)(\d+)_neuron$", r"relu\1"), (r"^rnorm(\d+)$", r"norm\1"), (r"^probs$", "prob"))
_DECAF = {5: "pool5", 6: "relu6", 7: "relu7"}

Layer = Mapping[str, Any]


class Meta(NamedTuple):
    """What a `.meta` file tells.

    Attributes:
        labels: the classes, in order.
        mean: (3, side, side) float32, in the orientation and channel order of the network's input; None: not told.
    """

    labels: tuple[str, ...]
    mean: NDArray[np.float32] | None


def is_meta(value: Any) -> bool:
    """Whether a pickled value is what a `.meta` file holds."""
    return isinstance(value, dict) and not value.keys().isdisjoint(("label_names", "data_mean"))


def _layers(value: Any) -> list[Layer]:
    for key in ("model_state", "layers"):  # a checkpoint of cuda-convnet itself holds more than the layers
        value = value.get(key) if isinstance(value, dict) and key in value else value
    if not isinstance(value, list) or not value or not all(_is_layer(layer) for layer in value):
        raise NetError("no cuda-convnet network: its pickle is not a list of layers with names and types")
    return value


def _read(value: Any) -> Any:
    return read_plain_pickle(value) if isinstance(value, bytes) else value


def _is_layer(layer: Any) -> bool:
    return isinstance(layer, dict) and all(isinstance(layer.get(key), str) and layer[key] for key in ("name", "type"))


def read_cuda_convnet(value: Any, name: str = "cuda-convnet") -> onnx.ModelProto:
    """Turn an epoch file into an ONNX model.

    Data and cost layers are left out; dropout, which does nothing after training, is the layer before it.

    Args:
        value: the whole file, or what `read_plain_pickle` makes of it.
        name: of the graph.

    Returns:
        The model, prepared as decaf's release was but for the mean image. Its tensors are named as the file's layers,
        those of the DeCAF network as decaf names them (`relu6`); the names in the file, the original decaf's
        (`fc6_cudanet_out`) and `DeCAF6` are aliases.

    Raises:
        NetError: no such file, a layer of a type decaf does not know, or numbers that do not fit together.
    """
    layers = _layers(_read(value))
    with reading("cuda-convnet network", _REMEDY):
        writer = _Writer(name, layers)
        for index in range(len(layers)):
            writer.write(index)
        return writer.finish()


def _names(layers: Sequence[Layer]) -> list[str]:
    """Of the tensors: as in the DeCAF network where layers are named as there, if that keeps them apart."""
    theirs = [str(layer["name"]) for layer in layers]
    ours = [_our_name(name) for name in theirs]
    return ours if len(set(ours)) == len(ours) else theirs


def _our_name(name: str) -> str:
    for pattern, ours in _RENAMED:
        name = re.sub(pattern, ours, name)
    return name


def read_meta(value: Any) -> Meta:
    """Read a `.meta` file: the names of classes and the mean image.

    Args:
        value: the whole file, or what `read_plain_pickle` makes of it.

    Raises:
        NetError: no pickle of plain values, or it tells neither.
    """
    said = _read(value)
    if not is_meta(said):
        raise NetError("no cuda-convnet meta file: it tells neither label_names nor data_mean")
    labels = said.get("label_names", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise NetError("label_names of the meta file is not a list of text")
    return Meta(tuple(labels), _mean_image(said["data_mean"]) if "data_mean" in said else None)


def _mean_image(mean: Any) -> NDArray[np.float32]:
    if not isinstance(mean, np.ndarray):
        raise NetError("data_mean of the meta file is no array")
    side = math.isqrt(mean.size // 3)
    if not 0 < side <= LARGEST_SIDE or 3 * side**2 != mean.size or not np.isfinite(mean).all():
        raise NetError(f"data_mean of the meta file, {mean.shape}, is not the mean of square colour pictures")
    return np.asarray(mean, np.float32).reshape(3, side, side)


class _Writer:
    """Writes layer by layer. The values of a layer are put where the graph looks them up just before it is written."""

    def __init__(self, name: str, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._names = _names(layers)
        self._values: dict[str, NDArray[Any]] = {}
        first = next((layer for layer in layers if not layer["type"].startswith(_IGNORED)), None)
        if first is None or first["type"] != "conv":
            raise NetError("no cuda-convnet network: it does not begin with a conv layer")
        side = _input_side(first)
        self._graph = GraphBuilder(name, stored(self._values), (_number(first, "channels"), side, side))
        self._tensors: dict[int, str] = {}

    def write(self, index: int) -> None:
        """Append one layer to the graph."""
        layer = self._layers[index]
        if layer["type"] == "data":
            self._tensors[index] = self._graph.input
        elif not layer["type"].startswith(_IGNORED):
            act = _TYPES.get(layer["type"])
            if act is None:
                _misfit(layer, f"is of the type {layer['type'][:80]!r}, which decaf does not know")
            (source,) = _inputs(layer, 1)
            if source not in self._tensors:
                _misfit(layer, f"takes layer {source}, which is not before it")
            self._tensors[index] = act(self, layer, self._tensors[source], self._names[index])

    def finish(self) -> onnx.ModelProto:
        """The network; its output is the last layer's."""
        tensors = {index: tensor for index, tensor in self._tensors.items() if tensor != self._graph.input}
        output = tensors[max(tensors)]
        decaf = {f"DeCAF{depth}": name for depth, name in _DECAF.items() if name in tensors.values()}
        others: dict[str, str] = {}
        for index, tensor in tensors.items():
            name = self._layers[index]["name"]
            others |= {name: tensor, f"{name}_cudanet_out": tensor}
        aliases = {alias: tensor for alias, tensor in (others | decaf).items() if alias != tensor}
        said = {"name": self._graph.name, "aliases": aliases, "default_layer": decaf.get("DeCAF6", output)}
        channels, side, _ = self._graph.shape(self._graph.input)
        if channels == 3:
            said["preprocess"] = preset(PREPARATION, side).to_dict()
        return self._graph.finish(output, properties(said))

    def conv(self, layer: Layer, x: str, name: str) -> str:
        """A convolution, in groups or not."""
        filters, kernel, group = (_number(layer, key) for key in ("filters", "filterSize", "groups"))
        pad = _padding(layer)
        if pad >= kernel or not layer.get("sharedBiases", 1):
            _misfit(layer, "pads by more than its kernels, or has a bias per position")
        channels = self._graph.shape(x)[0] // max(group, 1)
        self._put(name, layer, (channels * kernel * kernel, filters), (filters, channels, kernel, kernel))
        made = self._graph.conv(x, name, filters, kernel, stride=_number(layer, "stride"), pads=pad, group=group)
        return self._checked(layer, made, "modulesX")

    def linear(self, layer: Layer, x: str, name: str) -> str:
        """A fully connected layer."""
        size, fan_in = _number(layer, "outputs"), math.prod(self._graph.shape(x))
        self._put(name, layer, (fan_in, size), (size, fan_in))
        return self._graph.linear(x, name, size)

    def pool(self, layer: Layer, x: str, name: str) -> str:
        """Maximum or mean over windows; the last may reach over the edge."""
        pools = {"max": self._graph.max_pool, "avg": self._graph.average_pool}
        if layer.get("pool") not in pools or _number(layer, "start", least=-_LARGEST) != 0:
            _misfit(layer, "pools in a way decaf does not know")
        pool: Callable[..., str] = pools[layer["pool"]]
        made = pool(x, name, _number(layer, "sizeX"), stride=_number(layer, "stride"))
        return self._checked(layer, made, "outputsX")

    def normalise(self, layer: Layer, x: str, name: str) -> str:
        """Response normalisation across maps, with the constant 1."""
        if layer.get("blocked"):
            _misfit(layer, "normalises in blocks")
        size, scale, power = _number(layer, "size"), _real(layer, "scale"), _real(layer, "pow")
        return self._graph.lrn(x, name, size=size, alpha=scale * size, beta=power)

    def neuron(self, layer: Layer, x: str, name: str) -> str:
        """What is done to every number by itself."""
        if _is_dropout(layer):
            return x
        match layer.get("neuron"):
            case {"type": "relu"}:
                return self._graph.relu(x, name)
            case {"type": "logistic"}:
                return self._graph.node("Sigmoid", name, [x])
            case {"type": str(kind)}:
                _misfit(layer, f"has neurons of the type {kind[:80]!r}, which decaf does not know")
        return _misfit(layer, "does not tell its neurons")

    def softmax(self, layer: Layer, x: str, name: str) -> str:
        """Probabilities."""
        return self._graph.softmax(x, name)

    def _put(self, name: str, layer: Layer, stored_shape: tuple[int, int], shape: tuple[int, ...]) -> None:
        """The values of a layer: a matrix whose columns are its kernels, and as many biases."""
        match layer.get("weights"):
            case [np.ndarray() as weights] if weights.shape == stored_shape:
                self._values[f"{name}.weight"] = weights.T.reshape(shape)
            case _:
                _misfit(layer, f"needs one matrix of weights, {stored_shape}")
        biases = layer.get("biases")
        if not isinstance(biases, np.ndarray):
            _misfit(layer, "has no biases")
        self._values[f"{name}.bias"] = biases.reshape(-1)

    def _checked(self, layer: Layer, made: str, key: str) -> str:
        side = self._graph.shape(made)[1]
        if key in layer and _number(layer, key) != side:
            _misfit(layer, f"makes maps of {side} px here, its file says {_number(layer, key)}")
        return made


_TYPES: dict[str, Callable[[_Writer, Layer, str, str], str]] = {
    "conv": _Writer.conv,
    "fc": _Writer.linear,
    "pool": _Writer.pool,
    "cmrnorm": _Writer.normalise,
    "neuron": _Writer.neuron,
    "softmax": _Writer.softmax,
}


def _is_dropout(layer: Layer) -> bool:
    neuron = layer.get("neuron")
    return isinstance(neuron, dict) and neuron.get("type") == "dropout"


def _inputs(layer: Layer, count: int) -> list[int]:
    inputs = layer.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != count or not all(type(index) is int for index in inputs):
        _misfit(layer, f"does not have {count} input")
    return inputs


def _input_side(first: Layer) -> int:
    """The pixels its windows cover: cuda-convnet lets the last one reach over the edge of its 224, decaf has 227."""
    if "modulesX" not in first:
        return _number(first, "imgSize", most=LARGEST_SIDE)
    windows, step, kernel = (_number(first, key, most=LARGEST_SIDE) for key in ("modulesX", "stride", "filterSize"))
    return max((windows - 1) * step + kernel - 2 * _padding(first), 1)


def _padding(layer: Layer) -> int:
    return -_number(layer, "padding", least=-_LARGEST, most=0) if "padding" in layer else 0


def _number(layer: Layer, key: str, least: int = 1, most: int = _LARGEST) -> int:
    """A whole number; cuda-convnet keeps some in a list, one per input."""
    value = layer.get(key, 1 if key == "groups" else None)
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if isinstance(value, np.integer):
        value = int(value)
    if type(value) is not int or not least <= value <= most:
        _misfit(layer, f"has no usable {key}")
    return value


def _real(layer: Layer, key: str) -> float:
    value = layer.get(key)
    if not isinstance(value, float | int | np.floating) or not 0 <= value <= 1e9:
        _misfit(layer, f"has no usable {key}")
    return float(value)


def _misfit(layer: Layer, why: str) -> NoReturn:
    raise NetError(f"layer {layer['name'][:80]!r} of the cuda-convnet network {why}: {_REMEDY}")
