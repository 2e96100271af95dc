"""The matrix solved with: rows of X in min(n, d) coordinates, and the spectrum that conditions every problem on it.

Primal (d < n): the features themselves, and a column of ones for the bias. Dual (n <= d): the Gram matrix X X^T = L
L^T, and L in the place of X. Both keep inner products, so that objective and optimum are the same. A design is made
once; folds take rows of it, and every C uses it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from decaf.probe.losses import Floats
from decaf.probe.preconditioner import Factored, Spectrum
from decaf.probe.team import Team, team

LEADING = 64  # eigenvectors in the preconditioner
EXACT_BELOW = 640  # coordinates up to which the whole spectrum is taken
EXACT_DOUBLE = 2048  # the same for badly scaled features, where everything is done in float64
SPECTRUM_ROWS = 2048  # rows that the spectrum of a large problem is estimated from
GRAM_ROWS = 6000  # rows up to which the primal keeps a Gram matrix (144 MB) for Newton steps
BAD_RANGE = 1e4  # ratio of column scales, or of a column's size to its spread, from which float32 is not enough


class ScalingWarning(UserWarning):
    """Columns of very different size or with a large offset. Standardise the features: `transform="standardize"`."""


@dataclass
class Design:
    """Rows in the solver's coordinates.

    Attributes:
        A: (n, r): the features or the Cholesky factor, and last the column of the bias.
        spectrum: of A^T A / n.
        gram: A A^T, (n, n), where it is kept.
        X: (n, d), the features `A` was made from.
        shift: (d,), subtracted from the features first, where the bias is free.
        factor: (m, m) lower-triangular float64; None in the primal.
        ones: the value of the feature that is the bias.
    """

    A: Floats
    spectrum: Spectrum | Factored
    gram: Floats | None
    X: Floats
    shift: Floats | None
    factor: Floats | None
    ones: float = 1.0

    def take_gram(self, rows: NDArray[np.intp]) -> Floats:
        """The Gram matrix of some rows, from the one kept or computed."""
        if self.gram is not None:
            return self.gram.ravel().take(rows[:, None] * len(self.gram) + rows)
        part = self.A[rows]
        return np.asarray(part @ part.T)

    def coefficients(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weights (classes, r) in the solver's coordinates as float64 coefficients (classes, d), biases (classes,)."""
        inner = weights.astype(np.float64)
        if self.factor is None:
            coef, bias = inner[:, :-1], inner[:, -1] * self.ones
        elif self.shift is not None:
            dual = solve_triangular(self.factor, inner[:, :-1].T, lower=True, trans=1).T
            coef, bias = dual @ self.X - np.outer(dual.sum(axis=1), self.shift), inner[:, -1]
        else:
            dual = solve_triangular(self.factor, inner.T, lower=True, trans=1).T
            coef, bias = dual @ self.X, dual.sum(axis=1) * self.ones
        return coef, bias if self.shift is None else bias - coef @ self.shift


def badly_scaled(X: Floats) -> NDArray[np.intp]:
    """Columns whose size differs wildly from the median column, or whose offset swamps their spread: their indices."""
    mean = X.mean(axis=0, dtype=np.float64)
    centred = X - mean.astype(X.dtype)
    spread = np.sqrt(np.einsum("ij,ij->j", centred, centred).astype(np.float64) / len(X))
    size = np.hypot(mean, spread)
    noise = np.finfo(X.dtype).eps * 10 * size
    varying = spread > noise
    if not varying.any():
        return np.empty(0, np.intp)
    usual = np.median(size[varying])
    odd = (size > BAD_RANGE * usual) | (varying & (size < usual / BAD_RANGE)) | (varying & (size > BAD_RANGE * spread))
    return np.flatnonzero(odd)


def warn_badly_scaled(columns: NDArray[np.intp]) -> None:
    """Say it once per fit."""
    first = ", ".join(map(str, columns[:5])) + (", ..." if len(columns) > 5 else "")
    message = (
        f"{len(columns)} badly scaled column{'s' * (len(columns) > 1)} ({first}): solved in float64, which is slower; "
        'use transform="standardize"'
    )
    warnings.warn(message, ScalingWarning, stacklevel=3)


@dataclass(frozen=True)
class Wanted:
    """What a design is for.

    Attributes:
        free_bias: the bias has no penalty (logistic); else it is one more feature (svm).
        newton: keep a Gram matrix where it is affordable.
        dtype: float32 or float64, of everything but the Cholesky factor.
        wild: columns are badly scaled: precondition with the covariance itself where it is small enough.
        cores: how many work on it.
        ones: the value of the feature that is the bias; 0 for no bias.
    """

    free_bias: bool
    newton: bool
    dtype: Any
    wild: bool = False
    cores: int = 1
    ones: float = 1.0


def make_design(X: Floats, weights: Floats, wanted: Wanted) -> Design:
    """Build the design of the rows of X (n, d), which count `weights` (n,) >= 0 in the spectrum."""
    with team(wanted.cores, 1, 1) as workers:
        return (_dual if len(X) <= X.shape[1] else _primal)(X, weights, wanted, workers)


def _dual(X: Floats, weights: Floats, wanted: Wanted, workers: Team) -> Design:
    shift = _shift(X, wanted)
    gram = _gram(X, shift, wanted.ones, workers)
    factor = _factor(gram)
    A = np.ascontiguousarray(factor if shift is None else _with_ones(factor), wanted.dtype)
    kept = gram.astype(wanted.dtype) if wanted.newton else None
    return Design(A, spectrum_of(A, weights, wanted), kept, X, shift, factor, wanted.ones)


