"""The nearest rows of all rows, exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_PART = 1024  # rows at a time


def nearest(
    X: NDArray[np.float32], k: int = 10, progress: Callable[[int, int], None] | None = None
) -> NDArray[np.int32]:
    """The k other rows with the greatest cosine, for each row.

    Args:
        X: (n, d); a row that is not finite, or zero, is nobody's neighbour and has none.
        k: how many.
        progress: called with (done, of all) rows.

    Returns:
        (n, k) int32, the nearest first, equally near ones in the order of their rows; -1 where there are fewer.
    """
    known = np.flatnonzero(np.isfinite(X).all(axis=1) & (np.abs(X).max(axis=1, initial=0) > 0))
    found = np.full((len(X), k), -1, np.int32)
    unit = X[known] / np.linalg.norm(X[known], axis=1, keepdims=True)
    count = min(k, max(len(known) - 1, 0))
    for start in range(0, len(known) if count else 0, _PART):
        part = slice(start, start + _PART)
        found[known[part], :count] = known[_nearest(unit[part], unit, start, count)]
        if progress:
            progress(min(start + _PART, len(known)), len(known))
    return found


def _nearest(queries: NDArray[np.float32], unit: NDArray[np.float32], first: int, k: int) -> NDArray[np.intp]:
    cosines = queries @ unit.T
    own = np.arange(len(queries))
    cosines[own, first + own] = -np.inf
    rows = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    rows.sort(axis=1)
    order = np.argsort(-np.take_along_axis(cosines, rows, axis=1), axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1)
