"""Groups of similar rows, found without labels, and how well they agree with labels.

Rows are compared by direction: vectors of length 1, of which the squared Euclidean distance is 2 (1 - cosine).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from decaf.errors import SearchError, UnknownName
from decaf.search.index import Index
from decaf.search.matrix import ROWS_AT_ONCE, Matrix
from decaf.search.sketch import find_basis, sketch_of, units_of

Method = Literal["kmeans", "hdbscan"]

_MINI_BATCH_FROM = 20_000  # rows
_DIRECTIONS = 64  # that rows are grouped by: as good as all 1,280 on Caltech-101, in a fiftieth of the time, measured
_DENSITY_ROWS = 50_000  # HDBSCAN takes time with their square


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups of the rows of an index, the largest first.

    Attributes:
        groups: (n,) int, the number of each row's group; -1 for a row in none.
        centres: (groups, d) float64, the mean of each group's vectors of length 1.
        typical: (n,) the cosine of each row to its group's centre; NaN for a row in none.
    """

    groups: NDArray[np.intp]
    centres: NDArray[np.float64] = field(repr=False)
    typical: NDArray[np.float64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.centres)

    def members(self, group: int) -> NDArray[np.intp]:
        """The rows of a group, the most typical first."""
        rows = np.flatnonzero(self.groups == group)
        return rows[np.argsort(-self.typical[rows], kind="stable")]


def find_groups(
    index: Index, method: Method = "kmeans", count: int | None = None, least: int = 10, seed: int = 0
) -> Grouping:
    """Group the rows of an index by the directions of their vectors.

    Args:
        index: the rows; broken ones and zeros are in no group.
        method: `kmeans` (Lloyd, 1982; beyond 20,000 rows in mini-batches, Sculley, 2010) puts every row into one of
            `count` groups; `hdbscan` (Campello, Moulavi, Sander, 2013) finds dense groups of at least `least` rows
            and leaves the others out. Both see the first 64 principal directions.
        count: groups of k-means; by default the square root of half the number of rows.
        least: rows of the smallest group of HDBSCAN.
        seed: of k-means.

    Raises:
        UnknownName: there is no such method, or a number is too small.
        SearchError: fewer rows than groups, or too many for HDBSCAN.
    """
    return groups_of(index.matrix, method, count, least, seed)


def groups_of(
    matrix: Matrix, method: Method = "kmeans", count: int | None = None, least: int = 10, seed: int = 0
) -> Grouping:
    """Group the rows of a matrix, as `find_groups` does those of an index."""
    if method not in get_args(Method):
        raise UnknownName(f"method is {method!r}: use one of {', '.join(get_args(Method))}")
    rows = np.flatnonzero(matrix.norms > 0)
    count = max(round((len(rows) / 2) ** 0.5), 1) if count is None else count
    if count < 1 or least < 2:
        raise UnknownName(f"{count} groups of at least {least}: use 1 or more groups, of at least 2 rows")
    if method == "kmeans" and count > len(rows):
        raise SearchError(f"{count} groups of {len(rows)} rows: ask for fewer groups")
    if method == "hdbscan" and (len(rows) > _DENSITY_ROWS or len(rows) < 2):
        raise SearchError(f"HDBSCAN takes 2 to {_DENSITY_ROWS:,} rows, these are {len(rows):,}: use k-means")
    x = _reduced(matrix, rows)
    found = _kmeans(x, count, seed) if method == "kmeans" else _hdbscan(x, least)
    groups = np.full(len(matrix), -1, np.intp)
    groups[rows] = _largest_first(found)
    return _grouping(matrix, groups)


def _kmeans(x: NDArray[np.float32], count: int, seed: int) -> NDArray[np.intp]:
    from sklearn.cluster import KMeans, MiniBatchKMeans

    count = min(count, _kinds(x, count))
    if len(x) > _MINI_BATCH_FROM:
        made = MiniBatchKMeans(count, batch_size=8192, n_init=1, random_state=seed).fit(x)
    else:
        made = KMeans(count, n_init=3, random_state=seed).fit(x)
    return np.asarray(made.labels_, np.intp)


