"""Write an ONNX graph layer by layer, under the names people know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# Fixed so that the same parameters give the same bytes: opset 17 is read by every engine we name.
_OPSET = 17
_IR_VERSION = 9


class GraphBuilder:
    """Collects nodes and parameters; every method appends one layer and returns the name of its output tensor.

    Parameters are looked up in `parameters` by name, so that a missing one is found while building, and
    a misshapen one by `finish`.
    """

    def __init__(self, name: str, parameters: Mapping[str, NDArray[np.float32]], input_side: int) -> None:
        self.name = name
        self.input = "data"
        self._parameters = parameters
        self._side = input_side
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []

    def conv(
        self, x: str, name: str, weight: str, stride: int = 1, pads: tuple[int, int] = (0, 0), group: int = 1
    ) -> str:
        """Convolution without bias. `pads`: zeros before and after, the same in both directions."""
        before, after = pads
        return self._add(
            "Conv",
            name,
            [x, self._parameter(f"{name}.weight", weight)],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=group,
            kernel_shape=list(self._parameters[weight].shape[2:]),
        )

    def batch_norm(self, x: str, name: str, source: str, epsilon: float) -> str:
        """Batch normalisation with stored statistics; `source` is the torch module's name."""
        parts = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
        inputs = [self._parameter(f"{name}.{ours}", f"{source}.{theirs}") for ours, theirs in parts.items()]
        return self._add("BatchNormalization", name, [x, *inputs], epsilon=epsilon)

    def relu6(self, x: str, name: str) -> str:
        """min(max(x, 0), 6)."""
        low, high = self._constant("relu6.low", np.float32(0)), self._constant("relu6.high", np.float32(6))
        return self._add("Clip", name, [x, low, high])

    def add(self, a: str, b: str, name: str) -> str:
        """Sum of two tensors of one shape."""
        return self._add("Add", name, [a, b])

    def global_average(self, x: str, name: str) -> str:
        """(n, c, h, w) -> (n, c): the mean over positions."""
        pooled = self._add("GlobalAveragePool", f"{name}.average", [x])
        return self._add("Flatten", name, [pooled], axis=1)

    def linear(self, x: str, name: str, weight: str, bias: str) -> str:
        """x W^T + b, with `weight` of shape (out, in) as torch stores it."""
        inputs = [x, self._parameter(f"{name}.weight", weight), self._parameter(f"{name}.bias", bias)]
        return self._add("Gemm", name, inputs, transB=1)

    def softmax(self, x: str, name: str) -> str:
        """Probabilities over the last axis."""
        return self._add("Softmax", name, [x], axis=-1)

    def finish(self, output: str, output_size: int, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The checked model: input `data` (N, 3, side, side) float32, output (N, output_size)."""
        side = self._side
        graph = helper.make_graph(
            self._nodes,
            self.name,
            [helper.make_tensor_value_info(self.input, TensorProto.FLOAT, ["N", 3, side, side])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", output_size])],
            self._initializers,
        )
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, producer_name="decaf", opset_imports=[opset], ir_version=_IR_VERSION)
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _add(self, kind: str, name: str, inputs: list[str], **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def _parameter(self, name: str, source: str) -> str:
        return self._constant(name, self._parameters[source])

    def _constant(self, name: str, value: NDArray[np.float32] | np.float32) -> str:
        if name not in {tensor.name for tensor in self._initializers}:
            self._initializers.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name
