"""How well classes hold together in features or on a map, and how far a map can be trusted, as numbers.

All distances are Euclidean and exact: a few rows at a time against all rows. Where there are more than 10,000 rows,
4,000 drawn at random are looked at, each still among all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

K = 10
MOST_QUERIES, DRAWN = 10_000, 4_000
_AT_ONCE = 2**23  # distances

Rows = NDArray[np.intp]
Labels = NDArray[np.object_]


@dataclass(frozen=True)
class Quality:
    """What is measured of features or a map with given classes.

    Attributes:
        purity: share of a row's k nearest other rows that are of its class, mean over rows.
        chance: the same for neighbours drawn at random.
        of_class: class -> mean purity of its rows.
        silhouette: mean over rows, -1 to 1 (Rousseeuw 1987); None where there are not two classes, or each row is one.
        k: neighbours of a row, itself left out.
        rows: how many rows were looked at.
    """

    purity: float
    chance: float
    of_class: Mapping[str, float]
    silhouette: float | None
    k: int
    rows: int

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Numbers:
    """What is measured of a map and of the features it was made of.

    Attributes:
        features, places: by what the rows are labelled with, and `across` for the first of these in other domains.
        trust: trustworthiness; None where there are fewer than three rows.
    """

    features: Mapping[str, Quality]
    places: Mapping[str, Quality]
    trust: float | None

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> Numbers:
        """What `to_dict` gave."""

        def qualities(of: str) -> dict[str, Quality]:
            return {name: Quality(**one) for name, one in said[of].items()}

        return cls(qualities("features"), qualities("places"), said["trust"])


def number(
    X: NDArray[Any], places: NDArray[np.float64], labels: Mapping[str, Labels], domains: Labels | None, seed: int = 0
) -> Numbers:
    """All that is measured of a map.

    Args:
        X: (n, d) features, transformed as for the map.
        places: (n, 2) on the map.
        labels: name -> (n,), as for `measure`; with domains, the first is also measured across them.
        domains: (n,), or None.
        seed: of the rows that are looked at where there are more than 10,000.
    """
    ways = dict(labels) if domains is None else {**labels, "domain": domains}

    def all_of(Y: NDArray[Any]) -> dict[str, Quality]:
        found = measure(Y, ways, seed=seed)
        across = None if domains is None else measure_across(Y, next(iter(labels.values())), domains, seed=seed)
        return found | ({"across": across} if across else {})

    return Numbers(all_of(X), all_of(places), trustworthiness(X, places, seed=seed))


def measure(X: NDArray[Any], labels: Mapping[str, Labels], k: int = K, seed: int = 0) -> dict[str, Quality]:
    """Purity and silhouette for each of several ways to label the same rows.

    Args:
        X: (n, d) features, transformed as for the map, or (n, 2) places; all finite.
        labels: name -> (n,); a row with None is left out, and is nobody's neighbour.
        k: neighbours; all others where they are fewer.
        seed: of the rows that are looked at.

    Returns:
        Name -> what was found; without those of which fewer than two rows have a label.
    """
    ways = {name: _Way(values, k) for name, values in labels.items()}
    ways = {name: way for name, way in ways.items() if way.k > 0}
    if ways:
        for rows, squares in _squared_distances(X, queries_of(len(X), seed)):
            for way in ways.values():
                way.look_at(rows, squares)
    return {name: way.quality() for name, way in ways.items()}


def measure_across(X: NDArray[Any], labels: Labels, domains: Labels, k: int = K, seed: int = 0) -> Quality | None:
    """Purity of neighbours in other domains: of each row's k nearest rows of another domain, the share of its class.

    High where pictures of one class lie together whatever domain they are from (DeCAF paper, Figure 5).

    Args:
        X, k, seed: as for `measure`.
        labels: (n,) classes; rows with None are left out.
        domains: (n,).

    Returns:
        None where fewer than two domains have labelled rows.
    """
    known = np.flatnonzero([label is not None for label in labels])
    names, codes = np.unique([str(label) for label in labels[known]], return_inverse=True)
    domain_names, domain = np.unique([str(name) for name in domains[known]], return_inverse=True)
    if len(domain_names) < 2:
        return None
    k = min(k, len(known) - int(np.bincount(domain).max()))
    here = np.zeros((len(domain_names), len(names)))
    np.add.at(here, (domain, codes), 1)
    elsewhere = here.sum(axis=0) - here
    chances = elsewhere[domain, codes] / elsewhere.sum(axis=1)[domain]
    looked, same = [], []
    for rows, squares in _squared_distances(X[known], queries_of(len(known), seed)):
        squares[domain[rows][:, None] == domain] = np.inf
        looked.append(rows)
        same.append((codes[_nearest(squares, k)] == codes[rows][:, None]).mean(axis=1))
    own, shares = np.concatenate(looked), np.concatenate(same)
    return Quality(float(shares.mean()), float(chances.mean()), _means(names, codes[own], shares), None, k, len(own))


def _means(names: NDArray[Any], codes: Rows, values: NDArray[np.float64]) -> dict[str, float]:
    """Name -> mean of the values of its rows, without those that have none."""
    counts, sums = np.bincount(codes, minlength=len(names)), np.bincount(codes, values, len(names))
    return {str(name): float(total / n) for name, total, n in zip(names, sums, counts, strict=True) if n}


class _Way:
    """One way to label the rows, and what was found so far."""

    def __init__(self, labels: Labels, k: int) -> None:
        self._known = np.flatnonzero([label is not None for label in labels])
        self._at = np.full(len(labels), -1)
        self._at[self._known] = np.arange(len(self._known))
        self._names, self._codes = np.unique([str(label) for label in labels[self._known]], return_inverse=True)
        self._counts = np.bincount(self._codes, minlength=len(self._names))
        self._member = np.eye(len(self._names), dtype=np.float32)[self._codes]
        self.k = min(k, len(self._known) - 1)
        self._found: list[tuple[Rows, NDArray[np.float64], NDArray[np.float64]]] = []

    def look_at(self, rows: Rows, squares: NDArray[Any]) -> None:
        looked = self._at[rows] >= 0
        own = self._at[rows[looked]]
        if not len(own):
            return
        all_known = len(self._known) == squares.shape[1]
        squares = squares if all_known else squares[np.ix_(looked, self._known)]
        neighbours = _nearest(squares, self.k)
        distances = np.sqrt(squares)
        distances[np.arange(len(own)), own] = 0
        same = (self._codes[neighbours] == self._codes[own][:, None]).mean(axis=1)
        self._found.append((self._codes[own], same, self._silhouettes(self._codes[own], distances @ self._member)))

    def _silhouettes(self, own: Rows, sums: NDArray[Any]) -> NDArray[np.float64]:
        """(rows,) from (rows, classes) sums of distances; 0 for the only row of a class."""
        at = np.arange(len(own))
        others = self._counts[own] - 1
        within = sums[at, own] / np.maximum(others, 1)
        means = sums / self._counts
        means[at, own] = np.inf
        beside = means.min(axis=1)
        largest = np.maximum(within, beside)
        counts = (others > 0) & (largest > 0) & np.isfinite(largest)
        return np.asarray(np.divide(beside - within, largest, out=np.zeros(len(own)), where=counts))

    def quality(self) -> Quality:
        own, same, silhouettes = map(np.concatenate, zip(*self._found, strict=True))
        n = len(self._known)
        chance = float((self._counts * (self._counts - 1)).sum() / (n * (n - 1)))
        silhouette = float(silhouettes.mean()) if 2 <= len(self._names) < n else None
        return Quality(float(same.mean()), chance, _means(self._names, own, same), silhouette, self.k, len(own))


def queries_of(n: int, seed: int) -> Rows:
    """The rows that are looked at, sorted: all, or 4,000 of more than 10,000."""
    if n <= MOST_QUERIES:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, DRAWN, replace=False))


def _squared_distances(X: NDArray[Any], queries: Rows) -> Iterator[tuple[Rows, NDArray[Any]]]:
    """(rows, (rows, n) squared distances to all) for some of the queries at a time; infinite to itself."""
    X = X - X.mean(axis=0, dtype=np.float64).astype(X.dtype)  # shorter vectors: less is lost in the difference below
    lengths = np.einsum("ij,ij->i", X, X)
    part = max(_AT_ONCE // len(X), 1)
    for start in range(0, len(queries), part):
        rows = queries[start : start + part]
        squares = X[rows] @ X.T
        squares *= -2
        squares += lengths
        squares += lengths[rows][:, None]
        np.maximum(squares, 0, out=squares)
        squares[np.arange(len(rows)), rows] = np.inf
        yield rows, squares


def _nearest(squares: NDArray[Any], k: int) -> Rows:
    """(rows, k) columns of the least values; of equal ones the first. (`argpartition` takes ten times as long.)"""
    last = np.partition(squares, k - 1, axis=1)[:, [k - 1]]
    row, column = np.nonzero(squares <= last)
    order = np.lexsort((column, squares[row, column], row))
    place = np.arange(len(row)) - np.searchsorted(row, row)
    return np.asarray(column[order][place < k].reshape(len(squares), k))


def trustworthiness(X: NDArray[Any], places: NDArray[np.float64], k: int = K, seed: int = 0) -> float | None:
    """Whether neighbours on the map are neighbours in the features: 1 where all are (Venna and Kaski 2001).

    As scikit-learn's, which needs 2 GB for 9,144 rows.

    Args:
        X: (n, d) features, transformed as for the map.
        places: (n, 2).
        k: neighbours, fewer than half of the rows.
        seed: of the rows that are looked at.

    Returns:
        None where there are fewer than three rows.
    """
    n = len(X)
    k = min(k, -(-n // 2) - 1)
    if k < 1:
        return None
    queries = queries_of(n, seed)
    both = zip(_squared_distances(X, queries), _squared_distances(places, queries), strict=True)
    penalty = sum(float(np.maximum(_ranks(far, near, k) - k, 0).sum()) for (_, far), (_, near) in both)
    return 1 - penalty * 2 / (len(queries) * k * (2 * n - 3 * k - 1))


def _ranks(far: NDArray[Any], near: NDArray[Any], k: int) -> NDArray[np.int64]:
    """(rows, k) ranks by `far`, from 1, of the k nearest by `near`."""
    theirs = np.take_along_axis(far, _nearest(near, k), axis=1)
    return np.stack([(far < theirs[:, [j]]).sum(axis=1) for j in range(k)], axis=1) + 1
