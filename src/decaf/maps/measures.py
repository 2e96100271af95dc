"""How well classes hold together in features or on a map, and how far a map can be trusted, as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

K = 10
MOST_QUERIES = 10_000  # rows that are looked at; neighbours are sought among all
_PART = 512

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Purity:
    """How many of a row's nearest neighbours are of its class.

    Attributes:
        mean: over rows; 1: all of them.
        chance: what neighbours drawn at random would give.
        of_class: class -> mean over its rows.
        k: neighbours of each row, itself left out.
        rows: how many rows were looked at.
    """

    mean: float
    chance: float
    of_class: Mapping[str, float]
    k: int
    rows: int


@dataclass(frozen=True)
class Quality:
    """What is measured of features or a map with given classes.

    Attributes:
        purity: of nearest neighbours.
        silhouette: mean over rows, -1 to 1 (Rousseeuw 1987); None where there are not two classes with two rows.
    """

    purity: Purity
    silhouette: float | None

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def measure(X: NDArray[Any], labels: NDArray[np.object_], k: int = K, seed: int = 0) -> Quality | None:
    """Purity and silhouette.

    Args:
        X: (n, d) features, transformed as for the map, or places on it; all finite.
        labels: (n,) of any kind; rows with None count as nobody's neighbour.
        k: neighbours.
        seed: of the rows that are looked at where there are more than 10,000.

    Returns:
        None where fewer than two rows have a label.
    """
    known = np.array([label is not None for label in labels], dtype=bool)
    if known.sum() < 2:
        return None
    X, labels = X[known], labels[known]
    return Quality(knn_purity(X, labels, k, seed), silhouette(X, labels, seed))


def knn_purity(X: NDArray[Any], labels: NDArray[np.object_], k: int = K, seed: int = 0) -> Purity:
    """The share of each row's k nearest other rows that are of its class, Euclidean, found exactly.

    Args:
        X: (n, d), n at least 2.
        labels: (n,).
        k: neighbours; all others where they are fewer.
        seed: of the rows that are looked at where there are more than 10,000; neighbours are sought among all rows.
    """
    k = min(k, len(X) - 1)
    queries = _queries(len(X), seed)
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    same = (codes[_neighbours(X, queries, k)] == codes[queries][:, None]).mean(axis=1)
    sums = np.bincount(codes[queries], same, len(names))
    counts = np.bincount(codes[queries], minlength=len(names))
    of_class = {str(name): float(total / n) for name, total, n in zip(names, sums, counts, strict=True) if n}
    return Purity(float(same.mean()), _chance(codes), of_class, k, len(queries))


def _chance(codes: NDArray[np.intp]) -> float:
    """Of all ordered pairs of two rows, the share that is of one class."""
    n, counts = len(codes), np.bincount(codes)
    return float((counts * (counts - 1)).sum() / (n * (n - 1)))


def _queries(n: int, seed: int) -> Rows:
    if n <= MOST_QUERIES:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, MOST_QUERIES, replace=False))


def _neighbours(X: NDArray[Any], queries: Rows, k: int) -> Rows:
    """(queries, k) the nearest rows, each row itself left out, also where others lie at the same place."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(X).kneighbors(X[queries], return_distance=False)
    own = found == queries[:, None]
    own[~own.any(axis=1), -1] = True  # more than k others at its place: any k of them will do
    return np.asarray(found[~own].reshape(len(queries), k))


def silhouette(X: NDArray[Any], labels: NDArray[np.object_], seed: int = 0) -> float | None:
    """Mean silhouette (Rousseeuw 1987), Euclidean; of 10,000 rows drawn at random where there are more."""
    from sklearn.metrics import silhouette_score

    rows = _queries(len(X), seed)
    names, codes = np.unique(labels[rows].astype(str), return_inverse=True)
    if not 2 <= len(names) < len(rows):
        return None
    return float(silhouette_score(X[rows], codes))


def trustworthiness(X: NDArray[Any], places: NDArray[np.float64], k: int = K, seed: int = 0) -> float | None:
    """Whether neighbours on the map are neighbours in the features: 1 where all are (Venna and Kaski 2001).

    As scikit-learn's, which needs 2 GB for 9,144 rows: here ranks are counted a few rows at a time, and where there are
    more than 10,000 rows, for as many drawn at random, ranked among all.

    Args:
        X: (n, d) features, transformed as for the map.
        places: (n, 2).
        k: neighbours, fewer than half of the rows.
        seed: of the rows that are drawn.

    Returns:
        None where there are fewer than three rows.
    """
    n = len(X)
    k = min(k, -(-n // 2) - 1)
    if k < 1:
        return None
    queries = _queries(n, seed)
    penalty = sum(
        float(np.maximum(ranks - k, 0).sum()) for ranks in _ranks(X, queries, _neighbours(places, queries, k))
    )
    return 1 - penalty * 2 / (len(queries) * k * (2 * n - 3 * k - 1))


def _ranks(X: NDArray[Any], queries: Rows, neighbours: Rows) -> Iterator[NDArray[np.int64]]:
    """(part, k) for some queries at a time: the neighbours' ranks by distance in X, 1 for the nearest other row."""
    squares = np.einsum("ij,ij->i", X, X)
    for start in range(0, len(queries), _PART):
        rows, near = queries[start : start + _PART], neighbours[start : start + _PART]
        distances = squares - 2 * (X[rows] @ X.T)  # less the query's own square, which changes no rank
        distances[np.arange(len(rows)), rows] = -np.inf
        own = np.take_along_axis(distances, near, axis=1)
        yield np.stack([(distances < own[:, [j]]).sum(axis=1) for j in range(near.shape[1])], axis=1)
