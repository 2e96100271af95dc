"""Networks as cuda-convnet pickles them, and what they compute, worked out from the pickled numbers themselves."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
SIDE = 227

# Of the DeCAF network: name, filters or outputs, kernel, stride, padding, groups. The narrow one has fewer filters.
CONVS = (
    ("conv1", 96, 11, 4, 0, 1),
    ("conv2", 256, 5, 1, 2, 2),
    ("conv3", 384, 3, 1, 1, 1),
    ("conv4", 384, 3, 1, 1, 2),
    ("conv5", 256, 3, 1, 1, 2),
)
LINEARS = (("fc6", 4096), ("fc7", 4096), ("fc8", 1000))
NARROW = {"conv1": 8, "conv2": 12, "conv3": 16, "conv4": 20, "conv5": 24, "fc6": 40, "fc7": 36, "fc8": 10}


def shapes(widths: Mapping[str, int] = NARROW) -> dict[str, tuple[int, ...]]:
    """Of the parameters, under the names and in the layout of torch."""
    found: dict[str, tuple[int, ...]] = {}
    channels = 3
    for name, filters, kernel, _, _, groups in CONVS:
        out = widths.get(name, filters)
        found |= {f"{name}.weight": (out, channels // groups, kernel, kernel), f"{name}.bias": (out,)}
        channels = out
    channels *= 6 * 6
    for name, size in LINEARS:
        out = widths.get(name, size)
        found |= {f"{name}.weight": (out, channels), f"{name}.bias": (out,)}
        channels = out
    return found


def random_parameters(widths: Mapping[str, int] = NARROW, seed: int = 0) -> dict[str, Array]:
    """Random values that keep the size of activations."""
    generator = np.random.default_rng(seed)
    return {
        name: (generator.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes(widths).items()
    }


class _Layers(list[dict[str, Any]]):
    """Appends layers, each of which holds the one before it, as cuda-convnet's do."""

    def add(self, name: str, kind: str, before: str, **settings: Any) -> None:
        index = next(index for index, layer in enumerate(self) if layer["name"] == before)
        held = {"inputs": [index], "inputLayers": [self[index]], "numInputs": 1}
        self.append({"name": name, "type": kind, **held, **settings})

    def neuron(self, name: str, before: str, kind: str = "relu", **params: Any) -> None:
        self.add(name, "neuron", before, neuron={"type": kind, "params": params})


def cuda_layers(parameters: Mapping[str, Array], image_side: int = 224) -> list[dict[str, Any]]:
    """The DeCAF network as cuda-convnet keeps it; on its 224 pixels the last window of conv1 reaches over the edge."""
    layers = _Layers([{"name": name, "type": "data", "inputs": [], "dataIdx": i} for i, name in enumerate(_DATA)])
    x, side, channels = "data", SIDE, 3
    for name, _, kernel, stride, pad, groups in CONVS:
        weight = parameters[f"{name}.weight"]
        maps = (side + 2 * pad - kernel) // stride + 1
        layers.add(
            name,
            "conv",
            x,
            filters=len(weight),
            channels=[channels],
            filterSize=[kernel],
            stride=[stride],
            padding=[-pad],
            groups=[groups],
            imgSize=[image_side if x == "data" else side],
            modulesX=maps,
            sharedBiases=True,
            weights=[np.ascontiguousarray(weight.reshape(len(weight), -1).T)],
            biases=parameters[f"{name}.bias"][:, None],
        )
        layers.neuron(f"{name}_neuron", name)
        x, side, channels = f"{name}_neuron", maps, len(weight)
        if name in ("conv1", "conv2", "conv5"):
            number = name[-1]
            pooled = (side - 3 + 1) // 2 + 1
            settings = {"sizeX": 3, "stride": 2, "start": 0, "imgSize": side, "outputsX": pooled}
            layers.add(f"pool{number}", "pool", x, pool="max", channels=channels, **settings)
            x, side = f"pool{number}", pooled
            if number != "5":
                layers.add(f"rnorm{number}", "cmrnorm", x, size=5, scale=0.0001 / 5, pow=0.75, blocked=False)
                x = f"rnorm{number}"
    for name, _ in LINEARS:
        weight = parameters[f"{name}.weight"]
        matrix, biases = np.ascontiguousarray(weight.T), parameters[f"{name}.bias"][None]
        layers.add(name, "fc", x, outputs=len(weight), weights=[matrix], biases=biases)
        x = name
        if name != "fc8":
            layers.neuron(f"{name}_neuron", name)
            layers.neuron(f"{name}dropout", f"{name}_neuron", "dropout", d=0.5)
            x = f"{name}dropout"
    layers.add("probs", "softmax", x)
    layers.add("logprob", "cost.logreg", "probs")
    return list(layers)


