"""The shape of a network's graph, as a few rows that people can take in: chains, branches and what repeats."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import onnx

from decaf.nets.catalogue import Layer, image_input, nodes_on_the_way
from decaf.nets.net import Net

# Operators that people count as a part of the layer before them.
_PARTS = {
    *("BatchNormalization", "Relu", "LeakyRelu", "PRelu", "Elu", "Clip", "HardSwish", "Gelu", "Tanh", "Sigmoid"),
    *("Dropout", "Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Mul", "Div", "Add", "Sub"),
}
_ARITHMETIC = {"Mul": "scale", "Div": "scale", "Add": "shift", "Sub": "shift"}  # by a constant: a part as well
_UNNAMED = {"Dropout", "Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast"}
_SHORT = {"BatchNormalization": "bn", "Clip": "clip", "LeakyRelu": "leaky relu", "HardSwish": "hard swish"}
_POOLS = {"MaxPool": "max", "AveragePool": "mean", "GlobalAveragePool": "global mean", "GlobalMaxPool": "global max"}
_JOINS = {"Add": "+", "Sum": "+", "Mul": "x", "Concat": "concat"}
_FEWEST_ALIKE = 4  # single layers that do the same and are drawn once
_LONGEST_CHAIN = 12  # units of a branch; a longer one is a lump


@dataclass(frozen=True)
class Unit:
    """A layer with what belongs to it.

    Attributes:
        layers: the layer, and its batch normalisation, activation and the like.
        text: what it does, such as `3x3 /2, 64`.
        parts: of what belongs to it, such as `bn, relu`.
    """

    layers: tuple[Layer, ...]
    text: str
    parts: str = ""

    @property
    def kind(self) -> str:
        """The operator of the layer itself."""
        return self.layers[0].kind

    @property
    def signature(self) -> str:
        """Equal for units that do the same."""
        return f"{self.text}/{self.parts}"


@dataclass(frozen=True)
class Lump:
    """Layers that are tied together in a way that no row can show."""

    layers: tuple[Layer, ...]

    @property
    def signature(self) -> str:
        """Equal for lumps of as many layers."""
        return f"lump {len(self.layers)}"


@dataclass(frozen=True)
class Branches:
    """Ways that part after one unit and meet in another. `skip`: one of them is what they started from, unchanged."""

    lanes: tuple[Chain, ...]
    skip: bool
    join: Unit

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Of all lanes, and of the join."""
        return (*(layer for lane in self.lanes for part in lane for layer in part.layers), *self.join.layers)

    @property
    def signature(self) -> str:
        """Equal for branches that do the same."""
        return f"({'|'.join(map(signature, self.lanes))}|{self.skip}){self.join.signature}"


Part = Unit | Lump | Branches
Chain = tuple[Part, ...]


