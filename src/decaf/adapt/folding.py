"""An adapted classifier as plain coefficients on the features of the target."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from decaf.adapt.base import Adapter
from decaf.adapt.prepare import Preparation
from decaf.errors import AdaptError
from decaf.probe.losses import Floats

_PART = 1024


def fold(adapter: Adapter) -> tuple[Floats, Floats]:
    """The linear classifier that says the same of target rows.

    Where a target row's coordinates are an affine map of it, and the scores one of the coordinates, all is one affine
    map: read off at the origin and at the unit vectors, whatever the method, and tried on other rows.

    Args:
        adapter: fitted.

    Returns:
        coef (k, d) and intercept (k,), float64, of the prepared rows' scores; k = 1 for two classes. What is prepared
        by l1 or l2 norms (`adapter.preparation_.norm`) is to be divided by these first; z-scores are in the map.

    Raises:
        AdaptError: the method has no such map: a nearest neighbour, a kernel that is not linear.
    """
    name = type(adapter).__name__
    if not hasattr(adapter, "decision_function"):
        raise AdaptError(
            f"{name} with {type(adapter.estimator_).__name__} has no coefficients: give a linear classifier"
        )
    d = adapter.n_features_in_
    inner = copy.copy(adapter)
    old: Preparation = adapter.preparation_
    inner.preparation_ = replace(old, norm="none")
    intercept = _scores(inner, np.zeros((1, d)))
    parts = [_scores(inner, np.eye(_PART, d, start)[: d - start]) for start in range(0, d, _PART)]
    coef = (np.concatenate(parts) - intercept).T
    trial = np.random.default_rng(0).normal(size=(8, d))
    expected = _scores(inner, trial)
    if not np.allclose(trial @ coef.T + intercept, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()):
        raise AdaptError(f"{name} does not map the target's features linearly: it has no coefficients")
    return coef, intercept[0]


def _scores(adapter: Adapter, X: Floats) -> Floats:
    scores = np.asarray(adapter.decision_function(X), np.float64)
    return scores[:, None] if scores.ndim == 1 else scores
