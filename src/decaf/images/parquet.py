"""Pictures in a Parquet file with a column of their bytes."""

from __future__ import annotations

import io
import json
import os
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate
from typing import Any

from decaf.errors import ImageError
from decaf.images.members import CHUNK, Identity, Member, check_size, one_line, read_at

_BATCH = 4 * 2**20  # bytes of pictures decoded at once from a Parquet file, about
_BATCH_ROWS = 64
_WINDOW, _LARGEST_WINDOW = 8, 64  # decoded batches that threads may still ask for
_LABEL_ROWS = 4096
_PICTURES = ("image", "img", "picture", "bytes", "jpg")
_LABELS = ("label", "labels", "class", "cls", "category")


class _Source(io.RawIOBase):
    """A file for pyarrow that holds no descriptor, notices when it is replaced, and may have any name."""

    def __init__(self, path: str, identity: Identity) -> None:
        self._path, self._identity, self._place = path, identity, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins, in bytes."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a byte."""
        self._place = offset + (0, self._place, self._identity.size)[whence]
        return self._place

    def read(self, size: int = -1, /) -> bytes:
        """Read bytes, fewer only at the end."""
        data = read_at(self._path, self._identity, self._place, size)
        self._place += len(data)
        return data


class ParquetArchive:
    """A Parquet file with a column of picture bytes, or of Hugging Face's structures of `bytes` and `path`.

    The label is the text in a column named label, labels, class, cls or category. Whole numbers become the names in
    Hugging Face's metadata where there are some (-1 means none there), else the number as text.
    """

    def __init__(self, path: str, column: str, identity: Identity) -> None:
        self.path, self._identity = path, identity
        self._lock = threading.Lock()
        self._rows: _Rows | None = None
        file = self._open()
        schema, self._count = file.schema_arrow, int(file.metadata.num_rows)
        rows = sum(file.metadata.row_group(group).num_rows for group in range(file.num_row_groups))
        if rows != self._count:
            raise self._damaged(f"row groups of {rows} rows, {self._count} rows in all")
        self._column = _picture_column(path, schema, column)
        self._label = _label_column(schema)
        self._names = _class_names(schema, self._label)

    def members(self) -> Iterator[Member]:
        """List the rows. Raises ImageError where the labels cannot be read."""
        if not self._label:
            yield from (Member(str(row), None, row, -1) for row in range(self._count))
            return
        row = 0
        for values in self._label_batches():
            for value in values:
                yield Member(str(row), _label_text(value, self._names), row, -1)
                row += 1
        if row != self._count:
            raise self._damaged(f"{row} labels for {self._count} rows")

    def read(self, member_place: int, size: int, largest: int) -> bytes:
        """Read a picture, from any thread. Cheap for rows near those read lately, and just after them."""
        if not 0 <= member_place < self._count:
            raise ImageError(f"no row {member_place} in its Parquet file")
        with self._lock:
            rows = self._rows = self._rows or _Rows(self._open(), self._column)
            _keep(self)
            scalar = rows.scalar(member_place)
        return _picture_bytes(scalar, largest)

    def close(self) -> None:
        """Forget the decoded rows."""
        self._rows = None

    def _open(self) -> Any:
        import pyarrow.parquet as pq

        try:
            source = _Source(self.path, self._identity)
            return pq.ParquetFile(source, pre_buffer=False, buffer_size=CHUNK, page_checksum_verification=True)
        except ImageError:
            raise
        except Exception as error:  # pyarrow raises many kinds for broken bytes
            raise self._damaged(one_line(error)) from None

    def _label_batches(self) -> Iterator[list[Any]]:
        try:
            for batch in self._open().iter_batches(_LABEL_ROWS, columns=[self._label], use_threads=False):
                yield batch.column(batch.schema.names.index(self._label)).to_pylist()
        except ImageError as error:
            raise ImageError(f"labels of {self.path}: {error}") from None
        except Exception as error:
            raise self._damaged(one_line(error)) from None

    def _damaged(self, reason: str) -> ImageError:
        return ImageError(f"Parquet file {self.path} is damaged ({reason}): fetch it or write it again")


# The archives that may hold decoded rows, the latest last: of a thousand that are read one by one, few are full.
_RECENT: deque[ParquetArchive] = deque()
_MOST_RECENT = 4
_RECENT_LOCK = threading.Lock()


def _keep(archive: ParquetArchive) -> None:
    with _RECENT_LOCK:
        if archive in _RECENT:
            _RECENT.remove(archive)
        _RECENT.append(archive)
        if len(_RECENT) > _MOST_RECENT:
            _RECENT.popleft().close()


