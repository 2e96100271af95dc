"""Read torch checkpoints without torch and without unpickling: the zip format, and the one before torch 1.6.

The legacy format holds five pickles (magic number, protocol, system, the object, the storage keys) and then, per key, a
little-endian int64 count and the raw values. The zip format holds one pickle, `data.pkl`, and a member `data/KEY` of
raw values per storage.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from decaf.nets.numbers import KINDS, to_numbers
from decaf.nets.readers.pickle_machine import Name, Names, reading, refuse, run_pickle, texts
from decaf.nets.readers.plain_pickle import ARRAY_BUILDS, ARRAY_NAMES
from decaf.nets.readers.zip_file import ZipFile

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_REMEDY = "fetch the file again, or save the network's state_dict() anew, best as safetensors"
_LARGEST_PICKLE = 2**26  # bytes of `data.pkl`; that of a thousand layers has 10^5
_MOST_AXES = 32
_INFLATION = 10  # how many times larger than the file its tensors may be
_STORAGES = {
    "FloatStorage": "F32",
    "DoubleStorage": "F64",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
# Under which names training programs keep the state dict beside other things; the first that is there is taken.
WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "params", "weights")


class _Storage(NamedTuple):
    key: str
    kind: str
    length: int

    @property
    def bytes(self) -> int:
        return self.length * KINDS[self.kind].itemsize


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def take(self, values: NDArray[Any]) -> NDArray[Any]:
        if 0 in self.shape:
            return np.empty(self.shape, values.dtype)
        strides = [
            stride * values.itemsize if side > 1 else 0 for side, stride in zip(self.shape, self.strides, strict=True)
        ]
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, strides, writeable=False)
        return np.asarray(view, order="C")


_State = dict[str, _Tensor]


def is_legacy_checkpoint(data: bytes) -> bool:
    """Whether the file begins as legacy checkpoints do."""
    return data.startswith(b"\x8a\x0a" + _MAGIC.to_bytes(10, "little"), 2)


def read_legacy_checkpoint(data: bytes) -> dict[str, NDArray[Any]]:
    """Read a state dict from the bytes of a legacy torch checkpoint; `read_checkpoint` knows all formats.

    Args:
        data: the whole file. A state dict may lie inside of a dict under one of the names in `WRAPPERS`.

    Returns:
        Name -> contiguous array, in file order, not to be written to; floating-point kinds as float32, others as they
        are.

    Raises:
        NetError: not such a file, truncated, or it holds anything but plain tensors.
    """
    with reading("legacy torch checkpoint", _REMEDY):
        return _read_legacy(data)


def read_zip_checkpoint(data: bytes) -> dict[str, NDArray[Any]]:
    """The same for the zip format, torch's since version 1.6."""
    with reading("torch checkpoint", _REMEDY):
        return _read_zip(data)


def _read_legacy(data: bytes) -> dict[str, NDArray[Any]]:
    stream = io.BytesIO(data)
    if run_pickle(stream, {}, {}) != _MAGIC or run_pickle(stream, {}, {}) != _PROTOCOL:
        refuse("no legacy header")
    run_pickle(stream, {}, {})  # the system's description: little-endian in every file torch wrote
    storages = _Storages()
    state = _state_dict(run_pickle(stream, _NAMES, ARRAY_BUILDS, storages.refer), len(data))
    keys = run_pickle(stream, {}, {})
    if not isinstance(keys, list) or sorted(texts(keys)) != sorted(storages.known):
        refuse("its storages are not those of its tensors")
    needed = {tensor.storage.key for tensor in state.values()}
    values = {}
    for key in keys:
        raw = _next_storage(stream, storages.known[key])
        if key in needed:
            values[key] = to_numbers(raw, storages.known[key].kind)
    return _taken(state, values.__getitem__)


def _next_storage(stream: io.BytesIO, storage: _Storage) -> bytes:
    count = int.from_bytes(stream.read(8), "little", signed=True)
    if count != storage.length or storage.bytes > stream.getbuffer().nbytes - stream.tell():
        refuse(f"storage {storage.key[:80]!r} is cut short")
    return stream.read(storage.bytes)


