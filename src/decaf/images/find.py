"""From what the user names to a list of picture files, in an order that never changes."""

from __future__ import annotations

import codecs
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from decaf.errors import ImageError
from decaf.images.archives import open_archive
from decaf.images.decode import SUFFIXES
from decaf.images.listing import Found, Listing, in_archive, in_folder

StrPath = str | os.PathLike[str]


def find_images(source: StrPath | Sequence[StrPath], column: str = "") -> Listing:
    """List the pictures that `source` names.

    Args:
        source: one or several of: a folder (searched recursively, its pictures sorted by the bytes of their paths;
            files and folders that start with a dot are passed over, links are followed, except back up to
            a folder they lie in), a picture file, a tar file (as WebDataset writes them), a Parquet file with a
            column of picture bytes, or a `.txt` file with one path a line.
        column: the Parquet column that holds the pictures, where there are several.

    Returns:
        The pictures, source after source. A source named twice is listed twice.

    Raises:
        ImageError: a source does not exist, a folder or an archive holds no pictures or is damaged, or there is
            nothing at all.
    """
    sources = as_list(source)
    listing = Listing(picture for path in sources for picture in _expand(path, column))
    if not len(listing):
        raise ImageError(f"no pictures in {', '.join(sources) or 'an empty list'}: name a folder or files")
    return listing


def as_list(source: StrPath | Sequence[StrPath]) -> list[str]:
    """One or several paths as a list of texts."""
    given = [source] if isinstance(source, str | os.PathLike) else source
    return [str(os.fspath(path)) for path in given]  # NumPy's own texts are not what the system takes


def _expand(source: str, column: str) -> Iterator[Found]:
    if os.path.isdir(source):
        found = False
        for path in _walk(source):
            found = True
            yield in_folder(path)
        if not found:
            raise ImageError(f"no pictures in folder {source}: it looks for names ending in {' '.join(SUFFIXES)}")
    elif not os.path.lexists(source):
        raise ImageError(f"{source} is not there: name a folder, a picture, a tar or a .txt list of paths")
    elif source.lower().endswith(".txt"):
        yield from map(Found, _read_list(source))
    elif not source.lower().endswith(SUFFIXES) and (archive := open_archive(source, column)):
        yield from in_archive(archive)
    else:
        yield Found(source)


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
    if not os.path.isfile(path):
        raise ImageError(f"list {path} is no regular file: write the paths into one")
    try:
        with open(path, "rb") as lines:
            for line in lines:
                name = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
                if name.strip():
                    yield os.fsdecode(name)
    except OSError as error:
        raise ImageError(f"cannot read list {path} ({error.strerror}): make it readable or name another") from None
