"""What all classes share: an approximate inverse of 1 + c A^T A / n, for any c."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg.lapack import get_lapack_funcs

from decaf.probe.losses import Floats


@dataclass
class Spectrum:
    """Leading eigenvectors of A^T A / n: the preconditioner that all classes share.

    `vectors`: (r, p) orthonormal; `values`: (p,); `tail`: mean of the eigenvalues left out; `free_bias`: the last
    column of A is a bias without penalty, orthogonal to the rest.
    """

    vectors: Floats
    values: Floats
    tail: float
    free_bias: bool = False

    def precondition(self, gradient: Floats, curvature: Floats) -> Floats:
        """(1 + curvature * A^T A / n)^-1 gradient for each class. gradient: (classes, r); curvature: (classes, 1)."""
        rest = 1 / (1 + curvature * self.tail)
        lead = 1 / (1 + curvature * self.values) - rest
        result = rest * gradient + (gradient @ self.vectors * lead) @ self.vectors.T
        if self.free_bias:
            result[:, -1:] = gradient[:, -1:] / np.maximum(curvature, np.finfo(gradient.dtype).eps)
        return result


@dataclass
class Factored:
    """A^T A / n itself, factored anew for each power of two of the curvature: for wildly scaled columns.

    A Cholesky factor is as accurate for each column whatever its scale, eigenvectors are not.
    """

    covariance: Floats
    free_bias: bool = False
    factors: dict[int, Floats] = field(default_factory=dict)

    def precondition(self, gradient: Floats, curvature: Floats) -> Floats:
        """(1 + c A^T A / n)^-1 gradient with c near the mean curvature of the classes."""
        power = round(float(np.log2(np.maximum(curvature.mean(), 1e-300))))
        if power not in self.factors:
            penalised = self.covariance * np.asarray(2.0**power, self.covariance.dtype)
            penalised.flat[:: len(penalised) + 1] += 1
            penalised[-1, -1] -= 1 if self.free_bias else 0
            self.factors[power] = np.linalg.cholesky(penalised)
        (potrs,) = get_lapack_funcs(("potrs",), (gradient,))
        return np.ascontiguousarray(potrs(self.factors[power].T, gradient.T, lower=False)[0].T)
