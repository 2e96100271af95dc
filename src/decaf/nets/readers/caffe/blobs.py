"""Caffe's arrays ("blobs") as views of the file's bytes, checked."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from decaf.nets.readers.caffe.schema import parse_binary
from decaf.nets.readers.caffe.wire import refuse, split

_FLOATS, _DIFFS, _DOUBLES, _DOUBLE_DIFFS = 5, 6, 8, 9
_MOST_AXES = 32
_OLD_SHAPE = ("num", "channels", "height", "width")


def read_blob(data: memoryview, name: str) -> NDArray[np.float32]:
    """The array of one encoded blob, which stays a view of `data` where that holds float32.

    Args:
        data: the encoded message.
        name: what messages call it.

    Raises:
        NetError: malformed, of another shape than it has numbers, or not finite.
    """
    numbers, rest = split(data, (_FLOATS, _DIFFS, _DOUBLES, _DOUBLE_DIFFS))
    shape = _shape(rest, name)
    values = _values(numbers.get(_FLOATS, []), "<f4", name)
    if not values.size:
        with np.errstate(over="ignore"):  # a double too large for float32 is found below
            values = _values(numbers.get(_DOUBLES, []), "<f8", name).astype(np.float32)
    if math.prod(shape) != values.size:
        refuse(f"{name} has {values.size:,} numbers for the shape {shape}")
    if not np.isfinite(values).all():
        refuse(f"{name} holds numbers that are not finite")
    return values.reshape(shape)


def _shape(rest: bytes, name: str) -> tuple[int, ...]:
    blob = parse_binary("Blob", rest)
    new = blob.HasField("shape")
    shape = tuple(blob.shape.dim) if new else tuple(getattr(blob, side) for side in _OLD_SHAPE)
    if len(shape) > _MOST_AXES or any(side < 0 for side in shape):
        refuse(f"{name} has no possible shape")
    return shape


def _values(chunks: list[memoryview], dtype: str, name: str) -> NDArray[np.float32]:
    """The numbers of a packed field; more than one chunk is legal, though nobody writes it."""
    data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if len(data) % np.dtype(dtype).itemsize:
        refuse(f"{name} ends inside of a number")
    return np.frombuffer(data, dtype)
