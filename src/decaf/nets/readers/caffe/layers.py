"""What each type of Caffe's layers computes at test time, as ONNX.

Source: the layers' forward passes in `src/caffe/layers` of BVLC/caffe 1.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from decaf.errors import NetError
from decaf.nets.fill import Shape
from decaf.nets.graph import GraphBuilder
from decaf.nets.readers.caffe.definition import CaffeLayer

_LARGEST = 2**20  # of a setting: sides, strides, outputs
_LARGEST_TENSOR = 2**31  # numbers per picture


class Writer(GraphBuilder):
    """Writes Caffe's layers one after the other.

    Attributes:
        classified: the tensor that the last linear layer reads, which may be a convolution of one position; empty
            where there is none.
    """

    classified: str = ""

    def write(self, layer: CaffeLayer, inputs: list[str], name: str) -> str:
        """The tensor that holds the layer's top: called `name`, or an input where the layer changes nothing.

        `inputs` are the tensors that hold its bottoms.
        Raises NetError for a type of layer, or a setting, that is not known here.
        """
        if layer.kind not in KINDS:
            known = ", ".join(sorted(KINDS))
            raise NetError(f"layer {layer.name!r} is of type {layer.kind!r}; known here are {known}")
        allowed = len(inputs) == 1 or (len(inputs) > 1 and layer.kind in _JOINING)
        _demand(layer, allowed, f"a number of {len(inputs)} inputs")
        _demand(layer, len(layer.tops) <= 1 or layer.kind == "Split", f"a number of {len(layer.tops)} outputs")
        made = KINDS[layer.kind](self, layer, inputs, name)
        _demand(layer, 0 < math.prod(self.shape(made)) <= _LARGEST_TENSOR, f"an output of shape {self.shape(made)}")
        return made

    def has(self, name: str) -> bool:
        """Whether there is a tensor of this name."""
        return name in self._shapes

    def node(self, kind: str, name: str, inputs: list[str], shape: Shape | None = None, **attributes: Any) -> str:
        """As the builder's; raises NetError where there is something of that name already."""
        if self.has(name) or name in self._constants:
            raise NetError(f"two layers are called {name!r}: rename one of them in both files")
        return super().node(kind, name, inputs, shape, **attributes)

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """As the builder's; raises NetError where there is a layer of that name."""
        if self.has(name):
            raise NetError(f"a layer is called {name!r}, like a parameter of another: rename it in both files")
        return super().constant(name, value)

    def per_channel(self, kind: str, x: str, name: str, parameter: str) -> str:
        """An operator of a tensor and one number per channel."""
        channels, *positions = self.shape(x)
        values = np.asarray(self._parameters(parameter, (channels,)), np.float32)
        shaped = self.constant(parameter, values.reshape(channels, *(1 for _ in positions)))
        return self.node(kind, name, [x, shaped])

    def scalar(self, kind: str, x: str, name: str, value: float) -> str:
        """An operator of a tensor and one number."""
        return self.node(kind, name, [x, self.constant(f"{name}.value", np.float32(value))])


