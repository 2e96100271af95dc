"""A picture that is dropped on a map: its features, what is near it, where it lies, and what it is taken for."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.engines import Engine, make_engine
from decaf.errors import ImageError, SearchError, UnknownName
from decaf.explore.layouts import in_one_frame
from decaf.explore.pictures import preview_of
from decaf.explore.uploads import check_scans
from decaf.features.feature_set import FeatureSet
from decaf.features.loading import Loader
from decaf.features.pipeline import Sample, compute
from decaf.features.rows import Rows
from decaf.images.decode import Limits, Pixels, decode
from decaf.images.listing import Found, Listing
from decaf.maps import LivePlaces, Map
from decaf.nets.net import Net
from decaf.search.index import Index
from decaf.tasks.model import Model

PREVIEW = 512  # pixels, the longest side
_BEST = 5  # classes that are told
_DIGITS = 4

Vectors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Setting:
    """What dropped pictures are compared with.

    Attributes:
        features: the set.
        maps: layer -> its map, in the order of the page.
        net: what the features were made with.
        model: of `decaf fit`, fitted on such features; None where there is none.
        limits: caps on files and pictures.
        neighbours: how many are told.
    """

    features: FeatureSet
    maps: Mapping[str, Map]
    net: Net
    model: Model | None = None
    limits: Limits = field(default_factory=lambda: Limits(20 * 2**20, 50_000_000))
    neighbours: int = 12


class Dropping:
    """Answers to dropped pictures. What takes seconds is made once, with the first answer or by `warm_up`.

    Example:
        >>> answer = Dropping(setting)(Path("new.jpg").read_bytes())
        >>> answer["layers"][0]["near"], answer["net"][0]["label"]
    """

    def __init__(self, setting: Setting) -> None:
        self._setting, self._lock = setting, Lock()

    def warm_up(self) -> None:
        """Compile the network and prepare indices and maps."""
        with self._lock:
            self._extractor, self._views  # noqa: B018

    def __call__(self, data: bytes) -> dict[str, Any]:
        """What is told of a picture, as plain values.

        Args:
            data: the bytes of a picture file.

        Returns:
            `width` and `height` in pixels, `preview` (a JPEG, base64), per layer of the page `near` (rows),
            `similarity` (cosines) and `place` (x and y on the page, None where it has none), `net` and `model`: the
            best classes with their scores, None where there are none.

        Raises:
            ImageError: it is no picture, or too large.
        """
        check_scans(data)
        pixels = decode(data, self._setting.limits)
        self.warm_up()
        vectors = self._extractor(data, pixels)
        height, width = pixels.shape[:2]
        return {
            "width": width,
            "height": height,
            "preview": base64.b64encode(preview_of(pixels, PREVIEW)).decode(),
            "layers": [view.about(vectors) for view in self._views],
            "net": self._extractor.classes(vectors),
            "model": _said_by(self._setting.model, vectors),
        }

    @cached_property
    def _extractor(self) -> _Extractor:
        return _Extractor(self._setting)

    @cached_property
    def _views(self) -> Sequence[_View]:
        maps, features = self._setting.maps, self._setting.features
        framed = in_one_frame({layer: drawn.coordinates for layer, drawn in maps.items()})
        return [
            _View(features, layer, drawn, frame_of(drawn.coordinates, framed[layer]), self._setting.neighbours)
            for layer, drawn in maps.items()
        ]


class _Extractor:
    """Extracts features of one picture as those of the set were."""

    def __init__(self, setting: Setting) -> None:
        settings = setting.features.meta["settings"]
        self._layers = list(settings["layers"])
        self._answer = output_of(setting.net)
        self._labels = setting.net.labels
        # Numbers in bf16 depend on which layers are asked for: classes then have an engine of their own.
        both = settings["precision"] == "f32" and self._answer and self._answer not in self._layers
        first = [*self._layers, self._answer] if both else self._layers
        self._engines: list[tuple[Engine, list[str]]] = [(_engine(setting.net, first, settings), first)]
        if self._answer and self._answer not in first:
            self._engines.append((_engine(setting.net, [self._answer], settings), [self._answer]))
        self._rows = Rows(
            Listing([Found("dropped")]), None, "ten-mean" if settings["views"] == "ten-mean" else "center"
        )
        self._loader = Loader(
            self._rows, setting.net.preprocess, setting.limits, 1.0, settings["decoding"] == "reduced", lambda *_: None
        )

    def __call__(self, data: bytes, pixels: Pixels) -> Vectors:
        """Layer -> (1, size) float32. Raises ImageError."""
        if self._loader.fast_decode:
            pixels = self._loader.decode(data)
        (sample,) = self._loader.views_of(pixels, [self._rows[0]])
        if sample.error is not None:
            raise ImageError(sample.error)
        vectors: Vectors = {}
        for engine, layers in self._engines:
            vectors |= zip(layers, _run(engine, sample), strict=True)
        return vectors

    def classes(self, vectors: Vectors) -> list[dict[str, Any]] | None:
        """The classes the network itself finds likeliest."""
        if not self._answer:
            return None
        scores = vectors[self._answer][0].astype(np.float64)
        if not (scores.min() >= 0 and np.isclose(scores.sum(), 1, atol=1e-3)):
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        return _best(self._labels, scores, "probability")


def _engine(net: Net, layers: Sequence[str], settings: Mapping[str, Any]) -> Engine:
    return make_engine(net, layers, settings["precision"], pool=settings["pool"])


def _run(engine: Engine, sample: Sample) -> Sequence[NDArray[np.float32]]:
    (block,) = compute([range(1)], lambda _: [sample], engine)
    return block.features


def output_of(net: Net) -> str:
    """The layer that gives the scores of the network's classes; empty where it has no labels, or other numbers."""
    if not net.labels:
        return ""
    try:
        layer = net.layer(net.model.graph.output[0].name)
    except UnknownName:
        return ""
    return layer.name if layer.size == len(net.labels) else ""


