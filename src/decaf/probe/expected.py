"""Dropout in expectation: no masks are drawn, the loss is averaged over all of them.

With every feature kept with probability 1 - p, the score w x + b has mean (1 - p) w x + b and variance
v = p (1 - p) sum_j w_j^2 x_j^2. With many features it is nearly Gaussian (Wang and Manning 2013, Fast dropout
training), and then, with u = 1 - y mean and s = sqrt(v),

    E max(0, 1 - y z)^2 = (u^2 + v) Phi(u / s) + u s phi(u / s)
    E (log sum_k exp z_k - z_label) <= log sum_k exp(mean_k + v_k / 2) - mean_label     (Jensen's inequality)

Both are convex in w. They are minimised by scipy's L-BFGS, all classes at once; each evaluation costs two products
with X and two with X^2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtr

from decaf.probe.design import badly_scaled, warn_badly_scaled
from decaf.probe.losses import Floats, row_dot
from decaf.probe.path import Fitted, Labelled, Settings, hinge_of, softmax_weights, warn_unproven
from decaf.probe.solver import Solution

Parts = tuple[Floats, Floats, Floats]  # loss (), its derivatives by mean and by variance, (classes, n) each


class ExpectedPath:
    """What `Path` is, for the expected loss."""

    def __init__(self, data: Labelled, settings: Settings, dropout: float) -> None:
        self.data, self.settings, self.dropout = data, settings, dropout
        self.bad_columns = badly_scaled(data.X)
        if len(self.bad_columns):
            warn_badly_scaled(self.bad_columns)

    def solve(
        self, Cs: Sequence[float], rows: NDArray[np.intp] | None = None, start: Floats | None = None
    ) -> Iterator[Fitted]:
        """Fit on `rows` (all where None) for each of `Cs`, in their order, the first from `start`."""
        index = np.arange(len(self.data.y)) if rows is None else rows
        objective = _Objective(self.data, self.settings.loss, self.dropout, index)
        for C in Cs:
            found = objective.minimise(float(C), start, self.settings)
            if np.any(found.gap > self.settings.tol):
                warn_unproven(C, found, self.settings)
            start = found.weights
            coef, bias = start[:, :-1], start[:, -1]
            if objective.softmax and len(start) == 2:
                coef, bias = coef[1:] - coef[:1], bias[1:] - bias[:1]
            yield Fitted(C, coef, bias, found.gap, found.iterations, start)


class _Objective:
    """Weights and biases as one (outputs, d + 1) matrix, the bias last."""

    def __init__(self, data: Labelled, loss: str, dropout: float, index: NDArray[np.intp]) -> None:
        self.softmax, self.keep, self.noise = loss == "logistic", 1 - dropout, dropout * (1 - dropout)
        self.X = data.X[index]
        self.squares = self.X * self.X
        self.y, weights = data.y[index], data.weights[index]
        self.outputs = data.classes if self.softmax or data.classes > 2 else 1
        if self.softmax:
            self.weights = softmax_weights(self.y, weights, data.class_weights)
        else:
            hinge = hinge_of(self.y, weights, data.class_weights)
            self.signs, self.weights = hinge.signs, hinge.weights

    def minimise(self, C: float, start: Floats | None, settings: Settings) -> Solution:
        shape = (self.outputs, self.X.shape[1] + 1)
        first = np.zeros(shape) if start is None else start
        c = C / 2 if self.softmax and self.outputs == 2 else C  # one weight vector w is +w/2 and -w/2
        last: dict[str, Any] = {}

        def value(flat: Floats) -> tuple[float, Floats]:
            total, gradient = self.value(flat.reshape(shape), c)
            last.update(at=flat.copy(), gap=_gap(total, gradient))
            return total, gradient.ravel()

        def stop(intermediate_result: Any) -> None:
            if last["gap"] <= settings.tol and np.array_equal(last["at"], intermediate_result.x):
                raise StopIteration

        options = {"maxiter": settings.max_iter, "maxfun": 2 * settings.max_iter + 20, "ftol": 0, "gtol": 0}
        got = minimize(value, first.ravel(), jac=True, method="L-BFGS-B", options=options, callback=stop)
        total, gradient = self.value(got.x.reshape(shape), c)
        return Solution(got.x.reshape(shape), np.array([_gap(total, gradient)]), np.array([got.nit]))

    def value(self, W: Floats, c: float) -> tuple[float, Floats]:
        """The objective and its gradient, both float64."""
        weights = W[:, :-1].astype(self.X.dtype)
        mean = self.keep * (weights @ self.X.T) + W[:, -1:]
        variance = self.noise * ((weights * weights) @ self.squares.T).astype(np.float64)
        loss, by_mean, by_variance = self._softmax(mean, variance) if self.softmax else self._hinge(mean, variance)
        gradient = np.empty(W.shape)
        gradient[:, :-1] = c * self.keep * (by_mean.astype(self.X.dtype) @ self.X)
        gradient[:, :-1] += 2 * c * self.noise * W[:, :-1] * (by_variance.astype(self.X.dtype) @ self.squares)
        gradient[:, -1] = c * by_mean.sum(axis=1)
        penalised = W[:, :-1] if self.softmax else W
        gradient[:, : penalised.shape[1]] += penalised
        return float((penalised**2).sum() / 2 + c * loss), gradient

    def _hinge(self, mean: Floats, variance: Floats) -> Parts:
        u, s = 1 - self.signs * mean, np.sqrt(np.maximum(variance, 1e-30))
        share, density = ndtr(u / s), np.exp(-((u / s) ** 2) / 2) / np.sqrt(2 * np.pi)
        loss = np.sum(self.weights * ((u**2 + variance) * share + u * s * density))
        return loss, -2 * self.weights * self.signs * (u * share + s * density), self.weights * share

    def _softmax(self, mean: Floats, variance: Floats) -> Parts:
        columns = np.arange(len(self.y))
        raised = mean + variance / 2
        top = raised.max(axis=0)
        shares = np.exp(raised - top)
        total = shares.sum(axis=0)
        shares *= self.weights / total
        loss = np.sum(self.weights * (np.log(total) + top - mean[self.y, columns]))
        by_mean = shares.copy()
        by_mean[self.y, columns] -= self.weights[0]
        return loss, by_mean, shares / 2


def _gap(total: float, gradient: Floats) -> float:
    """|gradient|^2 / 2 relative to the objective."""
    return float(row_dot(gradient, gradient).sum()) / 2 / max(total, 1e-38)
