"""The path over C: each solution starts the next, folds share one design."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from decaf.probe.design import Design, Wanted, badly_scaled, make_design, warn_badly_scaled
from decaf.probe.losses import Floats, Softmax, SquaredHinge
from decaf.probe.solver import GATHER, Point, Problem, Solution, Way, minimise
from decaf.probe.team import cores_for, team

CLASS_BLOCK = 4e8  # bytes of one (classes, samples) array above which independent classes are solved in turns
SMALL = 3e5  # numbers in X times classes below which everything is done in float64 ...
SMALL_TOL = 1e-17  # ... to this gap, since it costs next to nothing
APPROACH_TOL = 1e-2  # relative gap at values of C that are only on the way ...
APPROACH_STEPS = 2  # ... of which there are so many per power of ten
DESIGN_CORES_FROM = 1e6  # numbers in X from which several cores make the design
THREADS_FROM = 2e7  # multiply-adds of one product with all classes from which blocks of classes run side by side


@dataclass(frozen=True)
class Settings:
    """What is solved: `loss` is `svm` or `logistic`; `tol` the relative gap; `max_iter` for each C."""

    loss: str
    tol: float = 1e-4
    max_iter: int = 1000
    n_jobs: int | None = None
    fit_intercept: bool = True


@dataclass
class Labelled:
    """A training set. `X`: (n, d); `y`: (n,) class indices; `weights`: (n,); `class_weights`: (classes,)."""

    X: Floats
    y: NDArray[np.intp]
    weights: Floats
    class_weights: Floats

    @property
    def classes(self) -> int:
        """How many classes there are, in all folds the same."""
        return len(self.class_weights)


@dataclass
class Fitted:
    """One point of a path. `coef`: (rows, d), one row for two classes; `bias`: (rows,)."""

    C: float
    coef: Floats
    bias: Floats
    gap: Floats
    iterations: NDArray[np.intp]
    weights: Floats  # in the coordinates of the design: where another fit on it may start


class Path:
    """Solve on rows of one training set, for one C after another.

    Features are worked on in float32; badly scaled ones, small problems, and a C at which float32 cannot reach `tol`,
    in float64.
    """

    def __init__(self, data: Labelled, settings: Settings) -> None:
        self.data, self.settings = data, settings
        self.bad_columns = badly_scaled(data.X)
        if len(self.bad_columns):
            warn_badly_scaled(self.bad_columns)
        self._ready: tuple[NDArray[np.intp] | None, Problem] | None = None
        self.goal = settings.tol
        double = len(self.bad_columns) or data.X.size * data.classes < SMALL or not _float32_holds(data.X)
        if data.X.size * data.classes < SMALL:
            self.goal = min(settings.tol, SMALL_TOL)
        self.design = self._make(np.float64 if double else np.float32)

    def _make(self, dtype: Any) -> Design:
        return make_design(self.data.X, self.data.weights, self._wanted(dtype))

    def _wanted(self, dtype: Any) -> Wanted:
        svm, wild = self.settings.loss == "svm", len(self.bad_columns) > 0
        cores = cores_for(self.settings.n_jobs) if self.data.X.size > DESIGN_CORES_FROM else 1
        bias = self.settings.fit_intercept
        return Wanted(bias and not svm, svm, dtype, wild, cores, float(bias))

    def solve(
        self, Cs: Sequence[float], rows: NDArray[np.intp] | None = None, start: Floats | None = None
    ) -> Iterator[Fitted]:
        """Fit on `rows` (all where None) for each of `Cs`, in their order, the first from `start`."""
        problem = self._problem(rows)
        W = np.zeros((problem.loss.classes, problem.A.shape[1]), problem.A.dtype)
        if start is not None:
            W[:] = start
        at, drift, on_the_way = Point.bare(W), None, np.zeros(1, np.intp)
        easy = _easy(problem.A) if start is None else float(Cs[0])
        for C, wanted in _stages(Cs, easy):
            found = self._at(C, self.goal if wanted else max(self.goal, APPROACH_TOL), rows, at, drift)
            found.iterations += on_the_way
            drift, at = self._drift(rows, found.point, at), found.point
            on_the_way = found.iterations * int(not wanted)
            if wanted and not self._reached(found):
                warn_unproven(C, found, self.settings)
            if wanted:
                yield self._fitted(C, found)

    def _drift(self, rows: NDArray[np.intp] | None, here: Point, before: Point) -> Way | None:
        known = not (here.is_bare or before.is_bare) and before.weights.dtype == here.weights.dtype
        return self._problem(rows).way(here, before) if known else None

    def _reached(self, found: Solution) -> bool:
        return bool(np.all(found.gap <= self.settings.tol))

    def _at(self, C: float, goal: float, rows: NDArray[np.intp] | None, start: Point, drift: Way | None) -> Solution:
        """The solution for one C; where float32 does not reach it, again in float64, whose coordinates are the same."""
        found = self._minimise(C, goal, rows, start, drift)
        if goal != self.goal or self._reached(found) or self.design.A.dtype == np.float64:
            return found
        self.design = self._make(np.float64)
        return self._minimise(C, goal, rows, Point.bare(found.point.weights.astype(np.float64)), None)

    def _minimise(
        self, C: float, goal: float, rows: NDArray[np.intp] | None, start: Point, drift: Way | None
    ) -> Solution:
        problem = self._problem(rows)
        if isinstance(problem.loss, Softmax):
            return self._together(problem, problem.loss, C, goal, start, drift)
        return self._in_blocks(problem, C, goal, start, drift)

    def _together(
        self, problem: Problem, loss: Softmax, C: float, goal: float, start: Point, drift: Way | None
    ) -> Solution:
        """Coupled classes: rows are shared out."""
        classes = loss.classes
        c = C / 2 if classes == 2 else C  # one weight vector w for two classes is +w/2 and -w/2
        with team(self._cores(problem, classes), len(problem.A), problem.A.itemsize * classes) as workers:
            shared = replace(problem, team=workers, loss=replace(loss, team=workers))
            return minimise(shared, c, start, goal, self.settings.max_iter, drift)

    def _cores(self, problem: Problem, classes: int) -> int:
        return cores_for(self.settings.n_jobs) if problem.A.size * classes > THREADS_FROM else 1

    def _in_blocks(self, problem: Problem, C: float, goal: float, start: Point, drift: Way | None) -> Solution:
        """Classes that do not touch each other: a block for each core, and small enough for memory."""
        assert isinstance(problem.loss, SquaredHinge)
        W = start.weights
        cores = self._cores(problem, len(W))
        largest = max(int(CLASS_BLOCK / (problem.A.itemsize * len(problem.A) * cores)), 1)
        count = -(-max(len(W), cores) // largest)
        count = min(-(-max(count, cores) // cores) * cores, len(W))
        bounds = np.linspace(0, len(W), count + 1).astype(int)

        def one(block: slice) -> Solution:
            assert isinstance(problem.loss, SquaredHinge)
            part = replace(problem, loss=problem.loss.take(block))
            way = None if drift is None else drift.take(block)
            found = minimise(part, C, start.take(block), goal, self.settings.max_iter, way)
            return found if kept else replace(found, point=Point.bare(found.point.weights))

        kept = problem.A.itemsize * len(problem.A) * len(W) <= CLASS_BLOCK
        blocks = tuple(slice(low, high) for low, high in itertools.pairwise(bounds))
        with team(cores, 1, 1) as workers:
            return _joined(workers.map(one, blocks))

    def _problem(self, rows: NDArray[np.intp] | None) -> Problem:
        if self._ready is None or self._ready[0] is not rows or self._ready[1].A.dtype != self.design.A.dtype:
            self._ready = rows, self._make_problem(rows)
        return self._ready[1]

    def _make_problem(self, rows: NDArray[np.intp] | None) -> Problem:
        design, data = self.design, self.data
        index = np.arange(len(data.y)) if rows is None else rows
        A = design.A if rows is None else design.A[rows]
        y, weights = data.y[index], data.weights[index].astype(A.dtype)
        if self.settings.loss == "logistic":
            return Problem(
                A, Softmax(y, data.classes, softmax_weights(y, weights, data.class_weights)), design.spectrum
            )
        gram_cost = GATHER if design.gram is not None else float(A.shape[1])
        loss = hinge_of(y, weights, data.class_weights)
        return Problem(A, loss, design.spectrum, lambda active: design.take_gram(index[active]), gram_cost)

    def _fitted(self, C: float, found: Solution) -> Fitted:
        coef, bias = self.design.coefficients(found.point.weights)
        if self.settings.loss == "logistic" and self.data.classes == 2:
            coef, bias = coef[1:] - coef[:1], bias[1:] - bias[:1]
        elif self.settings.loss == "logistic":
            bias = bias - bias.mean()
        return Fitted(C, coef, bias, found.gap, found.iterations, found.point.weights)


def _easy(A: Floats) -> float:
    """A value of C at which scores stay near 0."""
    return 1 / max(float(np.einsum("ij,ij->", A, A)) / len(A), 1e-300)


def _stages(Cs: Sequence[float], first: float) -> Iterator[tuple[float, bool]]:
    """Values of C, each with whether it is wanted or on the way: from `first` on no rise is steeper than a step."""
    for C in map(float, Cs):
        steps = int(max(np.log10(C / first), 0) * APPROACH_STEPS - 1e-6)
        yield from ((C / 10 ** (step / APPROACH_STEPS), False) for step in range(steps, 0, -1))
        yield C, True
        first = C


def softmax_weights(y: NDArray[np.intp], weights: Floats, class_weights: Floats) -> Floats:
    """(1, n): the weight of each sample times that of its class."""
    return np.asarray(weights * class_weights[y].astype(weights.dtype))[None, :]


def _float32_holds(X: Floats) -> bool:
    """Whether squares of the features, summed, stay far from the ends of float32."""
    return 1e-10 < float(np.sqrt(np.mean(np.square(X, dtype=np.float64)))) < 1e10


def _joined(parts: list[Solution]) -> Solution:
    points = [one.point for one in parts]
    return Solution(
        Point(*(np.concatenate([getattr(p, name) for p in points]) for name in ("weights", "margins", "pull"))),
        np.concatenate([one.gap for one in parts]),
        np.concatenate([one.iterations for one in parts]),
    )


def hinge_of(y: NDArray[np.intp], weights: Floats, class_weights: Floats) -> SquaredHinge:
    """As LIBLINEAR weights one class against the rest: the positives with the class's weight, the rest with 1."""
    two = len(class_weights) == 2
    names = np.arange(1, 2) if two else np.arange(len(class_weights))
    positive = y[None, :] == names[:, None]
    signs = np.where(positive, 1, -1).astype(weights.dtype)
    if np.all(class_weights == 1):
        return SquaredHinge(signs, np.ones((1, 1), weights.dtype) if np.all(weights == 1) else weights[None, :])
    rest = class_weights[0] if two else 1.0
    scale = np.where(positive, class_weights[names][:, None], rest).astype(weights.dtype)
    return SquaredHinge(signs, scale * weights)


def warn_unproven(C: float, found: Solution, settings: Settings) -> None:
    """Say that the gap asked for was not reached."""
    message = (
        f"C = {C:g}: the relative gap is {found.gap.max():.1e} after {found.iterations.max()} iterations, "
        f"not {settings.tol:.1e}: raise max_iter or tol, or scale the features"
    )
    warnings.warn(message, ConvergenceWarning, stacklevel=4)
