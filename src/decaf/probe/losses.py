"""The two losses, for all classes at once. Arrays are (classes, samples), so that one class lies in one piece.

A loss works on *margins* m: for the hinge y_ik * z_ik with z = scores and y = +1 / -1, for the softmax the scores.
`weights` scale the loss of a sample, or of a sample for one class; C is applied by the solver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.probe.team import Team

Floats = NDArray[np.floating[Any]]

LINE_STEPS = 12  # evaluations of one line search at most; two or three are usual
LINE_ACCURACY = 0.02  # slope at the end of an exact line search, relative to its start
LINE_ROUGHLY = 0.5  # ... of one whose every step costs a pass of exponentials


@dataclass
class Evaluation:
    """At one point. `value`: (groups, 1); `residual`: d value / d scores, (classes, n); `curvature`: (classes, 1)."""

    value: Floats
    residual: Floats
    curvature: Floats


@dataclass
class Line:
    """slope t + bend t^2 / 2 + c loss(margins + t change), whose derivative at 0 is `begin`; (groups, 1) each."""

    slope: Floats
    bend: Floats
    begin: Floats
    c: float


def row_dot(a: Floats, b: Floats) -> Floats:
    """Inner products of the rows, (rows, 1)."""
    return np.asarray(np.einsum("ki,ki->k", a, b))[:, None]


@dataclass
class SquaredHinge:
    """sum_i s_ik max(0, 1 - y_ik z_ik)^2 for each class k: the loss of `LinearSVC`. Classes do not touch each other.

    Attributes:
        signs: (classes, n) of +1 and -1.
        weights: s, (1, 1), (1, n) or (classes, n).
    """

    signs: Floats
    weights: Floats
    separable = True

    @property
    def classes(self) -> int:
        """Rows: as many as classes, one where there are two."""
        return len(self.signs)

    def take(self, classes: NDArray[np.bool_] | slice) -> SquaredHinge:
        """The same loss for some of the classes."""
        shared = self.weights.shape[0] == 1
        return SquaredHinge(self.signs[classes], self.weights if shared else self.weights[classes])

    def dot(self, a: Floats, b: Floats) -> Floats:
        """Inner products, one for each class: (classes, 1)."""
        return row_dot(a, b)

    def margins(self, scores: Floats) -> Floats:
        """y * z, in place of the scores."""
        return np.multiply(scores, self.signs, out=scores)

    def evaluate(self, margins: Floats) -> Evaluation:
        """Value, gradient and curvature."""
        slack = np.maximum(1 - margins, 0)
        weighted = slack * self.weights if self.weights.size > 1 or self.weights.item() != 1 else slack
        active = slack > 0
        curvature = 2 * np.sum(active * self.weights, axis=1, dtype=np.float64, keepdims=True)
        value = row_dot(weighted, slack)
        return Evaluation(value, -2 * weighted * self.signs, curvature.astype(slack.dtype))

    def step(self, margins: Floats, change: Floats, line: Line) -> tuple[Floats, Evaluation | None]:
        """Exact line search for each class: t, (classes, 1).

        The derivative is piecewise linear and rising: Newton's method, kept inside a bracket.
        """
        t = np.ones_like(line.slope)
        low, high = np.zeros_like(t), np.full_like(t, np.inf)
        plain = self.weights.size == 1 and self.weights.item() == 1
        slack, inside = np.empty_like(margins), np.empty_like(margins)
        for _ in range(LINE_STEPS):
            np.multiply(change, t, out=slack)
            slack += margins
            np.maximum(np.subtract(1, slack, out=slack), 0, out=slack)
            np.multiply(change, slack > 0, out=inside)
            if not plain:
                inside *= self.weights
            first = line.slope + t * line.bend - 2 * line.c * row_dot(slack, inside)
            second = line.bend + 2 * line.c * row_dot(inside, change)
            if np.all(np.abs(first) <= LINE_ACCURACY * np.abs(line.begin)):
                break
            low, high = np.where(first < 0, t, low), np.where(first > 0, t, high)
            t = _inside(t - first / np.maximum(second, np.finfo(t.dtype).tiny), low, high)
        return t, None

    def move(self, margins: Floats, change: Floats, t: Floats) -> Floats:
        """margins + t change, in place of both."""
        change *= t
        margins += change
        return margins


def secant(
    begin: Floats, evaluate: Callable[[Floats], tuple[Evaluation, Floats]], accuracy: float
) -> tuple[Floats, Evaluation]:
    """Line search for each group, from t = 1 on to `accuracy` times the first slope: t, (groups, 1), and loss there.

    `evaluate`: t -> the loss and the slope, which rises with t.
    """
    low, high, t = np.zeros_like(begin), np.full_like(begin, np.inf), np.ones_like(begin)
    low_slope, high_slope = begin, np.zeros_like(begin)
    for _ in range(LINE_STEPS):
        got, here = evaluate(t)
        ended = np.abs(here) <= accuracy * np.abs(begin)
        if ended.all():
            return t, got
        up, down = (here > 0) & ~ended, (here <= 0) & ~ended
        high, high_slope = np.where(up, t, high), np.where(up, here, high_slope)
        low, low_slope = np.where(down, t, low), np.where(down, here, low_slope)
        closed = np.isfinite(high)
        width = np.where(closed, high - low, 0)
        rise = np.where(high_slope > low_slope, high_slope - low_slope, 1)  # else rounding is all there is
        t = np.where(ended, t, np.where(closed, low - low_slope * width / rise, 2 * t)).astype(t.dtype)
    return t, evaluate(t)[0]


def _inside(t: Floats, low: Floats, high: Floats) -> Floats:
    """Newton's point where it lies in the bracket, else the middle (or twice the lower end of an open bracket)."""
    middle = np.where(np.isfinite(high), (low + np.where(np.isfinite(high), high, 0)) / 2, 2 * low + 1)
    return np.where((t > low) & (t < high), t, middle).astype(t.dtype)


