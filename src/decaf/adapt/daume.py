"""Feature augmentation (Daume III, ACL 2007), also in its kernel form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from decaf.adapt.base import Adapter
from decaf.adapt.domains import Domains, Mask
from decaf.errors import AdaptError
from decaf.probe.losses import Floats

FORMS = ("auto", "explicit", "kernel")


class DaumeAugmentation(Adapter):
    """Frustratingly easy adaptation: a shared copy of the features, and one for each domain (Daume III, ACL 2007).

    A source row x becomes (x, x, 0), a target row (x, 0, x). A kernel K becomes 2 K within a domain and K across; its
    form gives each row as many coordinates as there are labelled rows at most, whatever d is. Both give the same
    classifier wherever that depends on inner products alone, as linear ones with an L2 penalty do.

    Args:
        estimator: any scikit-learn classifier; None: `LinearProbe()`.
        form: `explicit`; `kernel`; `auto`: whichever has fewer coordinates.
        kernel: `linear`; for the kernel form any of `sklearn.metrics.pairwise.pairwise_kernels`, or a function.
        source_weight, target_weight: of each row of the domain, where the classifier takes weights.
        prepare: see `SourceOnly`.
    """

    _aligns = False

    def __init__(
        self,
        estimator: Any = None,
        form: str = "auto",
        kernel: Any = "linear",
        source_weight: float = 1.0,
        target_weight: float = 1.0,
        prepare: str = "none",
    ) -> None:
        self.estimator = estimator
        self.form = form
        self.kernel = kernel
        self.source_weight = source_weight
        self.target_weight = target_weight
        self.prepare = prepare

    def _align(self, domains: Domains) -> None:
        if self.form not in FORMS:
            raise AdaptError(f"form {self.form!r} is unknown: use one of {', '.join(FORMS)}")
        if self.form == "explicit" and self.kernel != "linear":
            raise AdaptError(f"kernel {self.kernel!r} has no explicit form: use form='kernel'")
        rows = domains.labelled
        fewer = self.kernel == "linear" and 3 * domains.X.shape[1] <= rows.sum()
        explicit = self.form == "explicit" or (self.form == "auto" and fewer)
        self._place = _copies if explicit else _KernelMap.of(domains.X[rows], domains.target[rows], self.kernel)

    def _coordinates(self, X: Floats, target: Mask) -> Floats:
        return self._place(X, target)


def _copies(X: Floats, target: Mask) -> Floats:
    """(n, 3 d): the shared copy, the source's, the target's."""
    nothing = np.zeros_like(X)
    return np.where(target[:, None], np.hstack([X, nothing, X]), np.hstack([X, X, nothing]))


@dataclass(frozen=True, eq=False)
class _KernelMap:
    """Coordinates whose inner products are the augmented kernel.

    Attributes:
        kernel: of the features.
        X, target: rows that span the space.
        roots: (rows, r), the kernel of any row and these times it are its coordinates.
    """

    kernel: Any
    X: Floats
    target: Mask
    roots: Floats

    @classmethod
    def of(cls, X: Floats, target: Mask, kernel: Any) -> _KernelMap:
        values, vectors = linalg.eigh(_augmented(kernel, X, target, X, target))
        used = values > len(X) * np.finfo(np.float64).eps * values[-1]
        return cls(kernel, X, target, vectors[:, used] / np.sqrt(values[used]))

    def __call__(self, X: Floats, target: Mask) -> Floats:
        return np.asarray(_augmented(self.kernel, X, target, self.X, self.target) @ self.roots, X.dtype)


def _augmented(kernel: Any, X: Floats, target: Mask, others: Floats, of_target: Mask) -> Floats:
    """(n, m): the kernel, twice as large within a domain."""
    from sklearn.metrics.pairwise import pairwise_kernels

    plain = pairwise_kernels(np.asarray(X, np.float64), np.asarray(others, np.float64), metric=kernel)
    return np.asarray(plain * (1 + (target[:, None] == of_target)))
