"""A matrix of the user's own: responses to pictures, or how dissimilar they are, from a `.npy` or a `.csv` file."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.compare.pairs import is_dissimilarity_matrix, pictures_of
from decaf.errors import CompareError

_LARGEST = 4 * 10**9  # bytes


@dataclass(frozen=True, eq=False)
class GivenMatrix:
    """Numbers that somebody measured.

    Attributes:
        file: where they come from.
        values: (n, d) float64, a row per picture; or (n, n) dissimilarities.
        is_rdm: whether they are dissimilarities.
        names: (n,) the pictures, as the file names them; None where it does not.
    """

    file: str
    values: NDArray[np.float64]
    is_rdm: bool
    names: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def broken(self) -> NDArray[np.bool_]:
        """(n,) rows that hold a NaN or an infinite number."""
        return np.asarray(~np.isfinite(self.values).all(axis=1))

    @property
    def kind(self) -> str:
        """What the file was taken for."""
        return "dissimilarities" if self.is_rdm else f"responses, {self.values.shape[1]} per picture"


def read_matrix(file: str | os.PathLike[str]) -> GivenMatrix:
    """Read responses (a row per picture) or dissimilarities.

    A square, symmetric matrix with a diagonal of zeros is taken for dissimilarities, and so is one row of as many
    numbers as some number of pictures has pairs: the upper triangle, row after row. A `.csv` file may name the pictures
    in its first column, and the columns in its first line. Empty cells are NaN.

    Raises:
        CompareError: the file cannot be read, or holds no such matrix.
    """
    path = Path(file)
    readers = {".npy": _read_npy, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise CompareError(f"{path} is neither .npy nor .csv: save the matrix as one of these")
    try:
        values, names = readers[path.suffix.lower()](path)
    except OSError as error:
        raise CompareError(f"cannot read {path} ({error.strerror or error}): name a .npy or .csv file") from None
    return _understood(str(path), values, names)


def _understood(file: str, values: NDArray[Any], names: tuple[str, ...] | None) -> GivenMatrix:
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2) or 0 in values.shape:
        raise CompareError(f"{file} holds {values.dtype} {values.shape}: it must be a matrix of real numbers")
    values = values.astype(np.float64)
    flat = values.ravel() if 1 in values.shape or values.ndim == 1 else None
    if flat is not None and names is None and values.shape[0] == flat.size and values.ndim == 2:
        flat = None  # a column: one response per picture
    if flat is not None and names is None and pictures_of(flat.size) >= 3:
        return GivenMatrix(file, _square(flat), True, None)
    if values.ndim == 1:
        values = values[:, None]
    if values.shape[0] == values.shape[1] and is_dissimilarity_matrix(values):
        return GivenMatrix(file, values, True, names)
    return GivenMatrix(file, values, False, names)


def _square(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    n = pictures_of(pairs.size)
    square = np.zeros((n, n))
    square[np.triu_indices(n, 1)] = pairs
    return square + square.T


def _read_npy(path: Path) -> tuple[NDArray[Any], None]:
    if path.stat().st_size > _LARGEST:
        raise CompareError(f"{path} has more than {_LARGEST:,} bytes: give a smaller matrix")
    try:
        return np.load(path, allow_pickle=False), None  # nothing in the file is executed
    except (ValueError, EOFError, TypeError, SyntaxError, MemoryError) as error:
        raise CompareError(f"{path} is no .npy file of numbers ({_short(error)}): save it with numpy.save") from None


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]


def _read_csv(path: Path) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            rows = [row for row in csv.reader(lines) if row]
    except csv.Error as error:
        raise CompareError(f"{path} is no CSV file ({error}): write it anew") from None
    if rows and _is_header(rows[0]):
        rows = rows[1:]
    if not rows:
        raise CompareError(f"{path} has no line of numbers: write a line per picture")
    names = None
    if any(not _is_number(row[0]) for row in rows):
        names = tuple(row[0] for row in rows)
        rows = [row[1:] for row in rows]
        _check_names(path, names)
    return np.array([_numbers(path, line, row, len(rows[0])) for line, row in enumerate(rows, 1)]), names


def _is_header(row: Sequence[str]) -> bool:
    """Whether a first line names columns: any of its cells but the first is no number, or the first is `path`."""
    return row[0].strip().lower() == "path" or any(not _is_number(cell) for cell in row[1:])


def _check_names(path: Path, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in map(os.path.normpath, names):
        if name in seen:
            raise CompareError(f"{path} has two lines {name}: keep one")
        seen.add(name)


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _numbers(path: Path, line: int, row: Sequence[str], width: int) -> list[float]:
    if len(row) != width or not width:
        raise CompareError(f"{path}, line {line} of numbers has {len(row)} of them, the first has {width}: complete it")
    bad = next((cell for cell in row if not _is_number(cell)), None)
    if bad is not None:
        raise CompareError(f"{path}, line {line} of numbers has {bad[:40]!r}: write numbers, or nothing")
    return [float(cell or "nan") for cell in row]
