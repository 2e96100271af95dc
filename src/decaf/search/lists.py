"""The k nearest rows, nearly always: only the lists of rows nearest to the query are looked at.

An inverted file (Sivic and Zisserman, Video Google, 2003; Jegou, Douze, Schmid, Product quantization for nearest
neighbor search, 2011, section IV): k-means puts each row into the list of its nearest centre. Rows in the lists whose
centres are nearest to the query are compared by their sketches, and the best of those by their vectors.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import SearchError
from decaf.features.derived import Recipe, derive
from decaf.features.feature_set import FeatureSet
from decaf.search.exact import Found, by_bounds, top
from decaf.search.matrix import ROWS_AT_ONCE, Advance, Matrix, Metric, Query
from decaf.search.sketch import Sketch

WANTED = 0.97  # recall at 10, so that new pictures surely get 0.95
_K = 10
_ASKED = 100  # rows that the recall is measured with
_PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_PER_LIST = 30  # rows of the sample that k-means learns from
_REFINED = 10  # times k: rows that are compared by their vectors
_SEED = 0


@dataclass(frozen=True, eq=False)
class Lists:
    """Rows in lists by their nearest centre.

    Attributes:
        centres: (lists, m) float32, in the space of the sketches.
        order: the rows, list after list.
        starts: (lists + 1,) where each list begins in `order`.
        probes: how many lists a search looks at.
        recall: the share of the 10 nearest rows that it finds so, measured on rows of the set.
    """

    centres: NDArray[np.float32] = field(repr=False)
    order: NDArray[np.int64] = field(repr=False)
    starts: NDArray[np.int64] = field(repr=False)
    probes: int
    recall: float
    file: Path = Path()

    def nearest(self, inside: NDArray[np.float32]) -> NDArray[np.intp]:
        """Lists by the distance of their centres to (m,) a sketch without its last number, the nearest first."""
        return np.argsort(np.einsum("ij,ij->i", self.centres, self.centres) / 2 - self.centres @ inside)

    def rows(self, lists: NDArray[np.intp]) -> NDArray[np.intp]:
        """The rows of some lists."""
        parts = [self.order[self.starts[part] : self.starts[part + 1]] for part in lists.tolist()]
        return np.concatenate([np.empty(0, np.int64), *parts]).astype(np.intp)

    def search(self, matrix: Matrix, sketch: Sketch, query: Query, k: int, probes: int = 0) -> Found:
        """The k nearest of the rows in the nearest lists; of more lists where those hold fewer than k."""
        inside = sketch.of(query.unit[None])[0, :-1]
        nearest = self.nearest(inside)
        probes = probes or self.probes
        rows = self._allowed(query, nearest[:probes])
        while len(rows) < k and probes < len(nearest):
            probes *= 2
            rows = self._allowed(query, nearest[:probes])
        cosines = sketch.values[rows][:, :-1] @ inside
        part = Query(query.vector, query.metric, np.ones(len(rows), bool))
        likely, _ = top(rows, part.bound(matrix.norms[rows], cosines.astype(np.float64)), _REFINED * k)
        return top(likely, query.keys(matrix, likely), k)

    def _allowed(self, query: Query, lists: NDArray[np.intp]) -> NDArray[np.intp]:
        rows = self.rows(lists)
        return rows[query.allowed[rows]]


def open_lists(
    features: FeatureSet, layer: str, matrix: Matrix, sketch: Sketch, metric: Metric, advance: Advance | None = None
) -> Lists:
    """The lists of a matrix, from a derived file, which is made where it is missing."""

    def write(path: Path) -> None:
        from safetensors.numpy import save

        lists = make_lists(matrix, sketch, metric, advance)
        numbers = {"probes": np.array([lists.probes]), "recall": np.array([lists.recall])}
        path.write_bytes(save({"centres": lists.centres, "order": lists.order, "starts": lists.starts, **numbers}))

    made_with = hashlib.sha256(np.ascontiguousarray(sketch.basis).tobytes()).hexdigest()
    parameters = {"version": 1, "metric": metric, "basis": made_with}
    kept = derive(features, layer, Recipe("lists", write, _load, parameters, ".safetensors"))
    tensors = kept.value
    probes, recall = int(tensors.pop("probes")[0]), float(tensors.pop("recall")[0])
    return Lists(**tensors, probes=probes, recall=recall, file=kept.path)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    if set(tensors) != {"centres", "order", "starts", "probes", "recall"}:
        raise ValueError("no lists")
    return tensors


def make_lists(matrix: Matrix, sketch: Sketch, metric: Metric, advance: Advance | None = None) -> Lists:
    """Find centres, put rows into lists, and measure how many lists a search must look at."""
    rows = np.flatnonzero(matrix.norms > 0)
    if not len(rows):
        raise SearchError("no row has features that differ from zero: there is nothing to search")
    centres = _centres(sketch, rows)
    order, starts = _assign(sketch, matrix.usable, centres, advance)
    lists = Lists(centres, order, starts, 1, 0.0)
    probes, recall = _measure(matrix, sketch, lists, metric, rows)
    return Lists(centres, order, starts, probes, recall)


def _centres(sketch: Sketch, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    from sklearn.cluster import MiniBatchKMeans

    random = np.random.default_rng(_SEED)
    count = max(round(4 * len(rows) ** 0.5), 1)
    sample = np.sort(random.choice(rows, min(_PER_LIST * count, len(rows)), replace=False))
    inside = np.asarray(sketch.values[sample][:, :-1])
    kinds = len(np.unique(inside, axis=0)) if len(inside) < 10_000 else len(inside)  # of equal rows fewer centres
    means = MiniBatchKMeans(
        min(count, kinds), batch_size=8192, max_iter=10, n_init=1, init="random", random_state=_SEED,
        compute_labels=False,
    ).fit(inside)  # fmt: skip
    return np.ascontiguousarray(means.cluster_centers_, np.float32)


def _assign(
    sketch: Sketch, usable: NDArray[np.bool_], centres: NDArray[np.float32], advance: Advance | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    half = np.einsum("ij,ij->i", centres, centres) / 2
    lists = np.empty(len(usable), np.int64)
    for start in range(0, len(usable), ROWS_AT_ONCE):
        block = sketch.values[start : start + ROWS_AT_ONCE, :-1]
        lists[start : start + len(block)] = (block @ centres.T - half).argmax(axis=1)
        if advance:
            advance(len(block))
    rows = np.flatnonzero(usable)
    order = rows[np.argsort(lists[rows], kind="stable")].astype(np.int64)
    starts = np.append(0, np.cumsum(np.bincount(lists[rows], minlength=len(centres)))).astype(np.int64)
    return order, starts


def _measure(matrix: Matrix, sketch: Sketch, lists: Lists, metric: Metric, rows: NDArray[np.intp]) -> tuple[int, float]:
    """The fewest lists with which the nearest rows of some rows are found as often as wanted, and how often that is."""
    asked = np.random.default_rng(_SEED + 1).choice(rows, min(_ASKED, len(rows)), replace=False)
    queries = []
    for row in asked.tolist():
        allowed = matrix.usable.copy()
        allowed[row] = False
        queries.append(Query(matrix.doubles(np.array([row]))[0], metric, allowed))
    truth = []
    for query in queries:
        upper = sketch.bounds(query.unit[None])[0].astype(np.float64)
        truth.append(by_bounds(matrix, query, _K, upper)[1])
    probes, recall = 1, 0.0
    for probes in _PROBES:
        found = [lists.search(matrix, sketch, query, _K, probes)[1] for query in queries]
        recall = float(np.mean([share_found(keys, exact) for keys, exact in zip(found, truth, strict=True)]))
        if recall >= WANTED or probes >= len(lists.centres):
            break
    return min(probes, len(lists.centres)), recall


def share_found(keys: NDArray[np.float64], exact: NDArray[np.float64]) -> float:
    """How many of the exact results were found: as near as the last of them, since equally near ones are as good."""
    return float((keys >= exact[-1]).sum() / len(exact)) if len(exact) else 1.0
