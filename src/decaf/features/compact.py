"""Write a feature folder anew, as if its pictures had been extracted in one go."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from decaf.errors import FeatureSetError
from decaf.features.derived import remove_stale
from decaf.features.feature_set import ABOUT, FeatureSet, read_meta, write_meta
from decaf.features.folder import disk_errors, locked, shard_about
from decaf.features.layout import in_order
from decaf.features.pipeline import Progress
from decaf.features.shards import check_shard, read_table, shard_name, with_about, write_table

_SHARDS_IN_MEMORY = 4


def compact(folder: str | Path, out: str | Path, progress: Progress | None = None) -> FeatureSet:
    """Copy a feature folder without the rows that updates left behind, the others in the order of the pictures.

    The result is the same to the byte as one extraction of the pictures as they are now, as long as one environment
    made all of it. It can be continued and updated like the original, which is left as it is.

    Args:
        folder: a finished feature folder.
        out: the new one: not there, empty, or left by a compaction that was interrupted.
        progress: called as `progress(rows, 0)` after each shard.

    Raises:
        FeatureSetError: `folder` is not finished or damaged, or `out` holds something else or cannot be written.
        FolderInUse: another process writes `out`.
    """
    features, out = FeatureSet.open(folder), Path(out)
    if out.resolve() == features.folder.resolve():
        raise FeatureSetError(f"{out} is the folder that is to be compacted: name a new folder")
    meta = {key: value for key, value in features.meta.items() if key != "order"}
    size = int(meta["shard_size"])
    shards = in_order(len(features), size)
    with locked(out):
        if (out / ABOUT).exists() and read_meta(out) != meta:
            raise FeatureSetError(f"{out} holds other features: name a new folder")
        with disk_errors(out):
            for path in out.glob(
                "shard-*.parquet"
            ):  # of an earlier compaction: interrupted, this one must not look finished
                path.unlink()
            write_meta(out, meta)
            read = lru_cache(_SHARDS_IN_MEMORY)(lambda shard: _read(features, shard))
            for shard, count in shards.items():
                table = _gathered(features.rows[shard * size : shard * size + count], size, read)
                write_table(out / shard_name(shard), with_about(table, shard_about(meta, shard)))
                if progress:
                    progress(count, 0)
            remove_stale(compacted := FeatureSet.open(out))
    return compacted


def _read(features: FeatureSet, shard: int) -> pa.Table:
    path = features.folder / shard_name(shard)
    shapes = features.meta["settings"]["layers"]
    sizes = {layer: math.prod(shapes[layer]) for layer in features.layers}
    check_shard(path, features.shard_rows[shard], sizes, features.meta["settings"]["store"])
    return read_table(path)


def _gathered(places: NDArray[np.int64], size: int, read: Callable[[int], pa.Table]) -> pa.Table:
    """Rows from any shards, in the order of `places`. Of each shard only those rows are kept in memory."""
    by_shard = np.argsort(places // size, kind="stable")
    shards, first = np.unique(places[by_shard] // size, return_index=True)
    parts = [
        read(shard).take(places[rows] % size)
        for shard, rows in zip(shards.tolist(), np.split(by_shard, first[1:]), strict=True)
    ]
    return pa.concat_tables(parts).take(np.argsort(by_shard))
