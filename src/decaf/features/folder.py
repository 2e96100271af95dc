"""A feature folder while it is written: one writer, nothing of others touched, continued only as it was begun."""

from __future__ import annotations

import errno
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaf.errors import FeatureSetError, FolderInUse, SettingsDiffer
from decaf.features.feature_set import ABOUT, read_meta
from decaf.features.layout import in_order, read_layout
from decaf.features.options import Options
from decaf.features.rows import Rows
from decaf.features.settings import refuse_difference
from decaf.features.shards import read_about, shard_name
from decaf.features.update import Update, compare, identity, stored_identities
from decaf.files import TEMPORARY
from decaf.nets.preprocess import digest

_ELSEWHERE = "write to another folder"


@dataclass(frozen=True)
class Work:
    """What is to be done in a folder.

    Attributes:
        meta: what `decaf.json` says until it is done.
        todo: number of a shard -> its rows, those that are not there yet.
        update: what an update changes; None for a first run and one that continues it.
    """

    meta: Mapping[str, Any]
    todo: Mapping[int, Sequence[int]]
    update: Update | None = None

    @property
    def rows(self) -> int:
        """How many rows are still to be computed."""
        return sum(map(len, self.todo.values()))


@contextmanager
def held(out: Path, meta: Mapping[str, Any], rows: Rows, options: Options) -> Iterator[Work]:
    """Hold a folder for this process alone, made where it is missing, and yield what is to be done in it.

    Args:
        out: the folder.
        meta: what `decaf.json` would say of a new folder.
        rows: what the folder is to hold.
        options: how to extract.

    Raises:
        FolderInUse, FeatureSetError: see `locked`; or the folder holds a damaged or foreign shard.
        SettingsDiffer: the folder holds features made otherwise.
    """
    with locked(out):
        yield _work(out, meta, rows, options)


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold a folder for this process alone, made where it is missing.

    Raises:
        FolderInUse: another process writes the folder.
        FeatureSetError: the folder holds other things, or cannot be written.
    """
    import filelock

    with disk_errors(out):
        _refuse_other_things(out)
        out.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(out / ".lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise FolderInUse(f"{out} is being written by another decaf: wait for it, or name another folder") from None
    try:
        for pattern in (".shard-*.parquet.*", ".order-*.parquet.*", f".{ABOUT}.*"):
            for left_behind in out.glob(pattern + TEMPORARY):  # by a process that was killed: we hold the folder
                left_behind.unlink()
        yield
    finally:
        lock.release()


def _refuse_other_things(out: Path) -> None:
    if not out.is_dir() or (out / ABOUT).exists():
        return
    if others := [path.name for path in out.iterdir() if not path.name.startswith(".")]:
        raise FeatureSetError(f"{out} holds other things ({others[0]}): name a new or an empty folder")


@contextmanager
def disk_errors(out: Path) -> Iterator[None]:
    """Turn what the system says of a folder or disk into a FeatureSetError."""
    try:
        yield
    except FolderInUse:
        raise
    except FileExistsError:
        raise FeatureSetError(f"{out} is a file: name a folder") from None
    except OSError as error:
        remedy = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "make it writable"
        why = error.strerror or str(error)
        raise FeatureSetError(f"cannot write {out} ({why}): {remedy} or name another folder") from error


def _work(out: Path, meta: Mapping[str, Any], rows: Rows, options: Options) -> Work:
    if not (out / ABOUT).exists():
        return _first_run(out, meta, rows)
    stored = _continued(out, meta, options)
    if options.update:
        found = compare(out, stored, rows, digest(meta["settings"]), options.checksum, options.limits)
        return Work(stored, found.todo, found)
    _refuse_other_listing(out, stored, meta)
    if "order" in stored:
        read_layout(out, stored)
        return Work(stored, {})
    return _first_run(out, stored, rows)


def _first_run(out: Path, meta: Mapping[str, Any], rows: Rows) -> Work:
    size = int(meta["shard_size"])
    shards = {shard: range(shard * size, shard * size + n) for shard, n in in_order(len(rows), size).items()}
    return Work(meta, {shard: part for shard, part in shards.items() if not _is_done(out, meta, rows, shard, part)})


def _continued(out: Path, asked: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """The stored description, extended where another environment is allowed; SettingsDiffer where it does not fit."""
    stored = read_meta(out)
    another = f"use the same, or {_ELSEWHERE}"
    refuse_difference(out, stored["settings"], asked["settings"], another)
    if options.shard_size:
        refuse_difference(out, {"shard_size": stored["shard_size"]}, {"shard_size": options.shard_size}, another)
    environment = asked["environments"][0]
    if environment not in stored["environments"]:
        if not options.allow_mixed:
            refuse_difference(out, stored["environments"][-1], environment, f"pass --allow-mixed, or {_ELSEWHERE}")
        stored["environments"].append(environment)
    return stored


def _refuse_other_listing(out: Path, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    before, now = stored["source"], asked["source"]
    if (before["count"], before["digest"]) != (now["count"], now["digest"]):
        raise SettingsDiffer(
            f"{out} was made from {_counted(before)} ({', '.join(before['given'][:3])}, seen from "
            f"{before['folder']}), this run has {_counted(now)}, or other paths or boxes: "
            "pass --update to compute what changed, "
            f"name the same sources from there, or {_ELSEWHERE}"
        )


def _counted(source: Mapping[str, Any]) -> str:
    pictures, rows = source["pictures"], source["count"]
    return f"{pictures} pictures" if pictures == rows else f"{pictures} pictures, {rows} rows"


def _is_done(out: Path, meta: Mapping[str, Any], rows: Rows, shard: int, part: range) -> bool:
    """Whether a shard is there, whole and ours. Raises FeatureSetError for a damaged or foreign one."""
    path = out / shard_name(shard)
    if not path.exists():
        return False
    expected = (identity(rows, rows[row]) for row in part)
    ours = read_about(path) == shard_about(meta, shard)
    # As texts: a corner that is no number equals nothing, not even itself.
    if not ours or any(map(operator.ne, map(repr, stored_identities(path, len(part))), map(repr, expected))):
        raise FeatureSetError(f"{path} belongs to another run: delete it and run again")
    return True


def shard_about(meta: Mapping[str, Any], shard: int) -> dict[str, Any]:
    """What identifies a shard."""
    return {"shard": shard, "settings": digest(meta["settings"])}
