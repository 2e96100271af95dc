"""The expected loss is the mean over masks, its gradient is right, and the probe minimises it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad

from decaf.errors import ProbeError
from decaf.probe import LinearProbe, LinearProbeCV
from decaf.probe.expected import ExpectedPath, ExpectedProblem
from decaf.probe.path import Labelled, Settings
from decaf.probe.solver import Point

DROPOUT = 0.4


def problem(loss: str, d: int = 200, classes: int = 3) -> tuple[ExpectedProblem, np.ndarray, ExpectedPath]:
    random = np.random.default_rng(0)
    X, y = np.abs(random.standard_normal((30, d))), np.arange(30) % classes
    data = Labelled(X, y.astype(np.intp), random.uniform(0.5, 2, 30), np.ones(classes))
    path = ExpectedPath(data, Settings(loss), DROPOUT)
    made = path._make_problem(None)
    return made, random.standard_normal((made.loss.classes, d + 1)) / np.sqrt(d), path


def value(made: ExpectedProblem, W: np.ndarray) -> float:
    """The loss, without C and the penalty."""
    return float(made.loss.evaluate(made.margins(W)).value.sum())


@pytest.mark.parametrize("loss", ["svm", "logistic"])
def test_the_gradient_is_that_of_the_loss(loss: str) -> None:
    made, W, _ = problem(loss, 12)

    def gradient(flat: np.ndarray) -> np.ndarray:
        weights = flat.reshape(W.shape)
        return made.pull(made.loss.evaluate(made.margins(weights)).residual, weights).ravel()

    error = check_grad(lambda flat: value(made, flat.reshape(W.shape)), gradient, W.ravel())
    assert error < 1e-4 * np.abs(gradient(W.ravel())).max()


@pytest.mark.parametrize("loss", ["svm", "logistic"])
def test_a_step_along_a_direction_gives_the_margins_there(loss: str) -> None:
    made, W, _ = problem(loss, 12)
    D = np.random.default_rng(1).standard_normal(W.shape)
    t = np.full((len(W) if loss == "svm" else 1, 1), 0.7)
    moved = made.loss.move(made.margins(W), made.change(made.loss, W, D), t)
    np.testing.assert_allclose(moved, made.margins(W + 0.7 * D), atol=1e-12)
    before, here = (Point(weights, made.margins(weights), weights) for weights in (W, W + 0.5 * D))
    way = made.way(here, before)
    ahead = made.loss.move(here.margins.copy(), way.change, t)
    np.testing.assert_allclose(ahead, made.margins(W + 0.85 * D), atol=1e-12)


@pytest.mark.parametrize("loss", ["svm", "logistic"])
def test_it_is_the_mean_over_masks(loss: str) -> None:
    random = np.random.default_rng(1)
    made, W, path = problem(loss)
    y, weights = path.data.y, path.data.weights
    coef, bias = path.design.coefficients(W)
    total = []
    for _ in range(4000):
        masked = path.data.X * (random.random(path.data.X.shape) >= DROPOUT)
        scores = coef @ masked.T + bias[:, None]
        if loss == "svm":
            signs = np.where(y == np.arange(3)[:, None], 1, -1)
            total.append(np.sum(weights * np.maximum(1 - signs * scores, 0) ** 2))
        else:
            total.append(np.sum(weights * (np.logaddexp.reduce(scores, axis=0) - scores[y, np.arange(30)])))
    ratio = value(made, W) / np.mean(total)
    assert abs(ratio - 1) < 0.01 if loss == "svm" else 0.999 < ratio < 1.1  # logistic: an upper bound


@pytest.mark.parametrize("loss", ["svm", "logistic"])
@pytest.mark.parametrize("classes", [2, 3])
def test_many_copies_come_close_to_it(loss: str, classes: int) -> None:
    random = np.random.default_rng(2)
    y = np.arange(60) % classes
    X = np.abs(random.standard_normal((classes, 80))[y] + random.standard_normal((60, 80)))
    options = {"loss": loss, "C": 0.02, "dropout": 0.5, "random_state": 0}
    exact = LinearProbe(dropout_form="expected", **options).fit(X, y)
    near, far = (LinearProbe(n_copies=k, **options).fit(X, y) for k in (200, 1))
    assert exact.gap_ <= 1e-4

    def distance(probe: LinearProbe) -> float:
        return float(np.linalg.norm(probe.coef_ - exact.coef_) / np.linalg.norm(exact.coef_))

    assert distance(near) < 0.2 and distance(near) < distance(far) / 2


def test_it_takes_part_in_the_choice_of_c() -> None:
    random = np.random.default_rng(3)
    y = np.arange(60) % 3
    X = np.abs(random.standard_normal((3, 40))[y] + random.standard_normal((60, 40)))
    probe = LinearProbeCV(dropout=0.5, dropout_form="expected", Cs=[1e-3, 1e-1], random_state=0).fit(X, y)
    alone = LinearProbe(C=probe.C_, dropout=0.5, dropout_form="expected").fit(X, y)
    np.testing.assert_allclose(probe.coef_, alone.coef_, atol=0.02 * np.abs(alone.coef_).max())
    with pytest.raises(ProbeError, match="dropout_form 'mean' is unknown: use copies or expected"):
        LinearProbe(dropout_form="mean").fit(X, y)