@dataclass(frozen=True)
class Row:
    """A part of a network that is one thing.

    Attributes:
        names: of the layer or block; several where it repeats.
        chain: what it consists of, once.
        layers: all of them.
        side: layers that are computed from here and lead nowhere else.
    """

    names: tuple[str, ...]
    chain: Chain
    layers: tuple[Layer, ...]
    side: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of what it hands on."""
        return self.layers[-1].shape


def signature(chain: Iterable[Part]) -> str:
    """Equal for chains that do the same."""
    return ">".join(part.signature for part in chain)


def outline(net: Net) -> tuple[Row, ...]:
    """A network as rows: blocks by name (`block2.expand`, `fire2/concat`), else what lies between two bottlenecks.

    Rows in sequence that do the same become one. Layers that do not lead to the net's output stand beside the row they
    branch off from.
    """
    layers = {layer.name: layer for layer in net.layers}
    parents = _parents(net.model.graph, image_input(net.model).name, layers)
    main = _leading_to([layers[name] for name in layers], parents)
    units, tied = _units([name for name in layers if name in main], parents, layers, net.model.graph)
    chain = _series(list(units), tied, units)
    rows = _merged([_row(names, parts) for names, parts in _blocks(chain)])
    return tuple(_with_side(row, [name for name in layers if name not in main], parents) for row in rows)


def _parents(graph: onnx.GraphProto, picture: str, layers: Mapping[str, Layer]) -> dict[str, tuple[str, ...]]:
    """For each layer those it is computed from; tensors that are no layers are looked through."""
    origin: dict[str, tuple[str, ...]] = {picture: ()}
    parents: dict[str, tuple[str, ...]] = {}
    for node in nodes_on_the_way(graph, picture):
        found = tuple(dict.fromkeys(one for name in node.input for one in origin.get(name, ())))
        for output in node.output:
            origin[output] = (output,) if output in layers else found
        if node.output[0] in layers:
            parents[node.output[0]] = found
    return parents


def _leading_to(layers: Sequence[Layer], parents: Mapping[str, Sequence[str]]) -> set[str]:
    """Names of the layers that the last one depends on, and its own."""
    reached, todo = set(), [layers[-1].name]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo.extend(parents[name])
    return reached


def _units(
    names: Sequence[str],
    parents: Mapping[str, Sequence[str]],
    layers: Mapping[str, Layer],
    graph: onnx.GraphProto,
) -> tuple[dict[str, Unit], dict[str, tuple[str, ...]]]:
    """Layers with their parts, by the name of the first, and the units each is computed from."""
    nodes, bounds = {node.output[0]: node for node in graph.node}, _single_numbers(graph)
    children: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for parent in parents[name]:
            children[parent].append(name)
    head: dict[str, str] = {}
    groups: dict[str, list[Layer]] = {}
    for name in names:
        before = parents[name]
        joins = layers[name].kind in _PARTS and len(before) == 1 and children[before[0]] == [name]
        head[name] = head[before[0]] if joins and layers[head[before[0]]].kind != "Concat" else name
        groups.setdefault(head[name], []).append(layers[name])
    tied = {name: tuple(dict.fromkeys(head[parent] for parent in parents[name])) for name in groups}
    return {name: _unit(group, nodes, bounds) for name, group in groups.items()}, tied


def _unit(group: Sequence[Layer], nodes: Mapping[str, onnx.NodeProto], bounds: Mapping[str, float]) -> Unit:
    parts = [_part(layer, nodes[layer.name], bounds) for layer in group[1:] if layer.kind not in _UNNAMED]
    return Unit(tuple(group), _text(group[0], nodes[group[0].name]), ", ".join(parts))


def _part(layer: Layer, node: onnx.NodeProto, bounds: Mapping[str, float]) -> str:
    if layer.kind == "Clip" and [bounds.get(name) for name in node.input[1:]] == [0, 6]:
        return "relu6"
    return _ARITHMETIC.get(layer.kind, _SHORT.get(layer.kind, layer.kind.lower()))


def _single_numbers(graph: onnx.GraphProto) -> dict[str, float]:
    """Constants of one number, such as the bounds of a clipped activation."""
    from onnx.numpy_helper import to_array

    return {one.name: float(to_array(one).item()) for one in graph.initializer if not one.dims}


def _text(layer: Layer, node: onnx.NodeProto) -> str:
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    channels = layer.shape[0] if layer.shape else "?"
    window = "x".join(map(str, attributes.get("kernel_shape", ())))
    strides = attributes.get("strides", [1])
    stride = f" /{strides[0]}" if max(strides) > 1 else ""
    if layer.kind == "Conv":
        group = attributes.get("group", 1)
        kind = "" if group == 1 else " depthwise" if group == channels else f" in {group} groups"
        return f"{window or 'conv'}{kind}{stride}, {channels}"
    if layer.kind in ("Gemm", "MatMul"):
        return f"fully connected, {channels}"
    if layer.kind in _POOLS:
        return f"{_POOLS[layer.kind]} {window}{stride}".rstrip()
    return _JOINS.get(layer.kind, _SHORT.get(layer.kind, layer.kind.lower() if layer.kind != "LRN" else "LRN"))


def _series(
    names: Sequence[str], tied: Mapping[str, Sequence[str]], units: Mapping[str, Unit], taken: Sequence[str] = ()
) -> Chain:
    """Units in the order they run, as a chain of those that everything passes through, and of branches between them.

    Args:
        names: they start from one place outside.
        tied: what each is computed from.
        units: by name.
        taken: those that something outside is computed from.
    """
    reaches = _reaches(names, tied, taken)
    chain: list[Part] = []
    reach, begun = reaches[0], 0
    for number in range(len(names)):
        if reach <= number:  # nothing leads over this one
            chain.append(_segment(names[begun:number], names[number], tied, units))
            begun = number + 1
        reach = max(reach, reaches[number + 1])
    if begun < len(names):
        chain.append(Lump(tuple(layer for name in names[begun:] for layer in units[name].layers)))
    return tuple(chain)


def _reaches(names: Sequence[str], tied: Mapping[str, Sequence[str]], taken: Sequence[str]) -> list[int]:
    """From outside, and from each unit: the number of the last one that is computed from it."""
    place = {name: number for number, name in enumerate(names, 1)}
    reaches = [-1] * (len(names) + 1)
    for number, name in enumerate(names):
        for parent in tied[name] or ("",):
            reaches[place.get(parent, 0)] = number
    for name in names[:-1]:
        if name in taken:
            reaches[place[name]] = len(names)
    return reaches


def _segment(inside: Sequence[str], join: str, tied: Mapping[str, Sequence[str]], units: Mapping[str, Unit]) -> Part:
    if not inside:
        return units[join]
    own = set(inside)
    lanes = [_lane(names, tied, units, tied[join]) for names in _components(inside, tied)]
    return Branches(tuple(lanes), any(parent not in own for parent in tied[join]), units[join])


def _lane(
    names: Sequence[str], tied: Mapping[str, Sequence[str]], units: Mapping[str, Unit], taken: Sequence[str]
) -> Chain:
    chain = _series(names, tied, units, taken)
    if len(chain) > _LONGEST_CHAIN:
        return (Lump(tuple(layer for part in chain for layer in part.layers)),)
    return chain


def _components(names: Sequence[str], tied: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Units that hang together, in order."""
    of: dict[str, int] = {}
    for name in names:
        found = sorted({of[parent] for parent in tied[name] if parent in of})
        number = found[0] if found else len(of)
        of = {one: number if component in found else component for one, component in of.items()} | {name: number}
    return [[name for name in names if of[name] == number] for number in dict.fromkeys(of[name] for name in names)]


