"""The transform of the target that serves given hyperplanes best: the W step of `MMDT`, without ever making W.

Minimises over W, for hyperplanes theta_k (the rows of `planes`) and target rows x_j,

    J(W) = weight / 2 |W - I|_F^2 + cost sum_kj max(0, 1 - y_kj theta_k^T W x_j)^2.

J depends on W - I through theta_k^T (W - I) x_j alone, so that the best W is I + L B R^T with orthonormal columns L
spanning the hyperplanes and R spanning the rows (Hoffman et al. 2013, section 3; Kulis et al. 2011, theorem 1). With
planes = U L^T and rows = V R^T the margins are those of U B V^T: a problem in B, of ranks r x s, strictly convex and
piecewise quadratic, solved by Newton's method with exact line searches. Its Hessian, weight + 2 cost times a sum over
violated margins of Kronecker products u_k v_j^T, is only ever multiplied with: conjugate gradients, preconditioned by
the Hessian of all margins, which is diagonal as U and V have orthogonal columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from decaf.errors import AdaptError
from decaf.probe.losses import Floats, Line, SquaredHinge

STEPS = 100  # of Newton's method, which ends after ten or so
RISE = 10.0  # of the cost, from one problem on the way to the next
ROUGHLY = 1e-2  # relative gap of problems on the way
CG_STEPS = 500  # of one Newton step
FORCING = 1e-3  # relative residual of a Newton step


@dataclass(frozen=True, eq=False)
class LowRank:
    """I + left core right^T.

    Attributes:
        left: (e, r); right: (e, s): orthonormal columns, float64.
        core: (r, s).
    """

    left: Floats
    core: Floats
    right: Floats

    @classmethod
    def identity(cls, e: int) -> LowRank:
        """That of (e, e)."""
        return cls(np.zeros((e, 0)), np.zeros((0, 0)), np.zeros((e, 0)))

    def __call__(self, X: Floats) -> Floats:
        """(n, e) rows x become W x, of the same dtype."""
        left, core, right = (part.astype(X.dtype) for part in (self.left, self.core, self.right))
        return np.asarray(X + (X @ right) @ core.T @ left.T)

    def distance(self) -> float:
        """|W - I|_F."""
        return float(np.linalg.norm(self.core))

    def matrix(self) -> Floats:
        """(e, e) float64."""
        return np.asarray(np.eye(len(self.left)) + self.left @ self.core @ self.right.T)


def best_transform(planes: Floats, X: Floats, signs: Floats, cost: float, weight: float, tol: float) -> LowRank:
    """The W that minimises J, to a duality gap of `tol`, relative.

    Args:
        planes: (k, e) hyperplanes.
        X: (n, e) rows.
        signs: (k, n) of +1 and -1: on which side of each hyperplane each row belongs.
        cost: of the loss, > 0.
        weight: of the distance from the identity, > 0.
        tol: > 0.

    Raises:
        AdaptError: rounding keeps the gap above `tol`.
    """
    (U, left), (V, right) = _spanned(planes), _spanned(X)
    problem = _Problem(U, V, planes @ X.T, SquaredHinge(signs.reshape(1, -1), np.ones((1, 1))))
    return LowRank(left, problem.minimise(cost / weight, tol), right)


def _spanned(rows: Floats) -> tuple[Floats, Floats]:
    """rows (n, e) as U Q^T: U (n, r) of orthogonal, Q (e, r) of orthonormal columns."""
    U, values, Qt = linalg.svd(rows, full_matrices=False)
    kept = values > max(rows.shape) * np.finfo(np.float64).eps * values.max(initial=0)
    return U[:, kept] * values[kept], Qt[kept].T


@dataclass(frozen=True, eq=False)
class _Problem:
    """F(B) = |B|^2 / 2 + c loss(start + U B V^T), B: (r, s). `start`: (k, n), the scores where W is the identity."""

    U: Floats
    V: Floats
    start: Floats
    loss: SquaredHinge

    def scores(self, B: Floats) -> Floats:
        """(1, k n), how they change."""
        return np.asarray(self.U @ B @ self.V.T).reshape(1, -1)

    def gathered(self, residual: Floats) -> Floats:
        """(r, s)."""
        return np.asarray(self.U.T @ residual.reshape(self.start.shape) @ self.V)

    @cached_property
    def squares(self) -> Floats:
        """(r, s) eigenvalues of the sum of squared scores."""
        return np.outer(*((part**2).sum(axis=0) for part in (self.U, self.V)))

    def minimise(self, c: float, tol: float) -> Floats:
        """The best B. Where c is large, the bests of smaller ones lead to it: few margins change sides at a time."""
        B: Floats = np.zeros((self.U.shape[1], self.V.shape[1]))
        steps = int(np.log(max(c * self.squares.max(initial=0), 1)) / np.log(RISE))
        for power in range(steps, -1, -1):
            goal = tol if power == 0 else max(tol, ROUGHLY)
            B, gap = self._descend(B, c / RISE**power, goal)
            if gap > goal:
                raise AdaptError(
                    f"the transform of the target is {gap:.0e} from its optimum, not {goal:.0e}: scale the features, "
                    "or raise tol or transform_weight"
                )
        return B

    def _descend(self, B: Floats, c: float, tol: float) -> tuple[Floats, float]:
        """Newton's method from B: where it ends, and the relative gap there."""
        margins = self.loss.margins(self.start.reshape(1, -1) + self.scores(B))
        gap = np.inf
        for _ in range(STEPS):
            got = self.loss.evaluate(margins)
            gradient = B + c * self.gathered(got.residual)
            objective = float(np.vdot(B, B)) / 2 + c * got.value.item()
            gap = float(np.vdot(gradient, gradient)) / 2 / max(objective, np.finfo(np.float64).tiny)
            if gap <= tol:  # a bound, as F is 1-strongly convex
                break
            step = self._newton(c, got.residual != 0, gradient, gap)
            change = self.loss.margins(self.scores(step))
            slope, bend, begin = (np.vdot(step, other).reshape(1, 1) for other in (B, step, gradient))
            t = float(self.loss.step(margins, change, Line(slope, bend, begin, c))[0].item())
            B, margins = B + t * step, margins + t * change
        return B, gap

    def _newton(self, c: float, violated: NDArray[np.bool_], gradient: Floats, gap: float) -> Floats:
        """Solve (1 + 2 c sum over violated margins) step = -gradient, the closer to the optimum the better."""

        def hessian(B: Floats) -> Floats:
            return B + 2 * c * self.gathered(self.scores(B) * violated)

        inverse = 1 / (1 + 2 * c * violated.mean() * self.squares)
        return _conjugate_gradients(hessian, inverse, -gradient, min(FORCING, np.sqrt(gap)))


def _conjugate_gradients(hessian: Any, inverse: Floats, target: Floats, accuracy: float) -> Floats:
    """Solve hessian(x) = target to `accuracy`, relative, preconditioned by `inverse` (Nocedal and Wright, alg. 5.3)."""
    x, left = np.zeros_like(target), target.copy()
    z = inverse * left
    direction, product = z, np.vdot(left, z)
    goal = accuracy**2 * np.vdot(left, left)
    for _ in range(CG_STEPS):
        image = hessian(direction)
        t = product / np.vdot(direction, image)
        x += t * direction
        left -= t * image
        if np.vdot(left, left) <= goal:
            break
        z = inverse * left
        product, before = np.vdot(left, z), product
        direction = z + (product / before) * direction
    return x
