"""One solver for all classes at once: preconditioned L-BFGS and exact Newton steps, by matrix products.

Minimises F(W) = 1/2 sum_kj pen_j W_kj^2 + C loss(A W^T), W: (classes, r), A: (n, r), pen_j = 1 but 0 for a free bias.
Each iteration costs two products with A for all classes together. A class whose active samples are few takes the
exact Newton step instead: on the active samples the squared hinge is a ridge regression, solved through its small
Gram matrix (three or so such steps end it).

When it stops: F is 1-strongly convex in the penalised weights, hence F(W) - min F <= 1/2 |gradient|^2, which is also
the duality gap at the dual point that belongs to W (a free bias is made optimal first). A class is done once that is
at most tol * F(W).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import get_lapack_funcs

from decaf.probe.losses import Evaluation, Floats, Line, Softmax, SquaredHinge
from decaf.probe.preconditioner import Factored, Spectrum
from decaf.probe.team import Team

Loss = SquaredHinge | Softmax

MEMORY = 10  # pairs that L-BFGS remembers
STALL = 15  # iterations in which the objective falls by nothing but rounding, after which rounding is to blame
DIRECT_COST = 8.0  # a Newton step may cost this many multiply-adds per multiply-add of one product with A ...
DIRECT_LATER = 12.0  # ... and more for a class that is still not done after so many iterations
DIRECT_CHEAP = 1e6  # ... and is always taken below this many
SMALL_MATRIX = 2.0  # times as long as in a large product take the multiply-adds of a small Cholesky factorisation
GATHER = 80.0  # multiply-adds of a large product in the time that one number of a Gram matrix is fetched
DOUBLE_COORDINATES = 512  # coordinates up to which float64 solves in them


@dataclass
class Point:
    """Where the classes are. Nothing of it depends on C.

    `weights`: (classes, r); `margins`: (classes, n), or what else the loss is a function of; `pull`: (classes, r), the
    gradient of the loss by the weights. The last two are empty where they are not kept.
    """

    weights: Floats
    margins: Floats
    pull: Floats

    @classmethod
    def bare(cls, weights: Floats) -> Point:
        """Only the weights."""
        return cls(weights, weights[:, :0], weights[:, :0])

    @property
    def is_bare(self) -> bool:
        """Whether there is nothing but the weights."""
        return self.margins.size == 0

    def take(self, classes: slice) -> Point:
        """Of some of the classes."""
        return Point(self.weights[classes], self.margins[classes], self.pull[classes])


@dataclass
class Way:
    """`weights`: (classes, r), a direction; `change`: of the margins along it."""

    weights: Floats
    change: Floats

    def take(self, classes: slice) -> Way:
        """Of some of the classes."""
        return Way(self.weights[classes], self.change[classes])


def scores(team: Team, weights: Floats, A: Floats) -> Floats:
    """weights A^T, (classes, n)."""
    result = np.empty((len(weights), len(A)), A.dtype)
    team.map(lambda rows: np.matmul(weights, A[rows].T, out=result[:, rows]), team.coarse)
    return result


def gathered(team: Team, residual: Floats, A: Floats) -> Floats:
    """residual A, (classes, r)."""
    parts = team.map(lambda rows: residual[:, rows] @ A[rows], team.coarse)
    for part in parts[1:]:
        parts[0] += part
    return parts[0]


@dataclass
class Problem:
    """What stays the same along a path: rows, loss, preconditioner, and the Gram matrix where it is at hand.

    `gram(rows)`: the small matrix A[rows] A[rows]^T, its cost per entry given by `gram_cost` multiply-adds.
    """

    A: Floats
    loss: Loss
    spectrum: Spectrum | Factored
    gram: Callable[[NDArray[np.intp]], Floats] | None = None
    gram_cost: float = GATHER
    team: Team = field(default_factory=Team)

    def scores(self, weights: Floats) -> Floats:
        """weights A^T, (classes, n)."""
        return scores(self.team, weights, self.A)

    def gathered(self, residual: Floats) -> Floats:
        """residual A, (classes, r)."""
        return gathered(self.team, residual, self.A)

    def margins(self, weights: Floats) -> Floats:
        """What the loss is a function of, one row for each class."""
        return self.loss.margins(self.scores(weights))

    def change(self, loss: Loss, weights: Floats, direction: Floats) -> Floats:
        """How the margins of a loss change from `weights` along `direction`, for its `step` and `move`."""
        return loss.margins(self.scores(direction))

    def pull(self, residual: Floats, weights: Floats) -> Floats:
        """The gradient of the loss by the weights, (classes, r)."""
        return self.gathered(residual)

    def way(self, here: Point, before: Point) -> Way:
        """The way the solution came, to be followed further."""
        return Way(here.weights - before.weights, here.margins - before.margins)


@dataclass
class Solution:
    """`point`: the optimum; `gap`: relative, (groups,); `iterations`: (groups,)."""

    point: Point
    gap: Floats
    iterations: NDArray[np.intp]


@dataclass
class _State:
    """Everything that has one row per class. `pull` is None where it is not known at these margins."""

    W: Floats
    margins: Floats
    loss: Loss
    pull: Floats | None = None
    pairs: list[tuple[Floats, Floats, Floats]] = field(default_factory=list)
    last: tuple[Floats, Floats] | None = None  # weights and gradient of the iteration before
    ready: Evaluation | None = None  # the loss at the margins, where the line search left it

    def take(self, keep: NDArray[np.bool_]) -> _State:
        assert isinstance(self.loss, SquaredHinge)
        pairs = [(s[keep], y[keep], rho[keep]) for s, y, rho in self.pairs]
        last = None if self.last is None else (self.last[0][keep], self.last[1][keep])
        pull = None if self.pull is None else self.pull[keep]
        return _State(self.W[keep], self.margins[keep], self.loss.take(keep), pull, pairs, last)


def _complete(problem: Problem, point: Point) -> Point:
    """A point of its own, with margins and pull."""
    if not point.is_bare:
        return Point(point.weights.copy(), point.margins.copy(), point.pull.copy())
    margins = problem.margins(point.weights)
    return Point(point.weights.copy(), margins, problem.pull(problem.loss.evaluate(margins).residual, point.weights))


def minimise(problem: Problem, c: float, start: Point, tol: float, max_iter: int, drift: Way | None = None) -> Solution:
    """Minimise from `start` until each class (or, where they are coupled, the sum) has a gap <= tol.

    `drift`: the way the solution moved at the last change of C: searched first, it saves iterations.
    """
    loss = problem.loss
    end = _complete(problem, start)
    state = _State(end.weights.copy(), end.margins.copy(), loss, end.pull)
    if drift is not None and drift.weights.any():
        _follow(problem, state, drift, c)
    groups = len(end.weights) if loss.separable else 1
    gaps = np.full(groups, np.inf)
    iterations, left = np.zeros(groups, np.intp), np.arange(groups)
    best, since = np.inf, 0
    for iteration in range(max_iter + 1):
        got = state.ready or state.loss.evaluate(state.margins)
        here = _gradient(problem, state, got, c)
        if isinstance(loss, Softmax) and problem.spectrum.free_bias and here.gap.item() <= tol:
            got, here = _settle(problem, state, loss, c)
        gaps[left], iterations[left] = here.gap[:, 0], iteration
        open_ = here.gap[:, 0] > tol
        total = float(here.objective.sum())
        fell = total < best * (1 - 4 * np.finfo(state.W.dtype).eps)
        best, since = (total, 0) if fell else (best, since + 1)
        ended = not open_.any() or since > STALL or not np.isfinite(total) or iteration == max_iter
        shrinks = loss.separable and not ended and open_.mean() < 0.8
        if ended or shrinks:
            _write(end, state, left if loss.separable else slice(None))
        if ended:
            break
        if shrinks:
            state, left, best = state.take(open_), left[open_], np.inf
            got = Evaluation(got.value[open_], got.residual[open_], got.curvature[open_])
            here = _Local(here.gradient[open_], here.objective[open_], here.gap[open_])
        _advance(problem, state, got, here.gradient, c, DIRECT_COST * (1 + (iteration / DIRECT_LATER) ** 2))
    return Solution(end, gaps, iterations)


def _write(end: Point, state: _State, rows: Any) -> None:
    assert state.pull is not None
    end.weights[rows], end.margins[rows], end.pull[rows] = state.W, state.margins, state.pull


@dataclass
class _Local:
    """`gradient`: (classes, r); `objective` and relative `gap`: (groups, 1)."""

    gradient: Floats
    objective: Floats
    gap: Floats


def _gradient(problem: Problem, state: _State, got: Evaluation, c: float) -> _Local:
    if state.pull is None:
        state.pull = problem.pull(got.residual, state.W)
    gradient = np.asarray(c, state.W.dtype) * state.pull
    if not problem.spectrum.free_bias:
        gradient += state.W
        penalised, weights = gradient, state.W
    else:
        gradient[:, :-1] += state.W[:, :-1]
        penalised, weights = np.ascontiguousarray(gradient[:, :-1]), np.ascontiguousarray(state.W[:, :-1])
    objective = state.loss.dot(weights, weights) / 2 + c * got.value
    gap = state.loss.dot(penalised, penalised) / 2 / np.maximum(objective, np.finfo(np.float32).tiny)
    return _Local(gradient, objective, gap)


def _settle(problem: Problem, state: _State, loss: Softmax, c: float) -> tuple[Evaluation, _Local]:
    """Make the free biases optimal for the weights; only then does the gradient bound the gap."""
    for _ in range(3):
        step, decrement = loss.settle(state.margins)
        state.W[:, -1:] += step
        loss.shift(state.margins, step)
        if decrement < 1e-10 * float(np.abs(loss.weights).sum()):
            break
    state.last = state.ready = state.pull = None
    got = loss.evaluate(state.margins)
    point = _gradient(problem, state, got, c)
    point.gap += c * loss.settle(state.margins)[1] / np.maximum(point.objective, np.finfo(np.float32).tiny)
    return got, point


def _advance(problem: Problem, state: _State, got: Evaluation, gradient: Floats, c: float, budget: float) -> None:
    """A direction and a line search. `budget`: what a Newton step may cost, in multiply-adds per entry of A."""
    _remember(state, gradient)
    direction = _lbfgs(state, problem.spectrum, gradient, c * got.curvature)
    if problem.gram is not None and isinstance(state.loss, SquaredHinge):
        _newton(problem, state, state.loss, got, direction, c, budget)
    begin = state.loss.dot(direction, gradient)
    uphill = begin >= 0
    if uphill.any():  # rounding: fall back to the preconditioned gradient
        state.pairs.clear()
        plain = -problem.spectrum.precondition(gradient, c * got.curvature)
        direction = np.where(uphill, plain, direction)
        begin = state.loss.dot(direction, gradient)
    state.last = (state.W, gradient)
    _move(problem, state, direction, problem.change(state.loss, state.W, direction), begin, c)


def _follow(problem: Problem, state: _State, drift: Way, c: float) -> None:
    """Move along the drift of the path, whose change is known, but for classes that Newton's step serves better."""
    got = state.loss.evaluate(state.margins)
    weights, change = drift.weights, drift.change.copy()
    if problem.gram is not None:
        slow = _newton_cost(problem, got) > DIRECT_COST * problem.A.size
        if not slow.any():
            return
        weights, change = weights * slow[:, None], change * slow[:, None]
    gradient = _gradient(problem, state, got, c).gradient
    state.last = (state.W, gradient)
    _move(problem, state, weights, change, state.loss.dot(gradient, weights), c)