def _convolution(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.convolution_param
    _demand(layer, settings.axis == 1, "an axis other than 1")
    if graph.shape(inputs[0])[1:] == (1, 1):
        graph.classified = inputs[0]
    top, left = _sides(layer, settings, "pad", 0)
    return graph.conv(
        inputs[0],
        name,
        _count(layer, settings.num_output),
        _sides(layer, settings, "kernel", 0),
        stride=_sides(layer, settings, "stride", 1),
        pads=(top, left, top, left),
        group=_count(layer, settings.group),
        dilation=_sides(layer, settings, "dilation", 1),
        bias=settings.bias_term,
    )


def _pooling(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.pooling_param
    methods = ("MAX", "AVE")
    method = _choice(settings, "pool")
    _demand(layer, method in methods, f"the method {method}")
    pool = (graph.max_pool, graph.average_pool)[methods.index(method)]
    if settings.global_pooling:
        return pool(inputs[0], name, _positions(graph, layer, inputs[0]))
    top, left = _sides(layer, settings, "pad", 0)
    return pool(
        inputs[0],
        name,
        _sides(layer, settings, "kernel", 0),
        stride=_sides(layer, settings, "stride", 1),
        pads=(top, left, top, left),
        ceil=settings.ceil_mode and _choice(settings, "round_mode") == "CEIL",
    )


def _positions(graph: Writer, layer: CaffeLayer, x: str) -> tuple[int, int]:
    shape = graph.shape(x)
    _demand(layer, len(shape) == 3, "an input without positions")
    return shape[1], shape[2]


def _inner_product(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.inner_product_param
    _demand(layer, settings.axis == 1, "an axis other than 1")
    graph.classified = inputs[0]
    return graph.linear(inputs[0], name, _count(layer, settings.num_output), bias=settings.bias_term)


def _relu(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    slope = _finite(layer, layer.settings.relu_param.negative_slope)
    return graph.node("LeakyRelu", name, inputs, alpha=slope) if slope else graph.relu(inputs[0], name)


def _prelu(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    _demand(layer, not layer.settings.prelu_param.channel_shared, "one slope for all channels")
    return graph.per_channel("PRelu", inputs[0], name, f"{name}.weight")


def _lrn(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.lrn_param
    size = _count(layer, settings.local_size)
    alpha, beta, bias = (_finite(layer, value) for value in (settings.alpha, settings.beta, settings.k))
    if _choice(settings, "norm_region") == "ACROSS_CHANNELS":
        return graph.lrn(inputs[0], name, size, alpha, beta, bias)
    _demand(layer, size % 2 == 1, "an even local_size")
    square = graph.node("Mul", f"{name}.square", [inputs[0], inputs[0]])
    mean = graph.average_pool(square, f"{name}.mean", size, pads=size // 2)
    scale = graph.scalar("Add", graph.scalar("Mul", mean, f"{name}.scaled", alpha), f"{name}.shifted", 1)
    return graph.node("Div", name, [inputs[0], graph.scalar("Pow", scale, f"{name}.scale", beta)])


def _same(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    return inputs[0]


def _dropout(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    _demand(layer, layer.settings.dropout_param.scale_train, "a scale at test time")
    return inputs[0]


def _softmax(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    axes = len(graph.shape(inputs[0])) + 1
    _demand(layer, layer.settings.softmax_param.axis in (1, 1 - axes), "an axis other than 1")
    return graph.softmax(inputs[0], name)


def _concat(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.concat_param
    axis = settings.concat_dim if settings.HasField("concat_dim") else settings.axis
    axes = len(graph.shape(inputs[0])) + 1
    _demand(layer, axis in (1, 1 - axes), "an axis other than 1")
    return graph.concat(inputs, name)


def _eltwise(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.eltwise_param
    shapes = {graph.shape(x) for x in inputs}
    _demand(layer, len(shapes) == 1, f"inputs of unequal shapes {', '.join(map(str, sorted(shapes)))}")
    operation = _choice(settings, "operation")
    if operation == "MAX":
        return graph.node("Max", name, inputs)
    if operation == "PROD":
        return _chain(graph, "Mul", inputs, name)
    factors = [_finite(layer, value) for value in settings.coeff] or [1.0] * len(inputs)
    _demand(layer, len(factors) == len(inputs), f"{len(factors)} coefficients for {len(inputs)} inputs")
    terms = [
        x if factor == 1 else graph.scalar("Mul", x, f"{name}.term{index}", factor)
        for index, (x, factor) in enumerate(zip(inputs, factors, strict=True))
    ]
    return _chain(graph, "Add", terms, name)


def _chain(graph: Writer, kind: str, terms: list[str], name: str) -> str:
    """((a op b) op c) op ..."""
    if len(terms) == 1:
        return graph.node("Identity", name, terms)
    made = terms[0]
    for index, term in enumerate(terms[1:], start=2):
        made = graph.node(kind, name if index == len(terms) else f"{name}.{index}", [made, term])
    return made


def _batch_norm(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.batch_norm_param
    _demand(layer, settings.use_global_stats, "statistics of the batch")
    return graph.batch_norm(inputs[0], name, _finite(layer, settings.eps))


def _scale(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.scale_param
    _demand(layer, (settings.axis, settings.num_axes) == (1, 1), "another axis than the channels")
    if not settings.bias_term:
        return graph.per_channel("Mul", inputs[0], name, f"{name}.weight")
    scaled = graph.per_channel("Mul", inputs[0], f"{name}.scaled", f"{name}.weight")
    return graph.per_channel("Add", scaled, name, f"{name}.bias")


def _bias(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.bias_param
    _demand(layer, (settings.axis, settings.num_axes) == (1, 1), "another axis than the channels")
    return graph.per_channel("Add", inputs[0], name, f"{name}.bias")


def _flatten(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.flatten_param
    last = len(graph.shape(inputs[0]))
    _demand(layer, settings.axis == 1 and settings.end_axis in (-1, last), "other axes than all but the first")
    return graph.flatten(inputs[0], name)


def _power(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    """(shift + scale * x) ** power; what changes nothing is left out."""
    settings = layer.settings.power_param
    steps = [("Mul", "scaled", settings.scale, 1), ("Add", "shifted", settings.shift, 0)]
    steps += [("Pow", "power", settings.power, 1)]
    steps = [step for step in steps if _finite(layer, step[2]) != step[3]]
    if not steps:
        return graph.node("Identity", name, inputs)
    x = inputs[0]
    for kind, suffix, value, _ in steps[:-1]:
        x = graph.scalar(kind, x, f"{name}.{suffix}", value)
    return graph.scalar(steps[-1][0], x, name, steps[-1][2])


def _reshape(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    settings = layer.settings.reshape_param
    before = (0, *graph.shape(inputs[0]))
    wanted = list(settings.shape.dim)
    plain = settings.axis == 0 and settings.num_axes == -1 and wanted[:1] == [0]
    _demand(layer, plain and len(wanted) > 1, "other axes than all behind the batch, which stays (dim: 0)")
    _demand(layer, all(-1 <= side <= _LARGEST for side in wanted) and wanted.count(-1) <= 1, "impossible sides")
    _demand(layer, all(side or axis < len(before) for axis, side in enumerate(wanted)), "a side that is not there")
    made = [before[axis] if side == 0 else side for axis, side in enumerate(wanted)][1:]
    size, known = math.prod(before[1:]), math.prod(side for side in made if side != -1)
    made = [size // max(known, 1) if side == -1 else side for side in made]
    _demand(layer, math.prod(made) == size, f"the shape {made} for {list(before[1:])}")
    target = graph.constant(f"{name}.shape", np.array([0, *made], np.int64))
    return graph.node("Reshape", name, [inputs[0], target], tuple(made))


def _unary(kind: str) -> Callable[[Writer, CaffeLayer, list[str], str], str]:
    return lambda graph, layer, inputs, name: graph.node(kind, name, inputs)


def _elu(graph: Writer, layer: CaffeLayer, inputs: list[str], name: str) -> str:
    return graph.node("Elu", name, inputs, alpha=_finite(layer, layer.settings.elu_param.alpha))


KINDS: dict[str, Callable[[Writer, CaffeLayer, list[str], str], str]] = {
    "AbsVal": _unary("Abs"),
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Concat": _concat,
    "Convolution": _convolution,
    "Dropout": _dropout,
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "PReLU": _prelu,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Scale": _scale,
    "Sigmoid": _unary("Sigmoid"),
    "Softmax": _softmax,
    "Split": _same,
    "TanH": _unary("Tanh"),
}
_JOINING = {"Concat", "Eltwise"}


def _sides(layer: CaffeLayer, settings: Any, what: str, default: int) -> tuple[int, int]:
    """Height and width of a setting: `what_h` and `what_w`, or `what` once or twice."""
    named = [f"{what}_h", f"{what}_w"]
    if named[0] in settings.DESCRIPTOR.fields_by_name and any(map(settings.HasField, named)):
        given = [getattr(settings, side) for side in named]
    else:
        given = list(getattr(settings, "kernel_size" if what == "kernel" else what)) or [default]
    _demand(layer, len(given) <= 2, f"{len(given)} numbers for its {what}")
    _demand(layer, what == "pad" or min(given) > 0, f"a {what} of 0")
    return _count(layer, given[0]), _count(layer, given[-1])


def _choice(settings: Any, field: str) -> str:
    """The name of an enumeration's value."""
    values = settings.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    return str(values[getattr(settings, field)].name)


def _count(layer: CaffeLayer, value: int) -> int:
    _demand(layer, value <= _LARGEST, f"a setting of {value}")
    return int(value)


def _finite(layer: CaffeLayer, value: float) -> float:
    _demand(layer, math.isfinite(value), f"a setting of {value}")
    return float(value)


def _demand(layer: CaffeLayer, fulfilled: bool, otherwise: str) -> None:
    if not fulfilled:
        _refuse(layer, otherwise)


def _refuse(layer: CaffeLayer, why: str) -> NoReturn:
    raise NetError(f"layer {layer.name!r} of type {layer.kind} has {why}, which is not known here")