class _Rows:
    """The rows of one column, decoded forwards in small batches, of which the last few are kept.

    A row group is read by itself: damage in one says nothing about the next. Going back reads it again.
    """

    def __init__(self, file: Any, column: str) -> None:
        self._file, self._column = file, column
        kind = file.schema_arrow.types[file.schema_arrow.names.index(column)]
        inner = [name for name in ("bytes", "path") if _is_struct(kind) and kind.get_field_index(name) >= 0]
        self._leaves = [f"{column}.{name}" for name in inner] or [column]
        groups = range(file.metadata.num_row_groups)
        self._ends = list(accumulate(file.metadata.row_group(group).num_rows for group in groups))
        self._window: deque[tuple[int, Any]] = deque()
        self._batches: Iterator[Any] = iter(())
        self._most = _WINDOW
        self._next, self._end = 0, 0  # rows: the next one the batches give, and the end of their row group
        self._damage: dict[int, tuple[int, str]] = {}

    def scalar(self, row: int) -> Any:
        """The value in a row."""
        for first, values in reversed(self._window):
            if first <= row < first + len(values):
                return values[row - first]
        group = bisect_right(self._ends, row)
        if group in self._damage and row >= self._damage[group][0]:
            raise ImageError(self._damage[group][1])
        if row < self._next:  # the threads are further apart than thought
            self._most = min(2 * self._most, _LARGEST_WINDOW)
        if not self._next <= row < self._end:
            self._finish()
            self._start(group)
        while self._next <= row:
            self._advance(group)
        first, values = self._window[-1]
        return values[row - first]

    def _finish(self) -> None:
        """Decode what little is left of a row group: other threads are about to ask for it."""
        with suppress(ImageError):  # kept for those rows
            while 0 < self._end - self._next <= _BATCH_ROWS:
                self._advance(bisect_right(self._ends, self._next))

    def _start(self, group: int) -> None:
        about = self._file.metadata.row_group(group)  # its columns' own sizes would be closer, but broken ones abort
        rows = about.num_rows
        size = min(_BATCH_ROWS, max(1, _BATCH * rows // max(1, about.total_byte_size)))
        self._batches = self._file.iter_batches(size, [group], self._leaves, use_threads=False)
        self._next, self._end = self._ends[group] - rows, self._ends[group]

    def _advance(self, group: int) -> None:
        try:
            batch = next(self._batches)
            values = batch.column(batch.schema.names.index(self._column))
        except Exception as error:
            start, self._end = self._next, 0  # what was begun is of no more use
            if isinstance(error, ImageError):
                raise
            why = "it ends too early" if isinstance(error, StopIteration) else one_line(error)
            message = f"cannot be read (row group {group} of its Parquet file is damaged: {why})"
            self._damage[group] = (start, message)
            raise ImageError(message) from None
        if len(self._window) >= self._most:
            self._window.popleft()
        self._window.append((self._next, values))
        self._next += len(values)


def _picture_bytes(scalar: Any, largest: int) -> bytes:
    path = None
    if scalar.is_valid and _is_struct(scalar.type):
        path = scalar["path"].as_py() if scalar.type.get_field_index("path") >= 0 else None
        scalar = scalar["bytes"]
    if not scalar.is_valid:
        raise ImageError(f"no bytes in this row, only a path ({path!r})" if path else "no picture in this row")
    buffer = scalar.as_buffer()
    check_size(buffer.size, largest)
    data: bytes = buffer.to_pybytes()
    return data


def _is_struct(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind))


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    return any(test(kind) for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def _holds_pictures(kind: Any) -> bool:
    if not _is_struct(kind):
        return _is_bytes(kind)
    return kind.get_field_index("bytes") >= 0 and _is_bytes(kind.field("bytes").type)


def _picture_column(path: str, schema: Any, column: str) -> str:
    candidates: list[str] = [field.name for field in schema if _holds_pictures(field.type)]
    if column in candidates:
        return column
    likely = [name for wanted in _PICTURES for name in candidates if name.lower() == wanted]
    if not column and (likely or len(candidates) == 1):
        return (likely or candidates)[0]
    if not candidates:
        raise ImageError(f"no column of {path} holds bytes of pictures: its columns are {', '.join(schema.names)}")
    wrong = f"no column {column} of picture bytes in {path}" if column else f"{path} has several columns of bytes"
    raise ImageError(f"{wrong}: choose one of {', '.join(candidates)} with --column")


def _label_column(schema: Any) -> str:
    fields = {field.name.lower(): field for field in reversed(list(schema))}
    return next((str(fields[name].name) for name in _LABELS if name in fields and _is_label(fields[name].type)), "")


def _is_label(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _is_label(kind.value_type)
    tests = (types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_boolean)
    return any(test(kind) for test in tests)


def _class_names(schema: Any, label: str) -> tuple[str, ...]:
    """The names Hugging Face's `datasets` writes into the schema: info.features.<column>.names."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return tuple(str(name) for name in features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return ()


def _label_text(value: Any, names: tuple[str, ...]) -> str | None:
    if value is None:
        return None
    if names and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else None if value == -1 else str(value)
    return str(value)