def _primal(X: Floats, weights: Floats, wanted: Wanted, workers: Team) -> Design:
    A, shift = features_of(X, wanted)
    if not wanted.newton or len(X) > GRAM_ROWS:
        return Design(A, spectrum_of(A, weights, wanted), None, X, shift, None, wanted.ones)
    kept = np.zeros((len(A), len(A)), wanted.dtype)
    *_, spectrum = workers.do(*_products(A, kept), lambda: spectrum_of(A, weights, wanted))
    assert spectrum is not None
    return Design(A, spectrum, kept, X, shift, None, wanted.ones)


def _shift(X: Floats, wanted: Wanted) -> Floats | None:
    return X.mean(axis=0, dtype=np.float64) if wanted.free_bias else None


def features_of(X: Floats, wanted: Wanted) -> tuple[Floats, Floats | None]:
    """Features, centred where the bias is free, and last a column of ones: (n, d + 1); and what was subtracted."""
    A, shift = _with_ones(X, wanted.dtype, wanted.ones), _shift(X, wanted)
    if shift is not None:
        A[:, :-1] = X - shift if X.dtype == np.float64 else A[:, :-1] - shift.astype(wanted.dtype)
    return A, shift


def _products(part: Floats, gram: Floats) -> tuple[Callable[[], None], Callable[[], None]]:
    """gram += part part^T as two jobs of the same work: its squares, of which BLAS computes one half, and the rest."""
    half = len(part) // 2
    top, bottom = part[:half], part[half:]

    def across() -> None:
        gram[:half, half:] += top @ bottom.T
        gram[half:, :half] = gram[:half, half:].T

    def within() -> None:
        gram[:half, :half] += top @ top.T
        gram[half:, half:] += bottom @ bottom.T

    return across, within


def _with_ones(X: Floats, dtype: Any = np.float64, ones: float = 1.0) -> Floats:
    A = np.empty((len(X), X.shape[1] + 1), dtype)
    A[:, :-1] = X
    A[:, -1] = ones
    return A


def _gram(X: Floats, shift: Floats | None, ones: float, workers: Team) -> Floats:
    """(X - shift)(X - shift)^T, or X X^T + ones^2 for the bias that is a feature, in float64."""
    gram = np.zeros((len(X), len(X)))
    for start in range(0, X.shape[1], 1024):
        part = X[:, start : start + 1024].astype(np.float64)
        if shift is not None:
            part -= shift[start : start + 1024]
        workers.do(*_products(part, gram))
    return gram if shift is not None else gram + ones**2


def _factor(gram: Floats) -> Floats:
    """The Cholesky factor; duplicated rows make the matrix singular, which a jitter below float32's precision mends."""
    scale = max(float(np.trace(gram)) / len(gram), np.finfo(np.float64).tiny)
    for jitter in (1e-11, 1e-10, 1e-9, 1e-8):
        try:
            return np.asarray(cholesky(gram + jitter * scale * np.eye(len(gram)), lower=True, check_finite=False))
        except np.linalg.LinAlgError:
            continue
    raise AssertionError("a Gram matrix with a jitter is positive definite")


def spectrum_of(A: Floats, weights: Floats, wanted: Wanted) -> Spectrum | Factored:
    """Leading eigenvectors of A^T diag(weights) A / sum(weights), by subspace iteration on a sample of the rows."""
    if wanted.wild and A.shape[1] <= EXACT_DOUBLE:
        scaled = A * np.sqrt(weights / weights.mean())[:, None]
        return Factored(scaled.T @ scaled / len(A), wanted.free_bias)
    inner = A[:, :-1] if wanted.free_bias else A
    stride = -(-len(A) // SPECTRUM_ROWS)
    part = inner[::stride] * np.sqrt(weights[::stride] / weights[::stride].mean()).astype(A.dtype)[:, None]
    size = part.shape[1]
    if size <= (EXACT_DOUBLE if A.dtype == np.float64 else EXACT_BELOW):
        values, vectors = np.linalg.eigh((part.T @ part).astype(np.float64) / len(part))
        tail = 0.0
    else:
        values, vectors, tail = _leading(part)
    padded = np.zeros((A.shape[1], len(values)), A.dtype)
    padded[:size] = vectors
    return Spectrum(padded, np.maximum(values, 0).astype(A.dtype), tail, wanted.free_bias)


def _leading(part: Floats) -> tuple[Floats, Floats, float]:
    """The LEADING greatest eigenvalues and vectors of part^T part / n, and the mean of the others."""
    block = np.random.default_rng(0).standard_normal((part.shape[1], LEADING)).astype(part.dtype)
    for _ in range(3):
        block = part.T @ (part @ _orthonormal(block))
    block = _orthonormal(block)
    image = (part @ block).astype(np.float64)
    values, turn = np.linalg.eigh(image.T @ image / len(part))
    total = float(np.einsum("ij,ij->", part, part, dtype=np.float64)) / len(part)
    tail = max(total - float(values.sum()), 0.0) / (part.shape[1] - LEADING)
    return values, block @ turn.astype(part.dtype), tail


def _orthonormal(block: Floats) -> Floats:
    """Columns made orthonormal through their inner products, twice for accuracy: faster than a QR decomposition."""
    for _ in range(2):
        values, vectors = np.linalg.eigh(block.T.astype(np.float64) @ block)
        scale = 1 / np.sqrt(np.maximum(values, values[-1] * 1e-13))
        block = block @ (vectors * scale).astype(block.dtype)
    return block
