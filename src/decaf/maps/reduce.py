"""Vectors made shorter before they are laid out: cheap, and close to all that neighbourhoods need."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.maps.settings import MapSettings
from decaf.probe.inputs import Transform

_PART = 8192  # rows that are reduced at a time


class Reduction:
    """Learned from some rows, applied to any.

    Attributes:
        size: numbers of each vector that comes out.
    """

    def __init__(self, X: NDArray[np.float32], settings: MapSettings) -> None:
        """Learn from the rows of X, (n, d), finite."""
        self._transform = Transform.fit(settings.transform, X, np.ones(len(X)))
        wanted = 2 if settings.method == "pca" else settings.size
        if settings.method == "tsne" and settings.project == "random":
            self._model = _random_projection(X.shape[1], wanted, settings.seed)
        else:
            self._model = _principal_components(self._transform(X), wanted, settings.seed)
        self.size = X.shape[1] if self._model is None else self._model.n_components_

    def __call__(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, size) of (n, d)."""
        reduced = np.empty((len(X), self.size), np.float32)
        for start in range(0, len(X), _PART):
            part = self._transform(X[start : start + _PART])
            reduced[start : start + _PART] = part if self._model is None else self._model.transform(part)
        return reduced


def _principal_components(X: NDArray[np.float32], size: int, seed: int) -> Any:
    from sklearn.decomposition import PCA

    model = PCA(min(size, *X.shape), random_state=seed)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # shares of a variance that is zero
        return model.fit(X)


def _random_projection(d: int, size: int, seed: int) -> Any:
    """N(0, 1/size) entries keep distances in expectation (Johnson and Lindenstrauss 1984). None: nothing to shorten."""
    from sklearn.random_projection import GaussianRandomProjection

    if d <= size:
        return None
    return GaussianRandomProjection(size, random_state=seed).fit(np.zeros((1, d), np.float32))
