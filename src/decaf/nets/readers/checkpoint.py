"""Named arrays from whatever file holds them: torch checkpoints, safetensors, npz, ONNX. Nothing is executed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import NetError
from decaf.nets.numbers import KINDS, read_npy, to_numbers
from decaf.nets.readers.pickle_machine import reading, refuse
from decaf.nets.readers.torch_pickle import is_legacy_checkpoint, read_legacy_checkpoint, read_zip_checkpoint
from decaf.nets.readers.zip_file import ZipFile

_LARGEST_HEADER = 2**22  # bytes; ten thousand tensors take 10^6
_INFLATION = 10  # how many times larger than an npz file its arrays may be
_REMEDY = "fetch or save the file again"

Arrays = dict[str, NDArray[Any]]


def read_checkpoint(source: bytes | str | Path) -> Arrays:
    """Read named arrays from a file; what it is, is told from its content.

    Args:
        source: a path or the bytes of a torch checkpoint (zip or legacy; a state dict, possibly inside of a dict under
            a usual name), a safetensors file, an npz file, or an ONNX file, whose initializers are taken.

    Returns:
        Name -> contiguous array, in file order, not to be written to; floating-point kinds as float32, others as they
        are.

    Raises:
        NetError: none of these, damaged, or it holds anything but plain arrays. Nothing of it was executed.

    Example:
        >>> parameters = read_checkpoint("resnet50.pth")
        >>> parameters["conv1.weight"].shape
        (64, 3, 7, 7)
    """
    data = source if isinstance(source, bytes) else read_file(Path(source))
    reader = _reader(data)
    if reader is None:
        raise NetError(
            "no parameter file decaf knows: it reads torch checkpoints, safetensors, npz, ONNX, Caffe and cuda-convnet"
        )
    return reader(data)


def is_checkpoint(data: bytes) -> bool:
    """Whether the file begins as one `read_checkpoint` reads."""
    return _reader(data) is not None


def _reader(data: bytes) -> Callable[[bytes], Arrays] | None:
    if data.startswith(b"PK\x03\x04"):
        return _read_zip
    if is_legacy_checkpoint(data):
        return read_legacy_checkpoint
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8:  # the size of a header, and its brace
        return read_safetensors
    return read_initializers if is_onnx(data) else None


def is_onnx(data: bytes) -> bool:
    """Whether the file begins with the first field of ONNX files, their version."""
    return data[:1] == b"\x08"


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises NetError where it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        raise NetError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not enough memory'}") from None


def read_safetensors(data: bytes) -> Arrays:
    """The tensors of a safetensors file; see `read_checkpoint`."""
    from safetensors import deserialize

    with reading("safetensors file", _REMEDY):
        header = int.from_bytes(data[:8], "little")
        if header > _LARGEST_HEADER:
            refuse(f"its header has {header} bytes")
        return {name: _tensor(name, said) for name, said in deserialize(data)}  # type: ignore[no-untyped-call]


def _tensor(name: str, said: Any) -> NDArray[Any]:
    if said["dtype"] not in KINDS:
        refuse(f"tensor {name[:80]!r} holds numbers of the kind {said['dtype']}")
    return to_numbers(said["data"], said["dtype"]).reshape(said["shape"])


def _read_zip(data: bytes) -> Arrays:
    with reading("zip file", _REMEDY):
        names = ZipFile(data).names
    return read_npz(data) if names and all(name.endswith(".npy") for name in names) else read_zip_checkpoint(data)


def read_npz(data: bytes) -> Arrays:
    """The arrays of an npz file; see `read_checkpoint`. Arrays of objects are refused."""
    with reading("npz file", _REMEDY):
        members = ZipFile(data)
        left = _INFLATION * len(data)
        arrays: Arrays = {}
        for name in members.names:
            raw = members.read(name, left)
            left -= len(raw)
            arrays[name.removesuffix(".npy")] = read_npy(raw)
        return arrays


def read_initializers(data: bytes) -> Arrays:
    """The parameters of an ONNX file: its initializers of floating-point numbers with at least one axis."""
    from onnx import numpy_helper

    from decaf.nets.model_file import parse_model
    from decaf.nets.readers.pour import parameters_of

    model = parse_model(data, "the file")
    with reading("ONNX file", _REMEDY):
        return {t.name: np.asarray(numpy_helper.to_array(t), np.float32) for t in parameters_of(model)}
