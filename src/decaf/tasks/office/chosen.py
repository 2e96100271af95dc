"""A linear probe whose C is chosen in units that do not hang on the scale of the vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from decaf.probe import LinearProbeCV
from decaf.tasks.grid import TOL

RELATIVE_CS = tuple(float(C) for C in 10.0 ** np.arange(-2, 5))
"""C in units of 1 / (mean squared length of the training vectors), in whatever coordinates these are."""

PREFERRED_CS = {"svm": 1.0, "logistic": 10.0}
"""Taken among values that the held-out pictures cannot tell apart. 1 is LIBLINEAR's for vectors of length 1."""


class ChosenProbe(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """`LinearProbeCV` on RELATIVE_CS.

    Args:
        loss: `svm` or `logistic`.
        cv: pairs (train, validation) of rows, or what else `LinearProbeCV` takes.
        random_state: seed.

    Attributes:
        C_: relative.
        probe_: the fitted `LinearProbeCV`.
        classes_: (classes,) sorted.
    """

    def __init__(self, loss: str = "svm", cv: Any = None, random_state: int = 0) -> None:
        self.loss = loss
        self.cv = cv
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> ChosenProbe:
        """Choose and fit; see `LinearProbeCV.fit`."""
        length = float(np.mean(np.einsum("ij,ij->i", X, X, dtype=np.float64)))
        unit = 1 / length if length > 0 else 1.0
        preferred = PREFERRED_CS[self.loss] * unit
        self.probe_ = LinearProbeCV(
            self.loss, [C * unit for C in RELATIVE_CS], self.cv, C_fixed=preferred, C_preferred=preferred, tol=TOL,
            random_state=self.random_state,
        ).fit(X, y)  # fmt: skip
        self.classes_ = self.probe_.classes_
        self.C_ = float(f"{self.probe_.C_ / unit:.6g}")
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of each row, (n,)."""
        return self.probe_.predict(X)
