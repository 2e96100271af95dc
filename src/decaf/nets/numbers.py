"""The numbers in parameter files: their kinds, by the names safetensors gives them, and arrays in the npy format."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.nets.readers.pickle_machine import refuse

KINDS: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of a float32
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def to_numbers(raw: bytes, kind: str, big_endian: bool = False) -> NDArray[Any]:
    """The numbers in raw bytes: floating-point kinds as float32, others as they are; (n,)."""
    dtype = KINDS[kind].newbyteorder(">") if big_endian else KINDS[kind]
    values = np.frombuffer(raw, dtype)
    if kind == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, which whoever pours it names
        wanted = np.dtype(np.float32) if kind in ("F64", "F32", "F16") else dtype.newbyteorder("=")
        return values.astype(wanted, copy=False)


_NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npy(data: bytes) -> NDArray[Any]:
    """One array in the npy format: floating-point kinds as float32, others as they are.

    Its header may claim any size: it is compared with what is there before any memory is taken. Use this inside of
    `reading`: it raises NotPlain, and whatever NumPy does for a damaged header.
    """
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in _NPY_HEADERS:
        refuse(f"an array in version {version} of the npy format")
    shape, by_columns, dtype = _NPY_HEADERS[version](stream)
    if dtype.kind not in "fiub" or min(shape, default=0) < 0:
        refuse(f"an array of {str(dtype)[:80]} and the shape {str(shape)[:80]}")
    values = np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape, order="F" if by_columns else "C")
    wanted = np.float32 if dtype.kind == "f" else dtype.newbyteorder("=")
    with np.errstate(over="ignore"):
        return np.asarray(values, wanted, order="C")
