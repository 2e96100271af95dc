"""Read pickles of plain containers, numbers, text and NumPy arrays, of Python 2 as well; nothing is unpickled."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.nets.readers.pickle_machine import Builds, Name, Names, reading, refuse, run_pickle

_REMEDY = "fetch or save the file again, with nothing in it but lists, dicts, numbers, text and arrays"
_PLAIN = (str, bytes, bytearray, int, float, type(None), np.ndarray, np.generic)
_NUMBERS = re.compile(r"f[248]|[iu][1248]|b1")
_MOST_AXES = 32


def read_plain_pickle(data: bytes) -> Any:
    """Read a pickle of lists, tuples, dicts, numbers, text, bytes and arrays of numbers.

    Args:
        data: the whole file; protocols 0 to 5. A Python 2 string comes as text, byte by byte (Latin-1).

    Returns:
        The value. Keys of dicts are text or small whole numbers. Containers that the file shares are shared.

    Raises:
        NetError: malformed, or it holds or wants anything else; nothing of it was executed.
    """
    with reading("pickle", _REMEDY):
        value = run_pickle(io.BytesIO(data), ARRAY_NAMES, ARRAY_BUILDS)
        _check_leaves(value)
        return value


def _check_leaves(value: Any) -> None:
    seen: set[int] = set()
    todo = [value]
    while todo:
        value = todo.pop()
        if type(value) in (list, tuple, dict):
            if id(value) not in seen:
                seen.add(id(value))
                todo.extend(value.values() if type(value) is dict else value)
        elif not isinstance(value, _PLAIN) or isinstance(value, Name):
            refuse(f"it holds a {type(value).__name__.strip('_').lower()} where a plain value was expected")


class _Dtype:
    """The kind of an array's numbers. A pickle names it first and tells the byte order later."""

    def __init__(self, code: Any, *_: Any) -> None:
        if type(code) is not str or not _NUMBERS.fullmatch(code):
            refuse("an array of something other than numbers")
        self.dtype = np.dtype(code)

    def set_order(self, state: Any) -> None:
        match state:
            case (int(), "<" | ">" | "=" | "|" as order, None, None, None, *_):
                self.dtype = self.dtype.newbyteorder(order)
            case _:
                refuse("an array of something other than numbers")


def _empty(kind: Any, *_: Any) -> NDArray[Any]:
    if kind != Name("numpy", "ndarray"):
        refuse("an array of an unknown class")
    return np.empty(0, np.int8)


def _fill(array: NDArray[Any], state: Any) -> None:
    match state:
        case (int(), tuple() as shape, _Dtype() as kind, bool() as by_columns, raw):
            # in place, because the pickle may have remembered the array; what is handed over has been checked
            array.__setstate__((1, _shape(shape), kind.dtype, by_columns, _sized(raw, kind.dtype, shape)))  # type: ignore[arg-type]
        case _:
            refuse("an array that is not described by a shape, a kind and its bytes")


def _from_buffer(raw: Any, kind: Any, shape: Any, order: Any) -> NDArray[Any]:
    """What protocol 5 writes."""
    if type(kind) is not _Dtype or order not in ("C", "F"):
        refuse("an array that is not described by a shape, a kind and its bytes")
    return np.frombuffer(_sized(raw, kind.dtype, shape), kind.dtype).reshape(shape, order=order)


def _scalar(kind: Any, raw: Any) -> Any:
    if type(kind) is not _Dtype:
        refuse("a number of an unknown kind")
    return np.frombuffer(_sized(raw, kind.dtype, ()), kind.dtype)[0]


def _shape(shape: Any) -> tuple[int, ...]:
    if type(shape) is not tuple or len(shape) > _MOST_AXES:
        refuse("an array of a shape no array has")
    if not all(type(side) is int and side >= 0 for side in shape) or math.prod(side or 1 for side in shape) >= 2**48:
        refuse("an array of a shape no array has")
    return shape


def _sized(raw: Any, dtype: np.dtype[Any], shape: Any) -> bytes:
    """The bytes of an array, if they are as many as it needs."""
    data = raw.encode("latin-1") if type(raw) is str else raw  # a Python 2 string
    if not isinstance(data, bytes | bytearray) or len(data) != math.prod(_shape(shape)) * dtype.itemsize:
        refuse("an array whose bytes are not as many as its shape says")
    return bytes(data)


def _encode(text: Any, codec: Any) -> bytes:
    """What Python 3 writes for bytes in protocols 0 to 2."""
    if type(text) is not str or codec not in ("latin1", "latin-1"):
        refuse("it encodes something in another way than plain values do")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    return b""


def ordered_dict(pairs: Any = ()) -> dict[str, Any]:
    """An ordinary dict in place of `collections.OrderedDict`: empty, or as Python 2 writes it."""
    keys = [key for key, _ in pairs]
    if not all(type(key) is str for key in keys):
        refuse("a name in it is not text")
    return dict(zip(keys, (value for _, value in pairs), strict=True))


# NumPy moved its modules in version 2; files of both kinds are about.
ARRAY_NAMES: Names = {
    **{Name(f"{core}.multiarray", "_reconstruct"): _empty for core in ("numpy.core", "numpy._core")},
    **{Name(f"{core}.multiarray", "scalar"): _scalar for core in ("numpy.core", "numpy._core")},
    **{Name(f"{core}.numeric", "_frombuffer"): _from_buffer for core in ("numpy.core", "numpy._core")},
    Name("numpy", "ndarray"): None,
    Name("numpy", "dtype"): _Dtype,
    Name("_codecs", "encode"): _encode,
    Name("__builtin__", "bytes"): _no_bytes,
    Name("collections", "OrderedDict"): ordered_dict,
}
# The state of a dict are attributes, such as the versions of a torch module's parts: not needed.
ARRAY_BUILDS: Builds = {np.ndarray: _fill, _Dtype: _Dtype.set_order, dict: lambda _, state: None}
