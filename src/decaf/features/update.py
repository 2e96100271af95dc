"""What changed between a feature folder and its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import FeatureSetError, ImageError
from decaf.features.layout import Layout, in_order, read_order
from decaf.features.rows import Row, Rows, shards_of
from decaf.features.shards import count_rows, read_about, read_column, shard_name, stored_text
from decaf.images.decode import Limits, Origin
from decaf.images.listing import Listing

_MOST_SHARDS = 2**31  # numbers are 32 bits in an order file
_IDENTITY = ("path", "label", "region", "view", "box")
Keys = NDArray[np.bytes_]
"""(n,) 16 bytes per row: equal for equal rows of unchanged files."""


@dataclass(frozen=True, eq=False)
class Update:
    """What an update keeps and computes.

    Attributes:
        layout: where all rows will lie when it is done.
        todo: number of a new shard -> its rows.
        added, changed, removed, kept: numbers of rows, compared to the folder as it was last finished. What an
            interrupted update left behind is not computed again, but counts as added or changed.
    """

    layout: Layout
    todo: Mapping[int, Sequence[int]]
    added: int
    changed: int
    removed: int
    kept: int

    def to_dict(self) -> dict[str, int]:
        """The numbers of rows, ready for JSON."""
        return {name: getattr(self, name) for name in ("added", "changed", "removed", "kept")}


def compare(folder: Path, meta: Mapping[str, Any], rows: Rows, settings: str, checksum: bool, limits: Limits) -> Update:
    """Compare what a folder's shards hold with what its pictures are now.

    A row is kept when its path, label, region and view are the same and its file has the same size and time of last
    change, or, with `checksum`, the same content. A file that could not be read is tried again.

    Args:
        folder: the feature folder; its shards are all looked at, whether an earlier update was finished or not.
        meta: what its `decaf.json` says.
        rows: what the folder is to hold.
        settings: digest of the settings that every shard must have.
        checksum: compare contents, which reads every file.
        limits: files beyond them are not read.

    Raises:
        FeatureSetError: a shard is damaged or foreign.
    """
    shard_size = int(meta["shard_size"])
    stored = _read_stored(folder, settings, shard_size, checksum)
    names, keys = _wanted(rows, checksum, limits)
    in_use, promised = _standing(folder, meta, stored)
    places = _find(keys, stored, in_use)
    places[_readable_now(places, stored, rows, limits)] = -1
    kept = int(np.isin(places, stored.places[in_use]).sum())
    known = _in_common(names, stored.names[in_use])
    missing = np.flatnonzero(places < 0)
    todo = _in_place(places, missing, stored.shard_rows, shard_size)
    # Interrupted, it must not leave a shard that the folder waits for, with rows of other pictures.
    if todo is None or (min(todo, default=promised) < promised and not _same_listing(meta, rows)):
        parts = shards_of(missing.tolist(), shard_size)
        todo = dict(enumerate(parts, max([promised, *(shard + 1 for shard in stored.shard_rows)])))
    for shard, part in todo.items():
        places[np.asarray(part)] = shard * shard_size + np.arange(len(part))
    layout = Layout(places, {**stored.shard_rows, **{shard: len(part) for shard, part in todo.items()}})
    return Update(layout, todo, len(rows) - known, known - kept, int(in_use.sum()) - known, kept)


def _standing(folder: Path, meta: Mapping[str, Any], stored: _Stored) -> tuple[NDArray[np.bool_], int]:
    """Of the folder as `decaf.json` says: which stored rows belong to it, and the number its shards all lie below."""
    if "order" not in meta:
        count = int(meta["source"]["count"])
        return stored.places < count, -(-count // int(meta["shard_size"]))
    try:
        layout = read_order(folder, meta)
    except FeatureSetError:  # an update writes it anew: until then the folder cannot be opened
        return np.ones(len(stored.places), bool), 0
    return np.isin(stored.places, layout.places), max(layout.shard_rows) + 1


def _same_listing(meta: Mapping[str, Any], rows: Rows) -> bool:
    return "order" not in meta and bool(meta["source"]["digest"] == rows.digest())


def _readable_now(places: NDArray[np.int64], stored: _Stored, rows: Rows, limits: Limits) -> list[int]:
    """Rows whose file could not be read and now can, be it the same in size and time: broken ones, to try again."""
    unread = np.flatnonzero(np.isin(places, stored.places[stored.unread])).tolist()
    files = ((row, rows[row]) for row in unread)
    return [n for n, row in files if not row.lacks_box and _content(rows.listing, row.picture, limits) != (None,)]


def _in_common(some: Keys, others: Keys) -> int:
    """How many keys are in both, each as often as in the one that has fewer of it."""
    kinds, which = np.unique(np.concatenate([some, others]), return_inverse=True)
    counts = (np.bincount(part, minlength=len(kinds)) for part in (which[: len(some)], which[len(some) :]))
    return int(np.minimum(*counts).sum())


@dataclass(frozen=True, eq=False)
class _Stored:
    names: Keys
    keys: Keys
    places: NDArray[np.int64]
    unread: NDArray[np.bool_]
    shard_rows: Mapping[int, int]


def _read_stored(folder: Path, settings: str, shard_size: int, checksum: bool) -> _Stored:
    names: list[bytes] = []
    keys: list[bytes] = []
    unread: list[bool] = []
    places: list[NDArray[np.int64]] = []
    shard_rows: dict[int, int] = {}
    for path in sorted(folder.glob("shard-*.parquet")):
        about = read_about(path)
        count = count_rows(path)
        shard: Any = about.get("shard")
        ours = about.get("settings") == settings and isinstance(shard, int) and 0 <= shard < _MOST_SHARDS
        if not ours or path.name != shard_name(shard):
            raise FeatureSetError(f"{path} belongs to another run: delete it and run again")
        for name, key in _stored_keys(path, count, checksum):
            names.append(name)
            keys.append(key)
        unread += (content is None for content in read_column(path, "sha256", count))
        places.append(shard * shard_size + np.arange(count))
        shard_rows[shard] = count
    nowhere = [np.empty(0, np.int64)]
    found = np.concatenate(nowhere + places)
    return _Stored(np.array(names, "S16"), np.array(keys, "S16"), found, np.array(unread, bool), shard_rows)


def _stored_keys(path: Path, count: int, checksum: bool) -> Iterator[tuple[bytes, bytes]]:
    content = ("sha256",) if checksum else ("size", "mtime")
    contents = zip(*(read_column(path, name, count) for name in content), strict=True)
    return map(_keys, stored_identities(path, count), contents)


def stored_identities(path: Path, count: int) -> Iterator[tuple[Any, ...]]:
    """What the rows of a shard are; see `identity`."""
    return zip(*(read_column(path, name, count) for name in _IDENTITY), strict=True)


def _keys(identity: Sequence[Any], content: Sequence[Any]) -> tuple[bytes, bytes]:
    """A digest of what a row is, and one of that and its file's content."""
    name = repr(tuple(identity)).encode()
    return blake2b(name, digest_size=16).digest(), blake2b(name + repr(content).encode(), digest_size=16).digest()