def _move(problem: Problem, state: _State, direction: Floats, change: Floats, begin: Floats, c: float) -> None:
    """To the end of a line search along `direction`, where margins change by `change` and the slope is `begin`."""
    penalised = slice(None, -1) if problem.spectrum.free_bias else slice(None)
    part, weights = direction[:, penalised], state.W[:, penalised]
    line = Line(state.loss.dot(weights, part), state.loss.dot(part, part), begin, c)
    t, state.ready = state.loss.step(state.margins, change, line)
    state.W = state.W + t * direction
    state.loss.move(state.margins, change, t)
    state.pull = None


def _remember(state: _State, gradient: Floats) -> None:
    if state.last is None:
        return
    s, y = state.W - state.last[0], gradient - state.last[1]
    sy, yy = state.loss.dot(s, y), state.loss.dot(y, y)
    good = sy > np.finfo(s.dtype).eps * yy
    state.pairs.append((s, y, np.where(good, 1 / np.where(good, sy, 1), 0)))
    del state.pairs[:-MEMORY]


def _lbfgs(state: _State, spectrum: Spectrum | Factored, gradient: Floats, curvature: Floats) -> Floats:
    """The two-loop recursion (Nocedal and Wright 2006, algorithm 7.4), for each class or for all together."""
    q, alphas = -gradient, []
    for s, y, rho in reversed(state.pairs):
        alphas.append(rho * state.loss.dot(s, q))
        q -= alphas[-1] * y
    q = spectrum.precondition(q, curvature)
    for s, y, rho in state.pairs:
        q += (alphas.pop() - rho * state.loss.dot(y, q)) * s
    return q