def _kinds(x: NDArray[np.float32], enough: int) -> int:
    """How many different rows there are, or `enough`: k-means warns of more groups than that."""
    seen: set[bytes] = set()
    for row in x:
        seen.add(row.tobytes())
        if len(seen) >= enough:
            break
    return len(seen)


def _hdbscan(x: NDArray[np.float32], least: int) -> NDArray[np.intp]:
    from sklearn.cluster import HDBSCAN

    return np.asarray(HDBSCAN(min_cluster_size=min(least, len(x)), copy=True).fit_predict(x), np.intp)


def _reduced(matrix: Matrix, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """(len(rows), 64) the rows, of length 1, in the directions in which they differ most."""
    basis = find_basis(matrix)[:, :_DIRECTIONS]
    return np.concatenate([sketch_of(units_of(matrix, start), basis)[:, :-1] for start in _starts(matrix)])[rows]


def _starts(matrix: Matrix) -> range:
    return range(0, len(matrix), ROWS_AT_ONCE)


def _largest_first(found: NDArray[np.intp]) -> NDArray[np.intp]:
    """The same groups, numbered by size; -1 stays."""
    names, counts = np.unique(found[found >= 0], return_counts=True)
    numbers = np.full(names.max(initial=-1) + 2, -1, np.intp)  # the last one is that of -1
    numbers[names[np.lexsort((names, -counts))]] = np.arange(len(names))
    return numbers[found]


def _grouping(matrix: Matrix, groups: NDArray[np.intp]) -> Grouping:
    sums = np.zeros((groups.max(initial=-1) + 1, matrix.size))
    for start in _starts(matrix):
        part = groups[start : start + ROWS_AT_ONCE]
        np.add.at(sums, part[part >= 0], units_of(matrix, start)[part >= 0])
    centres = sums / np.bincount(groups[groups >= 0], minlength=len(sums))[:, None]
    lengths = np.linalg.norm(centres, axis=1)
    directions = centres / np.where(lengths > 0, lengths, 1)[:, None]
    typical = np.full(len(groups), np.nan)
    for start in _starts(matrix):
        inside = start + np.flatnonzero(groups[start : start + ROWS_AT_ONCE] >= 0)
        units = units_of(matrix, start)[inside - start]
        typical[inside] = np.einsum("ij,ij->i", units, directions[groups[inside]])
    return Grouping(groups, centres, typical)


@dataclass(frozen=True)
class Agreement:
    """How groups agree with labels, over the rows that have both.

    Attributes:
        rows: how many those are.
        in_groups: the share of labelled rows that are in a group.
        purity: the share of those whose label is the most frequent one of their group (Manning, Raghavan, Schuetze,
            Introduction to Information Retrieval, 2008, section 16.3).
        nmi: normalised mutual information, arithmetic mean (ibid.; Vinh, Epps, Bailey, 2010).
        ari: adjusted Rand index (Hubert and Arabie, 1985): 0 for chance, 1 for equal.
    """

    rows: int
    in_groups: float
    purity: float
    nmi: float
    ari: float


def agreement(groups: NDArray[np.intp], labels: Sequence[object] | NDArray[np.object_]) -> Agreement | None:
    """How groups agree with labels; None where no row has both. Rows in no group count in `in_groups` only."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    labelled = np.array([label is not None for label in labels], bool)
    both = labelled & (groups >= 0)
    if not both.any():
        return None
    known = np.array([str(label) for label in np.asarray(labels, dtype=object)[both]])
    table = contingency_matrix(known, groups[both])
    return Agreement(
        int(both.sum()),
        float(both.sum() / labelled.sum()),
        float(table.max(axis=0).sum() / table.sum()),
        float(normalized_mutual_info_score(known, groups[both])),
        float(adjusted_rand_score(known, groups[both])),
    )
