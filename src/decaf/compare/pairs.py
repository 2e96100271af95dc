"""Pairs of pictures: how dissimilar they are, kept as the upper triangle of a matrix, row after row."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from decaf.errors import CompareError

Dissimilarity = Literal["correlation", "euclidean", "cosine"]
Floats = NDArray[np.floating[Any]]

_TILE = 1024  # pictures whose vectors are widened to float64 at a time
_WIDE = 4096  # pictures up to which dissimilarities are stored in float64; float32 halves the memory of more
_LEAST_SPREAD = 1e-12  # of the squared length of a vector, about its mean; less is rounding
_CLOSE = 1e-6  # of the largest dissimilarity: how far a matrix may be from a symmetric one


def nothing() -> None:
    """What is called after each step where nobody wants to know."""


def count_pairs(n: int) -> int:
    """Pairs of n pictures."""
    return n * (n - 1) // 2


def pictures_of(pairs: int) -> int:
    """How many pictures have so many pairs; 0 where no number has."""
    n = round((1 + (1 + 8 * pairs) ** 0.5) / 2)
    return n if count_pairs(n) == pairs else 0


def stored_type(n: int) -> type[np.floating[Any]]:
    """What numbers of n x n pairs are stored as."""
    return np.float64 if n <= _WIDE else np.float32


def dissimilarities(X: Floats, measure: str = "correlation") -> Floats:
    """The representational dissimilarity matrix of some pictures (Kriegeskorte, Mur and Bandettini 2008).

    Args:
        X: (n, d), a vector per picture.
        measure: `correlation` (1 - Pearson's r of two vectors), `cosine` (1 - their cosine) or `euclidean`.

    Returns:
        (n (n - 1) / 2,) the upper triangle, row after row, as `scipy.spatial.distance.pdist` has it; computed in
        float64 by tiles, stored in float32 where there are more than 4096 pictures.

    Raises:
        CompareError: no such measure, numbers that are not finite, or a vector of which it is not defined: one of
            equal numbers (correlation) or of zeros (cosine).
    """
    if measure not in get_args(Dissimilarity):
        raise CompareError(f"no dissimilarity {measure!r}: use one of {', '.join(get_args(Dissimilarity))}")
    check_finite(X)
    n = len(X)
    centre = _centre(X, measure)
    out = np.empty(count_pairs(n), stored_type(n))
    tiles = [slice(start, min(start + _TILE, n)) for start in range(0, n, _TILE)]
    for rows in tiles:
        left = _prepared(X, rows, centre, measure)
        for columns in tiles:
            if columns.start >= rows.start:
                right = left if columns == rows else _prepared(X, columns, centre, measure)
                _place(_between(left, right, measure), rows, columns, n, out)
    return out


def check_finite(X: Floats) -> None:
    """Raise CompareError where a picture has a number that is NaN or infinite."""
    bad = ~np.isfinite(X).all(axis=1)
    if bad.any():
        raise CompareError(f"NaN or infinite numbers in {bad.sum()} of {len(X)} rows, first in {np.argmax(bad)}")


def _centre(X: Floats, measure: str) -> NDArray[np.float64]:
    """What is taken off each row, (n, 1); for distances one vector for all, (1, d), which lessens rounding."""
    if measure == "euclidean":
        return np.asarray(X.mean(axis=0, dtype=np.float64)[None])
    squares = np.einsum("ij,ij->i", X, X, dtype=np.float64)
    if measure == "cosine":
        _refuse(squares == 0, "zeros only", measure)
        return np.zeros((len(X), 1))
    means = X.mean(axis=1, dtype=np.float64)
    spread = squares - X.shape[1] * means**2
    _refuse(spread <= _LEAST_SPREAD * squares, "equal numbers", measure)
    return np.asarray(means[:, None])


def _refuse(undefined: NDArray[np.bool_], what: str, measure: str) -> None:
    if undefined.any():
        raise CompareError(
            f"{undefined.sum()} of {len(undefined)} pictures have {what}, first in row {np.argmax(undefined)}: "
            f"{measure} is not defined there; use another dissimilarity"
        )


def _prepared(X: Floats, rows: slice, centre: NDArray[np.float64], measure: str) -> NDArray[np.float64]:
    part = X[rows].astype(np.float64)
    part -= centre if len(centre) == 1 else centre[rows]
    return part if measure == "euclidean" else np.asarray(part / np.linalg.norm(part, axis=1)[:, None])


def _between(left: NDArray[np.float64], right: NDArray[np.float64], measure: str) -> NDArray[np.float64]:
    products = left @ right.T
    if measure != "euclidean":
        return np.asarray(1 - products)
    squares = (np.einsum("ij,ij->i", part, part) for part in (left, right))
    return np.asarray(np.sqrt(np.maximum(np.add.outer(*squares) - 2 * products, 0)))


def _place(tile: NDArray[np.float64], rows: slice, columns: slice, n: int, out: Floats) -> None:
    """Put a tile of the matrix where its part above the diagonal belongs."""
    for i in range(rows.start, rows.stop):
        first = max(i + 1, columns.start)
        at = row_start(i, n) + first - i - 1
        out[at : at + max(columns.stop - first, 0)] = tile[i - rows.start, first - columns.start :]


def row_start(i: Any, n: int) -> Any:
    """Where the pairs (i, i + 1), (i, i + 2) ... begin."""
    return i * n - i * (i + 1) // 2


def pair_places(rows: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Where the pairs of some of n pictures stand among the pairs of all.

    Args:
        rows: (m,) numbers of pictures, in any order, none twice.
        n: of all.

    Returns:
        (m (m - 1) / 2,) places, in the order in which the pairs of `rows` are stored.
    """
    m = len(rows)
    places = np.empty(count_pairs(m), np.intp)
    for i in range(m - 1):
        low, high = np.minimum(rows[i], rows[i + 1 :]), np.maximum(rows[i], rows[i + 1 :])
        at = row_start(i, m)
        places[at : at + m - 1 - i] = row_start(low, n) + high - low - 1
    return places


def pair_products(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n (n - 1) / 2,) the product of the weights of the two pictures of each pair."""
    n = len(weights)
    out = np.empty(count_pairs(n))
    for i in range(n - 1):
        at = row_start(i, n)
        np.multiply(weights[i], weights[i + 1 :], out=out[at : at + n - 1 - i])
    return out


def upper_triangle(matrix: Floats) -> Floats:
    """The pairs of a square matrix of dissimilarities.

    Raises CompareError where it is not symmetric or its diagonal is not zero.
    """
    if not is_dissimilarity_matrix(matrix):
        raise CompareError("the matrix is not one of dissimilarities: it must be symmetric with a diagonal of zeros")
    return np.asarray(matrix[np.triu_indices(len(matrix), 1)], np.float64)


def is_dissimilarity_matrix(matrix: Floats) -> bool:
    """Whether it is square and symmetric with a diagonal of zeros, as far as its digits go."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        return False
    near = _CLOSE * np.abs(matrix).max(initial=0)
    return bool((np.abs(np.diag(matrix)) <= near).all() and (np.abs(matrix - matrix.T) <= near).all())
