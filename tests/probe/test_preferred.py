"""Which C is taken where held-out images cannot tell several apart; and a search with only rounding left."""

from __future__ import annotations

import numpy as np
import pytest

from decaf.errors import ProbeError
from decaf.probe import LinearProbe, LinearProbeCV
from decaf.probe.losses import secant

CS = [0.001, 0.01, 0.1, 1.0, 10.0]


def separable() -> tuple[np.ndarray, np.ndarray]:
    y = np.repeat([0, 1, 2], 6)
    return 3 * np.eye(3)[y] + 0.01 * np.random.default_rng(0).normal(size=(18, 3)), y


@pytest.mark.parametrize(("preferred", "chosen"), [(None, 0.001), (0.1, 0.1), (0.04, 0.1), (0.02, 0.01), (500.0, 10.0)])
def test_of_equal_values_the_nearest_to_the_preferred_one_is_taken(preferred: float | None, chosen: float) -> None:
    probe = LinearProbeCV(Cs=CS, cv=3, C_preferred=preferred, random_state=0).fit(*separable())
    assert (probe.scores_ == 1).all() and chosen == probe.C_


def test_a_better_value_wins_over_the_preferred_one() -> None:
    random = np.random.default_rng(1)
    y = np.repeat([0, 1], 40)
    X = y[:, None] * 0.8 + random.normal(size=(80, 30))
    X[:, 0] = y + 0.1 * random.normal(size=80)
    probe = LinearProbeCV(Cs=[1e-7, 1.0], cv=4, C_preferred=1e-7, random_state=0).fit(X, y)
    assert probe.scores_[0, 1] > probe.scores_[0, 0] and probe.C_ == 1


def test_a_preferred_value_that_is_none_is_refused() -> None:
    with pytest.raises(ProbeError, match="C = -1: give a number above 0"):
        LinearProbeCV(C_preferred=-1).fit(*separable())


@pytest.mark.parametrize("seed", range(3))
def test_the_refit_is_the_optimum_even_where_the_solution_of_a_fold_is_far_from_it(seed: int) -> None:
    """At a large C a row that a fold has not seen may lie far on the wrong side, where softmax is flat."""
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(6), 3)
    X = 20 * (random.normal(size=(6, 20))[y] + random.normal(size=(18, 20)))
    probe = LinearProbeCV("logistic", Cs=[1e3], cv=3, tol=1e-3, random_state=0).fit(X, y)  # warns where it is not
    alone = LinearProbe("logistic", C=1e3, tol=1e-3).fit(X, y)
    np.testing.assert_allclose(probe.coef_, alone.coef_, atol=2e-3 * np.abs(alone.coef_).max())
    assert probe.gap_ <= 1e-3 and probe.n_iter_ < 300


def test_a_line_search_with_nothing_but_rounding_left_ends_quietly() -> None:
    """The slope is the same everywhere and its sign is that of an error: there is no division by its rise."""
    slope = np.array([[2.7e-31]])
    t, _ = secant(slope, lambda t: (t, slope + 0 * t), 0.5)
    assert np.isfinite(t).all()
