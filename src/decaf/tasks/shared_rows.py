"""Which pictures several feature sets, and matrices of other origin, have in common."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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
        matched_by: `path`, `path within the source` or `content`.
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
    that were extracted, else the pictures' contents. Pictures of one path and of different contents are different. The
    rows of a matrix are named by its file, or are those of the first set, in order.

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
    common = _common(sets, keyed)
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
    """For each set, what identifies a row -> the row, broken ones left out; in the first way that matches enough."""
    ways: dict[str, Callable[[FeatureSet], Iterable[Any]]] = {
        "path": lambda features: features.paths,
        "path within the source": _from_source,
        "content": lambda features: features.checksums,
    }
    first = [_keys(features, ways["path"](features)) for features in sets]
    for way, names in ways.items():
        keyed = [_keys(features, names(features)) for features in sets] if way != "path" else first
        if len(sets) == 1 or len(_common(sets, keyed)) >= LEAST:
            return keyed, way
    return first, "path"


def _keys(features: FeatureSet, names: Iterable[Any]) -> dict[Key, int]:
    times: Counter[Key] = Counter()
    keys: dict[Key, int] = {}
    columns = (names, features.regions, features.views, features.broken)
    for row, (name, region, view, broken) in enumerate(zip(*columns, strict=True)):
        key = (name, region, view)
        if not broken and name is not None:
            keys[*key, times[key]] = row  # a picture may be listed twice
        times[key] += 1
    return keys


def _from_source(features: FeatureSet) -> list[str]:
    """How paths look from the source they were found in."""
    sources = [os.path.join(os.path.normpath(str(given)), "") for given in features.meta["source"]["given"]]
    sources.sort(key=len, reverse=True)

    def seen(path: str) -> str:
        path = os.path.normpath(path)
        return next((path[len(source) :] for source in sources if path.startswith(source)), path)

    return [seen(path) for path in features.paths]


def _common(sets: Sequence[FeatureSet], keyed: Sequence[dict[Key, int]]) -> set[Key]:
    """What all sets have, without pictures that are called the same and are not, as their checksums tell."""
    common = set.intersection(*map(set, keyed))
    return {key for key in common if len(_contents(sets, keyed, key)) <= 1}


def _contents(sets: Sequence[FeatureSet], keyed: Sequence[dict[Key, int]], key: Key) -> set[str]:
    """The checksums of a row, as far as they are known."""
    return {features.checksums[own[key]] for features, own in zip(sets, keyed, strict=True)} - {None}


def _source(features: FeatureSet, keys: dict[Key, int], shared: set[Key]) -> Source:
    lacking = [key for key in keys if key not in shared]
    return Source(
        str(features.folder),
        len(features),
        int(features.broken.sum()),
        len(lacking),
        str(features.paths[keys[lacking[0]]]) if lacking else "",
    )


def _matrix_source(matrix: GivenMatrix, shared: int) -> Source:
    broken = int(matrix.broken.sum())
    return Source(matrix.file, len(matrix), broken, len(matrix) - broken - shared, "")


def _too_few(sources: Sequence[Source], shared: int) -> str:
    if len(sources) == 1:
        return f"{sources[0].name}: {shared} usable pictures, {LEAST} are needed: extract more"
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
