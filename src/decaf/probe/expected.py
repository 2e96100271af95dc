"""Dropout in expectation: no masks are drawn, the loss is averaged over all of them.

With every feature kept with probability 1 - p, the score w x + b has mean (1 - p) w x + b and variance
v = p (1 - p) sum_j w_j^2 x_j^2. With many features it is nearly Gaussian (Wang and Manning 2013, Fast dropout
training), and then, with u = 1 - y mean and s = sqrt(v),

    E max(0, 1 - y z)^2 = (u^2 + v) Phi(u / s) + u s phi(u / s)
    E (log sum_k exp z_k - z_label) <= log sum_k exp(mean_k + v_k / 2) - mean_label     (Jensen's inequality)

Both are convex in w, and the solver of the other probes minimises them: its margins are here (classes, 2, n), mean
and variance. The variance is quadratic along a direction, so that a line search still costs no products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from decaf.probe.design import EXACT_DOUBLE, Wanted, features_of, spectrum_of
from decaf.probe.losses import LINE_ROUGHLY, Evaluation, Floats, Line, Softmax, SquaredHinge, row_dot, secant
from decaf.probe.path import Labelled, Path, Settings, hinge_of, softmax_weights
from decaf.probe.preconditioner import Factored, Spectrum
from decaf.probe.solver import Loss, Point, Problem, Way, gathered, scores

_SQRT_2PI = float(np.sqrt(2 * np.pi))


@dataclass
class ExpectedDesign:
    """Rows as the expected loss sees them.

    Attributes:
        A: (n, d + 1): features times 1 - p, centred where the bias is free, and last a column of ones: the mean.
        squares: (n, d + 1): squared features times p (1 - p), and last a column of zeros: the variance.
        spectrum: of A^T A / n and the mean of the squares.
        shift: (d,), what was subtracted from `A`; None where nothing was.
    """

    A: Floats
    squares: Floats
    spectrum: Spectrum | Factored
    shift: Floats | None

    def coefficients(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weights (classes, d + 1) as float64 coefficients of the features (classes, d), and biases (classes,)."""
        inner = weights.astype(np.float64)
        coef, bias = inner[:, :-1], inner[:, -1]
        return coef, bias if self.shift is None else bias - coef @ self.shift


def make_expected_design(X: Floats, weights: Floats, dropout: float, wanted: Wanted) -> ExpectedDesign:
    """Build it of the rows of X (n, d), which count `weights` (n,) >= 0 in the spectrum."""
    keep = np.asarray(1 - dropout, wanted.dtype)
    A, shift = features_of(X, wanted)
    A[:, :-1] *= keep
    squares = np.zeros_like(A)
    squares[:, :-1] = X
    squares *= squares
    squares *= np.asarray(dropout * (1 - dropout), A.dtype)
    noise = np.average(squares, axis=0, weights=weights).astype(A.dtype)
    return ExpectedDesign(A, squares, _spectrum(A, noise, weights, wanted), None if shift is None else keep * shift)


def _spectrum(A: Floats, noise: Floats, weights: Floats, wanted: Wanted) -> Spectrum | Factored:
    """With the noise on the diagonal, exactly where a factor is affordable, else by its mean."""
    if A.shape[1] <= EXACT_DOUBLE:
        scaled = A * np.sqrt(weights / weights.mean()).astype(A.dtype)[:, None]
        covariance = scaled.T @ scaled / np.asarray(len(A), A.dtype)
        covariance.flat[:: len(covariance) + 1] += noise
        return Factored(covariance, wanted.free_bias)
    spectrum = spectrum_of(A, weights, wanted)
    assert isinstance(spectrum, Spectrum)
    mean = float(noise.mean())
    return Spectrum(spectrum.vectors, spectrum.values + mean, spectrum.tail + mean, spectrum.free_bias)


@dataclass
class ExpectedProblem(Problem):
    """A problem whose margins are mean and variance; `squares` as in `ExpectedDesign`."""

    squares: Floats | None = None

    def margins(self, weights: Floats) -> Floats:
        """(classes, 2, n)."""
        return np.stack([scores(self.team, weights, self.A), self._variance(weights * weights)], axis=1)

    def change(self, loss: Loss, weights: Floats, direction: Floats) -> Floats:
        """(classes, 3, n): of the mean by t, of the variance by t and by t^2."""
        mean = scores(self.team, direction, self.A)
        products = np.concatenate([2 * weights * direction, direction * direction])
        linear, quadratic = np.split(self._variance(products), 2)
        return np.stack([mean, linear, quadratic], axis=1)

    def pull(self, residual: Floats, weights: Floats) -> Floats:
        """The gradient of the loss by the weights, (classes, r)."""
        assert self.squares is not None
        by_mean, by_variance = residual[:, 0], residual[:, 1]
        return gathered(self.team, by_mean, self.A) + 2 * weights * gathered(self.team, by_variance, self.squares)

    def way(self, here: Point, before: Point) -> Way:
        """The way the solution came: the variance there, here and along it fixes the parabola."""
        direction, difference = here.weights - before.weights, here.margins - before.margins
        quadratic = self._variance(direction * direction)
        change = np.stack([difference[:, 0], difference[:, 1] + quadratic, quadratic], axis=1)
        return Way(direction, change)

    def _variance(self, squared_weights: Floats) -> Floats:
        assert self.squares is not None
        return scores(self.team, squared_weights, self.squares)


def _move(margins: Floats, change: Floats, t: Floats) -> Floats:
    """Mean and variance at t, in their place; rounding makes no variance negative."""
    margins[:, 0] += t * change[:, 0]
    margins[:, 1] += t * (change[:, 1] + t * change[:, 2])
    np.maximum(margins[:, 1], 0, out=margins[:, 1])
    return margins