def _newton_cost(problem: Problem, got: Evaluation) -> NDArray[np.float64]:
    """(classes,), in multiply-adds of a large matrix product."""
    counts = np.count_nonzero(got.residual, axis=1).astype(np.float64)
    r = problem.A.shape[1]
    in_samples = SMALL_MATRIX * counts**3 / 3 + problem.gram_cost * counts**2
    in_coordinates = SMALL_MATRIX * r**3 / 3 + counts * r**2
    return np.asarray(np.minimum(in_samples, in_coordinates))


def _newton(
    problem: Problem, state: _State, loss: SquaredHinge, got: Evaluation, direction: Floats, c: float, budget: float
) -> None:
    """Replace the direction of each class with few active samples, or of few coordinates, by the exact Newton step."""
    few = np.flatnonzero(_newton_cost(problem, got) < max(budget * problem.A.size, DIRECT_CHEAP))
    if not len(few):
        return
    dual = np.zeros((len(few), problem.A.shape[0]), state.W.dtype)
    for row, k in enumerate(few):
        active = np.flatnonzero(got.residual[k])
        weights = np.broadcast_to(loss.weights[k if len(loss.weights) > 1 else 0], loss.signs.shape[1:])[active]
        target, weights = loss.signs[k, active], 2 * c * weights
        if _in_coordinates(problem, len(active)):
            _replace(direction, k, _ridge(problem.A[active], weights, target) - state.W[k])
            continue
        assert problem.gram is not None
        gram = problem.gram(active)
        gram.flat[:: len(gram) + 1] += 1 / weights
        dual[row, active] = _posv(gram, target)
    used = np.flatnonzero(dual.any(axis=1) & np.isfinite(dual).all(axis=1))
    if len(used):
        direction[few[used]] = dual[used] @ problem.A - state.W[few[used]]


def _in_coordinates(problem: Problem, active: int) -> bool:
    """Solve in the coordinates where they are fewer; in float64 always, since A^T a cancels where columns are large."""
    r = problem.A.shape[1]
    return r < active or (problem.A.dtype == np.float64 and r <= DOUBLE_COORDINATES)


def _replace(direction: Floats, row: Any, step: Floats) -> None:
    if np.isfinite(step).all():
        direction[row] = step


def _ridge(A: Floats, weights: Floats, target: Floats) -> Floats:
    """The w that minimises |w|^2 + sum_i weights_i (target_i - w x_i)^2."""
    hessian = A.T @ (A * weights[:, None])
    hessian.flat[:: len(hessian) + 1] += 1
    return _posv(hessian, A.T @ (weights * target))


def _posv(matrix: Floats, target: Floats) -> Floats:
    """Solve with a positive definite matrix, which is overwritten; NaN where it is not."""
    (posv,) = get_lapack_funcs(("posv",), (matrix,))
    _, solution, info = posv(matrix.T, target, overwrite_a=True)
    return np.asarray(solution) if info == 0 else np.full_like(target, np.nan)
