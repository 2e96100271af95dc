"""Two cheap references: subspace alignment (Fernando et al. 2013) and CORAL (Sun et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from decaf.adapt.base import Adapter
from decaf.adapt.domains import Domains, Mask
from decaf.adapt.subspaces import bases_of, centred, greatest_dimension, principal
from decaf.errors import AdaptError
from decaf.probe.losses import Floats


class SubspaceAlignment(Adapter):
    """The source's principal directions are turned onto the target's (Fernando et al., ICCV 2013, equation 2).

    Source rows become x P_s P_s^T P_t, target rows x P_t, each centred by its domain's mean.

    Args:
        estimator: any scikit-learn classifier; None: `LinearProbe()`.
        dimension: of the subspaces; None: by the subspace disagreement measure.
        source_weight, target_weight: of each labelled row, where the classifier takes weights.
        prepare: see `SourceOnly`.

    Attributes:
        dimension_: what was taken.
    """

    def __init__(
        self,
        estimator: Any = None,
        dimension: int | None = None,
        source_weight: float = 1.0,
        target_weight: float = 1.0,
        prepare: str = "none",
    ) -> None:
        self.estimator = estimator
        self.dimension = dimension
        self.source_weight = source_weight
        self.target_weight = target_weight
        self.prepare = prepare

    def _align(self, domains: Domains) -> None:
        source, target = domains.rows(False), domains.rows(True)
        most = greatest_dimension(source, target, source.shape[1])
        self.dimension_, bases = bases_of(self.dimension, source, target, most)
        self._means = [part.mean(axis=0, dtype=np.float64) for part in (source, target)]
        self._bases = [bases[0] @ (bases[0].T @ bases[1]), bases[1]]

    def _coordinates(self, X: Floats, target: Mask) -> Floats:
        found = np.empty((len(X), self.dimension_), X.dtype)
        for rows, mean, basis in zip((~target, target), self._means, self._bases, strict=True):
            found[rows] = (X[rows] - mean) @ basis
        return found


class CORAL(Adapter):
    """The source's covariance is made the target's (Sun, Feng and Saenko, AAAI 2016, algorithm 1).

    Source rows become x C_s^(-1/2) C_t^(1/2) with C = covariance + ridge * identity; target rows stay. Only directions
    in which a domain varies are worked with: time grows with d, not with its cube.

    Args:
        estimator: any scikit-learn classifier; None: `LinearProbe()`.
        ridge: > 0; the paper's is 1, for features of deviation 1.
        source_weight, target_weight: of each labelled row, where the classifier takes weights.
        prepare: see `SourceOnly`; the paper's is `zscore`.
    """

    def __init__(
        self,
        estimator: Any = None,
        ridge: float = 1.0,
        source_weight: float = 1.0,
        target_weight: float = 1.0,
        prepare: str = "zscore",
    ) -> None:
        self.estimator = estimator
        self.ridge = ridge
        self.source_weight = source_weight
        self.target_weight = target_weight
        self.prepare = prepare

    def _align(self, domains: Domains) -> None:
        if not 0 < self.ridge < np.inf:
            raise AdaptError(f"ridge = {self.ridge!r}: give a number above 0")
        self._whiten = _Power.of(domains.rows(False), self.ridge, -0.5)
        self._colour = _Power.of(domains.rows(True), self.ridge, 0.5)

    def _coordinates(self, X: Floats, target: Mask) -> Floats:
        found = X.copy()
        found[~target] = self._colour(self._whiten(X[~target]))
        return found


@dataclass(frozen=True, eq=False)
class _Power:
    """A power of covariance + ridge I: `base` I + V diag(`along` - `base`) V^T, with V (d, k) where the rows vary."""

    base: float
    along: Floats
    V: Floats

    @classmethod
    def of(cls, X: Floats, ridge: float, power: float) -> _Power:
        scatter, V = principal(centred(X))
        return cls(ridge**power, (scatter / (len(X) - 1) + ridge) ** power, V)

    def __call__(self, X: Floats) -> Floats:
        return np.asarray(self.base * X + ((X @ self.V) * (self.along - self.base)) @ self.V.T)
