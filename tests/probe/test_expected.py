"""The expected loss is the mean over masks, its gradient is right, and the probe minimises it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad

from decaf.errors import ProbeError
from decaf.probe import LinearProbe, LinearProbeCV
from decaf.probe.expected import _Objective
from decaf.probe.path import Labelled


def problem(loss: str, d: int = 200, classes: int = 3) -> tuple[_Objective, np.ndarray]:
    random = np.random.default_rng(0)
    X, y = np.abs(random.standard_normal((30, d))), np.arange(30) % classes
    data = Labelled(X, y.astype(np.intp), random.uniform(0.5, 2, 30), np.ones(classes))
    objective = _Objective(data, loss, 0.4, np.arange(30))
    return objective, random.standard_normal((objective.outputs, d + 1)) / np.sqrt(d)


@pytest.mark.parametrize("loss", ["svm", "logistic"])
def test_gradient(loss: str) -> None:
    objective, W = problem(loss, 12)

    def value(flat: np.ndarray) -> float:
        return objective.value(flat.reshape(W.shape), 0.7)[0]

    def gradient(flat: np.ndarray) -> np.ndarray:
        return objective.value(flat.reshape(W.shape), 0.7)[1].ravel()

    assert check_grad(value, gradient, W.ravel()) < 1e-4 * np.abs(gradient(W.ravel())).max()


def test_it_is_the_mean_over_masks() -> None:
    random = np.random.default_rng(1)
    for loss in ("svm", "logistic"):
        objective, W = problem(loss)
        penalty = objective.value(W, 0)[0]
        total = []
        for _ in range(4000):
            scores = W[:, :-1] @ (objective.X * (random.random(objective.X.shape) >= 0.4)).T + W[:, -1:]
            if loss == "svm":
                total.append(np.sum(objective.weights * np.maximum(1 - objective.signs * scores, 0) ** 2))
            else:
                right = scores[objective.y, np.arange(30)]
                total.append(np.sum(objective.weights * (np.logaddexp.reduce(scores, axis=0) - right)))
        expected = objective.value(W, 1)[0] - penalty
        if loss == "svm":
            assert abs(expected / np.mean(total) - 1) < 0.01
        else:  # an upper bound
            assert np.mean(total) * 0.999 < expected < np.mean(total) * 1.1


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
