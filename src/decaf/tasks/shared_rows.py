"""Which pictures several feature sets, and matrices of other origin, have in common."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import CompareError
from decaf.features.feature_set import FeatureSet
from decaf.features.shards import stored_text
from decaf.images.tables import match_paths
from decaf.tasks.given_matrix import GivenMatrix

Key = tuple[Any, ...]

LEAST = 3  # pictures; two have a single pair, which agrees with any other


@dataclass(frozen=True, eq=False)
class Source:
    """What one set or matrix gives to a comparison.

    Attributes:
        name: the folder or file.
        rows: how many it has.
        broken: rows without features, or with NaN in a matrix.
        not_shared: usable rows that another one lacks.
        first: the first of those; empty where there is none.
    """

    name: str
    rows: int
    broken: int
    not_shared: int
    first: str


@dataclass(frozen=True, eq=False)
class Shared:
    """The rows that all have, in the order of the first set.

    Attributes:
        of_sets: for each feature set, (n,) its rows.
        of_matrices: for each matrix, (n,) its rows.
        sources: what each gave.
        matched_by: `path`, or `path within the source`.
    """

    of_sets: tuple[NDArray[np.intp], ...]
    of_matrices: tuple[NDArray[np.intp], ...]
    sources: tuple[Source, ...]
    matched_by: str

    def __len__(self) -> int:
        return len(self.of_sets[0])

    def some(self, count: int, seed: int) -> Shared:
        """The same of `count` pictures drawn by chance, in order; all where there are no more."""
        if not 0 < count < len(self):
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self), count, replace=False))
        sets, matrices = (tuple(rows[chosen] for rows in group) for group in (self.of_sets, self.of_matrices))
        return Shared(sets, matrices, self.sources, self.matched_by)


def share(sets: Sequence[FeatureSet], matrices: Sequence[GivenMatrix] = ()) -> Shared:
    """Match rows by the path, region and view of their pictures.

    Where the paths as they were given have nothing in common, what counts is the paths as they look from the folders
    that were extracted. The rows of a matrix are named by its file, or are those of the first set, in order.

    Args:
        sets: one or more.
        matrices: as `read_matrix` gives them.

    Raises:
        CompareError: sets of other regions or views, fewer than 3 rows in common, or a matrix of another length.
        TableError: names of a matrix that fit no picture, or two.
    """
    _check_kinds(sets)
    of_first = [_rows_of(matrix, sets[0]) for matrix in matrices]
    keyed, matched_by = _keyed(sets)
    common = set.intersection(*(set(keys) for keys in keyed))
    usable = np.array([key in common for key in keyed[0]], dtype=bool)
    first_rows = np.array(list(keyed[0].values()), np.intp)
    for places in of_first:
        usable &= places[first_rows] >= 0
    keys = [key for key, kept in zip(keyed[0], usable, strict=True) if kept]
    sources = [_source(features, own, set(keys)) for features, own in zip(sets, keyed, strict=True)]
    sources += [_matrix_source(matrix, len(keys)) for matrix in matrices]
    if len(keys) < LEAST:
        raise CompareError(_too_few(sources, len(keys)))
    rows = tuple(np.array([own[key] for key in keys], np.intp) for own in keyed)
    return Shared(rows, tuple(places[rows[0]] for places in of_first), tuple(sources), matched_by)


def _check_kinds(sets: Sequence[FeatureSet]) -> None:
    first = sets[0]
    for other in sets[1:]:
        for kind in ("regions", "views"):
            ours, theirs = (str(features.meta["settings"][kind]) for features in (first, other))
            if ours != theirs:
                raise CompareError(
                    f"{first.folder} has {kind} {ours}, {other.folder} has {theirs}: extract both the same way"
                )


def _keyed(sets: Sequence[FeatureSet]) -> tuple[list[dict[Key, int]], str]:
    """For each set, what identifies a row -> the row, broken ones left out."""
    keyed = [_keys(features, str) for features in sets]
    if len(set.intersection(*map(set, keyed))) >= LEAST or len(sets) == 1:
        return keyed, "path"
    within = [_keys(features, _from_source(features)) for features in sets]
    if len(set.intersection(*map(set, within))) < LEAST:
        return keyed, "path"
    return within, "path within the source"


def _keys(features: FeatureSet, seen: Callable[[str], str]) -> dict[Key, int]:
    times: Counter[Key] = Counter()
    keys: dict[Key, int] = {}
    columns = (features.paths, features.regions, features.views, features.broken)
    for row, (path, region, view, broken) in enumerate(zip(*columns, strict=True)):
        key = (seen(path), region, view)
        if not broken:
            keys[*key, times[key]] = row  # a picture may be listed twice
        times[key] += 1
    return keys


def _from_source(features: FeatureSet) -> Callable[[str], str]:
    """How a path looks from the source it was found in."""
    sources = [os.path.join(os.path.normpath(str(given)), "") for given in features.meta["source"]["given"]]
    sources.sort(key=len, reverse=True)

    def seen(path: str) -> str:
        path = os.path.normpath(path)
        return next((path[len(source) :] for source in sources if path.startswith(source)), path)

    return seen


def _source(features: FeatureSet, keys: dict[Key, int], shared: set[Key]) -> Source:
    lacking = [key for key in keys if key not in shared]
    return Source(
        str(features.folder), len(features), int(features.broken.sum()), len(lacking), lacking[0][0] if lacking else ""
    )


def _matrix_source(matrix: GivenMatrix, shared: int) -> Source:
    broken = int(matrix.broken.sum())
    return Source(matrix.file, len(matrix), broken, len(matrix) - broken - shared, "")


def _too_few(sources: Sequence[Source], shared: int) -> str:
    lacking = next((source for source in sources if source.first), sources[0])
    example = f" (only in {lacking.name}: {lacking.first})" if lacking.first else ""
    names = ", ".join(source.name for source in sources)
    return f"{names}: {shared} usable pictures in common{example}, {LEAST} are needed: extract the same pictures"


def _rows_of(matrix: GivenMatrix, features: FeatureSet) -> NDArray[np.intp]:
    """For each row of a set the row of the matrix, -1 where there is none or it is broken."""
    places = np.full(len(features), -1, np.intp)
    if matrix.names is None:
        if len(matrix) == len(features):
            places[:] = np.arange(len(matrix))
        elif len(matrix) == int((~features.broken).sum()):
            places[~features.broken] = np.arange(len(matrix))
        else:
            raise CompareError(
                f"{matrix.file} has {len(matrix)} rows without names, {features.folder} {len(features)}: "
                "give as many, in the same order, or name them by path in a CSV file"
            )
    else:
        lines = {os.path.normpath(str(stored_text(name))): row for row, name in enumerate(matrix.names)}
        sources = features.meta["source"]["given"]
        for row, found in enumerate(match_paths(matrix.file, lines, features.paths, sources)):
            places[row] = lines[found[0]] if found else -1
    places[(places >= 0) & matrix.broken[places]] = -1
    return places
