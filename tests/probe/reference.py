"""Objectives and optima in float64, written independently of the package."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]


def svm(coef: Floats, bias: Floats, C: float, X: Floats, signs: Floats, weights: Floats) -> float:
    """1/2 |w|^2 + 1/2 b^2 + C sum s max(0, 1 - y (w x + b))^2 of one class."""
    slack = np.maximum(1 - signs * (X.astype(np.float64) @ coef + bias), 0)
    return float(coef @ coef / 2 + bias**2 / 2 + C * np.sum(weights * slack**2))


def svm_best(C: float, X: Floats, signs: Floats, weights: Floats) -> float:
    """The least value, by Newton's method on the primal with exact solves until the active set repeats."""
    A = np.hstack([X.astype(np.float64), np.ones((len(X), 1))])

    def value(w: Floats) -> float:
        return svm(w[:-1], w[-1], C, X, signs, weights)

    w = np.zeros(A.shape[1])
    for _ in range(200):
        active = signs * (A @ w) < 1
        D = 2 * C * weights * active
        target = np.linalg.solve(np.eye(len(w)) + (A * D[:, None]).T @ A, A.T @ (D * signs))
        if np.allclose(target, w, rtol=1e-13, atol=0):
            break
        t = 1.0
        while value(w + t * (target - w)) > value(w) and t > 1e-12:
            t /= 2
        w = w + t * (target - w)
    return value(w)


def logistic(coef: Floats, bias: Floats, C: float, X: Floats, index: NDArray[np.intp], weights: Floats) -> float:
    """1/2 |W|^2 + C sum s (log sum exp z - z_label); for two classes coef is (1, d), the score of the second."""
    scores = X.astype(np.float64) @ coef.T + bias
    if len(coef) == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    loss = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(X)), index]
    return float((coef**2).sum() / 2 + C * np.sum(weights * loss))


def logistic_best(C: float, X: Floats, index: NDArray[np.intp], weights: Floats) -> float:
    """The least value, by scipy's L-BFGS in float64."""
    rows = 1 if index.max() == 1 else index.max() + 1
    d = X.shape[1]
    X = X - X.mean(axis=0)

    def parts(flat: Floats) -> tuple[Floats, Floats]:
        return flat[: rows * d].reshape(rows, d), flat[rows * d :]

    def value(flat: Floats) -> float:
        return logistic(*parts(flat), C, X, index, weights)

    def gradient(flat: Floats) -> Floats:
        coef, bias = parts(flat)
        scores = X @ coef.T + bias
        if rows == 1:
            residual = (1 / (1 + np.exp(-scores[:, 0])) - index)[:, None]
        else:
            residual = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
            residual[np.arange(len(X)), index] -= 1
        residual = C * weights[:, None] * residual
        return np.concatenate([(coef + residual.T @ X).ravel(), residual.sum(axis=0)])

    options = {"maxiter": 20000, "maxfun": 40000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 50}
    best = minimize(value, np.zeros(rows * (d + 1)), jac=gradient, method="L-BFGS-B", options=options)
    return float(best.fun)
