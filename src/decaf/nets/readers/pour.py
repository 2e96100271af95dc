"""Pour the parameters of a file into a network that has none yet, or others: by name, else by shape."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from decaf.errors import NetError
from decaf.nets.fill import checked

How = Literal["name", "given names", "spelling", "shape", "order"]
Shape = tuple[int, ...]

# What the inputs of an operator behind the first are, in torch's words.
_ROLES: dict[str, tuple[str, ...]] = {
    "Conv": ("weight", "bias"),
    "ConvTranspose": ("weight", "bias"),
    "Gemm": ("weight", "bias"),
    "BatchNormalization": ("weight", "bias", "running_mean", "running_var"),
}
# Other words for them: those of our own graphs, and of the ONNX model zoo's conversions from Caffe.
_WORDS = {".scale": ".weight", ".mean": ".running_mean", ".var": ".running_var", "_w_0": ".weight", "_b_0": ".bias"}
_ENDING = re.compile("(" + "|".join(map(re.escape, _WORDS)) + ")$")
_COUNTERS = "num_batches_tracked"  # what torch's normalisations count while training
_NAMED = 3  # names in a message


@dataclass(frozen=True)
class Poured:
    """A network with its parameters.

    Attributes:
        model: the network.
        how: what told which array is which parameter: equal names, names given by the caller, names equal but for
            spelling, layers that only one shape fits, or the order of layers.
        names: parameter of the network -> array of the file.
    """

    model: onnx.ModelProto
    how: How
    names: Mapping[str, str]


def parameters_of(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The float32 initializers with at least one axis, in the order in which layers take them."""
    tensors = {t.name: t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and t.dims}
    used = dict.fromkeys(name for node in model.graph.node for name in node.input if name in tensors)
    return [tensors[name] for name in used]


def check_finite(model: onnx.ModelProto) -> None:
    """Raises NetError that names the first parameter with a value that is not a finite number."""
    for tensor in parameters_of(model):
        checked(tensor.name, numpy_helper.to_array(tensor), tuple(tensor.dims))


def pour_all(
    model: onnx.ModelProto,
    values: Mapping[str, NDArray[Any]],
    *,
    names: Mapping[str, str] | None = None,
    by_order: bool = False,
) -> Poured:
    """Give every parameter of a network its values; every array of the file must find its place.

    Args:
        model: the network; not changed.
        values: arrays by name. torch's counters of batches are left out.
        names: name in the file -> name in the network, where they differ and the caller knows how.
        by_order: where neither names nor shapes tell layers apart, take them in the order they have in the file, which
            must then be the order of computation.

    Raises:
        NetError: parameters are missing, left over, of another shape, or not finite; the message names them.
    """
    arrays = {name: value for name, value in values.items() if not name.endswith(_COUNTERS)}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in parameters_of(model)}
    how, pairs = _matched(model, shapes, {name: value.shape for name, value in arrays.items()}, names, by_order)
    return Poured(_with_values(model, {ours: arrays[theirs] for ours, theirs in pairs.items()}), how, pairs)


def _with_values(model: onnx.ModelProto, values: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """A copy of a network with other values for some of its parameters."""
    poured = onnx.ModelProto()
    poured.CopyFrom(model)
    for tensor in poured.graph.initializer:
        if tensor.name in values:
            fitting = checked(tensor.name, values[tensor.name], tuple(tensor.dims))
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(fitting, np.float32), tensor.name))
    return poured


def _matched(
    model: onnx.ModelProto,
    ours: Mapping[str, Shape],
    theirs: Mapping[str, Shape],
    given: Mapping[str, str] | None,
    by_order: bool,
) -> tuple[How, dict[str, str]]:
    """How names of the network were found in the file, and network -> file."""
    if given is not None:
        return "given names", _given_names(ours, theirs, given)
    if ours.keys() == theirs.keys():
        return "name", {name: name for name in ours}
    plain_ours, plain_theirs = _plain(ours), _plain(theirs)
    if plain_ours.keys() == plain_theirs.keys():
        return "spelling", {plain_ours[name]: plain_theirs[name] for name in plain_ours}
    layers, stored = _layers_of(model, ours), _layers_in(theirs)
    if pairs := _by_shape(layers, stored):
        return "shape", pairs
    in_order = [layer.signature for layer in layers] == [layer.signature for layer in stored]
    if in_order and by_order:
        return "order", _joined(zip(layers, stored, strict=True))
    hint = "; in order their shapes fit: --by-order takes them so" if in_order else ""
    return _differ(plain_ours, plain_theirs, hint)


