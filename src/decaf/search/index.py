"""Search a feature set for the rows nearest to a vector."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decaf.errors import SearchError, UnknownName
from decaf.features.feature_set import FeatureSet
from decaf.search.exact import Found, by_bounds, by_scan
from decaf.search.lists import Lists, open_lists
from decaf.search.matrix import Advance, Matrix, Metric, Query, check_metric, open_matrix, scan
from decaf.search.sketch import Sketch, open_sketch

SKETCHED_FROM = 10**8  # numbers in a matrix; a smaller one is scanned as fast, measured
_LEAST_SIZE = 512  # numbers in a vector; sketches of shorter ones save little
_BOUNDS_AT_ONCE = 2**26  # of all queries that are worked on together; 256 MB


@dataclass(frozen=True, eq=False)
class Hits:
    """What a search found.

    Attributes:
        rows: (queries, k) row numbers, the nearest first, of equally near ones the first row first; -1 where fewer
            rows are left than asked for.
        scores: (queries, k) the cosine similarity, or the Euclidean distance; NaN beside -1.
    """

    rows: NDArray[np.intp]
    scores: NDArray[np.float64]

    def of(self, query: int) -> Iterator[tuple[int, float]]:
        """Row and score of what was found for one query."""
        found = self.rows[query] >= 0
        return zip(self.rows[query][found].tolist(), self.scores[query][found].tolist(), strict=True)


@dataclass(frozen=True, eq=False)
class Index:
    """A layer of a feature set, ready to be searched.

    `search` gives the same rows and scores as a comparison with every row in float64 would, whichever way they are
    found; with `lists` nearly always (see `recall`).

    Attributes:
        features: the rows; row numbers count in it.
        layer: which vectors.
        metric: `cosine` or `l2`.
        matrix: the vectors.
        sketch: what makes an exact search of a large matrix faster; None for a small one.
        lists: what an approximate search goes by; None: searches are exact.

    Example:
        >>> index = Index.open(decaf.FeatureSet.open("features"), "pool")
        >>> hits = index.search(index.features[[12]].X("pool"), k=10, skip=[[12]])
        >>> index.features.paths[hits.rows[0]], hits.scores[0]
    """

    features: FeatureSet
    layer: str
    metric: Metric
    matrix: Matrix
    sketch: Sketch | None = None
    lists: Lists | None = None

    @classmethod
    def open(
        cls,
        features: FeatureSet,
        layer: str | None = None,
        metric: Metric = "cosine",
        approximate: bool = False,
        progress: Advance | None = None,
    ) -> Index:
        """Prepare a layer for search. What is made for it is kept in the feature folder, or in the user's cache.

        Args:
            features: what to search; broken rows and such with NaN are never found.
            layer: may be left out where the set has one.
            metric: `cosine` similarity, or `l2`, the Euclidean distance.
            approximate: look at the most promising rows only: faster, and `recall` of the nearest are found.
            progress: called with numbers of rows while files are made.

        Raises:
            UnknownName: no such layer or metric.
            SearchError: no row can be searched.
            FeatureSetError: a shard cannot be read, or nothing can be written.
        """
        check_metric(metric)
        layer = known_layer(features, layer)
        matrix = open_matrix(features, layer, progress)
        if not matrix.usable.any():
            raise SearchError(f"no row of {features.folder} has features that are numbers: extract it anew")
        sketched = approximate or is_large(len(matrix), matrix.size)
        sketch = open_sketch(features, layer, matrix, progress) if sketched else None
        lists = open_lists(features, layer, matrix, sketch, metric, progress) if sketch and approximate else None
        return cls(features, layer, metric, matrix, sketch, lists)

    @property
    def recall(self) -> float:
        """The share of the 10 nearest rows that is found: 1 for an exact search, else measured on rows of the set."""
        return self.lists.recall if self.lists else 1.0

    @property
    def files(self) -> tuple[Path, ...]:
        """Where the derived files lie."""
        sketch = self.sketch.files if self.sketch else ()
        return (*self.matrix.files, *sketch, *((self.lists.file,) if self.lists else ()))

    def search(self, vectors: ArrayLike, k: int = 10, skip: Sequence[Sequence[int]] | None = None) -> Hits:
        """The k nearest rows of each query.

        Args:
            vectors: (queries, size) or (size,), as `FeatureSet.X` gives them.
            k: how many; at least 1.
            skip: per query, rows that are not to be found, such as the query itself.

        Raises:
            SearchError: a query has another size, NaN, infinity, or under `cosine` nothing but zeros.
            UnknownName: k is less than 1.
        """
        x = self._checked(vectors, k)
        k = min(k, int(self.matrix.usable.sum()))
        rows = np.full((len(x), k), -1, np.intp)
        scores = np.full((len(x), k), np.nan)
        together = max(_BOUNDS_AT_ONCE // len(self.matrix), 1)
        for start in range(0, len(x), together):
            part = range(start, min(start + together, len(x)))
            queries = [Query(x[row], self.metric, self._allowed(skip[row] if skip else ())) for row in part]
            for number, (found, keys) in zip(part, self._search(queries, k), strict=True):
                rows[number, : len(found)] = found
                scores[number, : len(found)] = keys if self.metric == "cosine" else np.sqrt(-keys)
        return Hits(rows, scores)

    def _search(self, queries: Sequence[Query], k: int) -> list[Found]:
        """Of queries that are worked on together: bounds and cosines of each take four bytes a row."""
        if self.lists and self.sketch:
            return [self.lists.search(self.matrix, self.sketch, query, k) for query in queries]
        units = np.stack([query.unit for query in queries])
        if self.sketch:
            bounds = self.sketch.bounds(units)
            return [by_bounds(self.matrix, query, k, bound) for query, bound in zip(queries, bounds, strict=True)]
        cosines = scan(self.matrix, units)
        return [by_scan(self.matrix, query, k, cosine) for query, cosine in zip(queries, cosines, strict=True)]

    def _checked(self, vectors: Any, k: int) -> NDArray[np.float64]:
        x = np.atleast_2d(np.asarray(vectors, np.float64))
        if x.ndim != 2 or x.shape[1] != self.matrix.size:
            raise SearchError(f"queries are {x.shape[-1]} numbers long, vectors of {self.layer} {self.matrix.size}")
        if k < 1:
            raise UnknownName(f"k is {k}: use 1 or more")
        if not np.isfinite(x).all():
            raise SearchError("a query holds NaN or infinity: extract it anew")
        if self.metric == "cosine" and not x.any(axis=1).all():
            raise SearchError("a query is all zeros and has no direction: use metric l2 or another layer")
        return x

    def _allowed(self, skipped: Sequence[int]) -> NDArray[np.bool_]:
        allowed = self.matrix.usable
        allowed[list(skipped)] = False
        return allowed


def is_large(rows: int, size: int) -> bool:
    """Whether a matrix is searched by sketches."""
    return rows * size >= SKETCHED_FROM and size >= _LEAST_SIZE


def rows_to_prepare(features: FeatureSet, layer: str | None, approximate: bool) -> int:
    """How many rows `Index.open` tells of where nothing is prepared yet: each file counts all of them."""
    size = math.prod(features.shape(known_layer(features, layer)))
    return len(features) * (1 + (approximate or is_large(len(features), size)) + approximate)


def known_layer(features: FeatureSet, layer: str | None) -> str:
    """The layer that is meant. Raises UnknownName where there is no such layer, or none is named of several."""
    if layer is None and len(features.layers) > 1:
        default = features.layers
        raise UnknownName(f"{features.folder} has several layers: name one of {', '.join(default)} with --layer")
    chosen = features.layers[0] if layer is None else layer
    features.shape(chosen)
    return chosen
