"""The pictures to work on: where each lies, what it is called, how its bytes are read."""

from __future__ import annotations

import hashlib
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from decaf.errors import ImageError
from decaf.images.archives import Archive
from decaf.images.decode import Limits, Origin, origin_of, read_file


class Found(NamedTuple):
    """A picture that was found.

    Attributes:
        path: as the user would write it: a folder's or an archive's name joined with what lies below it.
        label: None where there is none.
        archive: the archive it lies in, None for a file of its own.
        place: where in the archive.
        size: bytes in the archive.
    """

    path: str
    label: str | None = None
    archive: Archive | None = None
    place: int = 0
    size: int = 0


@dataclass
class _Packed:
    """Consecutive pictures of one archive."""

    first: int
    archive: Archive
    file_size: int
    mtime: int
    places: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))


class Listing:
    """The pictures to work on, in order, in about 75 bytes each."""

    def __init__(self, pictures: Iterable[Found] = ()) -> None:
        """Take pictures in the order of their rows."""
        self._packed, self._ends, self._label_of = bytearray(), array("q", [0]), array("i")
        self._archives: list[_Packed] = []
        self._cwd = os.getcwd()
        labels: dict[str | None, int] = {}
        for picture in pictures:
            if picture.archive is not None:
                self._add_place(picture, picture.archive)
            self._packed += os.fsencode(picture.path)
            self._ends.append(len(self._packed))
            self._label_of.append(labels.setdefault(picture.label, len(labels)))
        self._labels = list(labels)

    def _add_place(self, picture: Found, archive: Archive) -> None:
        if not self._archives or self._archives[-1].archive is not archive:
            status = os.stat(archive.path)
            self._archives.append(_Packed(len(self), archive, status.st_size, status.st_mtime_ns))
        self._archives[-1].places.append(picture.place)
        self._archives[-1].sizes.append(picture.size)

    def __len__(self) -> int:
        return len(self._label_of)

    def path(self, row: int) -> str:
        """As the user would write it: a folder's name joined with what lies below it."""
        return os.fsdecode(bytes(self._packed[self._ends[row] : self._ends[row + 1]]))

    def label(self, row: int) -> str | None:
        """The name of the folder the picture lies in, or what an archive says; None where neither is known."""
        return self._labels[self._label_of[row]]

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths."""
        return tuple(self.path(row) for row in range(len(self)))

    @property
    def labels(self) -> tuple[str | None, ...]:
        """All labels."""
        return tuple(self.label(row) for row in range(len(self)))

    def read(self, row: int, limits: Limits) -> tuple[bytes, Origin]:
        """A picture's bytes, and what its file was. Raises ImageError."""
        packed = self._archive_of(row)
        if packed is None:
            return read_file(self.path(row), limits)
        index = row - packed.first
        data = packed.archive.read(packed.places[index], packed.sizes[index], limits.file)
        return data, Origin(packed.file_size, packed.mtime, origin_of(data, 0).sha256)

    def origin(self, row: int) -> Origin | None:
        """What a picture's file is now, without its content's digest; an archive's is that of the archive."""
        packed = self._archive_of(row)
        if packed is not None:
            return Origin(packed.file_size, packed.mtime, "")
        try:
            status = os.stat(self.path(row))
        except (OSError, ValueError):
            return None
        return Origin(status.st_size, status.st_mtime_ns, "")

    def _archive_of(self, row: int) -> _Packed | None:
        at = bisect_right(self._archives, row, key=lambda packed: packed.first) - 1
        if at < 0 or row >= self._archives[at].first + len(self._archives[at].places):
            return None
        return self._archives[at]

    def digest(self) -> str:
        """16 hexadecimal digits that change with any path or label, their order, or where relative paths begin."""
        hasher = hashlib.sha256()
        if not all(os.path.isabs(self.path(row)) for row in range(len(self))):
            hasher.update(os.fsencode(self._cwd))
        for row in range(len(self)):
            hasher.update(repr((self.path(row), self.label(row))).encode())  # repr shows odd bytes as escapes
        return hasher.hexdigest()[:16]


@lru_cache(maxsize=1024)
def _name_of(folder: str, cwd: str) -> str:
    return os.path.basename(os.path.normpath(os.path.join(cwd, folder)))


def in_folder(path: str) -> Found:
    """A picture in a folder: the folder's name is its label."""
    return Found(path, _name_of(os.path.dirname(path), os.getcwd()))


def in_archive(archive: Archive) -> Iterable[Found]:
    """The pictures of an archive. Raises ImageError where there are none or it is damaged."""
    found = False
    for member in archive.members():
        found = True
        yield Found(f"{archive.path}/{member.name}", member.label, archive, member.place, member.size)
    if not found:
        raise ImageError(f"no pictures in {archive.path}: name another")
