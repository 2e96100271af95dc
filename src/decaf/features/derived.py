"""Files made from a feature set that can be made again: search matrices, maps. They go when the features change.

They lie in `derived/` inside the feature folder, or, where that cannot be written, in the user's cache. A file is
named for what it was made of: `<kind>-<layer>-<rows' digest>-<key><suffix>`. Features that changed have another digest,
so an old file is never taken for a new one; it is removed when one of its kind is made anew.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from decaf.errors import FeatureSetError
from decaf.features.feature_set import FeatureSet
from decaf.features.shards import shard_name, unreadable
from decaf.files import TEMPORARY, atomic_path, cache_folder

FOLDER = "derived"
_MAGIC = b"PAR1"
_LONGEST_NAME = 40
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_MADE = re.compile(r".+-([0-9a-f]{16})-[0-9a-f]{16}\.[a-z]+")

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe(Generic[T]):
    """How one kind of derived file is made and read.

    Attributes:
        kind: a short name, lower-case: `search`, `map`.
        build: writes the file to the path it is given (the name of which has no suffix that means anything).
        load: reads it; raises ValueError, EOFError or OSError where it is damaged, and it is made anew.
        parameters: what else decides the content; plain values for JSON. Raise a version in it when `build` changes.
        suffix: of the file's name.
    """

    kind: str
    build: Callable[[Path], None]
    load: Callable[[Path], T]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = ".npy"


@dataclass(frozen=True)
class Kept(Generic[T]):
    """A derived file.

    Attributes:
        value: what `load` made of it.
        path: where it lies.
        built: whether it was made just now.
    """

    value: T
    path: Path
    built: bool


def derive(features: FeatureSet, layer: str, recipe: Recipe[T]) -> Kept[T]:
    """What a recipe makes of a layer: read where it is kept, else made and kept.

    Of several processes that need the same file one makes it, and the others wait.

    Args:
        features: the rows it is made of; a selection has files of its own.
        layer: a layer's name.
        recipe: what to make.

    Raises:
        FeatureSetError: neither the feature folder nor the user's cache can be written, the disk is full, or a shard
            cannot be read.

    Example:
        >>> mean = array_recipe("mean", lambda: features.valid.X("pool").mean(axis=0))
        >>> derive(features, "pool", mean).value.shape
        (1280,)
    """
    name = _name(features, layer, recipe)
    places = (features.folder / FOLDER, _in_cache(features.folder))
    for place in places:
        with suppress(OSError, ValueError, EOFError):
            return Kept(recipe.load(place / name), place / name, False)
    for place in places:
        try:
            return _built(place, name, recipe)
        except _CannotWrite:
            continue
    raise FeatureSetError(
        f"neither {places[0]} nor {places[1]} can be written: make one of them writable, or set DECAF_CACHE to a folder"
    )


def array_recipe(
    kind: str, build: Callable[[], NDArray[Any]], parameters: Mapping[str, Any] | None = None
) -> Recipe[NDArray[Any]]:
    """A recipe for one array, kept as NumPy's `.npy` and mapped into memory when read."""

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, build(), allow_pickle=False)

    return Recipe(kind, write, load_array, parameters or {})


def load_array(path: Path) -> NDArray[Any]:
    """An array, mapped into memory, read only. Raises ValueError, EOFError or OSError where the file is damaged."""
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def rows_digest(features: FeatureSet) -> str:
    """16 hexadecimal digits that change with the vectors of a feature folder, its order and its settings.

    Of each shard counts the name, the size, the time of its last change and its Parquet footer, which holds the digest
    of the settings, the least and greatest path and checksum of its pictures and where each column lies. That takes 30
    microseconds per shard, where reading all vectors takes seconds. It is also all that is looked at: vectors that
    someone overwrites in place, without a change of size and with the old time set again, go unnoticed. decaf never
    does that; it writes shards under other names and renames them.
    """
    hasher = hashlib.sha256()
    for shard in sorted(features.shard_rows):
        path = features.folder / shard_name(shard)
        about, footer = _footer(path)
        hasher.update(f"{path.name} {about} ".encode() + footer)
    decides = {name: features.meta.get(name) for name in ("settings", "shard_size", "environments", "order")}
    hasher.update(json.dumps(decides, sort_keys=True).encode())
    return hasher.hexdigest()[:16]


def remove_stale(features: FeatureSet) -> int:
    """Remove derived files in a feature folder that were made of other features. Returns how many there were.

    One that another process has open stays where the system forbids to remove it.
    """
    digest, removed = rows_digest(features), 0
    for path in (features.folder / FOLDER).glob("[!.]*"):
        made = _MADE.fullmatch(path.name)
        if made and made[1] != digest:
            with suppress(OSError):
                path.unlink()
                removed += 1
    return removed


def _footer(path: Path) -> tuple[str, bytes]:
    """Size and time of change of a shard, and its Parquet footer. Raises FeatureSetError where it has none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - 8, 0))
            end = file.read(8)
            length = int.from_bytes(end[:4], "little")
            if end[4:] != _MAGIC or length > size - 12:
                raise ValueError("no Parquet file")
            file.seek(size - 8 - length)
            return f"{size} {path.stat().st_mtime_ns}", file.read(length)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def _name(features: FeatureSet, layer: str, recipe: Recipe[T]) -> str:
    rows = hashlib.sha256(np.ascontiguousarray(features.rows).tobytes()).hexdigest()
    key = json.dumps([recipe.kind, layer, rows, dict(recipe.parameters)], sort_keys=True)
    shown = re.sub(r"[^A-Za-z0-9_]+", "_", layer)[:_LONGEST_NAME]
    return (
        f"{recipe.kind}-{shown}-{rows_digest(features)}-{hashlib.sha256(key.encode()).hexdigest()[:16]}{recipe.suffix}"
    )


def _in_cache(folder: Path) -> Path:
    where = hashlib.sha256(str(folder.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return cache_folder() / FOLDER / where


class _CannotWrite(Exception):
    """This place is not ours to write."""


def _built(place: Path, name: str, recipe: Recipe[T]) -> Kept[T]:
    target = place / name
    with _alone(place, recipe.kind):
        with suppress(OSError, ValueError, EOFError):  # another process made it while we waited
            return Kept(recipe.load(target), target, False)
        try:
            _remove_old(place, name, recipe.kind)
            with atomic_path(target) as temporary:
                recipe.build(temporary)
        except OSError as error:
            why = error.strerror or str(error)
            raise FeatureSetError(f"cannot write {target} ({why}): make room, or remove the folder {place}") from error
        return Kept(recipe.load(target), target, True)


def _remove_old(place: Path, name: str, kind: str) -> None:
    """What was made of features that have changed since, and what a killed process left half-written."""
    of_kind = re.compile(rf"\.?{re.escape(kind)}-.+")
    made = _MADE.fullmatch(name)
    for path in place.iterdir():
        other = _MADE.fullmatch(path.name)
        stale = made is not None and other is not None and other[1] != made[1]
        if of_kind.fullmatch(path.name) and (stale or path.name.endswith(TEMPORARY)):
            with suppress(OSError):  # on some systems another process may still have it open
                path.unlink()


@contextmanager
def _alone(place: Path, kind: str) -> Iterator[None]:
    """Hold one kind of files in a folder. Raises _CannotWrite where we may not write there."""
    import filelock

    lock = filelock.FileLock(place / f".{kind}.lock")
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            raise _CannotWrite from None
        why = error.strerror or str(error)
        raise FeatureSetError(f"cannot write {place} ({why}): make room, or remove what is in the way") from error
    try:
        yield
    finally:
        lock.release()
