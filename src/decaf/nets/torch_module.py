"""Turn an ONNX graph into a torch module. Importing this imports torch; nothing else in `nets` does.

The module computes what the graph says, operator by operator, with every parameter under its ONNX name (dots become
slashes, which torch allows in names). It serves training and comparison; engines run networks faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper

from decaf.errors import NetError
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
        NetError: the graph uses an operator that is not in `OPERATORS`; the message lists them.

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
        self._steps = [_Step(node) for node in nodes if node.op_type != "Constant"]
        self._plain: dict[str, Any] = {}
        self._stored: dict[str, str] = {}
        used = {name for step in self._steps for name in step.inputs}
        statistics = {name for step in self._steps if step.kind == "BatchNormalization" for name in step.inputs[3:]}
        for name, value in _constants(model.graph):
            if name in used:
                self._store(name, value, trained=name not in statistics)
        if missing := {step.kind for step in self._steps} - set(OPERATORS):
            known = ", ".join(sorted(OPERATORS))
            raise NetError(f"torch cannot run {', '.join(sorted(missing))} here: it knows {known}")

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

    def _store(self, name: str, value: np.ndarray[Any, Any], *, trained: bool) -> None:
        if not np.issubdtype(value.dtype, np.floating) or not value.ndim:  # shapes and bounds are no parameters
            self._plain[name] = value.tolist()
            return
        stored = self._stored[name] = name.replace(".", "/")
        tensor = torch.from_numpy(value.astype(np.float32))
        if trained:
            self.register_parameter(stored, torch.nn.Parameter(tensor))
        else:
            self.register_buffer(stored, tensor)


class _Step:
    """One node, its attributes as plain values."""

    def __init__(self, node: onnx.NodeProto) -> None:
        self.kind = node.op_type
        self.inputs = list(node.input)
        self.output = node.output[0]
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _constants(graph: onnx.GraphProto) -> list[tuple[str, np.ndarray[Any, Any]]]:
    constants = [(tensor.name, numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant":
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            constants.append((node.output[0], numpy_helper.to_array(attributes["value"]).copy()))
    return constants


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
    kernel = a["kernel_shape"]
    x = _padded(x, _pads(a, x, kernel), float("-inf"))
    return F.max_pool2d(
        x, kernel, a.get("strides", [1, 1]), dilation=a.get("dilations", [1, 1]), ceil_mode=bool(a.get("ceil_mode", 0))
    )


def _average_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel, strides, ceil = a["kernel_shape"], a.get("strides", [1, 1]), bool(a.get("ceil_mode", 0))
    pads = _pads(a, x, kernel)
    summed = F.avg_pool2d(_padded(x, pads), kernel, strides, ceil_mode=ceil)
    if a.get("count_include_pad", 0) or not any(pads):
        return summed
    counted = F.avg_pool2d(_padded(torch.ones_like(x[:1, :1]), pads), kernel, strides, ceil_mode=ceil)
    return summed / counted


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
    low = a["min"] if low is None and "min" in a else low
    high = a["max"] if high is None and "max" in a else high
    return torch.clamp(x, low, high)


def _reshape(a: Attributes, x: Tensor, shape: list[int]) -> Tensor:
    sides = [x.shape[i] if side == 0 and not a.get("allowzero") else side for i, side in enumerate(shape)]
    if sides[0] == 1 and -1 not in sides:  # written for one picture: serve a batch as well
        sides[0] = -1
    return x.reshape(sides)


def _reduce_mean(a: Attributes, x: Tensor, axes: list[int] | None = None) -> Tensor:
    mean: Tensor = x.mean(dim=axes or a["axes"], keepdim=bool(a.get("keepdims", 1)))
    return mean


def _softmax(a: Attributes, x: Tensor) -> Tensor:
    return F.softmax(x, dim=a.get("axis", -1 if x.dim() == 2 else 1))


def _unsqueeze(a: Attributes, x: Tensor, axes: list[int] | None = None) -> Tensor:
    for axis in sorted(axes or a["axes"]):
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
    "Flatten": lambda a, x: x.flatten(a.get("axis", 1)),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda a, x: x.mean(dim=(2, 3), keepdim=True),
    "Identity": lambda a, x: x,
    "LRN": _local_response_norm,
    "MatMul": lambda a, x, y: x @ y,
    "MaxPool": _max_pool,
    "Mul": lambda a, x, y: x * y,
    "ReduceMean": _reduce_mean,
    "Relu": lambda a, x: F.relu(x),
    "Reshape": _reshape,
    "Sigmoid": lambda a, x: torch.sigmoid(x),
    "Softmax": _softmax,
    "Sub": lambda a, x, y: x - y,
    "Sum": lambda a, *xs: sum(xs[1:], xs[0]),
    "Transpose": lambda a, x: x.permute(*a["perm"]),
    "Unsqueeze": _unsqueeze,
}