def _read_zip(data: bytes) -> dict[str, NDArray[Any]]:
    members = ZipFile(data)
    root = next((name.removesuffix("data.pkl") for name in members.names if name.endswith("/data.pkl")), None)
    if root is None:
        refuse("no data.pkl in it")
    big = f"{root}byteorder" in members.names and members.read(f"{root}byteorder", 16).strip() == b"big"
    pickled = io.BytesIO(members.read(f"{root}data.pkl", min(_LARGEST_PICKLE, _INFLATION * len(data))))
    state = _state_dict(run_pickle(pickled, _NAMES, ARRAY_BUILDS, _Storages().refer), len(data))

    def load(key: str) -> NDArray[Any]:
        storage = needed[key]
        raw = members.read(f"{root}data/{key}", storage.bytes)
        if len(raw) < storage.bytes:
            refuse(f"storage {key[:80]!r} is cut short")
        return to_numbers(raw, storage.kind, big)

    needed = {tensor.storage.key: tensor.storage for tensor in state.values()}
    return _taken(state, {key: load(key) for key in needed}.__getitem__)


def _taken(state: _State, values: Callable[[str], NDArray[Any]]) -> dict[str, NDArray[Any]]:
    try:
        return {name: tensor.take(values(tensor.storage.key)) for name, tensor in state.items()}
    except (ValueError, OverflowError) as error:
        refuse(f"a tensor of a shape no array has: {error}")


def _state_dict(value: Any, file_size: int) -> _State:
    """The state dict in what the pickle holds, if its tensors are not many times larger than the file."""
    state = next(filter(_is_state, _candidates(value)), None)
    if state is None:
        refuse("not a plain state dict")
    numbers = sum(math.prod(tensor.shape) * KINDS[tensor.storage.kind].itemsize for tensor in state.values())
    storages = {tensor.storage.key: tensor.storage.bytes for tensor in state.values()}
    if max(numbers, sum(storages.values())) > _INFLATION * file_size:
        refuse("its tensors share storages to become larger than the file")
    return {str(name): tensor for name, tensor in state.items()}


def _candidates(value: Any, depth: int = 2) -> Iterator[Any]:
    """The value itself, then what lies under the usual names inside."""
    yield value
    if type(value) is dict and depth:
        for name in WRAPPERS:
            yield from _candidates(value.get(name), depth - 1)


def _is_state(value: Any) -> bool:
    return type(value) is dict and bool(value) and all(type(k) is str and type(v) is _Tensor for k, v in value.items())


class _Storages:
    """The storages that a pickle refers to, each of one kind and length."""

    def __init__(self) -> None:
        self.known: dict[str, _Storage] = {}

    def refer(self, identity: Any) -> _Storage:
        """A persistent id -> the storage it names; legacy files add None, as none is a view of another."""
        match identity:
            case ("storage", Name("torch", kind), str(key), str(), int(count), *views) if (
                kind in _STORAGES and count >= 0 and views in ([], [None])
            ):
                storage = self.known.setdefault(key, _Storage(key, _STORAGES[kind], count))
                if storage == (key, _STORAGES[kind], count):
                    return storage
        return refuse("it refers to something other than a tensor's storage")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if type(storage) is not _Storage or type(shape) is not tuple or type(strides) is not tuple:
        refuse("a tensor is not described by a storage, a shape and strides")
    if len(shape) > _MOST_AXES or not all(
        type(number) is int and 0 <= number < 2**48 for number in (offset, *shape, *strides)
    ):
        refuse("a tensor is described by something other than counts")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if math.prod(shape) > storage.length or (0 not in shape and last >= storage.length):
        refuse(f"a tensor of shape {shape} reaches outside its storage of {storage.length} values")
    return _Tensor(storage, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor if type(tensor) is _Tensor else refuse("a parameter that is no tensor")


_NAMES: Names = {
    **ARRAY_NAMES,
    **{Name("torch", kind): None for kind in _STORAGES},
    Name("torch._utils", "_rebuild_tensor"): _tensor,
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
    Name("torch._utils", "_rebuild_parameter"): _parameter,
}
