"""The kinds of numbers parameter files hold, by the names safetensors gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