@dataclass
class Softmax:
    """sum_i s_i (log sum_k exp z_ik - z_i,label(i)): the loss of a multinomial `LogisticRegression`.

    Attributes:
        labels: (n,) int.
        classes: how many there are.
        weights: s, (1, n).
        team: works on blocks of rows.
    """

    labels: NDArray[np.intp]
    classes: int
    weights: Floats
    team: Team = field(default_factory=Team)
    separable = False

    def dot(self, a: Floats, b: Floats) -> Floats:
        """One inner product for all classes together: (1, 1)."""
        return np.vdot(a, b).reshape(1, 1)

    def margins(self, scores: Floats) -> Floats:
        """The scores themselves."""
        return scores

    def evaluate(self, margins: Floats) -> Evaluation:
        """Value, gradient and curvature."""
        residual = np.empty_like(margins)
        parts = self.team.map(lambda rows: self._part(margins[:, rows], rows, residual[:, rows]), self.team.fine)
        curvature = np.asarray(sum(part[1].astype(np.float64) for part in parts), margins.dtype)
        return Evaluation(np.full((1, 1), sum(part[0] for part in parts)), residual, curvature)

    def _part(self, margins: Floats, rows: slice, residual: Floats) -> tuple[float, Floats]:
        """Value and curvature of some rows; their residual is written."""
        labels, weights = self.labels[rows], self.weights[:, rows]
        columns = np.arange(len(labels))
        at_label = margins[labels, columns]
        top = margins.max(axis=0)
        shares = np.exp(np.subtract(margins, top, out=residual), out=residual)
        total = shares.sum(axis=0)
        value = float(np.sum((np.log(total) + top - at_label) * weights[0], dtype=np.float64))
        squares = np.einsum("ki,ki,i->k", shares, shares, weights[0] / total**2)
        shares *= weights / total
        curvature = shares.sum(axis=1) - squares
        shares[labels, columns] -= weights[0]
        return value, curvature[:, None]

    def step(self, margins: Floats, change: Floats, line: Line) -> tuple[Floats, Evaluation]:
        """A rough line search from t = 1 on: t, (1, 1), and the loss there."""

        def at(t: Floats) -> tuple[Evaluation, Floats]:
            got = self.evaluate(self.move(margins.copy(), change.copy(), t))
            return got, line.slope + t * line.bend + line.c * self.dot(got.residual, change)

        return secant(line.begin, at, LINE_ROUGHLY)

    def move(self, margins: Floats, change: Floats, t: Floats) -> Floats:
        """margins + t change, in place of both."""
        change *= t
        margins += change
        return margins

    def shift(self, margins: Floats, step: Floats) -> None:
        """What a step of the biases does to the margins, in place."""
        margins += step

    def settle(self, margins: Floats) -> tuple[Floats, float]:
        """Newton's step for the free biases at fixed weights: the step (classes, 1), and its decrement g' H^-1 g."""
        got = self.evaluate(margins)
        gradient = got.residual.sum(axis=1, dtype=np.float64)
        shares = got.residual.copy()
        shares[self.labels, np.arange(len(self.labels))] += self.weights[0]
        safe = np.where(self.weights > 0, self.weights, 1)
        hessian = -((shares / safe) @ shares.T).astype(np.float64)
        hessian.flat[:: self.classes + 1] += shares.sum(axis=1, dtype=np.float64)
        hessian += np.trace(hessian) / self.classes / self.classes  # the sum of all biases is free: hold it still
        hessian.flat[:: self.classes + 1] += 1e-12 * np.trace(hessian) / self.classes
        step = -np.linalg.solve(hessian, gradient)
        return step[:, None].astype(margins.dtype), float(-step @ gradient)
