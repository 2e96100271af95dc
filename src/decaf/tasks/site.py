"""`decaf map -o SITE/`: what a page of pictures shows of feature sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import DecafError, ExploreError
from decaf.explore import Column, PictureSettings, Site, Written, check_folder, nearest, write_site
from decaf.features.feature_set import FeatureSet
from decaf.images.decode import Pixels
from decaf.maps.stored import vectors
from decaf.probe.inputs import Transform
from decaf.search.groups import groups_of
from decaf.search.matrix import Matrix
from decaf.tasks.mapping import Points, Request, Tell, choose_colour, keep_map, layers_of
from decaf.tasks.pictures import Pictures

_MOST_CLUSTERS = 1000


@dataclass(frozen=True)
class PageRequest:
    """What a page is to hold, beside its maps.

    Attributes:
        title: empty: the names of the folders.
        neighbours: of each picture, in each layer; 0: none.
        clusters: of the deepest layer, to colour by; 0: none.
        pictures: how they are stored.
    """

    title: str = ""
    neighbours: int = 12
    clusters: int = 12
    pictures: PictureSettings = field(default_factory=PictureSettings)


def is_site(out: str) -> bool:
    """Whether the user means a folder for a page, and not a figure. Raises ExploreError where the folder is taken."""
    meant = out.endswith(("/", "\\")) or Path(out).is_dir() or not Path(out).suffix
    if meant:
        check_folder(Path(out))
    return meant


def make_site(points: Points, request: Request, page: PageRequest, tell: Tell) -> Site:
    """Lay out the maps and find the neighbours that a page shows.

    Args:
        points: the rows.
        request: layers, settings and colour.
        page: what else is on the page.
        tell: called with what is done, and how much of it.

    Raises:
        ExploreError: a number that makes no sense.
        MapError, UnknownName: as `make_maps`.
    """
    if page.neighbours < 0 or not 0 <= page.clusters <= _MOST_CLUSTERS:
        raise ExploreError(f"{page.neighbours} neighbours, {page.clusters} clusters: use 0 or more, and 1000 at most")
    layers = layers_of(points.sets, request.layers)
    if not request.layers:
        layers = by_depth(points.sets[0], layers)
    layouts = {layer: keep_map(points, layer, request, tell).value.coordinates for layer in layers}
    near, clusters = _from_features(points, layers, request, page, tell)
    columns = _columns(points, clusters, near.get(layers[-1]))
    chosen = choose_colour(points, request.colour)
    return Site(
        page.title or ", ".join(features.folder.resolve().name for features in points.sets),
        shown_paths(points.sets),
        sorted(columns, key=lambda column: column.name != chosen),
        layouts,
        near,
        notes=list(_notes(points, request, layers)),
    )


def _from_features(
    points: Points, layers: Sequence[str], request: Request, page: PageRequest, tell: Tell
) -> tuple[dict[str, NDArray[np.int32]], NDArray[np.object_] | None]:
    """Neighbours in each layer, and clusters of the last."""
    near: dict[str, NDArray[np.int32]] = {}
    X = np.empty((0, 1), np.float32)
    for layer in layers:
        X = _transformed(points, layer, request.settings.transform)
        if page.neighbours:
            near[layer] = nearest(X, page.neighbours, lambda done, of: tell("neighbours", done, of))
    return near, _clusters(X, page.clusters, request.settings.seed) if page.clusters else None


def write(out: str, points: Points, site: Site, page: PageRequest, tell: Tell) -> Written:
    """Write the page. Raises as `write_site`."""
    return write_site(out, site, RowsOf(points.sets), page.pictures, lambda done, of: tell("pictures", done, of))


class RowsOf:
    """The pictures of several feature sets, one set after the other."""

    def __init__(self, sets: Sequence[FeatureSet]) -> None:
        self._pictures = [Pictures(features) for features in sets]
        self._starts = np.cumsum([0, *map(len, sets)])

    def load(self, row: int) -> Pixels:
        """(h, w, 3) uint8. Raises ImageError."""
        pictures, own = self._of(row)
        return pictures.load(own)

    def original(self, row: int) -> bytes | None:
        """The file of a whole picture. Raises ImageError."""
        pictures, own = self._of(row)
        return pictures.original(own)

    def _of(self, row: int) -> tuple[Pictures, int]:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._pictures[number], int(row - self._starts[number])


def by_depth(features: FeatureSet, layers: Sequence[str]) -> list[str]:
    """Layers in the order the network computes them; as they are where the network is not at hand."""
    from decaf.nets.registry import load_net

    try:
        net = load_net(features.meta["settings"]["net"])
        depth = {layer.name: number for number, layer in enumerate(net.layers)}
        return sorted(layers, key=lambda layer: depth[net.layer(layer).name])
    except DecafError:
        return list(layers)


def shown_paths(sets: Sequence[FeatureSet]) -> list[str]:
    """Paths as they look from the source, which need not be known to those who see a page.

    Tables of such paths are understood by `--labels`. Of several sets, the set's name comes before.
    """
    shown: list[str] = []
    for features in sets:
        given = features.meta["source"]["given"]
        source = f"{given[0].rstrip('/')}/" if len(given) == 1 else ""
        name = f"{features.folder.resolve().name}/" if len(sets) > 1 else ""
        shown += [name + str(path).removeprefix(source) for path in features.paths]
    return shown


def _transformed(points: Points, layer: str, transform: str) -> NDArray[np.float32]:
    """Vectors as the map saw them; rows without features stay NaN."""
    X = vectors(points.sets, layer)
    known = np.isfinite(X).all(axis=1)
    return np.asarray(Transform.fit(transform, X[known], np.ones(int(known.sum())))(X), np.float32)


def _clusters(X: NDArray[np.float32], k: int, seed: int) -> NDArray[np.object_]:
    """Which of k clusters each row is in, the largest first; None for a row without features."""
    norms = np.linalg.norm(X.astype(np.float64), axis=1)
    usable = int((norms > 0).sum())
    if not usable:
        return np.full(len(X), None, object)
    found = groups_of(Matrix(X, norms), count=min(k, usable), seed=seed)
    digits = len(str(len(found)))
    return np.array([None if group < 0 else f"cluster {group + 1:0{digits}d}" for group in found.groups], object)


def _columns(points: Points, clusters: NDArray[np.object_] | None, near: NDArray[np.int32] | None) -> list[Column]:
    """What is known of the rows, in the order of the menu."""
    known: dict[str, NDArray[Any] | None] = {
        "label": points.labels if points.has_labels else None,
        "group": points.groups,
        "domain": points.domains if points.has_domains else None,
        "prediction": points.predictions,
        "cluster": clusters,
    }
    if points.predictions is not None and points.has_labels:
        known["prediction is"] = _right(points.predictions, points.labels)
    if near is not None and points.has_labels:
        known["neighbours say"], known["neighbours alike"] = _votes(points.labels, near)
        known["neighbours are"] = _right(known["neighbours say"], points.labels)
    for name in ("region", "view"):
        if all(name in features.texts for features in points.sets):
            known[name] = np.concatenate([features.texts[name] for features in points.sets])
    if points.broken.any():
        known["not read"] = np.concatenate([features.errors for features in points.sets])
    return [Column(name, values) for name, values in known.items() if values is not None]


def _right(said: Any, labels: NDArray[np.object_]) -> NDArray[np.object_]:
    """`right` or `wrong`; None where either is not known."""
    pairs = zip(said, labels, strict=True)
    found = [None if None in (one, label) else ("right" if one == label else "wrong") for one, label in pairs]
    return np.array([*found, None], object)[:-1]


def _votes(labels: NDArray[np.object_], near: NDArray[np.int32]) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
    """What most neighbours of each row are, of equally many the nearest; and which share of them is as the row."""
    votes, agreement = np.full(len(labels), None, object), np.full(len(labels), np.nan, np.float32)
    for row, others in enumerate(near):
        known = [labels[other] for other in others if other >= 0 and labels[other] is not None]
        if known:
            votes[row] = max(dict.fromkeys(known), key=known.count)
            if labels[row] is not None:
                agreement[row] = known.count(labels[row]) / len(known)
    return votes, agreement


def _notes(points: Points, request: Request, layers: Sequence[str]) -> Iterator[str]:
    settings = request.settings
    yield f"Maps: {settings.method} of {', '.join(layers)}; seed {settings.seed}."
    if points.grouping is not None:
        yield f"Groups: {points.grouping.source}."
    if broken := int(points.broken.sum()):
        yield f"{broken:,} pictures have no features and no place; search finds them."