def frame_of(
    places: NDArray[np.floating], framed: NDArray[np.floating]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """The turn, scale and shift that took places, (n, 2), to where they are framed, found from the places themselves.

    Least squares find it exactly, up to rounding; where all places lie on a line, any that agrees on the line.
    """
    known = np.isfinite(places).all(axis=1) & np.isfinite(framed).all(axis=1)
    middle = places[known].mean(axis=0)
    matrix, *_ = np.linalg.lstsq(places[known] - middle, framed[known] - framed[known].mean(axis=0), rcond=None)
    shift = framed[known].mean(axis=0, dtype=np.float64)
    return lambda new: np.asarray((new - middle) @ matrix + shift, np.float64)


class _View:
    """One layer of the page: what is near in it, and where things lie."""

    def __init__(
        self,
        features: FeatureSet,
        layer: str,
        drawn: Map,
        frame: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        neighbours: int,
    ) -> None:
        self._layer, self._frame, self._neighbours = layer, frame, neighbours
        self._index = Index.open(features, layer)
        self._live = LivePlaces(features.X(layer), drawn)

    def about(self, vectors: Vectors) -> dict[str, Any]:
        vector = vectors[self._layer]
        try:
            found = list(self._index.search(vector, self._neighbours).of(0))
        except SearchError:  # all zeros, which has no direction
            found = []
        place = self._frame(self._live(vector))[0]
        return {
            "near": [row for row, _ in found],
            "similarity": [round(score, _DIGITS) for _, score in found],
            "place": place.tolist() if np.isfinite(place).all() else None,
        }


def _said_by(model: Model | None, vectors: Vectors) -> list[dict[str, Any]] | None:
    if model is None:
        return None
    scores = model.scores(vectors[model.layer])[0]
    return _best(model.names, scores, model.confidence, keep_order=model.kind != "classes")


def _best(
    names: Sequence[str], scores: NDArray[np.float64], what: str, keep_order: bool = False
) -> list[dict[str, Any]]:
    order = np.arange(len(names)) if keep_order else np.argsort(-scores, kind="stable")[:_BEST]
    return [{"label": names[index], what: round(float(scores[index]), _DIGITS)} for index in order]
