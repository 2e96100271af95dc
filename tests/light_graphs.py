"""The graphs that the ONNX package carries of published networks, as files of the kind that is published.

There every parameter is made by a node, all values alike. Here they are stored and random, and inputs as well, as in
files of that time; and the network is an eighth as wide, the same graph in a fiftieth of the time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NARROWER = 8


def published_file(name: str, seed: int = 2, narrower: int = NARROWER) -> onnx.ModelProto:
    """A network with random parameters in the graph of `light_{name}.onnx`, narrow unless told otherwise."""
    model = onnx.load(FOLDER / f"light_{name}.onnx")
    graph = model.graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made = {node.output[0]: stored[node.input[0]] for node in graph.node if node.op_type == "ConstantOfShape"}
    shapes = {name: tuple(shape) for name, shape in made.items()}
    shapes |= {name: value.shape for name, value in stored.items() if value.dtype == np.float32}
    random = np.random.default_rng(seed)
    spread = _spreads(graph)
    drawn = {name: _draw(random, spread.get(name, "bias"), _narrow(shape, narrower)) for name, shape in shapes.items()}
    used = {name for node in graph.node if node.op_type == "Reshape" for name in node.input[1:]}
    targets = {name: np.array(_narrow_all(stored[name], narrower), np.int64) for name in used}
    picture = [value for value in graph.input if value.name.endswith("data_0")]
    parameters = [numpy_helper.from_array(value, name) for name, value in {**drawn, **targets}.items()]
    inputs = [*picture, *(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in parameters)]
    nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    outputs = [
        helper.make_tensor_value_info(
            value.name, 1, [1, 1000 // narrower, *[1] * (len(value.type.tensor_type.shape.dim) - 2)]
        )
        for value in graph.output
    ]
    fresh = helper.make_graph(nodes, name, inputs, outputs, parameters)
    return helper.make_model(fresh, opset_imports=model.opset_import, ir_version=3)


def _spreads(graph: onnx.GraphProto) -> dict[str, str]:
    """What some parameters are: kernels, scales (and variances) near 1; the others are biases."""
    kinds: dict[str, str] = {}
    factors = {name for node in graph.node if node.op_type == "Mul" for name in node.input}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            kinds[node.input[1]] = "kernel"
        elif node.op_type == "BatchNormalization":
            kinds |= {node.input[1]: "scale", node.input[4]: "scale"}
        elif node.op_type == "Unsqueeze" and node.output[0] in factors:
            kinds[node.input[0]] = "scale"
    return kinds


def _draw(random: np.random.Generator, kind: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if kind == "scale":
        values = random.uniform(0.5, 1.1, shape)
    elif kind == "kernel":
        values = random.normal(0, np.sqrt(1.8 / np.prod(shape[1:])), shape) * (0.1 if shape[0] in (125, 1000) else 1)
    else:
        values = random.normal(0, 0.02, shape)
    return values.astype(np.float32)


def _narrow(shape: tuple[int, ...], narrower: int) -> tuple[int, ...]:
    """Channels are the first two axes, or the last two of a matrix stored as a kernel; the picture's three stay."""
    if shape[:2] == (1, 1):
        return (1, 1, *_narrow_all(np.array(shape[2:]), narrower))
    return (*_narrow_all(np.array(shape[:2]), narrower), *map(int, shape[2:]))


def _narrow_all(sides: NDArray[np.int64], narrower: int) -> tuple[int, ...]:
    return tuple(int(side) // narrower if side % narrower == 0 else int(side) for side in sides)
