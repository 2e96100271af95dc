"""What OpenVINO made of a network: the steps it carries out, in our layers' names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from decaf.nets.catalogue import Layer
from decaf.nets.cut import needed_nodes
from decaf.nets.net import Net

REORDER, OTHER = "reorder", "other"
_OPERATORS = {
    "convolution": "Conv ConvTranspose Convolution GroupConvolution Deconvolution",
    "fully connected": "Gemm MatMul FullyConnected",
    "pooling": "MaxPool AvgPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMean",
    "normalisation": "LRN MVN NormalizeL2 RMS BatchNormalization InstanceNormalization LayerNormalization",
    "activation": "Relu LeakyRelu PRelu Elu Clip Sigmoid HardSigmoid HardSwish Tanh Gelu Softmax",
    REORDER: "Reorder Convert Transpose",
}
KINDS = (*_OPERATORS, OTHER)
"""Kinds of work, as Figure 3(b) of the DeCAF paper sorts layers; reorders change only how numbers lie in memory."""

_MOVES = set(_OPERATORS[REORDER].split())
_KIND_OF = {operator: kind for kind, operators in _OPERATORS.items() for operator in operators.split()}
_NO_WORK = {"Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Concat", "Split", "Slice"}
_AUXILIARY = _NO_WORK | {"QuantizeLinear", "DequantizeLinear"}
_BYTES = {"f64": 8, "i64": 8, "u64": 8, "bf16": 2, "f16": 2, "i16": 2, "u16": 2, "i8": 1, "u8": 1, "boolean": 1}
_MARK = "decaf.layer."  # names that no network uses; its own may hold anything, commas included
_PIXELS = "pixels"


@dataclass(frozen=True)
class Step:
    """One operation that OpenVINO carries out.

    Attributes:
        name: its layer, the one with most multiply-adds where several were fused; `a → b` for a reorder between two
            layers; `pixels` for what turns pixels into the network's input.
        kind: one of `KINDS`.
        merged: the other layers that it computes with it.
        operator: OpenVINO's name of the operation and of the kernel.
        precision: of its arithmetic: f32, bf16, u8 ...
        multiply_adds: for one picture.
        parameters: trained numbers.
        parameter_bytes: in its precision.
        bytes: parameters, and activations read and written, for one batch.
    """

    name: str
    kind: str
    merged: tuple[str, ...]
    operator: str
    precision: str
    multiply_adds: int
    parameters: int
    parameter_bytes: int
    bytes: int


def mark(graph: onnx.ModelProto, net: Net) -> None:
    """Name every node of a graph cut from a net so that `read_steps` knows it again."""
    numbers = {layer.name: number for number, layer in enumerate(net.layers)}
    for node in graph.graph.node:
        number = numbers.get(node.output[0])
        node.name = node.name if number is None else f"{_MARK}{number}"


def read_steps(
    compiled: Any, counters: Sequence[Any], net: Net, asked: Sequence[Layer]
) -> tuple[dict[int, Step], tuple[str, ...]]:
    """What a compiled graph carries out.

    Args:
        compiled: a `mark`ed graph, cut from the net and compiled.
        counters: the profile of one of its requests.
        net: the network.
        asked: the layers it was cut to.

    Returns:
        Index into `counters` -> step, in the order they run; and the layers that cost nothing. Every layer on the way
        to those asked for is in one step or in the latter.
    """
    operations = {op.get_friendly_name(): op for op in compiled.get_runtime_model().get_ops()}
    made = {name for node in needed_nodes(net.model.graph, [layer.name for layer in asked]) for name in node.output}
    on_the_way = {number: layer for number, layer in enumerate(net.layers) if layer.name in made}
    names = _Names(net, on_the_way, {layer.name for layer in asked})
    run = [index for index, counter in enumerate(counters) if counter.status.name == "EXECUTED"]
    owned = names.shared_out([names.of(operations[counters[index].node_name]) for index in run])
    labels = {counters[index].node_name: _main(layers).name for index, layers in zip(run, owned, strict=True) if layers}
    steps = {
        index: _step(counters[index], operations[counters[index].node_name], layers, labels, names)
        for index, layers in zip(run, owned, strict=True)
    }
    busy = {layer.name for layers in owned for layer in layers}
    return steps, tuple(layer.name for layer in on_the_way.values() if layer.name not in busy)


def kind_of(operator: str) -> str:
    """Which of `KINDS` an ONNX operator is."""
    return _KIND_OF.get(operator, OTHER)


class _Names:
    """From OpenVINO's names of operations to layers."""

    def __init__(self, net: Net, layers: Mapping[int, Layer], outputs: set[str]) -> None:
        self._layers = layers
        self._outputs = {layer.name: number for number, layer in layers.items() if layer.name in outputs}
        self._consumers = _consumers(net.model.graph)
        self._numbers = {layer.name: number for number, layer in layers.items()}

    def number(self, name: str) -> int | None:
        """Of the layer whose node an operation comes from."""
        if found := re.match(rf"{re.escape(_MARK)}(\d+)(?=$|[/_])", name):
            return int(found[1])
        return self._outputs.get(name)  # what makes an output is named for it

    def of(self, operation: Any) -> list[str]:
        """Where it comes from; where that is no layer, what follows it without being carried out."""
        originals = _original_names(operation)
        if any(self.number(name) is not None for name in originals) or _said(operation, "layerType") in _MOVES:
            return originals
        following = [after for after in _consumers_of(operation) if _said(after, "execTimeMcs") == "not_executed"]
        return [*originals, *(name for after in following for name in _original_names(after))]

    def label(self, name: str) -> str | None:
        """The name of that layer."""
        number = self.number(name)
        return self._layers[number].name if number is not None and number in self._layers else None

    def shared_out(self, named: Sequence[Sequence[str]]) -> list[list[Layer]]:
        """Give each layer to the first operation that names it, or else to the one that computes what follows."""
        owner: dict[int, int] = {}
        for step, names in enumerate(named):
            for number in map(self.number, names):
                if number is not None and number in self._layers:
                    owner.setdefault(number, step)
        for number in sorted(self._layers.keys() - owner.keys(), reverse=True):
            following = [owner[after] for after in self._after(number) if after in owner]
            if following and self._layers[number].kind not in _NO_WORK:
                owner[number] = following[0]
        return [
            [self._layers[number] for number in sorted(owner) if owner[number] == step] for step in range(len(named))
        ]

    def _after(self, number: int) -> list[int]:
        names = self._consumers.get(self._layers[number].name, ())
        return [self._numbers[name] for name in names if name in self._numbers]


