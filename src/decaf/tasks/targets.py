"""What is to be learned: labels or numbers for the rows of a feature set, from folders or from a CSV file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from decaf.errors import ProbeError, TableError, UnknownName
from decaf.features.feature_set import FeatureSet
from decaf.features.shards import stored_text
from decaf.images.tables import match_paths, read_csv

Kind = Literal["classes", "multilabel", "regression"]
Value = str | tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Targets:
    """What the rows of a feature set are to be taken for, and which rows say nothing.

    Attributes:
        kind: `classes`: one label each; `multilabel`: yes or no for each column; `regression`: a number for each.
        names: the columns; `label` where labels are folder names.
        rows: (m,) int, rows of the feature set that have features and a target, in order.
        values: classes: (m,) str as objects; multilabel: (m, columns) bool; regression: (m, columns) float64.
        broken: rows without features.
        unlabelled: rows with features and without a target.
        absent: what the CSV file names and the feature set does not have.
        left_out: class -> its rows, for classes that were left out because they are too small.
    """

    kind: Kind
    names: tuple[str, ...]
    rows: NDArray[np.intp]
    values: NDArray[Any]
    broken: int
    unlabelled: int
    absent: tuple[str, ...] = ()
    left_out: Mapping[str, int] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def without(self, classes: Mapping[str, int]) -> Targets:
        """The same without the rows of some classes."""
        kept = np.array([value not in classes for value in self.values], dtype=bool)
        return replace(self, rows=self.rows[kept], values=self.values[kept], left_out=dict(classes))

    def exclusions(self) -> dict[str, Any]:
        """What does not take part, counted."""
        return {
            "broken": self.broken,
            "unlabelled": self.unlabelled,
            "labels_without_picture": len(self.absent),
            "classes_left_out": dict(self.left_out or {}),
        }


def read_targets(features: FeatureSet, csv: str = "", columns: Sequence[str] = (), kind: str = "classes") -> Targets:
    """Find out what each row is to be taken for.

    Args:
        features: the rows.
        csv: a file with the column `path` and those of the targets; a path is written as the features have it, or as it
            is seen from what they were extracted from. Spaces around a label do not count. Without a file the labels
            stored with the features count: the names of folders.
        columns: of the file; `label` where none is named.
        kind: `classes` (any text), `multilabel` (0 or 1) or `regression` (numbers). An empty cell says that the target
            is not known: the row is left out.

    Raises:
        TableError: the file cannot be used; the message names the line.
        UnknownName: no such kind, or options that do not go together.
        ProbeError: no row has both features and a target.
    """
    names = _checked_names(csv, columns, kind)
    broken = features.broken
    absent: tuple[str, ...] = ()
    if csv:
        given, absent = _from_csv(features, csv, names, kind)
    else:
        given = [label if label and label.strip() else None for label in features.labels]
    known = np.array([value is not None for value in given], dtype=bool)
    rows = np.flatnonzero(known & ~broken)
    if not len(rows):
        raise ProbeError(
            f"no row of {features.folder} has features and a label: put pictures into folders named for their class, "
            "or pass --labels"
        )
    values = _array([given[row] for row in rows], kind)
    unlabelled = int((~known & ~broken).sum())
    return Targets(kind, names, rows, values, int(broken.sum()), unlabelled, absent)  # type: ignore[arg-type]


def _checked_names(csv: str, columns: Sequence[str], kind: str) -> tuple[str, ...]:
    if kind not in get_args(Kind):
        raise UnknownName(f"no kind {kind!r}: use one of {', '.join(get_args(Kind))}")
    if not csv and (columns or kind != "classes"):
        raise UnknownName(f"{'--target' if columns else f'--kind {kind}'} needs a CSV file: name it with --labels")
    names = tuple(dict.fromkeys(columns)) or ("label",)
    if "path" in names:
        raise UnknownName("path is the column that names the pictures: name another as --target")
    if kind == "classes" and len(names) > 1:
        raise UnknownName(f"{len(names)} target columns: pass --kind multilabel or --kind regression, or name one")
    return names


def _from_csv(
    features: FeatureSet, csv: str, names: Sequence[str], kind: str
) -> tuple[list[Value | None], tuple[str, ...]]:
    """A value for each row, None where there is none, and the names that are no row's."""
    said = _read(csv, names, kind)
    sources = features.meta["source"]["given"]
    used: dict[str, None] = {}
    given: list[Value | None] = []
    for found in match_paths(csv, said, features.paths, sources):
        used.update(dict.fromkeys(found))
        values = {said[name] for name in found}
        if len(values) > 1:
            raise TableError(f"{csv} says two things of {found[0]} ({found[1]}): keep one line")
        given.append(values.pop() if values else None)
    return given, tuple(name for name in said if name not in used)


