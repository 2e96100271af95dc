"""Read a legacy torch checkpoint (before torch 1.6) without torch, building arrays and nothing else.

The file holds five pickles (magic number, protocol, system, the object, the storage keys) and then, per key, a
little-endian int64 count and the raw values. A pickle can name any function to be called, so the reader here knows
four names and answers every other with an error.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from decaf.errors import NetError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def take(self, values: NDArray[Any]) -> NDArray[Any]:
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if self.offset < 0 or min((*self.shape, *self.strides, 1)) < 0 or last >= len(values):
            raise NetError(f"a tensor of shape {self.shape} reaches outside its storage of {len(values)} values")
        strides = [s * values.itemsize for s in self.strides]
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, strides, writeable=False)
        return np.ascontiguousarray(view)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    integers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(isinstance(number, int) for number in integers):
        raise NetError("a tensor in the checkpoint is not described by a storage and integers")
    if len(shape) != len(strides) or math.prod(shape) > storage.count:
        raise NetError(f"a tensor of shape {tuple(shape)} does not fit its storage of {storage.count} values")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Reader(pickle.Unpickler):
    _NAMES = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): "FloatStorage",
        ("torch", "LongStorage"): "LongStorage",
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._NAMES:
            raise NetError(f"the checkpoint wants to call {module}.{name}: only plain tensors are read")
        return self._NAMES[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", str(kind), str(key), str(), int(count), None) if count >= 0:
                return _Storage(key, _DTYPES[kind], count)
        raise NetError("the checkpoint refers to something other than a tensor storage")


def read_legacy_checkpoint(data: bytes) -> dict[str, NDArray[Any]]:
    """Read a state dict from the bytes of a legacy torch checkpoint.

    Args:
        data: the whole file.

    Returns:
        Name -> contiguous array, in file order. Only float32 and int64 tensors exist in such files we read.

    Raises:
        NetError: not such a file, truncated, or it asks for anything but plain tensors.
    """
    stream = io.BytesIO(data)
    try:
        return _read(stream)
    except NetError:
        raise
    except Exception as error:  # unpickling hostile bytes may raise anything at all
        _refuse(f"({type(error).__name__})")


def _read(stream: io.BytesIO) -> dict[str, NDArray[Any]]:
    if _Reader(stream).load() != _MAGIC or _Reader(stream).load() != _PROTOCOL:
        _refuse("(no legacy header)")
    _Reader(stream).load()  # system description: byte order is little-endian in every file torch wrote
    state, keys = _Reader(stream).load(), _Reader(stream).load()
    if not isinstance(state, dict) or not all(isinstance(value, _Tensor) for value in state.values()):
        _refuse("(not a plain state dict)")
    described = {value.storage.key: value.storage for value in state.values()}
    storages = {key: _read_storage(stream, described[key]) for key in keys}
    return {name: tensor.take(storages[tensor.storage.key]) for name, tensor in state.items()}


def _read_storage(stream: io.BytesIO, storage: _Storage) -> NDArray[Any]:
    count = int.from_bytes(stream.read(8), "little", signed=True)
    raw = stream.read(storage.count * storage.dtype.itemsize) if count == storage.count else b""
    if count != storage.count or len(raw) != count * storage.dtype.itemsize:
        _refuse(f"(storage {storage.key} is cut short)")
    return np.frombuffer(raw, storage.dtype)


def _refuse(why: str) -> NoReturn:
    raise NetError(f"not a readable legacy torch checkpoint {why}: fetch or install the parameter file again")