def _consumers(graph: onnx.GraphProto) -> dict[str, list[str]]:
    """Tensor -> the tensors that are made from it."""
    found: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).extend(node.output)
    return found


def _step(counter: Any, operation: Any, layers: Sequence[Layer], labels: Mapping[str, str], names: _Names) -> Step:
    precision = _said(operation, "runtimePrecision")
    kind = _KIND_OF.get(counter.node_type)
    if kind == REORDER and not layers:
        name = " → ".join((_source(operation, labels, names), _target(operation, labels, names)))
    else:
        name = _main(layers).name if layers else _unnamed(operation, names)
        kind = kind or (kind_of(_main(layers).kind) if layers else OTHER)
    parameters = sum(layer.parameters for layer in layers)
    parameter_bytes = parameters * _BYTES.get(precision, 4)
    return Step(
        name=name,
        kind=kind or OTHER,
        merged=tuple(layer.name for layer in layers if layer.name != name),
        operator=f"{counter.node_type} {counter.exec_type}",
        precision=precision,
        multiply_adds=sum(layer.multiply_adds for layer in layers),
        parameters=parameters,
        parameter_bytes=parameter_bytes,
        bytes=parameter_bytes + _activation_bytes(operation),
    )


def _main(layers: Sequence[Layer]) -> Layer:
    return max(layers, key=lambda layer: (layer.multiply_adds, layer.kind not in _AUXILIARY))


def _original_names(operation: Any) -> list[str]:
    return [operation.get_friendly_name(), *_said(operation, "originalLayersNames").split(",")]


def _said(operation: Any, what: str) -> str:
    """What OpenVINO notes about an operation."""
    return str(operation.get_rt_info()[what].value)


def _unnamed(operation: Any, names: _Names) -> str:
    """What to call a step that computes no layer, or a further part of one that has its step already."""
    originals = _original_names(operation)
    part_of = next((label for name in originals if (label := names.label(name))), None)
    if part_of:
        return f"{part_of} (further part)"
    first = any(_said(source.get_node(), "layerType") == "Input" for source in _sources(operation))
    ours = first or any(name.startswith("decaf.") for name in originals)
    return _PIXELS if ours else str(operation.get_friendly_name())


def _source(operation: Any, labels: Mapping[str, str], names: _Names) -> str:
    before = _sources(operation)
    return _called(before[0].get_node(), labels, names) if before else "?"


def _target(operation: Any, labels: Mapping[str, str], names: _Names) -> str:
    after = _consumers_of(operation)
    return _called(after[0], labels, names) if after else "?"


def _sources(operation: Any) -> list[Any]:
    """The outputs of other operations that it reads."""
    return [value.get_source_output() for value in operation.inputs()]


def _consumers_of(operation: Any) -> list[Any]:
    return [value.get_node() for output in operation.outputs() for value in output.get_target_inputs()]


def _called(operation: Any, labels: Mapping[str, str], names: _Names) -> str:
    name = operation.get_friendly_name()
    if _said(operation, "layerType") == "Output":
        return "output"
    return labels.get(name) or names.label(name) or _unnamed(operation, names)


def _activation_bytes(operation: Any) -> int:
    read = [source for source in _sources(operation) if not _is_constant(source.get_node())]
    return sum(map(_tensor_bytes, [*read, *operation.outputs()]))


def _is_constant(operation: Any) -> bool:
    """Whether it is computed once, from parameters."""
    if _said(operation, "layerType") == "Const":
        return True
    sources = _sources(operation)
    return bool(sources) and all(_is_constant(source.get_node()) for source in sources)


def _tensor_bytes(output: Any) -> int:
    shape = output.get_partial_shape()
    if not shape.is_static:
        return 0
    precisions = _said(output.get_node(), "outputPrecisions").split(",")
    numbers: int = math.prod(shape.to_shape())
    return numbers * _BYTES.get(precisions[output.get_index() % len(precisions)], 4)
