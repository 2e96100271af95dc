"""Engines take turns, and ratios are of numbers of one round."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from decaf.engines import Runtime
from decaf.engines.race import race, ratio


class Slow:
    """An engine that takes a while for a batch and writes down its turns."""

    def __init__(self, name: str, seconds: float, batch: int, turns: list[str]) -> None:
        self.runtime = Runtime("stub", "1", "none", "f32", 1, batch)
        self.sizes = (1,)
        self._name, self._seconds, self._turns = name, seconds, turns

    def run(self, pictures: Sequence[NDArray[np.uint8]], views: Sequence[int] = ()) -> tuple[NDArray[np.float32], ...]:
        assert len(pictures) == self.runtime.batch
        time.sleep(self._seconds)
        self._turns.append(self._name)
        return (np.zeros((len(pictures), 1), np.float32),)


def test_engines_take_turns_and_the_quicker_is_told() -> None:
    turns: list[str] = []
    pictures = [np.zeros((2, 2, 3), np.uint8)] * 3
    rates = race({"a": Slow("a", 0.01, 64, turns), "b": Slow("b", 0.02, 32, turns)}, pictures, rounds=3)
    assert turns == ["a", "b", "b"] * 4  # one round does not count
    assert [len(rates[name]) for name in "ab"] == [3, 3]
    assert ratio(rates, "a", "b") > 1.2  # 4, but for a busy machine


def test_a_ratio_is_the_median_over_rounds() -> None:
    rates = {"a": [100.0, 10.0, 100.0], "b": [50.0, 1.0, 200.0]}  # the second round was disturbed
    assert ratio(rates, "a", "b") == pytest.approx(2)
