"""The k nearest rows, exactly: cheap bounds say which rows can be among them, and float64 decides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from decaf.search.matrix import Matrix, Query, scan, scan_error

Found = tuple[NDArray[np.intp], NDArray[np.float64]]
"""Rows and their keys, the nearest first; of equally near ones the first row first."""

_FIRST = 256  # candidates that are looked at before the first decision
_SHARE = 8  # a scan of all rows costs no more than looking at one row in eight


def top(rows: NDArray[np.intp], keys: NDArray[np.float64], k: int) -> Found:
    """The k greatest of some keys."""
    if len(keys) > k:
        kept = keys >= np.partition(keys, len(keys) - k)[len(keys) - k]  # with all that equal the last
        rows, keys = rows[kept], keys[kept]
    order = np.lexsort((rows, -keys))[:k]
    return rows[order], keys[order]


def by_scan(matrix: Matrix, query: Query, k: int, cosines: NDArray[np.float32] | None = None) -> Found:
    """The k nearest of all rows, after a scan of all of them.

    Args:
        matrix: the rows.
        query: what is searched for, and which rows may be found.
        k: how many; fewer where fewer may be found.
        cosines: of `scan`, where that was done.
    """
    if cosines is None:
        cosines = scan(matrix, query.unit[None])[0]
    error = scan_error(matrix.size)
    k = min(k, int(query.allowed.sum()))
    if k == 0:
        return np.empty(0, np.intp), np.empty(0)
    lower = query.bound(matrix.norms, cosines.astype(np.float64) - error)
    least = np.partition(lower, len(lower) - k)[len(lower) - k]
    rows = np.flatnonzero(query.allowed & (query.bound(matrix.norms, cosines.astype(np.float64) + error) >= least))
    return top(rows, query.keys(matrix, rows), k)


def by_bounds(matrix: Matrix, query: Query, k: int, upper: NDArray[np.float64]) -> Found:
    """The k nearest of all rows, looking only at those that upper bounds of their cosines leave possible.

    Rows are looked at in the order of their bounds, as in the threshold algorithm (Fagin, Lotem, Naor, 2003), until
    the next bound is below the k-th best key so far. Where too many remain, all rows are scanned.

    Args:
        matrix, query, k: see `by_scan`.
        upper: (n,) no less than the cosine of each row to the query.
    """
    k = min(k, int(query.allowed.sum()))
    if k == 0:
        return np.empty(0, np.intp), np.empty(0)
    bounds = query.bound(matrix.norms, upper)
    first = min(max(_FIRST, 2 * k), len(bounds))
    start = np.argpartition(-bounds, first - 1)[:first]
    rows, keys = top(start, _keys_of_allowed(matrix, query, start), k)
    left = np.flatnonzero(query.allowed & (bounds >= keys[-1]))
    left = np.setdiff1d(left, start, assume_unique=True)
    left = left[np.argsort(-bounds[left], kind="stable")]
    step = first
    while len(left) and bounds[left[0]] >= keys[-1]:
        if len(left) > len(bounds) // _SHARE:
            return by_scan(matrix, query, k)
        part, left = left[:step], left[step:]
        rows, keys = top(np.append(rows, part), np.append(keys, query.keys(matrix, part)), k)
        left = left[: np.searchsorted(-bounds[left], -keys[-1], side="right")]
        step *= 2
    return rows, keys


def _keys_of_allowed(matrix: Matrix, query: Query, rows: NDArray[np.intp]) -> NDArray[np.float64]:
    keys = np.full(len(rows), -np.inf)
    allowed = query.allowed[rows]
    keys[allowed] = query.keys(matrix, rows[allowed])
    return keys