def _prefix(part: Part) -> str:
    """What the names of all its layers begin with, up to a dot or slash; empty where they begin otherwise."""
    firsts = {re.split(r"[./]", layer.name, maxsplit=1)[0] for layer in part.layers}
    return firsts.pop() if len(firsts) == 1 else ""


def _blocks(chain: Chain) -> list[tuple[str, Chain]]:
    """Consecutive parts whose layers share a first name, as one block of that name."""
    blocks = []
    for prefix, parts in groupby(chain, _prefix):
        group = tuple(parts)
        if prefix and len(group) <= _LONGEST_CHAIN:
            blocks.append((prefix, group))
        else:
            blocks.extend((_name(part), (part,)) for part in group)
    return blocks


def _name(part: Part) -> str:
    return part.layers[0].name if isinstance(part, Unit) else part.layers[-1].name


def _row(name: str, chain: Chain) -> Row:
    return Row((name,), chain, tuple(layer for part in chain for layer in part.layers))


def _merged(rows: Sequence[Row]) -> list[Row]:
    merged = []
    for _, same in groupby(rows, lambda row: signature(row.chain)):
        group = list(same)
        if isinstance(group[0].chain[0], Unit) and len(group[0].chain) == 1 and len(group) < _FEWEST_ALIKE:
            merged.extend(group)
            continue
        names = tuple(name for row in group for name in row.names)
        merged.append(replace(group[0], names=names, layers=tuple(layer for row in group for layer in row.layers)))
    return merged


def _with_side(row: Row, names: Sequence[str], parents: Mapping[str, Sequence[str]]) -> Row:
    reached = {layer.name for layer in row.layers}
    side: list[str] = []
    for name in names:
        if reached.intersection(parents[name]):
            reached.add(name)
            side.append(name)
    return replace(row, side=tuple(side))
