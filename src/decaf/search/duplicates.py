"""Groups of pictures that are nearly the same, without a table of all pairs.

Pairs of blocks of rows are compared by one product of matrices each; pairs above the threshold join their groups
(union-find; Tarjan, 1975). A pair that its group joins already is not looked at again, so that thousands of equal
pictures cost no more than others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decaf.errors import UnknownName
from decaf.search.index import Index
from decaf.search.matrix import UNIT, Advance, Matrix
from decaf.search.sketch import Sketch

_BLOCK = 2048  # rows; a block of products takes 16 MB
_PAIRS = 4096  # that are compared in float64 at once
_ROUNDING = 1e-12  # a threshold of 1 means the same direction

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True)
class Group:
    """Pictures that are nearly the same.

    Attributes:
        rows: row numbers, in order.
        similarities: of each row, the cosine to the first one; of the first, 1.
        same_file: of each row, whether another row of the group has a file of the same bytes.
    """

    rows: tuple[int, ...]
    similarities: tuple[float, ...]
    same_file: tuple[bool, ...]


def find_duplicates(index: Index, threshold: float, advance: Advance | None = None) -> list[Group]:
    """Groups of rows of different pictures that a chain of pairs with at least this cosine joins.

    Rows of one picture, its boxes or views, never count as a pair. Files of the same bytes are a pair whatever their
    vectors.

    Args:
        index: the rows; its metric does not matter.
        threshold: cosine similarity, above 0 and at most 1.
        advance: called with numbers of rows that have been compared with all before them.

    Returns:
        The groups, the largest first.

    Raises:
        UnknownName: the threshold is no such number.
    """
    if not 0 < threshold <= 1:
        raise UnknownName(f"threshold is {threshold}: use a cosine above 0 and at most 1")
    features = index.features
    pictures = _numbered(features.paths)
    files = _numbered(features.checksums)
    joined = _Joined(len(features))
    rows = np.flatnonzero(index.matrix.usable & (index.matrix.norms > 0))
    first, others = _of_several_pictures(_equal_rows(index.matrix, rows), pictures)
    joined.join(first, others)
    joined.join(*_of_several_pictures(_equal_files(files, features.broken), pictures))
    left = np.setdiff1d(rows, others, assume_unique=True)
    for pair in _alike(index.matrix, index.sketch, left, threshold, joined, pictures, advance):
        joined.join(*pair)
    groups = [_described(index.matrix, group, files) for group in joined.groups()]
    return sorted(groups, key=lambda group: (-len(group.rows), group.rows))


class _Joined:
    """Which rows are in one group: a forest in which each row points towards the root of its group."""

    def __init__(self, count: int) -> None:
        self._parents = np.arange(count)

    def roots(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        roots = self._parents[rows]
        while (self._parents[roots] != roots).any():
            roots = self._parents[roots]
        self._parents[rows] = roots
        return roots

    def root(self, row: int) -> int:
        while self._parents[row] != row:
            self._parents[row] = self._parents[self._parents[row]]
            row = int(self._parents[row])
        return row

    def join(self, first: NDArray[np.intp], others: NDArray[np.intp]) -> None:
        for one, other in zip(first.tolist(), others.tolist(), strict=True):
            least, greatest = sorted((self.root(one), self.root(other)))
            self._parents[greatest] = least

    def groups(self) -> list[NDArray[np.intp]]:
        roots = self.roots(np.arange(len(self._parents)))
        order = np.argsort(roots, kind="stable")
        _, starts, counts = np.unique(roots[order], return_index=True, return_counts=True)
        return [order[start : start + count] for start, count in zip(starts, counts, strict=True) if count > 1]


def _numbered(values: NDArray[np.object_]) -> NDArray[np.intp]:
    """(n,) a number for each value, the same for equal ones; -1 for None."""
    numbers: dict[object, int] = {None: -1}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.intp)


def _equal_rows(matrix: Matrix, rows: NDArray[np.intp]) -> Pairs:
    """Each row with the first one before it that has the same bits."""
    keys = np.array([hash(matrix.values[row].tobytes()) for row in rows.tolist()], np.int64)
    first, others = _with_first(keys)
    same = [np.array_equal(matrix.values[rows[a]], matrix.values[rows[b]]) for a, b in zip(first, others, strict=True)]
    kept = np.array(same, bool)
    return rows[first[kept]], rows[others[kept]]


def _equal_files(files: NDArray[np.intp], broken: NDArray[np.bool_]) -> Pairs:
    rows = np.flatnonzero((files >= 0) & ~broken)
    first, others = _with_first(files[rows])
    return rows[first], rows[others]


def _with_first(keys: NDArray[np.int64]) -> Pairs:
    """Each position but the first of its key, with that first one."""
    _, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    first = firsts[inverse]
    others = np.flatnonzero(first != np.arange(len(keys)))
    return first[others], others


def _of_several_pictures(pairs: Pairs, pictures: NDArray[np.intp]) -> Pairs:
    """Rows with their first ones, but for those that are equal to rows of their own picture only."""
    first, others = pairs
    several = np.isin(first, first[pictures[first] != pictures[others]])
    return first[several], others[several]


def _of_two_pictures(pairs: Pairs, pictures: NDArray[np.intp]) -> Pairs:
    first, others = pairs
    different = pictures[first] != pictures[others]
    return first[different], others[different]


def _alike(
    matrix: Matrix,
    sketch: Sketch | None,
    rows: NDArray[np.intp],
    threshold: float,
    joined: _Joined,
    pictures: NDArray[np.intp],
    advance: Advance | None,
) -> Iterator[Pairs]:
    """Pairs of different pictures with at least this cosine, but for those that are in one group already."""
    error = sketch.error if sketch else (matrix.size + 4) * UNIT / (1 - (matrix.size + 4) * UNIT)
    blocks = _parts(rows, _BLOCK)
    for number, some in enumerate(blocks):
        block = _coarse(matrix, sketch, some)
        for others in blocks[: number + 1]:
            above = block @ (block if others is some else _coarse(matrix, sketch, others)).T >= threshold - error
            if others is some:
                above = np.tril(above, -1)
            one, two = np.nonzero(above)
            yield from _checked(matrix, _of_two_pictures((some[one], others[two]), pictures), threshold, joined)
        if advance:
            advance(len(block))


def _coarse(matrix: Matrix, sketch: Sketch | None, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Vectors the products of which are cosines, or upper bounds of them."""
    if sketch:
        return sketch.values[rows]
    return (matrix.doubles(rows) / matrix.norms[rows, None]).astype(np.float32)


