"""What archives of pictures have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from decaf.errors import ImageError

CHUNK = 2**20  # bytes


@dataclass(frozen=True, slots=True)
class Member:
    """One picture in an archive.

    Attributes:
        name: inside the archive; in a Parquet file the row number as text.
        label: what the archive says of its class; None where it says nothing.
        place: of a tar member, the byte offset of its data, or below zero where it has none; of Parquet, the row.
        size: bytes; -1 where unknown (Parquet).
    """

    name: str
    label: str | None
    place: int
    size: int


class Archive(Protocol):
    """Pictures inside one file. Any number of threads may read at once."""

    path: str

    def members(self) -> Iterator[Member]:
        """List the pictures in the order of the file, in memory that does not grow. Raises ImageError for damage."""

    def read(self, member_place: int, size: int, largest: int) -> bytes:
        """Read a picture. Raises ImageError, with the reason in a few words, when it cannot be had whole."""

    def close(self) -> None:
        """Free what is kept between reads. Reading again is allowed."""


class Identity(NamedTuple):
    """A file as it was: the same numbers, the same content."""

    device: int
    inode: int
    size: int
    changed: int


def identity_of(status: os.stat_result) -> Identity:
    """Of a file's status."""
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def read_at(path: str, identity: Identity, place: int, size: int) -> bytes:
    """Bytes of a file that is still the one that was opened first. One descriptor, for microseconds."""
    try:
        with open(path, "rb") as file:
            if identity_of(os.fstat(file.fileno())) != identity:
                raise ImageError("cannot be read (its archive has changed since it was listed)")
            file.seek(place)
            return file.read(size)
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror or error})") from None


def check_size(size: int, largest: int) -> None:
    """Raise ImageError above the largest."""
    if size > largest:
        raise ImageError(f"{size} bytes: more than the {largest} that are read")


def one_line(error: Exception) -> str:
    """The first line of an error's text."""
    return str(error).split("\n")[0].strip() or type(error).__name__
