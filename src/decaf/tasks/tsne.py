"""Figures 1, 2 and 5 of the DeCAF paper, section 3.2: maps of an early and a late layer, on any classes."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from decaf.errors import TaskError
from decaf.features.feature_set import FeatureSet
from decaf.maps import MapSettings
from decaf.nets.cut import Pool
from decaf.nets.net import Net
from decaf.nets.registry import DEFAULT_NET
from decaf.tasks.mapping import Mapped, Points, Tell, make_maps, read_points
from decaf.tasks.mapping import Request as MapRequest
from decaf.tasks.warped import Extraction, Show, extract_warped

FEATURES = "features"
_LEAST_TO_ENLARGE = 10  # pictures


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        data: folders of classes, perhaps in folders of domains; may be None where `features` is given.
        out: the folder of the report; features are kept in it.
        net: a registered name, an ONNX file or a `Net`.
        random_weights: a seed: random parameters in place of the trained ones.
        layers: an early and a late one, or more; empty: see `early_and_late`.
        pool: of layers with positions.
        precision: `f32` or `bf16`.
        features: a feature folder to use instead of extracting; empty: extract.
        groups, labels: as for `decaf map`.
        enlarged: a class whose pictures are shown; empty: see `choose_enlarged`.
        settings: of the maps.
    """

    data: Path | None
    out: Path
    net: str | Path | Net = DEFAULT_NET
    random_weights: int | None = None
    layers: tuple[str, ...] = ()
    pool: Pool = "avg"
    precision: str = "f32"
    features: str = ""
    groups: str = ""
    labels: str = ""
    enlarged: str = ""
    settings: MapSettings = field(default_factory=MapSettings)


@dataclass(frozen=True, eq=False)
class Found:
    """All that was found.

    Attributes:
        request: what was asked.
        points: the pictures.
        maps: one for each layer, the early one first.
        enlarged: the class whose pictures are shown; empty: none.
        computed: pictures whose features were computed in this run.
        seconds: what took how long, wall time.
    """

    request: Request
    points: Points
    maps: Sequence[Mapped]
    enlarged: str
    computed: int
    seconds: dict[str, float]

    @property
    def features(self) -> FeatureSet:
        """Where the pictures' vectors are."""
        return self.points.sets[0]


def map_layers(request: Request, show: Show, tell: Tell) -> Found:
    """Extract what is missing, and map each layer.

    Args:
        request: what is asked for.
        show: opens a display of the extraction's progress.
        tell: told how far the map of a layer is.

    Raises:
        TaskError: no pictures, or no classes among them.
        DecafError: what `extract` and `decaf map` raise.
    """
    start = time.perf_counter()
    features, computed = _features(request, show)
    extracted = time.perf_counter()
    layers = request.layers or _default_layers(features)
    asked = MapRequest(layers, request.settings, groups=request.groups, labels=request.labels)
    points = _with_domains(read_points([features], asked))
    if len({label for label in points.labels if label is not None}) < 2:
        raise TaskError(
            f"{features.folder} has fewer than two classes: put pictures into a folder for each, or pass --labels"
        )
    maps = make_maps(points, asked, tell)
    enlarged = request.enlarged or choose_enlarged(points, maps)
    seconds = {"features": extracted - start, "maps and numbers": time.perf_counter() - extracted}
    return Found(request, points, maps, enlarged, computed, seconds)


def _features(request: Request, show: Show) -> tuple[FeatureSet, int]:
    if request.features:
        return FeatureSet.open(request.features), 0
    if request.data is None:
        raise TaskError("no pictures: name a folder of classes with --data, or features with --features")
    wanted = Extraction(request.net, request.random_weights, request.layers, request.pool, request.precision)
    return extract_warped(
        request.data, wanted, request.out / FEATURES, show, lambda net: (early_and_late(net), request.pool)
    )


def early_and_late(net: Net) -> list[str]:
    """The first pooling layer and DeCAF6, as in Figure 1, where the network has them; of a network of blocks, the one
    a quarter into its blocks, and its default layer; of others, the first layer and the default layer."""
    names = [layer.name for layer in net.layers]
    aliases = {alias: layer.name for layer in net.layers for alias in layer.aliases}
    if "pool1" in names and "DeCAF6" in aliases:
        return ["pool1", "DeCAF6"]
    blocks = [name for name in names if re.fullmatch(r"block\d+", name)]
    early = blocks[math.ceil(len(blocks) / 4) - 1] if blocks else names[0]
    return [early, net.default_layer]


def _default_layers(features: FeatureSet) -> tuple[str, ...]:
    """All layers of features that were made before, the smallest number of a block first, others after them."""
    numbered = [(re.fullmatch(r"(?:block|conv|pool|norm|relu|fc)(\d+)", name), name) for name in features.layers]
    return tuple(name for match, name in sorted(numbered, key=lambda pair: int(pair[0][1]) if pair[0] else 10**6))


def _with_domains(points: Points) -> Points:
    """Domains by the folders above the classes, where each of several such folders has at least two of the classes."""
    above = np.array([PurePath(str(path)).parent.parent.name for path in points.sets[0].paths], dtype=object)
    classes = {name: set(points.labels[above == name]) - {None} for name in set(above)}
    shared = set.intersection(*classes.values())
    if 1 < len(classes) <= 10 and len(shared) > 1:
        return replace(points, domains=above)
    return points


def choose_enlarged(points: Points, maps: Sequence[Mapped]) -> str:
    """Of classes with ten pictures and more, the one that gains most from the first layer to the last, on the map."""
    first, last = maps[0].places.get("label"), maps[-1].places.get("label")
    if first is None or last is None:
        return ""
    counts = _counts(points.labels)
    fitting = [name for name in last.of_class if counts.get(name, 0) >= _LEAST_TO_ENLARGE]
    gain = {name: last.of_class[name] - first.of_class[name] for name in fitting if name in first.of_class}
    return max(gain, key=lambda name: (gain[name], name)) if gain else ""


def _counts(labels: NDArray[np.object_]) -> dict[str, int]:
    names, counts = np.unique([str(label) for label in labels if label is not None], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))