def _search(
    loss: ExpectedHinge | ExpectedSoftmax, margins: Floats, change: Floats, line: Line
) -> tuple[Floats, Evaluation]:
    """A rough line search for each group, from t = 1 on: t, and the loss there."""

    def at(t: Floats) -> tuple[Evaluation, Floats]:
        got = loss.evaluate(_move(margins.copy(), change, t))
        inner = loss.dot(got.residual[:, 0], change[:, 0])
        inner = inner + loss.dot(got.residual[:, 1], change[:, 1] + 2 * t * change[:, 2])
        return got, line.slope + t * line.bend + line.c * inner

    return secant(line.begin, at, LINE_ROUGHLY)


class ExpectedHinge(SquaredHinge):
    """The squared hinge averaged over masks. Margins are mean scores and variances, (classes, 2, n)."""

    def take(self, classes: NDArray[np.bool_] | slice) -> ExpectedHinge:
        """The same loss for some of the classes."""
        part = super().take(classes)
        return ExpectedHinge(part.signs, part.weights)

    def step(self, margins: Floats, change: Floats, line: Line) -> tuple[Floats, Evaluation]:
        """A rough line search: t for each group, and the loss there."""
        return _search(self, margins, change, line)

    def move(self, margins: Floats, change: Floats, t: Floats) -> Floats:
        """Mean and variance after a step, in place."""
        return _move(margins, change, t)

    def evaluate(self, margins: Floats) -> Evaluation:
        """Value, and derivatives by mean and by variance, (classes, 2, n)."""
        mean, variance = margins[:, 0], margins[:, 1]
        u, s = 1 - self.signs * mean, np.sqrt(np.maximum(variance, np.finfo(mean.dtype).tiny))
        ratio = u / s
        share, density = ndtr(ratio), s * np.exp(-ratio * ratio / 2) / np.asarray(_SQRT_2PI, s.dtype)
        slack = u * share + density
        residual = np.empty_like(margins)
        np.multiply(-2 * self.signs * slack, self.weights, out=residual[:, 0])
        np.multiply(share, self.weights, out=residual[:, 1])
        value = np.asarray(np.sum(self.weights * (u * slack + variance * share), axis=1, dtype=np.float64))[:, None]
        curvature = 2 * np.sum(residual[:, 1], axis=1, keepdims=True)
        return Evaluation(value, residual, curvature)


class ExpectedSoftmax(Softmax):
    """The bound on the softmax loss averaged over masks. Margins are mean scores and variances, (classes, 2, n)."""

    def step(self, margins: Floats, change: Floats, line: Line) -> tuple[Floats, Evaluation]:
        """A rough line search: t for each group, and the loss there."""
        return _search(self, margins, change, line)

    def move(self, margins: Floats, change: Floats, t: Floats) -> Floats:
        """Mean and variance after a step, in place."""
        return _move(margins, change, t)

    def dot(self, a: Floats, b: Floats) -> Floats:
        """One inner product for all classes together: (1, 1)."""
        return np.asarray(row_dot(a, b).sum()).reshape(1, 1)

    def evaluate(self, margins: Floats) -> Evaluation:
        """Value, and derivatives by mean and by variance, (classes, 2, n).

        log sum_k exp(r_k) - mean_label with r = mean + variance / 2 is the softmax loss of r, and r_label - mean_label.
        """
        raised = margins[:, 0] + margins[:, 1] / 2
        got = super().evaluate(raised)
        columns = np.arange(len(self.labels))
        surplus = np.vdot(self.weights[0], margins[self.labels, 1, columns]) / 2
        residual = np.stack([got.residual, got.residual / 2], axis=1)
        residual[self.labels, 1, columns] += self.weights[0] / 2
        return Evaluation(got.value + surplus, residual, got.curvature)

    def shift(self, margins: Floats, step: Floats) -> None:
        """What a step of the biases does to the mean scores, in place."""
        margins[:, 0] += step

    def settle(self, margins: Floats) -> tuple[Floats, float]:
        """Newton's step for the free biases at fixed weights, as of the softmax loss of the raised scores."""
        plain = Softmax(self.labels, self.classes, self.weights, self.team)
        return plain.settle(margins[:, 0] + margins[:, 1] / 2)


class ExpectedPath(Path):
    """What `Path` is, for the expected loss."""

    design: ExpectedDesign  # type: ignore[assignment]

    def __init__(self, data: Labelled, settings: Settings, dropout: float) -> None:
        self.dropout = dropout
        super().__init__(data, settings)

    def _make(self, dtype: Any) -> ExpectedDesign:  # type: ignore[override]
        return make_expected_design(self.data.X, self.data.weights, self.dropout, self._wanted(dtype))

    def _make_problem(self, rows: NDArray[np.intp] | None) -> ExpectedProblem:
        design, data = self.design, self.data
        index = np.arange(len(data.y)) if rows is None else rows
        A, squares = (part if rows is None else part[rows] for part in (design.A, design.squares))
        y, weights = data.y[index], data.weights[index].astype(A.dtype)
        loss: ExpectedHinge | ExpectedSoftmax
        if self.settings.loss == "logistic":
            loss = ExpectedSoftmax(y, data.classes, softmax_weights(y, weights, data.class_weights))
        else:
            hinge = hinge_of(y, weights, data.class_weights)
            loss = ExpectedHinge(hinge.signs, hinge.weights)
        return ExpectedProblem(A, loss, design.spectrum, squares=squares)
