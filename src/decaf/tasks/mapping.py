"""`decaf map`: maps of one or two feature sets, what the points are, and the numbers beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decaf.errors import MapError, SettingsDiffer, UnknownName
from decaf.features.derived import Kept
from decaf.features.feature_set import FeatureSet
from decaf.features.settings import refuse_difference
from decaf.maps import Map, MapSettings, Quality, map_of, numbers_of, placed_in
from decaf.tasks.grouping import Groups, known_groups, read_groups
from decaf.tasks.model import Model
from decaf.tasks.targets import read_targets

COLOURS = ("label", "group", "domain", "prediction")
# What two sets must have in common for their vectors to mean the same.
_ALIKE = ("net_sha256", "preprocess", "decoding", "pool", "precision")

Tell = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        layers: names; empty: all that the features have.
        settings: of each map.
        colour: `label`, `group`, `domain` or `prediction`; empty: see `choose_colour`.
        groups: a CSV file or a known table; empty: one that knows the labels, where there is one.
        labels: a CSV file; empty: names of folders.
        model: a file of `decaf fit`, for the colour `prediction`.
        place: put the second set into the map of the first, which stays as it is.
    """

    layers: tuple[str, ...] = ()
    settings: MapSettings = field(default_factory=MapSettings)
    colour: str = ""
    groups: str = ""
    labels: str = ""
    model: str = ""
    place: bool = False


@dataclass(frozen=True, eq=False)
class Points:
    """What the rows of all sets are, one set after the other.

    Attributes:
        sets: where the rows are stored.
        domains: (n,) which of several collections each row is of: by default, which set.
        labels: (n,) its class; None where it has none.
        groups: (n,) the group of its class; None where there is none. None: there are no groups.
        grouping: where the groups come from.
        predictions: (n,) what a model takes it for. None: no model was named.
        broken: (n,) rows without features.
    """

    sets: tuple[FeatureSet, ...]
    domains: NDArray[np.object_]
    labels: NDArray[np.object_]
    groups: NDArray[np.object_] | None
    grouping: Groups | None
    predictions: NDArray[np.object_] | None
    broken: NDArray[np.bool_]

    def of(self, what: str) -> NDArray[np.object_]:
        """Labels, groups, domains or predictions. Raises UnknownName where there are none, and says what gives them."""
        values = {
            "label": self.labels, "group": self.groups, "domain": self.domains, "prediction": self.predictions
        }[what]  # fmt: skip
        if values is None:
            remedy = "name a table with --groups" if what == "group" else "name a model with --model"
            raise UnknownName(f"there is no {what} to colour by: {remedy}")
        return values

    @property
    def has_domains(self) -> bool:
        """Whether the rows are of several domains."""
        return len(set(self.domains)) > 1

    @property
    def has_labels(self) -> bool:
        """Whether any row has a class."""
        return any(label is not None for label in self.labels)


@dataclass(frozen=True, eq=False)
class Mapped:
    """The map of one layer, and how well classes and groups hold together there.

    Attributes:
        layer: its name.
        size: numbers of a vector.
        drawn: the map.
        file: where it is kept.
        made: whether it was made in this run.
        features, places: what is measured of the features and of the map, by `label`, `group`, `domain` and `across`
            (the class, among neighbours in other domains).
        trust: trustworthiness; None where there are fewer than three rows.
    """

    layer: str
    size: int
    drawn: Map
    file: Path
    made: bool
    features: Mapping[str, Quality]
    places: Mapping[str, Quality]
    trust: float | None


def open_sets(folders: Sequence[str]) -> tuple[FeatureSet, ...]:
    """Open one or two feature folders. Raises SettingsDiffer where their features were not made alike."""
    sets = tuple(map(FeatureSet.open, folders))
    mine = {name: sets[0].meta["settings"].get(name) for name in _ALIKE}
    for other in sets[1:]:
        theirs = {name: other.meta["settings"].get(name) for name in _ALIKE}
        refuse_difference(other.folder, theirs, mine, f"extract it like {sets[0].folder}")
    return sets


