"""Turn an ONNX graph into a torch module. Importing this imports torch; nothing else in `nets` does.

The module computes what the graph says, operator by operator, with every parameter under its ONNX name (dots become
slashes, which torch allows in names). It serves training and comparison; engines run networks faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import numpy_helper

from decaf.errors import NetError, UnknownName
from decaf.nets.catalogue import image_input
from decaf.nets.cut import needed_nodes

Tensor = torch.Tensor
Attributes = Mapping[str, Any]


class OnnxModule(torch.nn.Module):
    """A torch module that computes layers of an ONNX graph.

    Args:
        model: the graph, in the operators of `OPERATORS`.
        layers: tensors to return; the graph's outputs by default.

    Raises:
        NetError: the graph uses an operator that is not in `OPERATORS` (the message lists them), or is malformed.
        UnknownName: the graph has no such layer.

    Example:
        >>> module = OnnxModule(load_net("efficientnet-lite0").model, ["pool"])
        >>> module(torch.zeros(1, 3, 224, 224))["pool"].shape
        torch.Size([1, 1280])
    """

    def __init__(self, model: onnx.ModelProto, layers: Sequence[str] | None = None) -> None:
        super().__init__()
        self.layers = list(layers or [value.name for value in model.graph.output])
        self._input = image_input(model).name
        nodes = needed_nodes(model.graph, self.layers)
        opset = max((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), default=1)
        self._steps = [_Step(node, opset) for node in nodes if node.op_type != "Constant"]
        if missing := {step.kind for step in self._steps} - set(OPERATORS):
            known = ", ".join(sorted(OPERATORS))
            raise NetError(f"torch cannot run {', '.join(sorted(missing))} here: it knows {known}")
        if unknown := set(self.layers) - {step.output for step in self._steps}:
            raise UnknownName(f"the graph has no layer {', '.join(sorted(unknown))}: `decaf layers` lists those it has")
        self._plain: dict[str, Any] = {}
        self._stored: dict[str, str] = {}
        used = {name for step in self._steps for name in step.inputs}
        statistics = {name for step in self._steps if step.kind == "BatchNormalization" for name in step.inputs[3:]}
        for name, value in _constants(model.graph, used):
            self._store(name, value, trained=name not in statistics)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Compute the layers.

        Args:
            x: (n, 3, side, side) float, already scaled as the network expects.

        Returns:
            Layer name -> tensor with n rows.
        """
        values: dict[str, Any] = {self._input: x, **self._plain}
        values |= {name: getattr(self, stored) for name, stored in self._stored.items()}
        for step in self._steps:
            inputs = [values[name] if name else None for name in step.inputs]
            values[step.output] = OPERATORS[step.kind](step.attributes, *inputs)
        return {layer: values[layer] for layer in self.layers}

    def _store(self, name: str, value: NDArray[Any], *, trained: bool) -> None:
        if not np.issubdtype(value.dtype, np.floating) or not value.ndim:  # shapes and bounds are no parameters
            self._plain[name] = value.tolist()
            return
        stored = name.replace(".", "/")
        while hasattr(self, stored):  # another parameter, or an attribute of torch's own
            stored += "/"
        self._stored[name] = stored
        tensor = torch.from_numpy(value.astype(np.float32))
        if trained:
            self.register_parameter(stored, torch.nn.Parameter(tensor))
        else:
            self.register_buffer(stored, tensor)


class _Step:
    """One node, its attributes as plain values."""

    def __init__(self, node: onnx.NodeProto, opset: int) -> None:
        self.kind = node.op_type
        self.inputs = list(node.input)
        self.output = node.output[0]
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} | {"opset": opset}


def _constants(graph: onnx.GraphProto, used: Container[str]) -> Iterator[tuple[str, NDArray[Any]]]:
    for tensor in graph.initializer:
        if tensor.name in used:
            yield tensor.name, _to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in used:
            value = onnx.helper.get_attribute_value(node.attribute[0])
            is_tensor = isinstance(value, onnx.TensorProto)
            yield node.output[0], _to_array(value) if is_tensor else _plain_array(node.attribute[0].name, value)


