"""Write an ONNX graph layer by layer, under the names people know."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from decaf.errors import NetError
from decaf.nets.fill import Parameters, Shape
from decaf.nets.model_file import without_parameters

# Fixed so that the same parameters give the same bytes: opset 17 is read by every engine we name.
_OPSET = 17
_IR_VERSION = 9

Pair = int | tuple[int, int]  # of height and width; one number means both
Pads = int | tuple[int, int, int, int]  # top, left, bottom, right; one number means all


class GraphBuilder:
    """Collects nodes and parameters; every method appends one layer and returns the name of its output tensor.

    The shape of every tensor is known while building (`shape`), so a layer is told only what it makes. Parameters are
    asked of `parameters` by name and shape: `conv1.weight` (out, in / group, kh, kw), `conv1.bias` (out,),
    `fc6.weight` (out, in). A layer takes those of its own name, or of `source`, where the parameters' names differ.

    Args:
        name: of the graph.
        parameters: where the values come from; see `decaf.nets.fill`.
        shape: of the input, (channels, height, width).
    """

    def __init__(self, name: str, parameters: Parameters, shape: tuple[int, int, int]) -> None:
        self.name = name
        self.input = "data"
        self._parameters = parameters
        self._shapes: dict[str, Shape] = {self.input: shape}
        opset = helper.make_opsetid("", _OPSET)
        empty = helper.make_graph([], name, [], [])
        self._model = helper.make_model(empty, producer_name="decaf", opset_imports=[opset], ir_version=_IR_VERSION)
        self._graph = self._model.graph
        self._constants: set[str] = set()

    def shape(self, x: str) -> Shape:
        """Of a tensor, without the batch axis: (channels, height, width) or (channels,)."""
        return self._shapes[x]

    def conv(
        self,
        x: str,
        name: str,
        filters: int,
        kernel: Pair,
        *,
        stride: Pair = 1,
        pads: Pads = 0,
        group: int = 1,
        dilation: Pair = 1,
        bias: bool = True,
        source: str | None = None,
    ) -> str:
        """Correlation with `filters` kernels; what is left at the right and below is dropped (floor)."""
        channels, *sides = self._image(x, name)
        if min(group, filters) < 1 or channels % group or filters % group:
            raise NetError(f"layer {name!r}: {channels} channels and {filters} filters do not divide by group {group}")
        kernels, strides, dilations, edges = _pair(kernel), _pair(stride), _pair(dilation), _edges(pads)
        made = [
            _steps(name, side + edges[axis] + edges[axis + 2], (kernels[axis] - 1) * dilations[axis] + 1, strides[axis])
            for axis, side in enumerate(sides)
        ]
        weight = self._parameter(f"{name}.weight", f"{source or name}.weight", (filters, channels // group, *kernels))
        inputs = [x, weight, *self._bias(name, source, filters, bias)]
        options = {} if dilations == (1, 1) else {"dilations": dilations}
        return self.node(
            "Conv",
            name,
            inputs,
            (filters, *made),
            strides=strides,
            pads=edges,
            group=group,
            kernel_shape=kernels,
            **options,
        )

    def batch_norm(self, x: str, name: str, epsilon: float, source: str | None = None) -> str:
        """Batch normalisation with stored statistics, under the names torch gives them in module `source`."""
        parts = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
        shape = self.shape(x)[:1]
        inputs = [
            self._parameter(f"{name}.{ours}", f"{source or name}.{theirs}", shape) for ours, theirs in parts.items()
        ]
        return self.node("BatchNormalization", name, [x, *inputs], epsilon=epsilon)

    def relu(self, x: str, name: str) -> str:
        """max(x, 0)."""
        return self.node("Relu", name, [x])

    def relu6(self, x: str, name: str) -> str:
        """min(max(x, 0), 6)."""
        low, high = self.constant("relu6.low", np.float32(0)), self.constant("relu6.high", np.float32(6))
        return self.node("Clip", name, [x, low, high])

    def max_pool(self, x: str, name: str, kernel: Pair, *, stride: Pair = 1, pads: Pads = 0, ceil: bool = True) -> str:
        """Maximum over windows. With `ceil`, as in Caffe, a window may reach over the right and lower edge."""
        sides, edges, over = self._windows(x, name, kernel, stride, pads, ceil)
        return self._pool(
            "MaxPool", x, name, sides, kernel, stride, [*edges[:2], edges[2] + over[0], edges[3] + over[1]]
        )

    def average_pool(
        self, x: str, name: str, kernel: Pair, *, stride: Pair = 1, pads: Pads = 0, ceil: bool = True
    ) -> str:
        """Mean over windows, as in Caffe: padding counts as zeros, what `ceil` reaches over the edge does not count."""
        sides, edges, over = self._windows(x, name, kernel, stride, pads, ceil)
        if any(over) and any(edges):  # two kinds of padding, which ONNX counts alike: the zeros become real ones
            x = self._zero_padded(x, f"{name}.padded", edges)
            edges = [0, 0, 0, 0]
        counted = {"count_include_pad": 1} if any(edges) else {}
        reach = [*edges[:2], edges[2] + over[0], edges[3] + over[1]]
        return self._pool("AveragePool", x, name, sides, kernel, stride, reach, **counted)

    def lrn(self, x: str, name: str, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> str:
        """Local response normalisation over channels: x / (bias + alpha / size * sum of squares) ** beta.

        As in Caffe and decaf; cuda-convnet stores alpha / size. The sum is over `size` channels, an odd number.
        """
        if size < 1 or size % 2 == 0:
            raise NetError(f"layer {name!r} normalises over {size} channels: an odd number is needed")
        return self.node("LRN", name, [x], size=size, alpha=alpha, beta=beta, bias=bias)

    def add(self, a: str, b: str, name: str) -> str:
        """Sum of two tensors of one shape."""
        if self.shape(a) != self.shape(b):
            raise NetError(f"layer {name!r} adds {self.shape(a)} and {self.shape(b)}: the shapes must be equal")
        return self.node("Add", name, [a, b])

    def concat(self, inputs: Sequence[str], name: str) -> str:
        """Tensors one after the other along their channels."""
        shapes = [self.shape(x) for x in inputs]
        if len({shape[1:] for shape in shapes}) != 1:
            raise NetError(f"layer {name!r} joins {', '.join(map(str, shapes))}: all but the channels must be equal")
        return self.node("Concat", name, list(inputs), (sum(shape[0] for shape in shapes), *shapes[0][1:]), axis=1)

    def flatten(self, x: str, name: str) -> str:
        """(n, c, h, w) -> (n, c * h * w), channel first."""
        return self.node("Flatten", name, [x], (math.prod(self.shape(x)),), axis=1)

    def global_average(self, x: str, name: str) -> str:
        """(n, c, h, w) -> (n, c): the mean over positions."""
        channels = self._image(x, name)[0]
        pooled = self.node("GlobalAveragePool", f"{name}.average", [x], (channels, 1, 1))
        return self.flatten(pooled, name)

    def linear(self, x: str, name: str, size: int, *, bias: bool = True, source: str | None = None) -> str:
        """x W^T + b, with W of shape (size, in) as torch stores it; an input with positions is flattened first."""
        if len(self.shape(x)) > 1:
            x = self.flatten(x, f"{name}.flatten")
        weight = self._parameter(f"{name}.weight", f"{source or name}.weight", (size, *self.shape(x)))
        return self.node("Gemm", name, [x, weight, *self._bias(name, source, size, bias)], (size,), transB=1)

    def softmax(self, x: str, name: str) -> str:
        """Probabilities over the channels."""
        return self.node("Softmax", name, [x], axis=-1 if len(self.shape(x)) == 1 else 1)

    def finish(self, output: str, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The checked model: input `data` (N, channels, height, width) float32, output (N, ...)."""
        inputs, outputs = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *self.shape(name)])]
            for name in (self.input, output)
        )
        self._graph.input.extend(inputs)
        self._graph.output.extend(outputs)
        helper.set_model_props(self._model, dict(metadata))
        # The check copies what it is given more than once: the parameters, which are large, are kept from it.
        onnx.checker.check_model(without_parameters(self._model, inputs), full_check=True)
        return self._model

    def node(self, kind: str, name: str, inputs: list[str], shape: Shape | None = None, **attributes: Any) -> str:
        """Any ONNX operator with one output, called `name`; its shape is that of the first input where not given."""
        self._graph.node.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        self._shapes[name] = self._shapes[inputs[0]] if shape is None else shape
        return name

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """A tensor that is no parameter, such as a bound; one of that name is written once."""
        if name not in self._constants:
            self._constants.add(name)
            array = np.asarray(value)
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            values = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
            self._graph.initializer.add(name=name, dims=array.shape, data_type=kind, raw_data=values)  # one copy less
        return name

    def _parameter(self, name: str, source: str, shape: Shape) -> str:
        return self.constant(name, np.asarray(self._parameters(source, shape), np.float32))

    def _bias(self, name: str, source: str | None, size: int, wanted: bool) -> list[str]:
        return [self._parameter(f"{name}.bias", f"{source or name}.bias", (size,))] if wanted else []

    def _image(self, x: str, name: str) -> Shape:
        shape = self.shape(x)
        if len(shape) != 3:
            raise NetError(f"layer {name!r} needs (channels, height, width), {x!r} has {shape}")
        return shape

    def _windows(
        self, x: str, name: str, kernel: Pair, stride: Pair, pads: Pads, ceil: bool
    ) -> tuple[list[int], list[int], list[int]]:
        """Output height and width, the four pads, and how far the last window reaches over the lower and right one."""
        edges, made, over = _edges(pads), [], []
        for axis, side in enumerate(self._image(x, name)[1:]):
            k, step, before, after = _pair(kernel)[axis], _pair(stride)[axis], edges[axis], edges[axis + 2]
            if max(before, after) >= k:
                raise NetError(f"layer {name!r} pads by {max(before, after)}, its windows of {k} must be larger")
            count = _steps(name, side + before + after, k, step)
            if ceil:
                count = _caffe_steps(side, k, step, before, after)
            made.append(count)
            over.append(max((count - 1) * step + k - side - before - after, 0))
        return made, edges, over

    def _pool(
        self, kind: str, x: str, name: str, sides: list[int], kernel: Pair, stride: Pair, pads: list[int], **more: Any
    ) -> str:
        shape = (self.shape(x)[0], *sides)
        return self.node(kind, name, [x], shape, kernel_shape=_pair(kernel), strides=_pair(stride), pads=pads, **more)

    def _zero_padded(self, x: str, name: str, edges: list[int]) -> str:
        channels, height, width = self.shape(x)
        pads = self.constant(f"{name}.pads", np.array([0, 0, *edges[:2], 0, 0, *edges[2:]], np.int64))
        return self.node("Pad", name, [x, pads], (channels, height + edges[0] + edges[2], width + edges[1] + edges[3]))


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _edges(pads: Pads) -> list[int]:
    return [pads] * 4 if isinstance(pads, int) else list(pads)


def _steps(name: str, side: int, kernel: int, stride: int) -> int:
    """How many whole windows fit."""
    if kernel < 1 or stride < 1 or side < kernel:
        raise NetError(f"layer {name!r} has windows of {kernel} px every {stride} px, its input has {side} px")
    return (side - kernel) // stride + 1


def _caffe_steps(side: int, kernel: int, stride: int, before: int, after: int) -> int:
    """Windows of a pooling layer in Caffe: as many as reach every pixel; none starts in the lower or right padding."""
    count = -(-(side + before + after - kernel) // stride) + 1
    return count - 1 if (count - 1) * stride >= side + before else count
