"""Max-margin domain transforms (Hoffman et al., ICLR 2013): hyperplanes and a map of the target, learned together."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from decaf.adapt.base import Adapter
from decaf.adapt.domain_transform import LowRank, best_transform
from decaf.adapt.domains import Domains, Mask
from decaf.adapt.subspaces import check_asked, check_dimension, pca_basis
from decaf.errors import AdaptError
from decaf.probe import LinearProbe, ScalingWarning
from decaf.probe.losses import Floats, SquaredHinge
from decaf.probe.path import hinge_of


class MMDT(Adapter):
    """A linear map W brings target rows to where hyperplanes theta, shared by both domains, separate the classes.

    With a 1 appended to each row x, and y = +1 or -1 for each class against the rest (one hyperplane for two classes),

        J = transform_weight / 2 |W - I|_F^2 + sum_k (1/2 |theta_k|^2 + source_weight sum_i l(y_ik theta_k^T x_i)
                                                      + target_weight sum_j l(y_jk theta_k^T W x_j))

    over labelled rows i of the source and j of the target. Steps for theta and for W alternate, each to its optimum.
    W reaches target rows of all classes, those without labelled target rows with them. It is kept as I + a matrix of
    low rank: nothing of size d x d is made. The classifier has to be linear, and is a `LinearProbe`.

    l is the squared hinge max(0, 1 - m)^2. The paper writes the hinge; its code trains theta by LIBLINEAR's default,
    which is the squared one, and W with squared slacks. It makes both optima unique, and one objective for both steps.

    The settings of the published code are prepare="l2-zscore", dimension=20, transform_weight=2e4 and the other
    defaults. The paper's objective has transform_weight=1; but in its code squared slacks weigh gamma / 2 = 5e-5 in the
    step for W, and 1 in that for theta, which is the weight 2e4, and leaves W within 0.01 of I. The code ends with a
    step for W, this with one more for theta.

    Args:
        source_weight, target_weight: of the loss of each labelled row.
        transform_weight: > 0, of W's distance from the identity.
        dimension: project all rows, once they are prepared, onto so many principal directions of both domains
            together; None: keep them.
        max_iter: how many times W is learned, at most.
        tol: of each step, the relative gap to its optimum; the alternation ends where J falls by less.
        prepare: see `SourceOnly`.

    Attributes:
        objective_: J after each step, the first for theta with W = I; it never rises.
        n_iter_: how many times W was learned.
        estimator_: theta, a `LinearProbe` without a bias of its own on rows with a 1 appended, target rows mapped.

    Example:
        >>> model = MMDT(prepare="l2-zscore", dimension=20).fit(X, y, sample_domain=domain)   # y = -1: no label
        >>> model.predict(X_target)
    """

    _needs_target_labels = True

    def __init__(
        self,
        source_weight: float = 0.05,
        target_weight: float = 1.0,
        transform_weight: float = 1.0,
        dimension: int | None = None,
        max_iter: int = 2,
        tol: float = 1e-8,
        prepare: str = "none",
    ) -> None:
        self.source_weight = source_weight
        self.target_weight = target_weight
        self.transform_weight = transform_weight
        self.dimension = dimension
        self.max_iter = max_iter
        self.tol = tol
        self.prepare = prepare

    def transform_matrix(self) -> Floats:
        """W, (e + 1, e + 1) float64: maps prepared, projected rows with a 1 appended. e is d, or `dimension`."""
        return self._transform.matrix()

    def classifier(self) -> LinearProbe:
        """A fresh probe for the step for theta."""
        return LinearProbe(C=1.0, fit_intercept=False, tol=self.tol)

    def _align(self, domains: Domains) -> None:
        self._check()
        self._directions = None if self.dimension is None else _directions(domains, self.dimension)

    def _check(self) -> None:
        for name in ("source_weight", "target_weight", "transform_weight", "tol"):
            value = getattr(self, name)
            if not (np.isreal(value) and 0 < value < np.inf):
                raise AdaptError(f"{name} = {value!r}: give a number above 0")
        if not self.max_iter >= 1:
            raise AdaptError(f"max_iter = {self.max_iter!r}: give 1 or more")

    def _coordinates(self, X: Floats, target: Mask) -> Floats:
        found = self._with_ones(X)
        found[target] = self._transform(found[target])
        return found

    def _with_ones(self, X: Floats) -> Floats:
        if self._directions is not None:
            X = np.asarray(X @ self._directions.astype(X.dtype))
        return np.concatenate([X, np.ones((len(X), 1), X.dtype)], axis=1)

    def _fit_on(self, X: Floats, y: NDArray[np.intp], target: Mask) -> LinearProbe:
        weights = np.where(target, self.target_weight, self.source_weight)
        rows = self._with_ones(np.asarray(X, np.float64))
        problem = _Problem(rows, y, target, weights, self.transform_weight, self.classifier)
        state, self.objective_ = _alternate(problem, self.max_iter, self.tol)
        self._transform, self.n_iter_ = state.transform, len(self.objective_) // 2
        return state.probe


@dataclass(frozen=True, eq=False)
class _State:
    """W, and theta as the coefficients of a probe."""

    transform: LowRank
    probe: LinearProbe


@dataclass(frozen=True, eq=False)
class _Problem:
    """J and the two steps. X: (n, e + 1) float64 with the 1 appended; y: (n,) class indices; weights: (n,)."""

    X: Floats
    y: NDArray[np.intp]
    target: Mask
    weights: Floats
    transform_weight: float
    classifier: Callable[[], LinearProbe]

    @cached_property
    def loss(self) -> SquaredHinge:
        return hinge_of(self.y, self.weights, np.ones(int(self.y.max()) + 1))

    def mapped(self, transform: LowRank) -> Floats:
        """X, its target rows transformed."""
        X = self.X.copy()
        X[self.target] = transform(X[self.target])
        return X

    def objective(self, state: _State) -> float:
        """J."""
        planes = state.probe.coef_
        margins = self.loss.margins(planes @ self.mapped(state.transform).T)
        loss = float(self.loss.evaluate(margins).value.sum())
        return self.transform_weight / 2 * state.transform.distance() ** 2 + float(np.vdot(planes, planes)) / 2 + loss

    def planes_step(self, transform: LowRank) -> _State:
        """The best theta for W."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScalingWarning)  # of the time float64 takes, which `tol` needs anyway
            return _State(transform, self.classifier().fit(self.mapped(transform), self.y, self.weights))

    def transform_step(self, probe: LinearProbe, tol: float) -> _State:
        """The best W for theta."""
        signs, cost = self.loss.signs[:, self.target], float(self.weights[self.target][0])
        transform = best_transform(probe.coef_, self.X[self.target], signs, cost, self.transform_weight, tol)
        return _State(transform, probe)


def _alternate(problem: _Problem, max_iter: int, tol: float) -> tuple[_State, list[float]]:
    """Where the steps end, and J after each.

    A step ends `tol` from its optimum, which may be where it began: it is taken back unless J fell.
    """
    state = problem.planes_step(LowRank.identity(problem.X.shape[1]))
    objective = [problem.objective(state)]
    for _ in range(max_iter):
        for step in ("W", "theta"):
            found = problem.transform_step(state.probe, tol) if step == "W" else problem.planes_step(state.transform)
            J = problem.objective(found)
            fell = objective[-1] > J
            state = found if fell else state
            objective.append(J if fell else objective[-1])
        if objective[-3] - objective[-1] <= tol * objective[-3]:
            break
    return state, objective


def _directions(domains: Domains, k: int) -> Floats:
    """(d, k): principal directions of all rows of both domains."""
    most = min(domains.X.shape[1], len(domains.X) - 1)
    basis = pca_basis(domains.X, check_asked(k, domains.rows(False), domains.rows(True), most))
    check_dimension(k, [basis], ("both domains together",))
    return basis
