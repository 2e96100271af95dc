"""From what the user names to a list of picture files, in an order that never changes."""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from decaf.errors import ImageError

# What counts as a picture inside a folder. Files named one by one, or in a list, are taken whatever their name.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif"),
    *(".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif"),
)

StrPath = str | os.PathLike[str]


class Listing:
    """The pictures to work on, in order, in about 70 bytes each."""

    def __init__(self, pictures: Iterable[tuple[str, bool]] = ()) -> None:
        """Take (path, whether it was found in a folder) pairs."""
        self._packed, self._ends, self._in_folder = bytearray(), array("q", [0]), bytearray()
        for path, in_folder in pictures:
            self._packed += os.fsencode(path)
            self._ends.append(len(self._packed))
            self._in_folder.append(in_folder)
        self._cwd = os.getcwd()

    def __len__(self) -> int:
        return len(self._in_folder)

    def path(self, row: int) -> str:
        """As the user would write it: a folder's name joined with what lies below it."""
        return os.fsdecode(bytes(self._packed[self._ends[row] : self._ends[row + 1]]))

    def label(self, row: int) -> str | None:
        """The name of the folder the picture lies in; None for one that was named by itself or in a list."""
        if not self._in_folder[row]:
            return None
        return os.path.basename(os.path.normpath(os.path.join(self._cwd, os.path.dirname(self.path(row)))))

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths."""
        return tuple(self.path(row) for row in range(len(self)))

    @property
    def labels(self) -> tuple[str | None, ...]:
        """All labels."""
        return tuple(self.label(row) for row in range(len(self)))

    def digest(self) -> str:
        """16 hexadecimal digits that change with any path or label, their order, or where relative paths begin."""
        hasher = hashlib.sha256()
        if not all(os.path.isabs(self.path(row)) for row in range(len(self))):
            hasher.update(os.fsencode(self._cwd))
        for row in range(len(self)):
            label = self.label(row)
            hasher.update(os.fsencode(f"{self.path(row)}\0{'' if label is None else '/' + label}\0"))
        return hasher.hexdigest()[:16]


def find_images(source: StrPath | Sequence[StrPath]) -> Listing:
    """List the pictures that `source` names.

    Args:
        source: one or several of: a folder (searched recursively, its pictures sorted by the bytes of their paths;
            files and folders that start with a dot are passed over, links are followed, except back up to
            a folder they lie in), a picture file, or a `.txt` file with one path a line.

    Returns:
        The pictures, source after source. A source named twice is listed twice.

    Raises:
        ImageError: a source does not exist, a folder holds no pictures, or there is nothing at all.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    listing = Listing(picture for path in sources for picture in _expand(os.fspath(path)))
    if not len(listing):
        named = ", ".join(os.fspath(path) for path in sources) or "an empty list"
        raise ImageError(f"no pictures in {named}: name a folder or files")
    return listing


def _expand(source: str) -> Iterator[tuple[str, bool]]:
    if os.path.isdir(source):
        found = False
        for path in _walk(source):
            found = True
            yield path, True
        if not found:
            raise ImageError(f"no pictures in folder {source}: it looks for names ending in {' '.join(SUFFIXES)}")
    elif not os.path.lexists(source):
        raise ImageError(f"{source} is not there: name a folder, a picture, or a .txt list of paths")
    elif source.lower().endswith(".txt"):
        yield from ((path, False) for path in _read_list(source))
    else:
        yield source, False


def _walk(top: str) -> Iterator[str]:
    """Pictures below a folder in the order of the bytes of their paths."""
    # One iterator a level, and the identities of the folders they are in.
    levels, inside = [_children(top)], [_identity(top)]
    while levels:
        path, is_folder = next(levels[-1], ("", False))
        if not path:
            levels.pop()
            inside.pop()
        elif not is_folder:
            yield path
        elif (identity := _identity(path)) not in inside:  # else a link to a folder above: listed already
            levels.append(_children(path))
            inside.append(identity)


def _children(folder: str) -> Iterator[tuple[str, bool]]:
    """Folders and pictures in a folder. A folder sorts as its name and a slash: that is how paths below it go on."""
    with _listing_errors(folder), os.scandir(folder) as entries:
        seen = {entry.name: _is_folder(entry) for entry in entries if not entry.name.startswith(".")}
    for name in sorted(seen, key=lambda name: os.fsencode(name + "/" * seen[name])):
        if seen[name] or name.lower().endswith(SUFFIXES):
            yield os.path.join(folder, name), seen[name]


def _identity(folder: str) -> tuple[int, int]:
    with _listing_errors(folder):
        status = os.stat(folder)
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself: reading it will tell
            return False
        raise


@contextmanager
def _listing_errors(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = f"{folder} ({error.strerror})"
        raise ImageError(f"cannot list folder {why}: make it readable or name another") from None


def _read_list(path: str) -> Iterator[str]:
    try:
        with open(path, "rb") as lines:
            for line in lines:
                name = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
                if name.strip():
                    yield os.fsdecode(name)
    except OSError as error:
        raise ImageError(f"cannot read list {path} ({error.strerror}): make it readable or name another") from None