def _to_array(tensor: onnx.TensorProto) -> NDArray[Any]:
    try:
        return numpy_helper.to_array(tensor).copy()
    except (ValueError, KeyError, TypeError) as error:
        raise NetError(
            f"parameter {tensor.name} is malformed ({error}): export or download the network again"
        ) from None


def _plain_array(name: str, value: Any) -> NDArray[Any]:
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if name not in kinds:
        raise NetError(f"torch cannot take a constant of kind {name} here: it knows tensors and {', '.join(kinds)}")
    return np.array(value, kinds[name])


def _pads(attributes: Attributes, x: Tensor, kernel: Sequence[int]) -> list[int]:
    """(top, left, bottom, right) zeros."""
    strides = attributes.get("strides", [1, 1])
    dilations = attributes.get("dilations", [1, 1])
    if (rule := attributes.get("auto_pad", b"NOTSET")) not in (b"SAME_UPPER", b"SAME_LOWER"):
        return list(attributes.get("pads", [0, 0, 0, 0]))
    totals = []
    for side, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        totals.append(max((-(-side // s) - 1) * s + (k - 1) * d + 1 - side, 0))
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return small + large if rule == b"SAME_UPPER" else large + small


def _padded(x: Tensor, pads: Sequence[int], value: float = 0.0) -> Tensor:
    top, left, bottom, right = pads
    return F.pad(x, (left, right, top, bottom), value=value) if any(pads) else x


def _conv(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    top, left, bottom, right = pads = _pads(a, x, weight.shape[2:])
    symmetric = (top, left) == (bottom, right)
    x = x if symmetric else _padded(x, pads)
    padding = (top, left) if symmetric else (0, 0)
    stride, dilation = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    return F.conv2d(x, weight, bias, stride, padding, dilation, a.get("group", 1))


def _max_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel, strides, dilations = _window(a)
    x = _padded(x, _pads(a, x, kernel), float("-inf"))
    x = F.pad(x, _overhang(a, x), value=float("-inf"))
    return F.max_pool2d(x, kernel, strides, dilation=dilations)


def _average_pool(a: Attributes, x: Tensor) -> Tensor:
    """The mean over the part of each window that counts: the picture, and its padding where the graph says so."""
    kernel, strides, dilations = _window(a)
    if any(dilation != 1 for dilation in dilations):
        raise NetError("torch cannot run AveragePool with dilations here: leave that layer out")
    pads = _pads(a, x, kernel)
    padded, counted = _padded(x, pads), torch.ones_like(x[:1, :1])
    counted = _padded(counted, pads, 1.0 if a.get("count_include_pad", 0) else 0.0)
    overhang = _overhang(a, padded)
    summed, parts = (F.avg_pool2d(F.pad(tensor, overhang), kernel, strides) for tensor in (padded, counted))
    return summed / parts


def _window(a: Attributes) -> tuple[list[int], list[int], list[int]]:
    return a["kernel_shape"], a.get("strides", [1, 1]), a.get("dilations", [1, 1])


def _overhang(a: Attributes, padded: Tensor) -> list[int]:
    """How far windows reach beyond the padded picture on the right and below, where `ceil_mode` keeps them."""
    if not a.get("ceil_mode", 0):
        return [0, 0, 0, 0]
    beyond = []
    ends = a.get("pads", [0, 0, 0, 0])[2:]
    for side, end, k, s, d in zip(padded.shape[2:], ends, *_window(a), strict=True):
        reach = (k - 1) * d + 1
        count = -(-(side - reach) // s) + 1
        if (count - 1) * s >= side - end:  # such a window would start in the padding
            count -= 1
        beyond.append(max((count - 1) * s + reach - side, 0))
    return [0, beyond[1], 0, beyond[0]]


def _gemm(a: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    x = x.t() if a.get("transA") else x
    weight = weight if a.get("transB") else weight.t()
    product: Tensor = F.linear(x, weight) * a.get("alpha", 1.0)
    return product if bias is None else product + a.get("beta", 1.0) * bias


def _batch_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return F.batch_norm(x, mean, var, scale, bias, training=False, eps=a.get("epsilon", 1e-5))


def _local_response_norm(a: Attributes, x: Tensor) -> Tensor:
    """x / (bias + alpha/size * sum of squares over `size` channels)^beta; even sizes start nearer, as ONNX defines."""
    size = a["size"]
    squares = F.pad(x * x, (0, 0, 0, 0, (size - 1) // 2, size // 2)).unsqueeze(1)
    mean = F.avg_pool3d(squares, (size, 1, 1), stride=1).squeeze(1)
    power: Tensor = (a.get("bias", 1.0) + a.get("alpha", 1e-4) * mean) ** a.get("beta", 0.75)
    return x / power


def _clip(a: Attributes, x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    low, high = a.get("min", low), a.get("max", high)
    return x if low is None and high is None else torch.clamp(x, low, high)


def _flatten(a: Attributes, x: Tensor) -> Tensor:
    """To a matrix: the axes before `axis`, and the rest."""
    axis = a.get("axis", 1)
    rows = math.prod(x.shape[: axis if axis >= 0 else x.dim() + axis])
    return x.reshape(rows, -1)


def _reshape(a: Attributes, x: Tensor, shape: list[int]) -> Tensor:
    sides = [x.shape[i] if side == 0 and not a.get("allowzero") else side for i, side in enumerate(shape)]
    if sides[0] == 1 and -1 not in sides:  # written for one picture: serve a batch as well
        sides[0] = -1
    elif sides[0] == 1 and x.dim() == 4:
        sides[0] = x.shape[0]
    return x.reshape(sides)


def _pad(
    a: Attributes, x: Tensor, pads: list[int], value: float | None = None, axes: list[int] | None = None
) -> Tensor:
    if a.get("mode", b"constant") != b"constant" or axes is not None:
        raise NetError("torch cannot run Pad here but with a constant, on all axes: leave that layer out")
    befores, afters = pads[: x.dim()], pads[x.dim() :]
    pairs = zip(reversed(befores), reversed(afters), strict=True)
    return F.pad(x, [side for pair in pairs for side in pair], value=value or 0.0)


def _reduce_mean(a: Attributes, x: Tensor, axes: list[int] | None = None) -> Tensor:
    if not axes and a.get("noop_with_empty_axes"):
        return x
    chosen = axes or a.get("axes") or list(range(x.dim()))
    mean: Tensor = x.mean(dim=chosen, keepdim=bool(a.get("keepdims", 1)))
    return mean


def _softmax(a: Attributes, x: Tensor) -> Tensor:
    if a["opset"] >= 13:
        return F.softmax(x, dim=a.get("axis", -1))
    return F.softmax(_flatten({"axis": a.get("axis", 1)}, x), dim=1).reshape(x.shape)


def _unsqueeze(a: Attributes, x: Tensor, axes: list[int] | None = None) -> Tensor:
    chosen = axes or a["axes"]
    rank = x.dim() + len(chosen)
    for axis in sorted(axis % rank for axis in chosen):
        x = x.unsqueeze(axis)
    return x


OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": lambda a, x, y: x + y,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda a, *xs: torch.cat(xs, dim=a["axis"]),
    "Conv": _conv,
    "Div": lambda a, x, y: x / y,
    "Dropout": lambda a, x, *_: x,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda a, x: x.mean(dim=(2, 3), keepdim=True),
    "Identity": lambda a, x: x,
    "LRN": _local_response_norm,
    "MatMul": lambda a, x, y: x @ y,
    "MaxPool": _max_pool,
    "Mul": lambda a, x, y: x * y,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": lambda a, x: F.relu(x),
    "Reshape": _reshape,
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Softmax": _softmax,
    "Sub": lambda a, x, y: x - y,
    "Sum": lambda a, *xs: sum(xs[1:], xs[0]),
    "Transpose": lambda a, x: x.permute(*a.get("perm", range(x.dim())[::-1])),
    "Unsqueeze": _unsqueeze,
}