def _wanted(rows: Rows, checksum: bool, limits: Limits) -> tuple[Keys, Keys]:
    content = _contents(rows, limits) if checksum else _times(rows)
    names = np.empty(len(rows), "S16")
    keys = np.empty(len(rows), "S16")
    numbered = ((number, rows[number]) for number in range(len(rows)))
    for picture, group in groupby(numbered, key=lambda pair: pair[1].picture):
        del picture
        now = next(content)
        for number, row in group:
            names[number], keys[number] = _keys(identity(rows, row), now)
    return names, keys


def identity(rows: Rows, row: Row) -> tuple[Any, ...]:
    """What a row is, as a shard says it: path, label, region, view and box."""
    path, label = stored_text(rows.listing.path(row.picture)), stored_text(rows.label(row))
    return path, label, stored_text(row.region), row.view, list(row.box.corners) if row.box else None


def _times(rows: Rows) -> Iterator[tuple[int | None, int | None]]:
    for picture in range(len(rows.listing)):
        origin = rows.listing.origin(picture)
        yield (origin.size, microseconds(origin)) if origin else (None, None)


def _contents(rows: Rows, limits: Limits) -> Iterator[tuple[str | None]]:
    def digest_of(picture: int) -> tuple[str | None]:
        return _content(rows.listing, picture, limits)

    with ThreadPoolExecutor(4, thread_name_prefix="decaf") as pool:
        for start in range(0, len(rows.listing), 1000):  # a few at a time: memory does not grow with the folder
            yield from pool.map(digest_of, range(start, min(start + 1000, len(rows.listing))))


def _content(listing: Listing, picture: int, limits: Limits) -> tuple[str | None]:
    """The digest of a picture's file, None where it cannot be read."""
    try:
        return (listing.read(picture, limits)[1].sha256,)
    except ImageError:
        return (None,)


def microseconds(origin: Origin) -> int:
    """Time of last change as it is stored."""
    return min(max(origin.mtime // 1000, -(2**62)), 2**62)


def _find(wanted: Keys, stored: _Stored, in_use: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Per wanted row, the place of an equal stored one, -1 where there is none. No place is given twice."""
    found = np.full(len(wanted), -1, np.int64)
    # Of equal ones, first those whose file was read, and among them those in use.
    order = np.lexsort((stored.places, ~in_use, stored.unread, stored.keys))
    want_order = np.argsort(wanted, kind="stable")
    keys, wanted = stored.keys[order], wanted[want_order]
    # The i-th of several equal wanted rows takes the i-th of the equal stored ones.
    at = np.searchsorted(keys, wanted) + np.arange(len(wanted)) - np.searchsorted(wanted, wanted)
    inside = at < len(keys)
    equal = np.zeros(len(wanted), bool)
    equal[inside] = keys[at[inside]] == wanted[inside]
    found[want_order[equal]] = stored.places[order[at[equal]]]
    return found


def _in_place(
    places: NDArray[np.int64], missing: NDArray[np.int64], shard_rows: Mapping[int, int], shard_size: int
) -> dict[int, Sequence[int]] | None:
    """The shards of an unfinished first run that are still to be made, where nothing but those is missing."""
    kept = np.flatnonzero(places >= 0)
    expected = in_order(len(places), shard_size)
    todo = [shard for shard in expected if shard not in shard_rows]
    if (places[kept] != kept).any() or any(expected.get(shard) != count for shard, count in shard_rows.items()):
        return None
    if sum(expected[shard] for shard in todo) != len(missing):
        return None
    return {shard: range(shard * shard_size, shard * shard_size + expected[shard]) for shard in todo}
