"""One file that holds a fitted model: tensors and a JSON text in the safetensors format. Nothing in it is executed."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import ModelError
from decaf.files import why_no_file, write_atomically

_KEY = "decaf"
_CHECKSUM = "sha256"
_LONGEST_HEADER = 16 * 2**20  # bytes; 100,000 classes take 3 MB
_DTYPES = ("F32", "F64")
Tensors = dict[str, NDArray[Any]]


def write_model_file(
    path: str | os.PathLike[str], tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]
) -> None:
    """Write tensors and what is said of them; the same bytes for the same content.

    Raises ModelError where the file cannot be written.
    """
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    text = json.dumps({**about, _CHECKSUM: checksum(tensors, about)}, ensure_ascii=False, sort_keys=True)
    data = save(tensors, {_KEY: text})
    try:
        write_atomically(Path(path), data)
    except OSError as error:
        why = error.strerror or error
        raise ModelError(f"cannot write {os.fspath(path)} ({why}): make room or name another file") from None


def checksum(tensors: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> str:
    """Sha256 of all numbers and words, so that a changed bit is noticed."""
    hasher = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(tensors):
        hasher.update(repr((name, str(tensors[name].dtype), tensors[name].shape)).encode())
        hasher.update(tensors[name].tobytes())
    return hasher.hexdigest()


def check_target(path: str | os.PathLike[str]) -> None:
    """Raise ModelError where a file cannot be written, before anything is computed for it."""
    if why := why_no_file(path):
        raise ModelError(why)


def read_model_file(path: str | os.PathLike[str], largest: int = 2**32) -> tuple[Tensors, dict[str, Any]]:
    """Read what `write_model_file` wrote. Needs as much memory as the file is long, and no more than `largest`.

    Raises:
        ModelError: no such file, no safetensors file, one of another program, damaged, or with numbers that are not
            finite.
    """
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    _check_header(Path(path), name, largest)
    try:
        with safe_open(name, framework="numpy") as file:
            about = _parse((file.metadata() or {}).get(_KEY), name)
            tensors = {key: _tensor(file, key, name) for key in list(file.keys())}
        if about.pop(_CHECKSUM, None) != checksum(tensors, about):
            raise _damaged(name, "its checksum differs")
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise _damaged(name, error) from None
    return tensors, about


def _check_header(path: Path, name: str, largest: int) -> None:
    """The header's length stands in the first 8 bytes; believe none that is out of proportion."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ModelError(f"cannot read {name} ({error.strerror}): name a file that `decaf fit -o` made") from None
    header = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
    if not 0 < header <= min(size - 8, _LONGEST_HEADER):
        raise ModelError(f"{name} is no model file: name one that `decaf fit -o` made")
    if size > largest:
        raise ModelError(f"{name} has {size} bytes, more than any model needs: name one that `decaf fit -o` made")


def looks_like_model(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as safetensors files do: the length of a header, and the header, a JSON object."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(9)
            size = file.seek(0, os.SEEK_END)
    except OSError:
        return False
    return len(start) == 9 and struct.unpack("<Q", start[:8])[0] <= size and start[8:] == b"{"


def _parse(text: str | None, name: str) -> dict[str, Any]:
    if text is None:
        raise ModelError(f"{name} was not made by decaf: name a file that `decaf fit -o` made")
    try:
        about = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _damaged(name, error) from None
    if not isinstance(about, dict):
        raise _damaged(name, "its description is no object")
    return about


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _tensor(file: Any, key: str, name: str) -> NDArray[Any]:
    if file.get_slice(key).get_dtype() not in _DTYPES:
        raise _damaged(name, f"{key} is of kind {file.get_slice(key).get_dtype()}")
    tensor: NDArray[Any] = file.get_tensor(key)
    if not np.isfinite(tensor).all():
        raise _damaged(name, f"{key} holds numbers that are not finite")
    return tensor


def _damaged(name: str, why: object) -> ModelError:
    return ModelError(f"{name} is damaged ({' '.join(str(why).split())[:120]}): fit it anew")
