"""Places for a few new vectors at a time, in a map that stays as it is, within milliseconds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decaf.errors import MapError
from decaf.maps.draw import Map, effective_settings
from decaf.maps.reduce import Reduction
from decaf.maps.tsne import ATTENDS, GENTLY, PLACED, possible_perplexity

_FARTHEST = 5.0  # of a step; this and the gains are those of openTSNE
_LEAST_GAIN = 0.01


class LivePlaces:
    """A map that is ready to take new vectors.

    Gives the places of `decaf.maps.place`, up to the approximation there: forces between a new point and all others are
    summed exactly here, which takes less time for a few points than to build a tree of the map for each step.
    (Poličar, Stražar and Zupan 2021, "Embedding to reference t-SNE space"; van der Maaten and Hinton 2008, eq. 5.)

    Example:
        >>> places = LivePlaces(features.X("pool"), map_of([features], "pool").value)
        >>> places(vector[None])
        array([[ 8.6, -21.3]])
    """

    def __init__(self, X: NDArray[np.float32], drawn: Map) -> None:
        """Prepare a map of the rows of X, (n, d). Raises MapError where the map is of others."""
        if len(X) != len(drawn):
            raise MapError(f"a map of {len(drawn):,} rows is no map of {len(X):,}: give what it was made of")
        landmarks = X[drawn.landmark]
        self._settings, _ = effective_settings(landmarks, drawn.settings)
        self._reduction = Reduction(landmarks, self._settings)
        self._d = X.shape[1]
        self._places = drawn.coordinates[drawn.landmark]
        self._landmarks = self._reduction(landmarks).astype(np.float64)

    def __call__(self, new: ArrayLike) -> NDArray[np.float64]:
        """(m, 2) places of (m, d) vectors; NaN for one that is not finite. Raises MapError for another length."""
        vectors = np.atleast_2d(np.asarray(new, np.float32))
        if vectors.shape[1] != self._d:
            raise MapError(f"a vector of {vectors.shape[1]} numbers for a map of {self._d}: take the same layer")
        places = np.full((len(vectors), 2), np.nan)
        finite = np.isfinite(vectors).all(axis=1)
        reduced = self._reduction(vectors[finite])
        if self._settings.method == "pca":
            places[finite] = np.pad(reduced[:, :2], ((0, 0), (0, 2 - min(reduced.shape[1], 2))))
        else:
            for row, vector in zip(np.flatnonzero(finite), reduced.astype(np.float64), strict=True):
                places[row] = self._place(vector)
        return places

    def _place(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        neighbours, attraction = self._attraction(vector)
        place = np.median(self._places[neighbours], axis=0)
        update, gains = np.zeros(2), np.ones(2)
        for _ in range(PLACED):
            gradient = self._gradient(place, neighbours, attraction)
            gradient *= min(1.0, GENTLY["max_grad_norm"] / (float(np.linalg.norm(gradient)) + 1e-6))
            turned = np.sign(update) != np.sign(gradient)
            gains = np.where(turned, gains + 0.2, gains * 0.8 + _LEAST_GAIN)
            update = GENTLY["momentum"] * update - GENTLY["learning_rate"] * gains * gradient
            update *= min(1.0, _FARTHEST / max(float(np.linalg.norm(update)), 1e-300))
            place = place + update
        return place

    def _attraction(self, vector: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The nearest rows, and the share of each in the attraction of the point."""
        from openTSNE.affinity import joint_probabilities_nn

        perplexity = possible_perplexity(ATTENDS, len(self._places))
        k = max(min(len(self._places), int(3 * perplexity)), 1)
        squares = ((self._landmarks - vector) ** 2).sum(axis=1)
        nearest = np.argpartition(squares, k - 1)[:k]
        nearest = nearest[np.argsort(squares[nearest], kind="stable")]
        shares = joint_probabilities_nn(
            nearest[None], np.sqrt(squares[nearest])[None], [min(perplexity, k / 3)], symmetrize=False,
            normalization="point-wise", n_reference_samples=len(self._places),
        )  # fmt: skip
        return nearest, GENTLY["exaggeration"] * np.asarray(shares.toarray())[0, nearest]

    def _gradient(
        self, place: NDArray[np.float64], neighbours: NDArray[np.intp], attraction: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        apart = place - self._places
        weights = 1 / (1 + np.einsum("ij,ij->i", apart, apart))
        repulsion = (weights**2) @ apart / weights.sum()
        return np.asarray((attraction * weights[neighbours]) @ apart[neighbours] - repulsion)
