"""From what the user names to a list of picture files, in an order that never changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from decaf.errors import ImageError

# What counts as a picture inside a folder. Files named one by one, or in a list, are taken whatever their name.
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png")

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Listing:
    """The pictures to work on, in order.

    Attributes:
        paths: as the user would write them: a folder's name joined with what lies below it.
        labels: the name of the folder a picture lies in; None for files that were named one by one or in a list.
    """

    paths: tuple[str, ...]
    labels: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def digest(self) -> str:
        """16 hexadecimal digits that change with any path or label, or their order."""
        hasher = hashlib.sha256()
        for path, label in zip(self.paths, self.labels, strict=True):
            hasher.update(os.fsencode(f"{path}\0{'' if label is None else label}\0"))
        return hasher.hexdigest()[:16]


def find_images(source: StrPath | Sequence[StrPath]) -> Listing:
    """List the pictures that `source` names.

    Args:
        source: one or several of: a folder (searched recursively, its pictures sorted by the bytes of their paths;
            files and folders that start with a dot are passed over), a picture file, or a `.txt` file with one path
            a line.

    Returns:
        The pictures, source after source. A source named twice is listed twice.

    Raises:
        ImageError: a source does not exist, a folder holds no pictures, or there is nothing at all.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    paths: list[str] = []
    labels: list[str | None] = []
    for given in [os.fspath(path) for path in sources]:
        for path, label in _expand(given):
            paths.append(path)
            labels.append(label)
    if not paths:
        named = ", ".join(os.fspath(path) for path in sources) or "an empty list"
        raise ImageError(f"no pictures in {named}: name a folder or files")
    return Listing(tuple(paths), tuple(labels))


def _expand(source: str) -> Iterator[tuple[str, str | None]]:
    if os.path.isdir(source):
        found = sorted(_walk(source), key=os.fsencode)
        if not found:
            raise ImageError(f"no pictures in folder {source}: it looks for names ending in {' '.join(SUFFIXES)}")
        yield from ((path, _folder_name(path)) for path in found)
    elif not os.path.lexists(source):
        raise ImageError(f"{source} is not there: name a folder, a picture, or a .txt list of paths")
    elif source.lower().endswith(".txt"):
        yield from ((path, None) for path in _read_list(source))
    else:
        yield source, None


def _walk(folder: str) -> Iterator[str]:
    visited = set()
    for where, folders, files in os.walk(folder, followlinks=True, onerror=_refuse_folder):
        status = os.stat(where)
        visited.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if name[0] != "." and not _is_in(os.path.join(where, name), visited)]
        yield from (os.path.join(where, name) for name in files if name[0] != "." and name.lower().endswith(SUFFIXES))


def _is_in(folder: str, visited: set[tuple[int, int]]) -> bool:
    status = os.stat(folder)
    return (status.st_dev, status.st_ino) in visited


def _refuse_folder(error: OSError) -> None:
    why = f"{error.filename} ({error.strerror})"
    raise ImageError(f"cannot list folder {why}: make it readable or name another") from error


def _read_list(path: str) -> Iterator[str]:
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise ImageError(f"cannot read list {path} ({error.strerror}): make it readable or name another") from None
    yield from (os.fsdecode(line.rstrip(b"\r")) for line in lines if line.strip())


def _folder_name(path: str) -> str:
    return os.path.basename(os.path.dirname(os.path.abspath(path)))
