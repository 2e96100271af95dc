"""Arrays out of MATLAB 5 files that nobody vouches for (MathWorks, MAT-File Format, version 5).

Only numbers, cells and structures are read, nothing is executed, and no more memory is taken than the file itself
accounts for. What a variable of another kind holds (text, sparse matrices, functions) is not looked at.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from decaf.errors import TaskError

Value: TypeAlias = "NDArray[np.generic] | list[Value] | dict[str, Value] | None"
"""An array (any shape, the dtype it is stored in); a list of cells, column by column; a structure, of each field its
value or, where the structure is an array of them, the list of its values; None: of another kind."""

LARGEST_FILE = 2**30  # bytes
LARGEST_CONTENT = 2**30  # bytes of all variables of a file, unpacked
_MOST_VALUES = 1_000_000  # cells and fields of a file
_DEEPEST = 8  # cells in structures in cells
_MOST_SIDES = 32  # of an array

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CELL, _STRUCT, _FIRST_NUMERIC, _LAST_NUMERIC = 1, 2, 6, 15
_COMPLEX = 0x0800
_HDF5 = b"\x89HDF\r\n\x1a\n"


class _Bad(Exception):
    """The file breaks the format's rules."""


def read_matlab(path: Path) -> dict[str, Value]:
    """The variables of a MATLAB 5 file (`save -v7`, `-v6`) by name.

    Raises:
        TaskError: it is another format, damaged, or too large.
        OSError: it cannot be read.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise TaskError(f"{path} has more than {LARGEST_FILE:,} bytes: save one domain a file")
    data = path.read_bytes()
    _refuse_other_versions(path, data)
    try:
        return dict(_File(data).variables())
    except (_Bad, zlib.error, struct.error) as error:
        raise TaskError(f"{path} is no whole MATLAB 5 file ({error}): get it again") from None


def _refuse_other_versions(path: Path, data: bytes) -> None:
    if data[512:520] == _HDF5 or data.startswith(_HDF5) or data.startswith(b"MATLAB 7.3"):
        raise TaskError(f"{path} is a MATLAB 7.3 file, which is HDF5: save it in MATLAB with -v7")
    if len(data) < _HEADER or data[126:128] not in (b"IM", b"MI"):
        raise TaskError(f"{path} is no MATLAB 5 file: get it again, or save it in MATLAB with -v7")


class _File:
    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data)
        self.order = "<" if data[126:128] == b"IM" else ">"
        self.left = LARGEST_CONTENT
        self.values = _MOST_VALUES

    def variables(self) -> Iterator[tuple[str, Value]]:
        body = _Part(self, self.data[_HEADER:])
        while len(body.rest):
            kind, content = body.element(pad=self._pads(body))
            if kind == _COMPRESSED:
                kind, content = self._unpacked(content)
            if kind != _MATRIX:
                _fail(f"an element of kind {kind} where a variable begins")
            self.left -= len(content)
            if self.left < 0:
                _fail(f"its variables have more than {LARGEST_CONTENT:,} bytes")
            yield _Part(self, content).matrix()

    def _pads(self, body: _Part) -> bool:
        """Compressed elements are not filled up to eight bytes."""
        return body.kind() != _COMPRESSED

    def _unpacked(self, packed: memoryview) -> tuple[int, memoryview]:
        """The one element inside; the size it states is believed only as far as bytes come."""
        stream = zlib.decompressobj()
        tag = stream.decompress(packed, 8)
        kind, size = struct.unpack(f"{self.order}II", tag)
        if size > self.left:
            _fail(f"a variable of {size:,} bytes; at most {LARGEST_CONTENT:,} are read")
        content = stream.decompress(stream.unconsumed_tail, size) if size else b""
        if len(content) != size:
            _fail(f"a variable says it has {size:,} bytes and has {len(content):,}")
        return kind, memoryview(content)

    def count(self, values: int) -> None:
        """Cells and fields are objects, and these are not free."""
        self.values -= values
        if self.values < 0:
            _fail(f"more than {_MOST_VALUES:,} cells and fields")


class _Part:
    """What is left of some bytes."""

    def __init__(self, file: _File, data: memoryview, depth: int = 0) -> None:
        self.file, self.rest, self.depth = file, data, depth

    def kind(self) -> int:
        """The kind of the next element."""
        return int(struct.unpack_from(f"{self.file.order}I", self.rest)[0])

    def element(self, pad: bool = True) -> tuple[int, memoryview]:
        """The next element: its kind and its bytes."""
        kind, size = struct.unpack_from(f"{self.file.order}II", self.rest)
        if kind >> 16:  # up to four bytes, beside a tag of half the size
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                _fail(f"{size} bytes in the place of four")
            return kind, self._take(8)[4 : 4 + size]
        self._take(8)
        content = self._take(size)
        if pad:
            self._take(min(-size % 8, len(self.rest)))
        return kind, content

    def _take(self, size: int) -> memoryview:
        if size > len(self.rest):
            _fail(f"{size:,} bytes are announced, {len(self.rest):,} are there")
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def numbers(self) -> NDArray[Any]:
        """The next element as numbers, (n,)."""
        kind, content = self.element()
        if kind not in _NUMBERS:
            _fail(f"an element of kind {kind} where numbers are due")
        dtype = np.dtype(self.file.order + _NUMBERS[kind])
        if len(content) % dtype.itemsize:
            _fail(f"{len(content)} bytes are no whole number of {dtype.itemsize}")
        return np.frombuffer(content, dtype)

    def text(self) -> str:
        """The next element as a name."""
        return bytes(self.element()[1]).rstrip(b"\0").decode("latin-1")

    def matrix(self) -> tuple[str, Value]:
        """The bytes as a variable: its name and its value."""
        if not len(self.rest):  # an empty cell may be nothing at all
            return "", np.empty((0, 0))
        flags = self.numbers()
        if flags.dtype.kind != "u" or len(flags) != 2:
            _fail("a variable without flags")
        kind = int(flags[0]) & 0xFF
        if kind not in (_CELL, _STRUCT) and not _FIRST_NUMERIC <= kind <= _LAST_NUMERIC:
            return self._name_of_another_kind(kind), None
        shape = self._shape()
        name = self.text()
        if kind in (_CELL, _STRUCT):
            read: Callable[[int], Value] = self._cells if kind == _CELL else self._structure
            return name, read(math.prod(shape))
        return name, None if int(flags[0]) & _COMPLEX else self._array(shape)

    def _name_of_another_kind(self, kind: int) -> str:
        """Functions and objects of classes have no shape in the usual place; nothing of them is wanted."""
        if kind > _LAST_NUMERIC:
            return f"(of kind {kind})"
        self._shape()
        return self.text()

    def _shape(self) -> tuple[int, ...]:
        sides = self.numbers()
        if sides.dtype.kind != "i" or not 2 <= len(sides) <= _MOST_SIDES or (sides < 0).any():
            _fail("a variable without a shape")
        return tuple(int(side) for side in sides)

    def _array(self, shape: tuple[int, ...]) -> NDArray[np.generic]:
        values = self.numbers()
        if len(values) != math.prod(shape):
            _fail(f"{len(values):,} numbers for the shape {'x'.join(map(str, shape))}")
        return values.reshape(shape, order="F") if len(values) else np.empty((0, 0))  # whatever the other sides say

    def _cells(self, count: int) -> list[Value]:
        self.file.count(count)
        if self.depth == _DEEPEST:
            _fail(f"cells more than {_DEEPEST} deep")
        return [self._inner() for _ in range(count)]

    def _inner(self) -> Value:
        kind, content = self.element()
        if kind != _MATRIX:
            _fail(f"an element of kind {kind} where a cell begins")
        return _Part(self.file, content, self.depth + 1).matrix()[1]

    def _structure(self, count: int) -> dict[str, Value]:
        width_of_names, names = self.numbers(), self.element()[1]
        width = int(width_of_names[0]) if width_of_names.dtype.kind == "i" and len(width_of_names) == 1 else 0
        if width < 1 or len(names) % width:
            _fail("a structure without names")
        fields = [bytes(names[i : i + width]).split(b"\0")[0].decode("latin-1") for i in range(0, len(names), width)]
        values = self._cells(count * len(fields))
        if count == 1:
            return dict(zip(fields, values, strict=True))
        return {field: values[place :: len(fields)] for place, field in enumerate(fields)}


def _fail(why: str) -> NoReturn:
    raise _Bad(why)