def _read(csv: str, names: Sequence[str], kind: str) -> dict[str, Value | None]:
    """Normalised path -> what the file says of it."""
    said: dict[str, Value | None] = {}
    first: dict[str, int] = {}
    for line, cells in read_csv(csv, ["path", *names]):
        if not cells["path"]:
            raise TableError(f"{csv} line {line} names no picture: give it a path")
        path = os.path.normpath(str(stored_text(cells["path"])))
        value = _value([cells[name] for name in names], names, kind, f"{csv} line {line}")
        if said.setdefault(path, value) != value:
            raise TableError(f"{csv} line {line} says otherwise of {path} than line {first[path]}: keep one")
        first.setdefault(path, line)
    return said


def _value(cells: Sequence[str], names: Sequence[str], kind: str, where: str) -> Value | None:
    """What one line says; None where a cell is empty."""
    if not all(cell.strip() for cell in cells):
        return None
    if kind == "classes":
        return str(stored_text(cells[0].strip()))
    return tuple(_number(cell, name, kind, where) for cell, name in zip(cells, names, strict=True))


def _number(cell: str, name: str, kind: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if kind == "multilabel" and number not in (0, 1):
        raise TableError(f"{where} has {cell[:40]!r} as {name}: write 0 or 1, or nothing where it is not known")
    if not math.isfinite(number):
        raise TableError(f"{where} has {cell[:40]!r} as {name}: write a number, or nothing where it is not known")
    return number


def _array(values: Sequence[Any], kind: str) -> NDArray[Any]:
    if kind != "classes":
        return np.array(values, bool if kind == "multilabel" else np.float64)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


@dataclass(frozen=True, eq=False)
class Examples:
    """Features beside what they are to be taken for.

    Attributes:
        X: (m, d) float32, finite.
        targets: of the rows.
        pictures: the distinct paths, in order of their first row.
        picture: (m,) int, the number of each row's picture: several rows have one where it has regions or views.
    """

    X: NDArray[np.float32]
    targets: Targets
    pictures: tuple[str, ...]
    picture: NDArray[np.intp]

    @property
    def grouped(self) -> bool:
        """Whether a picture has several rows."""
        return len(self.pictures) < len(self.picture)

    def rows_of(self, pictures: NDArray[np.intp]) -> NDArray[np.intp]:
        """The rows of some pictures, sorted."""
        if not self.grouped:
            return np.sort(pictures)
        return np.flatnonzero(np.isin(self.picture, pictures))

    def label_of_pictures(self) -> NDArray[np.object_]:
        """(pictures,) the one class of each. Raises ProbeError for a picture whose rows are of two."""
        labels = np.empty(len(self.pictures), dtype=object)
        for number, label in zip(self.picture, self.targets.values, strict=True):
            if labels[number] not in (None, label):
                raise ProbeError(
                    f"regions of {self.pictures[number]} are of several classes ({labels[number]}, {label}): say "
                    "which pictures to train on with --splits-file"
                )
            labels[number] = label
        return labels


def load_examples(features: FeatureSet, targets: Targets, layer: str | None = None) -> Examples:
    """Read the features of the rows that have a target. Raises ProbeError where they are not finite."""
    rows = features[targets.rows]
    X = finite_features(rows, layer)
    numbers: dict[str, int] = {}
    picture = np.array([numbers.setdefault(path, len(numbers)) for path in rows.paths], np.intp)
    return Examples(X, targets, tuple(numbers), picture)


def finite_features(features: FeatureSet, layer: str | None = None) -> NDArray[np.float32]:
    """(n, size) features of intact rows. Raises ProbeError where they are not finite."""
    X = features.X(layer)
    bad = _not_finite(X)
    if len(bad):
        raise ProbeError(
            f"features of {len(bad)} rows are NaN or infinite, the first is {features.paths[bad[0]]}: extract them anew"
        )
    return X


def _not_finite(X: NDArray[np.float32], part: int = 1024) -> NDArray[np.intp]:
    """Rows, found a part at a time: a mask of all numbers would take a quarter of X again."""
    parts = [np.isfinite(X[start : start + part]).all(axis=1) for start in range(0, len(X), part)]
    return np.flatnonzero(~np.concatenate(parts))