def _given_names(ours: Mapping[str, Shape], theirs: Mapping[str, Shape], given: Mapping[str, str]) -> dict[str, str]:
    found = {given.get(name, name): name for name in theirs}
    if len(found) < len(theirs):
        raise NetError("the given names call two parameters alike: give each its own")
    if found.keys() != ours.keys():
        _differ({name: name for name in ours}, {name: name for name in found})
    return {name: found[name] for name in ours}


def _differ(ours: Mapping[str, str], theirs: Mapping[str, str], hint: str = "") -> NoReturn:
    """Say which parameters are missing and which are left over, of names as both would spell them."""
    missing = [name for plain, name in ours.items() if plain not in theirs]
    unknown = [name for plain, name in theirs.items() if plain not in ours]
    said = [f"the file has no {_listed(missing)}"] * bool(missing)
    said += [f"the network has no {_listed(unknown)}"] * bool(unknown)
    raise NetError(f"{' and '.join(said)}: they are those of another network{hint}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(repr(name[:80]) for name in names[:_NAMED]) + more


def _plain(names: Iterable[str]) -> dict[str, str]:
    """Spelt as in torch, without what all begin with -> the name; spelt as they are where two would become one."""
    spelt = {name: _ENDING.sub(lambda found: _WORDS[found[0]], name) for name in names}
    start = _shared(min(spelt.values(), default=""), max(spelt.values(), default="")).rfind(".") + 1
    plain = {spelling[start:]: name for name, spelling in spelt.items()}
    return plain if len(plain) == len(spelt) else {name: name for name in spelt}


def _shared(first: str, last: str) -> str:
    """What both begin with; of the first and the last of many names it is what all begin with."""
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))


@dataclass(frozen=True)
class _Layer:
    """The parameters of one layer: role -> name and shape."""

    parts: Mapping[str, tuple[str, Shape]]

    @property
    def signature(self) -> tuple[tuple[str, Shape], ...]:
        return tuple(sorted((role, shape) for role, (_, shape) in self.parts.items()))


def _layers_of(model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> list[_Layer]:
    layers, left = [], dict(shapes)
    for node in model.graph.node:
        roles = zip(node.input[1:], _ROLES.get(node.op_type, ()), strict=False)
        parts = {role: (name, left.pop(name)) for name, role in roles if name in left}
        if parts:
            layers.append(_Layer(parts))
    return layers + [_Layer({"": (name, shape)}) for name, shape in left.items()]


def _layers_in(shapes: Mapping[str, Shape]) -> list[_Layer]:
    grouped: dict[str, dict[str, tuple[str, Shape]]] = defaultdict(dict)
    for name, shape in shapes.items():
        layer, _, role = name.rpartition(".")
        grouped[layer][role] = (name, shape)
    return [_Layer(parts) for parts in grouped.values()]


def _by_shape(ours: list[_Layer], theirs: list[_Layer]) -> dict[str, str]:
    """Network -> file where every layer's shapes are unlike those of all others; else empty."""
    mine, found = ({layer.signature: layer for layer in layers} for layers in (ours, theirs))
    if len(mine) < len(ours) or len(found) < len(theirs) or mine.keys() != found.keys():
        return {}
    return _joined((mine[signature], found[signature]) for signature in mine)


def _joined(pairs: Iterable[tuple[_Layer, _Layer]]) -> dict[str, str]:
    return {ours.parts[role][0]: theirs.parts[role][0] for ours, theirs in pairs for role in ours.parts}
