"""One shard: a Parquet file with one row per picture, the same bytes whoever writes it."""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from decaf.errors import FeatureSetError
from decaf.files import atomic_path

_KEY = b"decaf"
# Columns beside the layers. A layer of one of these names is stored under that name with an underscore.
_TEXTS = ("path", "label", "error", "region", "view", "sha256")
_TYPES = {
    "path": pa.string(),
    "label": pa.string(),
    "error": pa.string(),
    "region": pa.string(),
    "view": pa.string(),
    "box": pa.list_(pa.field("element", pa.float64()), 4),  # "element": what reading a shard calls it
    "size": pa.int64(),
    "mtime": pa.timestamp("us", "UTC"),
    "sha256": pa.string(),
}
FIXED = tuple(_TYPES)
# What vectors can be stored as. Reading gives float32.
STORES = {"f32": pa.float32(), "f16": pa.float16()}


def shard_name(index: int) -> str:
    """File name of the shard with this number."""
    return f"shard-{index:05d}.parquet"


def column_name(layer: str) -> str:
    """The column that holds a layer."""
    return f"{layer}_" if layer in FIXED else layer


def write_shard(
    path: Path,
    columns: Mapping[str, Sequence[Any]],
    features: Mapping[str, NDArray[np.float32]],
    about: Mapping[str, Any],
    store: str = "f32",
) -> None:
    """Write one shard, whole or not at all.

    Vectors are fixed-size lists of float32 or float16, null where the row has an error. One row group; vectors neither
    compressed nor dictionary-encoded, which reads four times as fast.

    Args:
        path: the file.
        columns: those named in `FIXED`; None where there is no value; `mtime` in microseconds.
        features: layer -> (n, size) float32.
        about: what identifies the shard; kept in the file's schema.
        store: one of `STORES`.

    Raises:
        FeatureSetError: a value is too large for float16.
    """
    broken = np.array([error is not None for error in columns["error"]], dtype=bool)
    arrays = {name: _column(name, columns[name]) for name in FIXED}
    arrays |= {column_name(layer): vectors(values, broken, store, layer) for layer, values in features.items()}
    write_table(path, with_about(pa.table(arrays), about))


def with_about(table: pa.Table, about: Mapping[str, Any]) -> pa.Table:
    """A table with what identifies its shard in the schema."""
    return table.replace_schema_metadata({_KEY: json.dumps(about, sort_keys=True).encode()})


def write_table(path: Path, table: pa.Table) -> None:
    """Write a shard that is a table already; the same bytes for the same table."""
    table = table.combine_chunks()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pq.write_table(
            table,
            file,
            row_group_size=max(len(table), 1),
            compression=dict.fromkeys(FIXED, "zstd"),
            use_dictionary=list(FIXED),
            write_statistics=list(FIXED),
            version="2.6",
            data_page_version="1.0",
            store_schema=True,
        )


def _column(name: str, values: Sequence[Any]) -> pa.Array:
    return pa.array(map(stored_text, values) if name in _TEXTS else values, _TYPES[name])


def stored_text(text: str | None) -> str | None:
    """File names may hold bytes that are no UTF-8; they are stored as \\xNN."""
    return text if text is None else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def vectors(
    values: NDArray[np.float32], broken: NDArray[np.bool_], store: str = "f32", layer: str = ""
) -> pa.FixedSizeListArray:
    """Rows of numbers as an Arrow column, null where `broken`."""
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values, STORES[store].to_pandas_dtype()).reshape(-1)
    if store == "f16" and (lost := np.isinf(stored) & np.isfinite(values.reshape(-1))).any():
        greatest = np.abs(values.reshape(-1)[lost]).max()
        raise FeatureSetError(f"layer {layer} reaches {greatest:g}, float16 only 65504: use --store f32")
    mask = pa.array(broken) if broken.any() else None
    kind = pa.list_(pa.field("element", STORES[store]), values.shape[1])
    return pa.FixedSizeListArray.from_arrays(pa.array(stored), type=kind, mask=mask)


def read_about(path: Path) -> dict[str, Any]:
    """What identifies the shard. Raises FeatureSetError for a damaged or foreign file."""
    try:
        return dict(json.loads((open_parquet(path).metadata.metadata or {})[_KEY]))
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise unreadable(path, error) from None


def check_shard(path: Path, rows: int, sizes: Mapping[str, int], store: str) -> None:
    """Raise FeatureSetError unless the shard holds so many rows, and each layer as vectors of the given size."""
    try:
        footer = open_parquet(path).metadata
        schema = footer.schema.to_arrow_schema()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None
    if footer.num_rows != rows:
        raise unreadable(path, f"{footer.num_rows} rows where {rows} belong")
    for layer, size in sizes.items():
        index = schema.get_field_index(column_name(layer))
        kind = schema.field(index).type if index >= 0 else pa.null()
        if not pa.types.is_fixed_size_list(kind) or (kind.value_type, kind.list_size) != (STORES[store], size):
            raise unreadable(path, f"layer {layer} is not there as {size} numbers a row")


def read_column(path: Path, column: str, count: int) -> list[Any]:
    """One of the columns `FIXED` of a shard with `count` rows; `mtime` in microseconds."""
    values = _read(path, column, count)
    if column == "mtime":
        values = values.cast(pa.int64())
    texts: list[Any] = values.to_pylist()
    return texts


def count_rows(path: Path) -> int:
    """Rows of a shard. Raises FeatureSetError for a damaged or foreign file."""
    try:
        return int(open_parquet(path).metadata.num_rows)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def read_vectors(path: Path, layer: str, out: NDArray[np.float32]) -> None:
    """Read a layer into `out` (n, size) float32; NaN where the row is null."""
    start = 0
    for chunk in _read(path, column_name(layer), len(out)).chunks:
        part = out[start : start + len(chunk)]
        # `values` ignores the offset of a slice, `flatten` drops null rows: take the first and cut it by hand.
        values = chunk.values.to_numpy(zero_copy_only=False)
        size = out.shape[1]
        part[:] = values[chunk.offset * size : (chunk.offset + len(chunk)) * size].reshape(len(chunk), size)
        if chunk.null_count:
            part[chunk.is_null().to_numpy(zero_copy_only=False)] = np.nan
        start += len(chunk)


def open_parquet(path: Path) -> pq.ParquetFile:
    """A Parquet file, mapped into memory. pyarrow never sees the name, which it might take for an address.

    It is read without pyarrow's threads, which are no faster here (measured), and some of which still run when a short
    command ends: one in fifty was then aborted ("terminate called without an active exception").

    Raises OSError, ValueError or pyarrow's ArrowException.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pq.ParquetFile(pa.BufferReader(pa.py_buffer(mapped)), pre_buffer=False)


def read_table(path: Path) -> pa.Table:
    """All of a shard. Raises FeatureSetError for a damaged or foreign file."""
    try:
        return open_parquet(path).read(use_threads=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def _read(path: Path, column: str, count: int) -> pa.ChunkedArray:
    try:
        file = open_parquet(path)
        if file.metadata.num_rows != count:
            raise unreadable(path, f"{file.metadata.num_rows} rows where {count} belong")
        return file.read([column], use_threads=False).column(column)
    except (OSError, ValueError, pa.ArrowException, KeyError) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, why: object) -> FeatureSetError:
    """What to say of a damaged or foreign shard."""
    if isinstance(why, PermissionError):
        return FeatureSetError(f"{path} may not be read: change its permissions")
    reason = (str(why).splitlines() or [type(why).__name__])[0]
    return FeatureSetError(f"{path} cannot be read ({reason}): delete it and run `decaf extract` again")
