"""A Caffe network as its files define it: layers under one set of names, whatever the age of the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from decaf.errors import NetError
from decaf.nets.readers.caffe.schema import TEST, V1_TYPES, parse_binary, parse_text
from decaf.nets.readers.caffe.wire import split

_MOST_TEXT = 2**20  # bytes; the largest published prototxt has a third of it
_V1_LAYERS, _V2_LAYERS = 2, 100
_V0_LAYER, _V1_BLOBS, _V2_BLOBS = 1, 6, 7
_MOST_LAYERS = 4096
_LONGEST_NAME = 256  # characters
_OLD = (
    "the {file} is in the format of Caffe's first months (V0), which is not read: run Caffe's upgrade_net_proto_{tool}"
)


@dataclass(frozen=True)
class CaffeLayer:
    """One layer of a network.

    Attributes:
        name: of the layer; tensors get this name.
        kind: Caffe's type, as later files write it: `Convolution`, `InnerProduct`.
        bottoms: names of the blobs it reads.
        tops: names of the blobs it makes; in place where one is a bottom.
        settings: the protobuf message, with `convolution_param` and the like.
        blobs: its encoded parameters.
    """

    name: str
    kind: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: Any
    blobs: tuple[memoryview, ...] = ()


@dataclass(frozen=True)
class CaffeNet:
    """A network: its layers in order of the file, as they are at test time.

    Attributes:
        name: what the file says; empty where it does not.
        layers: those of the test phase.
        inputs: blobs the network is fed with, where no layer makes them; name -> shape with the batch axis, () where
            the file does not say.
    """

    name: str
    layers: tuple[CaffeLayer, ...]
    inputs: dict[str, tuple[int, ...]]


def read_prototxt(prototxt: bytes) -> CaffeNet:
    """The network of a prototxt, as it is at test time. Raises NetError."""
    if len(prototxt) > _MOST_TEXT:
        raise NetError(f"the prototxt has more than {_MOST_TEXT:,} bytes: name the text of the graph alone")
    try:
        net = parse_text("Net", prototxt.decode("utf-8"))
    except UnicodeDecodeError:
        raise NetError("the prototxt is not a text: is it the caffemodel?") from None
    if any(layer.HasField("layer") for layer in net.layers):
        raise NetError(_OLD.format(file="prototxt", tool="text"))
    layers = [_layer(message) for message in _one_format(net.layers, net.layer) if _in_test_phase(message)]
    return _checked_net(net, layers, "prototxt")


def read_caffemodel(caffemodel: bytes) -> CaffeNet:
    """The network of a caffemodel: the one it was trained in, with its parameters. Raises NetError."""
    apart, rest = split(memoryview(caffemodel), (_V1_LAYERS, _V2_LAYERS))
    old, new = apart.get(_V1_LAYERS, []), apart.get(_V2_LAYERS, [])
    version = ("V1Layer", _V1_BLOBS) if old else ("Layer", _V2_BLOBS)
    layers = [_encoded_layer(data, *version) for data in _one_format(old, new)]
    return _checked_net(parse_binary("Net", rest), layers, "caffemodel")


def _encoded_layer(data: memoryview, kind: str, blob_number: int) -> CaffeLayer:
    numbers = (_V0_LAYER, blob_number) if kind == "V1Layer" else (blob_number,)
    apart, rest = split(data, numbers)
    if kind == "V1Layer" and _V0_LAYER in apart:
        raise NetError(_OLD.format(file="caffemodel", tool="binary"))
    return _layer(parse_binary(kind, rest), apart.get(blob_number, ()))


def _one_format(old: Sequence[Any], new: Sequence[Any]) -> Sequence[Any]:
    if old and new:
        raise NetError("the network has layers in both of Caffe's formats (`layers` and `layer`): write it in one")
    return old or new


def _layer(message: Any, blobs: Iterable[memoryview] = ()) -> CaffeLayer:
    kind = message.type
    if isinstance(kind, int):  # a V1 file numbers its types
        kind = V1_TYPES.get(kind, ("", "NONE"))[1]
    _check_names(message.name, kind, *message.bottom, *message.top)
    name = message.name or "".join(message.top[:1])
    if not name:
        raise NetError(f"a layer of type {kind!r} has no name: name it")
    return CaffeLayer(name, kind, tuple(message.bottom), tuple(message.top), message, tuple(blobs))


def _check_names(*names: object) -> None:
    for name in names:
        if not isinstance(name, str) or len(name) > _LONGEST_NAME:  # protobuf leaves bytes that are no text as bytes
            raise NetError(f"a name in the network is no text of at most {_LONGEST_NAME} characters")


def _checked_net(net: Any, layers: list[CaffeLayer], file: str) -> CaffeNet:
    if not layers:
        raise NetError(f"the {file} holds no layers: name the file of the network (a solver names it in `net`)")
    if len(layers) > _MOST_LAYERS:
        raise NetError(f"the {file} holds more than {_MOST_LAYERS} layers: no network is that deep")
    _check_names(net.name, *net.input)
    return CaffeNet(net.name, tuple(layers), _inputs(net))


def _inputs(net: Any) -> dict[str, tuple[int, ...]]:
    """The inputs that files before the `Input` layer declared at their top."""
    shapes = [tuple(shape.dim) for shape in net.input_shape]
    shapes = shapes or [tuple(net.input_dim[at : at + 4]) for at in range(0, len(net.input_dim), 4)]
    return {name: shapes[index] if index < len(shapes) else () for index, name in enumerate(net.input)}


def _in_test_phase(layer: Any) -> bool:
    """Caffe's rules: a layer is there when any of its `include` holds, or none of its `exclude`."""
    if layer.include:
        return any(map(_holds, layer.include))
    return not any(map(_holds, layer.exclude))


def _holds(rule: Any) -> bool:
    """Whether a rule holds at test time, at level 0 and in no stage, which is how Caffe runs a net by default."""
    return (
        (not rule.HasField("phase") or rule.phase == TEST)
        and (not rule.HasField("min_level") or rule.min_level <= 0)
        and (not rule.HasField("max_level") or rule.max_level >= 0)
        and not rule.stage
    )
