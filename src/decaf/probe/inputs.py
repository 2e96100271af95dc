"""What users hand in, checked and made into arrays; the transforms; dropout masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from decaf.errors import ProbeError
from decaf.probe.losses import Floats

TRANSFORMS = ("none", "sqrt", "l2", "standardize")


def checked(estimator: Any, X: Any, y: Any) -> tuple[Floats, NDArray[Any]]:
    """X as (n, d) float32 or float64, and the labels, to learn from. Raises ProbeError in one line."""
    X, y = _validated(estimator, X, y)
    _finite(X)
    return X, y


def checked_rows(estimator: Any, X: Any) -> Floats:
    """X as (n, d) float32 or float64, with as many features as were fitted. Raises ProbeError in one line."""
    X = _validated(estimator, X, reset=False)
    _finite(X)
    return np.asarray(X)


def _validated(estimator: Any, X: Any, *y: Any, reset: bool = True) -> Any:
    if issparse(X):
        raise ProbeError("X is sparse: give a dense array, X.toarray()")
    try:
        options = {"dtype": [np.float64, np.float32], "ensure_all_finite": False, "reset": reset}
        got = validate_data(estimator, X, *y, **options)
        if y:
            check_classification_targets(got[1])
    except (ValueError, TypeError) as error:
        kind = ProbeError if isinstance(error, ValueError) else TypeError
        raise kind(" ".join(str(error).split())) from None
    return got


def _finite(X: Floats) -> None:
    if np.isfinite(X.sum()):
        return
    bad = ~np.isfinite(X).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ProbeError(
            f"X contains NaN or inf in {bad.sum()} of {len(X)} rows, the first is row {row}: leave them out"
        )


@dataclass(frozen=True)
class Transform:
    """Applied to features before anything is learned. `mean` and `scale`: (d,), for `standardize`."""

    name: str
    mean: Floats | None = None
    scale: Floats | None = None

    @classmethod
    def fit(cls, name: str, X: Floats, weights: Floats) -> Transform:
        """Learn what there is to learn from the training rows."""
        if name not in TRANSFORMS:
            raise ProbeError(f"transform {name!r} is unknown: use one of {', '.join(TRANSFORMS)}")
        if name != "standardize":
            return cls(name)
        mean = np.average(X, axis=0, weights=weights)
        spread = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
        constant = spread <= 10 * np.finfo(X.dtype).eps * np.abs(mean)
        return cls(name, mean, np.where(constant, 1, spread))

    def __call__(self, X: Floats) -> Floats:
        """Transformed features, of the same dtype."""
        if self.name == "sqrt":
            return np.asarray(np.sign(X) * np.sqrt(np.abs(X)))
        if self.name == "l2":
            length = np.sqrt(np.einsum("ij,ij->i", X, X))[:, None]
            return np.asarray(X / np.where(length > 0, length, 1))
        if self.mean is not None and self.scale is not None:
            return np.asarray((X - self.mean) / self.scale, X.dtype)
        return X


def masked_copies(X: Floats, copies: int, dropout: float, seed: Any) -> Floats:
    """(copies * n, d): X with each number zeroed with probability `dropout`, anew in each copy. Not scaled up."""
    random = np.random.default_rng(seed)
    result = np.empty((copies * len(X), X.shape[1]), X.dtype)
    for copy in range(copies):
        keep = random.random(X.shape, dtype=np.float32) >= dropout
        np.multiply(X, keep, out=result[copy * len(X) : (copy + 1) * len(X)])
    return result


def indices(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The classes, sorted, and each label's index among them. Raises ProbeError where there is one class only."""
    classes, index = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ProbeError(f"all labels are of one class, {classes[0]!r}: a classifier needs two or more")
    return classes, index.astype(np.intp)
