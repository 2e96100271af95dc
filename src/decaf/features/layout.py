"""Which shard holds which row: in order as they were written, or as an order file says after updates."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import FeatureSetError
from decaf.features.shards import count_rows, open_parquet, shard_name, unreadable
from decaf.files import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa

ORDER_FILES = f"order-{'[0-9a-f]' * 16}.parquet"  # others may keep files of similar names in the folder
_LEAST_BYTES = 8  # of a row in an order file: shard and row, neither compressed nor encoded


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the rows of a folder lie.

    Attributes:
        places: (n,) int64, per row: number of its shard times the shard size, plus its row in the shard.
        shard_rows: number of a shard -> its rows, those no longer in use included.
    """

    places: NDArray[np.int64]
    shard_rows: Mapping[int, int]

    @property
    def removed(self) -> int:
        """Stored rows that belong to no picture any more."""
        return sum(self.shard_rows.values()) - len(self.places)

    def is_in_order(self) -> bool:
        """Whether row after row lies in shard after shard, with nothing between or left over."""
        return self.removed == 0 and bool((self.places == np.arange(len(self.places))).all())


def in_order(count: int, shard_size: int) -> dict[int, int]:
    """Rows of each shard of a folder that was never updated."""
    return {shard: min(shard_size, count - first) for shard, first in enumerate(range(0, count, shard_size))}


def read_layout(folder: Path, meta: Mapping[str, Any]) -> Layout:
    """The layout of a finished folder. Raises FeatureSetError where shards are missing or the order file is damaged."""
    done, total = finished_shards(folder, meta)
    if done < total:
        raise FeatureSetError(
            f"{folder} is not finished: {total - done} of {total} shards are missing; "
            f"run the same `decaf extract` again{' with --update' if 'order' in meta else ''}"
        )
    if "order" in meta:
        return read_order(folder, meta)
    count, size = int(meta["source"]["count"]), int(meta["shard_size"])
    for shard in {0, total - 1}:  # before anything is allocated for as many rows as the description claims
        path = folder / shard_name(shard)
        if (there := count_rows(path)) != (belong := min(size, count - shard * size)):
            raise unreadable(path, f"{there} rows where {belong} belong")
    return Layout(np.arange(count), in_order(count, size))


def finished_shards(folder: Path, meta: Mapping[str, Any]) -> tuple[int, int]:
    """How many of its shards a folder holds, and how many belong there."""
    there = {path.name for path in folder.glob("shard-*.parquet")}
    if "order" in meta:
        belong = read_order(folder, meta).shard_rows
        return sum(shard_name(shard) in there for shard in belong), len(belong)
    total = -(-meta["source"]["count"] // meta["shard_size"])
    return sum(shard_name(index) in there for index in range(min(total, 10 * len(there) + 1))), total


def write_order(folder: Path, layout: Layout, shard_size: int) -> str:
    """Write the order file of a layout and return its name, which depends on its content.

    One line per stored row: `shard`, `row` (in the shard) and `position` (in the input; null: no longer in it).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    starts = {shard: shard * shard_size for shard in sorted(layout.shard_rows)}
    stored = np.concatenate([np.arange(start, start + layout.shard_rows[shard]) for shard, start in starts.items()])
    by_place = np.argsort(layout.places)
    at = np.searchsorted(layout.places[by_place], stored)
    used = np.isin(stored, layout.places)
    position = np.zeros(len(stored), np.int64)
    position[used] = by_place[at[used]]
    columns = {
        "shard": pa.array((stored // shard_size).astype(np.int32)),
        "row": pa.array((stored % shard_size).astype(np.int32)),
        "position": pa.array(position, mask=~used),
    }
    digest = hashlib.sha256(stored.tobytes() + used.tobytes() + position.tobytes()).hexdigest()[:16]
    name = f"order-{digest}.parquet"
    with atomic_path(folder / name) as temporary, temporary.open("wb") as file:
        pq.write_table(pa.table(columns), file, compression="none", use_dictionary=False)
    return name


def read_order(folder: Path, meta: Mapping[str, Any]) -> Layout:
    """The layout that an order file tells. Raises FeatureSetError where the file is missing or damaged."""
    import pyarrow as pa

    name = str(meta["order"])
    try:
        if not re.fullmatch(r"order-[0-9a-f]{16}\.parquet", name):  # never a file elsewhere
            raise ValueError(name)
        return _layout_of(_read_numbers(folder / name), int(meta["source"]["count"]), int(meta["shard_size"]))
    except (OSError, pa.ArrowException, ValueError, IndexError):
        raise FeatureSetError(
            f"order file {name[:60]!r} of {folder} is missing or damaged: run the same `decaf extract` with --update"
        ) from None


def _read_numbers(path: Path) -> pa.Table:
    """The columns of an order file, in no more memory than the file is long."""
    import pyarrow as pa

    file = open_parquet(path)
    rows = sum(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))
    schema = pa.schema([("shard", pa.int32()), ("row", pa.int32()), ("position", pa.int64())])
    if _LEAST_BYTES * rows > path.stat().st_size or not file.schema_arrow.equals(schema):
        raise ValueError(path)
    table = file.read(use_threads=False)
    if table["shard"].null_count or table["row"].null_count:
        raise ValueError(path)
    return table


def _layout_of(table: pa.Table, count: int, size: int) -> Layout:
    """The layout that an order file's columns tell. Raises ValueError or IndexError where they tell none."""
    shard, row = (table[name].to_numpy().astype(np.int64) for name in ("shard", "row"))
    position = table["position"].drop_null().to_numpy()
    shards, first, rows = np.unique(shard, return_index=True, return_counts=True)
    whole = (
        len(position) == count
        and position.min() >= 0
        and (shard == np.repeat(shards, rows)).all()
        and (row == np.arange(len(row)) - np.repeat(first, rows)).all()
        and shards[0] >= 0
        and rows.max() <= size
        and (int(shards[-1]) + 1) * size < 2**63
    )
    if not whole:
        raise ValueError("no order")
    places = np.full(count, -1, np.int64)
    places[position] = (shard * size + row)[table["position"].is_valid().to_numpy()]
    if places.min() < 0:
        raise ValueError("no order")
    return Layout(places, dict(zip(shards.tolist(), rows.tolist(), strict=True)))
