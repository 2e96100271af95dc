"""Read a legacy torch checkpoint (before torch 1.6) without torch and without unpickling.

The file holds five pickles (magic number, protocol, system, the object, the storage keys) and then, per key, a
little-endian int64 count and the raw values.
"""

from __future__ import annotations

import io
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from decaf.nets.pickle_machine import Name, Names, reading, refuse, run_pickle, texts
from decaf.nets.plain_pickle import ARRAY_BUILDS, ARRAY_NAMES

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_REMEDY = "install or fetch the parameter file again"


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    length: int


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
        return np.array(view, order="C")


def read_legacy_checkpoint(data: bytes) -> dict[str, NDArray[Any]]:
    """Read a state dict from the bytes of a legacy torch checkpoint.

    Args:
        data: the whole file.

    Returns:
        Name -> contiguous array, in file order; float32 or int64.

    Raises:
        NetError: not such a file, truncated, or it holds anything but plain tensors.
    """
    with reading("legacy torch checkpoint", _REMEDY):
        return _read_legacy(data)


def _read_legacy(data: bytes) -> dict[str, NDArray[Any]]:
    stream = io.BytesIO(data)
    if _read_pickle(stream) != _MAGIC or _read_pickle(stream) != _PROTOCOL:
        refuse("no legacy header")
    _read_pickle(stream)  # the system's description: little-endian in every file torch wrote
    state, keys = _read_pickle(stream), _read_pickle(stream)
    if not isinstance(state, dict) or not all(isinstance(tensor, _Tensor) for tensor in state.values()):
        refuse("not a plain state dict")
    needed = {tensor.storage.key: tensor.storage for tensor in state.values()}
    if not isinstance(keys, list) or sorted(texts(keys)) != sorted(needed):
        refuse("its storages are not those of its tensors")
    if sum(math.prod(tensor.shape) for tensor in state.values()) > 2 * len(data):
        refuse("its tensors share storages to become larger than the file")
    storages = {key: _read_storage(stream, needed[key]) for key in keys}
    try:
        return {name: tensor.take(storages[tensor.storage.key]) for name, tensor in state.items()}
    except (ValueError, OverflowError) as error:
        refuse(f"a tensor of a shape no array has: {error}")


def _read_pickle(stream: io.BytesIO) -> Any:
    return run_pickle(stream, _NAMES, ARRAY_BUILDS, _storage)


def _read_storage(stream: io.BytesIO, storage: _Storage) -> NDArray[Any]:
    count = int.from_bytes(stream.read(8), "little", signed=True)
    size = count * storage.dtype.itemsize
    if count != storage.length or size > stream.getbuffer().nbytes - stream.tell():
        refuse(f"storage {storage.key!r} is cut short")
    return np.frombuffer(stream.read(size), storage.dtype)


def _storage(identity: Any) -> _Storage:
    match identity:
        case ("storage", Name("torch", kind), str(key), str(), int(count), None) if kind in _DTYPES and count >= 0:
            return _Storage(key, _DTYPES[kind], count)
    return refuse("it refers to something other than a tensor's storage")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if type(storage) is not _Storage or type(shape) is not tuple or type(strides) is not tuple:
        refuse("a tensor is not described by a storage, a shape and strides")
    if not all(type(number) is int and 0 <= number < 2**48 for number in (offset, *shape, *strides)):
        refuse("a tensor is described by something other than counts")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if math.prod(shape) > storage.length or (0 not in shape and last >= storage.length):
        refuse(f"a tensor of shape {shape} reaches outside its storage of {storage.length} values")
    return _Tensor(storage, offset, shape, strides)


_NAMES: Names = {
    **ARRAY_NAMES,
    **{Name("torch", kind): None for kind in _DTYPES},
    Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
}