_DATA = ("data", "labels")


def prototxt(widths: Mapping[str, int] = NARROW) -> bytes:
    """The same network as Caffe's text."""
    lines = ['name: "narrow" input: "data"', f"input_shape {{ dim: 10 dim: 3 dim: {SIDE} dim: {SIDE} }}"]
    tops = ["data"]

    def add(name: str, kind: str, settings: str = "", in_place: bool = False) -> None:
        top = tops[-1] if in_place else name
        lines.append(f'layer {{ name: "{name}" type: "{kind}" bottom: "{tops[-1]}" top: "{top}" {settings} }}')
        tops.append(top)

    for name, filters, kernel, stride, pad, groups in CONVS:
        numbers = f"num_output: {widths.get(name, filters)} kernel_size: {kernel} stride: {stride} pad: {pad}"
        add(name, "Convolution", f"convolution_param {{ {numbers} group: {groups} }}")
        add(f"relu{name[-1]}", "ReLU", in_place=True)
        if name in ("conv1", "conv2", "conv5"):
            add(f"pool{name[-1]}", "Pooling", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
        if name in ("conv1", "conv2"):
            add(f"norm{name[-1]}", "LRN", "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    for name, size in LINEARS:
        add(name, "InnerProduct", f"inner_product_param {{ num_output: {widths.get(name, size)} }}")
        if name != "fc8":
            add(f"relu{name[-1]}", "ReLU", in_place=True)
            add(f"drop{name[-1]}", "Dropout", in_place=True)
    add("prob", "Softmax")
    return "\n".join(lines).encode()


def saved(value: Any, protocol: int = 2) -> bytes:
    """The pickle, as Python 3 writes it."""
    return pickle.dumps(value, protocol)


def evaluate(layers: Sequence[Mapping[str, Any]], x: Array) -> dict[str, Array]:
    """What every layer of the file computes of (channels, h, w) or (size,), from the definition of cuda-convnet."""
    found: dict[str, Array] = {}
    for layer in layers:
        kind = layer["type"]
        if kind.startswith("cost."):
            continue
        found[layer["name"]] = x if kind == "data" else _ACTS[kind](layer, found[layers[layer["inputs"][0]]["name"]])
    return found


def _windows(x: Array, size: int, stride: int) -> Array:
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))[:, ::stride, ::stride]


def _conv(layer: Mapping[str, Any], x: Array) -> Array:
    pad, (size,), (stride,), (groups,) = -layer["padding"][0], layer["filterSize"], layer["stride"], layer["groups"]
    windows = _windows(np.pad(x, ((0, 0), (pad, pad), (pad, pad))), size, stride)
    (weights,) = layer["weights"]
    made = []
    for group in range(groups):
        part = np.split(windows, groups)[group]  # (channels / groups, h, w, k, k)
        rows = part.transpose(1, 2, 0, 3, 4).reshape(*part.shape[1:3], -1)
        made.append((rows @ np.split(weights, groups, axis=1)[group]).transpose(2, 0, 1))
    return np.concatenate(made) + layer["biases"][:, :, None]


def _pool(layer: Mapping[str, Any], x: Array) -> Array:
    size, stride, side = layer["sizeX"], layer["stride"], layer["outputsX"]
    reach = (side - 1) * stride + size - x.shape[1]
    act = np.max if layer["pool"] == "max" else np.nanmean
    fill = -np.inf if layer["pool"] == "max" else np.nan
    padded = np.pad(x, ((0, 0), (0, reach), (0, reach)), constant_values=fill)
    pooled: Array = act(_windows(padded, size, stride), axis=(3, 4))
    return pooled


def _normalise(layer: Mapping[str, Any], x: Array) -> Array:
    half = layer["size"] // 2
    squares = np.pad(x.astype(float) ** 2, ((half, half), (0, 0), (0, 0)))
    sums = sum(squares[shift : shift + len(x)] for shift in range(layer["size"]))
    return (x / (1 + layer["scale"] * sums) ** layer["pow"]).astype(np.float32)


def _linear(layer: Mapping[str, Any], x: Array) -> Array:
    return x.reshape(-1) @ layer["weights"][0] + layer["biases"][0]


def _neuron(layer: Mapping[str, Any], x: Array) -> Array:
    kinds = {"relu": lambda: np.maximum(x, 0), "dropout": lambda: x, "logistic": lambda: 1 / (1 + np.exp(-x))}
    return kinds[layer["neuron"]["type"]]()


def _softmax(_layer: Mapping[str, Any], x: Array) -> Array:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


_ACTS = {
    "conv": _conv,
    "pool": _pool,
    "cmrnorm": _normalise,
    "fc": _linear,
    "neuron": _neuron,
    "softmax": _softmax,
}
