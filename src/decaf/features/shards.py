"""One shard: a Parquet file with one row per picture, the same bytes whoever writes it."""

from __future__ import annotations

import json
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
FIXED = ("path", "label", "error")


def shard_name(index: int) -> str:
    """File name of the shard with this number."""
    return f"shard-{index:05d}.parquet"


def column_name(layer: str) -> str:
    """The column that holds a layer."""
    return f"{layer}_" if layer in FIXED else layer


def write_shard(
    path: Path,
    rows: Mapping[str, Sequence[str | None]],
    features: Mapping[str, NDArray[np.float32]],
    about: Mapping[str, Any],
) -> None:
    """Write one shard, whole or not at all.

    Vectors are fixed-size lists of float32, null where the row has an error. One row group; vectors neither
    compressed nor dictionary-encoded, which reads four times as fast.

    Args:
        path: the file.
        rows: the columns `path`, `label` and `error`.
        features: layer -> (n, size) float32.
        about: what identifies the shard; kept in the file's schema.
    """
    broken = np.array([error is not None for error in rows["error"]], dtype=bool)
    columns = {name: pa.array(map(stored_text, rows[name]), pa.string()) for name in FIXED}
    columns |= {column_name(layer): vectors(values, broken) for layer, values in features.items()}
    text = json.dumps(about, sort_keys=True).encode()
    table = pa.table(columns).replace_schema_metadata({_KEY: text})
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            row_group_size=max(len(table), 1),
            compression=dict.fromkeys(FIXED, "zstd"),
            use_dictionary=list(FIXED),
            write_statistics=list(FIXED),
            version="2.6",
            data_page_version="1.0",
            store_schema=True,
        )


def stored_text(text: str | None) -> str | None:
    """File names may hold bytes that are no UTF-8; they are stored as \\xNN."""
    return text if text is None else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def vectors(values: NDArray[np.float32], broken: NDArray[np.bool_]) -> pa.FixedSizeListArray:
    """Rows of numbers as an Arrow column, null where `broken`."""
    flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
    mask = pa.array(broken) if broken.any() else None
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=mask)


def read_about(path: Path) -> dict[str, Any]:
    """What identifies the shard. Raises FeatureSetError for a damaged or foreign file."""
    try:
        return dict(json.loads((pq.read_metadata(path).metadata or {})[_KEY]))
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from None


def check_shard(path: Path, rows: int, sizes: Mapping[str, int]) -> None:
    """Raise FeatureSetError unless the shard holds so many rows, and each layer as vectors of the given size."""
    try:
        footer = pq.read_metadata(path)
        schema = footer.schema.to_arrow_schema()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None
    if footer.num_rows != rows:
        raise _unreadable(path, f"{footer.num_rows} rows where {rows} belong")
    for layer, size in sizes.items():
        index = schema.get_field_index(column_name(layer))
        kind = schema.field(index).type if index >= 0 else pa.null()
        if not pa.types.is_fixed_size_list(kind) or (kind.value_type, kind.list_size) != (pa.float32(), size):
            raise _unreadable(path, f"layer {layer} is not there as {size} numbers a row")


def read_text(path: Path, column: str, count: int) -> list[str | None]:
    """One of the columns `path`, `label`, `error`, of a shard with `count` rows."""
    texts: list[str | None] = _read(path, column, count).to_pylist()
    return texts


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


def _read(path: Path, column: str, count: int) -> pa.ChunkedArray:
    try:
        file = pq.ParquetFile(path, memory_map=True)
        if file.metadata.num_rows != count:
            raise _unreadable(path, f"{file.metadata.num_rows} rows where {count} belong")
        return file.read([column]).column(column)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, why: object) -> FeatureSetError:
    return FeatureSetError(f"{path} cannot be read ({why}): delete it and run `decaf extract` again")
