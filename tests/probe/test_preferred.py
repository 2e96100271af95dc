"""Which C is taken where held-out images cannot tell several apart; and a search with only rounding left."""

from __future__ import annotations

import numpy as np
import pytest

from decaf.errors import ProbeError
from decaf.probe import LinearProbeCV
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


def test_a_line_search_with_nothing_but_rounding_left_ends_quietly() -> None:
    """The slope is the same everywhere and its sign is that of an error: there is no division by its rise."""
    slope = np.array([[2.7e-31]])
    t, _ = secant(slope, lambda t: (t, slope + 0 * t), 0.5)
    assert np.isfinite(t).all()