def _checked(matrix: Matrix, pairs: Pairs, threshold: float, joined: _Joined) -> Iterator[Pairs]:
    first, others = pairs
    while len(first):
        apart = joined.roots(first) != joined.roots(others)
        first, others = first[apart], others[apart]
        part, rest = slice(None, _PAIRS), slice(_PAIRS, None)
        alike = cosines(matrix, first[part], others[part]) >= threshold - _ROUNDING
        yield first[part][alike], others[part][alike]
        first, others = first[rest], others[rest]


def cosines(matrix: Matrix, first: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float64]:
    """(n,) cosines of pairs of rows, in float64, at most 1."""
    dots = np.einsum("ij,ij->i", matrix.doubles(first), matrix.doubles(others))
    lengths = matrix.norms[first] * matrix.norms[others]
    return np.asarray(np.minimum(dots / np.where(lengths > 0, lengths, 1), 1))


def _described(matrix: Matrix, rows: NDArray[np.intp], files: NDArray[np.intp]) -> Group:
    to_first = [cosines(matrix, np.full(len(part), rows[0]), part) for part in _parts(rows, _PAIRS)]
    counts = dict(zip(*(values.tolist() for values in np.unique(files[rows], return_counts=True)), strict=True))
    same = tuple(number >= 0 and counts[number] > 1 for number in files[rows].tolist())
    return Group(tuple(rows.tolist()), (1.0, *np.concatenate(to_first).tolist()[1:]), same)


def _parts(rows: NDArray[np.intp], size: int) -> Sequence[NDArray[np.intp]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
