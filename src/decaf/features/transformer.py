"""Deep features as a step of a scikit-learn pipeline."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from decaf.engines import Engine, make_engine
from decaf.errors import BrokenPicture, ImageError
from decaf.features.pipeline import Sample, compute
from decaf.images.decode import Pixels
from decaf.images.prepare import load, prepare
from decaf.nets.net import Net
from decaf.nets.registry import DEFAULT_NET, load_net

Picture = str | os.PathLike[str] | Pixels


class DeCAF(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # the mixin stands left, as scikit-learn asks
    """Turn pictures into the activations of one layer of a frozen network.

    Nothing is learned: `fit` only loads the network, and `transform` works without it.

    Args:
        net: a registered name, an ONNX file, or a loaded `Net`.
        layer: a layer's name or alias; the network's default layer where None.
        precision: `f32` or `bf16`.
        resize: `default`, `warp`, `short-side` or `square`.
        n_jobs: pictures worked on at the same time; None or -1: one per core.

    Example:
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.svm import LinearSVC
        >>> model = make_pipeline(DeCAF(layer="pool"), LinearSVC(C=0.01))
        >>> model.fit(paths, labels).predict(["new.jpg"])
    """

    def __init__(
        self,
        net: str | Path | Net = DEFAULT_NET,
        layer: str | None = None,
        precision: str = "f32",
        resize: str = "default",
        n_jobs: int | None = None,
    ) -> None:
        self.net = net
        self.layer = layer
        self.precision = precision
        self.resize = resize
        self.n_jobs = n_jobs

    def fit(self, X: Sequence[Picture] | Pixels, y: Any = None) -> DeCAF:
        """Load the network. Raises UnknownName or NetError when it, its layer or the precision is not to be had."""
        self._prepare()
        return self

    def transform(self, X: Sequence[Picture] | Pixels) -> NDArray[np.float32]:
        """Extract features.

        Args:
            X: paths, or (h, w, 3) uint8 RGB arrays, in any mixture; or one (n, h, w, 3) array.

        Returns:
            (n, size) float32.

        Raises:
            BrokenPicture: a picture cannot be read; the message names it.
            ImageError: X is a single path.
        """
        if isinstance(X, str | os.PathLike):
            raise ImageError(f"{os.fspath(X)} is one path: give a list of them")
        net, layer, engine = self._prepare()
        pictures = list(X)  # in order, whatever a Series or an index would make of X[row]

        def load_row(row: int) -> Sample:
            picture = pictures[row]
            try:
                if isinstance(picture, str | os.PathLike):
                    return Sample((load(os.fspath(picture), net.preprocess),))
                return Sample((prepare(_checked(picture), net.preprocess),))
            except ImageError as error:
                name = picture if isinstance(picture, str | os.PathLike) else f"picture {row}"
                raise BrokenPicture(f"{name}: {error}; leave it out") from None

        def load_rows(rows: Sequence[int]) -> list[Sample]:
            return list(map(load_row, rows))

        blocks = list(compute([range(len(pictures))] if pictures else [], load_rows, engine))
        return blocks[0].features[0] if blocks else np.empty((0, layer.size), np.float32)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """`pool_0`, `pool_1`, ... for layer `pool`."""
        _, layer, _ = self._prepare()
        return np.array([f"{layer.name}_{index}" for index in range(layer.size)], dtype=object)

    def _prepare(self) -> tuple[Net, Any, Engine]:
        wanted = (self.net, self.layer, self.precision, self.resize, self.n_jobs)
        if getattr(self, "_loaded_for", None) != wanted:
            net = (self.net if isinstance(self.net, Net) else load_net(self.net)).with_resize(self.resize)
            layer = net.layer(self.layer or net.default_layer)
            engine = make_engine(net, [layer.name], self.precision, threads=self.n_jobs or 0)
            self._loaded_for, self._loaded = wanted, (net, layer, engine)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled network, which the next use compiles again."""
        return {key: value for key, value in super().__getstate__().items() if not key.startswith("_loaded")}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _checked(picture: Any) -> Pixels:
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ImageError(f"an array {array.shape} of {array.dtype}: give (h, w, 3) uint8 RGB")
    return array