def read_points(sets: Sequence[FeatureSet], request: Request) -> Points:
    """Find out what the rows are.

    Raises:
        TableError, UnknownName: labels, groups or colour that cannot be used.
        SettingsDiffer: the model was fitted on other features.
    """
    labels = np.concatenate([_labels(features, request.labels) for features in sets])
    paths = np.concatenate([features.paths for features in sets])
    grouping = read_groups(request.groups) if request.groups else known_groups(paths, labels)
    groups = grouping.of_rows(paths, labels) if grouping else None
    if request.groups and groups is not None and not any(group is not None for group in groups):
        first = next((label for label in labels if label is not None), None)
        raise UnknownName(f"{request.groups} has no group for any label, such as {first!r}: write those labels into it")
    return Points(
        tuple(sets),
        np.concatenate([np.full(len(one), name, object) for one, name in zip(sets, _names(sets), strict=True)]),
        labels,
        groups,
        grouping,
        _predictions(sets, request.model) if request.model else None,
        np.concatenate([features.broken for features in sets]),
    )


def _labels(features: FeatureSet, csv: str) -> NDArray[np.object_]:
    if not csv:
        return np.array([label if label and label.strip() else None for label in features.labels], dtype=object)
    labels = np.empty(len(features), dtype=object)
    targets = read_targets(features, csv)
    labels[targets.rows] = targets.values
    return labels


def _names(sets: Sequence[FeatureSet]) -> list[str]:
    names = [features.folder.resolve().name for features in sets]
    return names if len(set(names)) == len(names) else [str(features.folder) for features in sets]


def _predictions(sets: Sequence[FeatureSet], file: str) -> NDArray[np.object_]:
    model = Model.load(file)
    if model.kind != "classes":
        raise UnknownName(f"{file} is a model of kind {model.kind}: name one of classes to colour by")
    for features in sets:
        model.check_features(features)
    return np.concatenate([model.predict(features).labels for features in sets])


def choose_colour(points: Points, asked: str) -> str:
    """`domain` of two sets, else `prediction` of a model, `group` where the labels have known groups, `label`."""
    if asked:
        points.of(asked)  # raises where there is none
        return asked
    if points.has_domains:
        return "domain"
    if points.predictions is not None:
        return "prediction"
    return "group" if points.groups is not None else "label"


def make_maps(points: Points, request: Request, tell: Tell) -> list[Mapped]:
    """A map and its numbers for each layer.

    Args:
        points: the rows.
        request: layers and settings.
        tell: called with a layer, and what of its map is done.

    Raises:
        MapError: there is nothing to map.
        UnknownName: no such layer.
    """
    return [_mapped(points, layer, request, tell) for layer in layers_of(points.sets, request.layers)]


def layers_of(sets: Sequence[FeatureSet], asked: Sequence[str]) -> list[str]:
    """The layers that are asked for, else all that the sets have in common. Raises UnknownName or MapError."""
    for layer in asked:
        for features in sets:
            features.shape(layer)  # raises where it is not there
    common = [layer for layer in sets[0].layers if all(layer in features.layers for features in sets)]
    if not common:
        raise MapError(f"{sets[0].folder} and {sets[1].folder} have no layer in common: extract one layer of both")
    return list(dict.fromkeys(asked)) or common


def keep_map(points: Points, layer: str, request: Request, tell: Tell) -> Kept[Map]:
    """The map of one layer, from beside the features, else made and kept. Raises as `make_maps`."""

    def progress(done: int, total: int) -> None:
        tell(layer, done, total)

    settings = request.settings
    if len({features.shape(layer) for features in points.sets}) > 1:
        raise SettingsDiffer(f"layer {layer} has another shape in {points.sets[1].folder}: extract both alike")
    if request.place and len(points.sets) > 1:
        return placed_in(points.sets[1], points.sets[0], layer, settings, progress)
    return map_of(points.sets, layer, settings, progress)


def _mapped(points: Points, layer: str, request: Request, tell: Tell) -> Mapped:
    kept = keep_map(points, layer, request, tell)
    labels = {"label": points.labels} | ({"group": points.groups} if points.groups is not None else {})
    numbers = numbers_of(points.sets, layer, kept, labels, points.domains if points.has_domains else None)
    size = math.prod(points.sets[0].shape(layer))
    return Mapped(layer, size, kept.value, kept.path, kept.built, numbers.features, numbers.places, numbers.trust)
