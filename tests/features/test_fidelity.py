"""Cosines between what two engines make of the same pictures, over batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from decaf.engines import Engine, Runtime
from decaf.features.fidelity import compare, cosine, usual_layers
from tests.features.small_nets import narrow_caffenet

PICTURES = [np.full((2, 2, 3), index, np.uint8) for index in range(5)]
DIRECTIONS = np.array([[1, 0], [0, 1], [3, 4], [-1, 0], [0, 2]], np.float32)


class Turning:
    """An engine whose only layer is a direction for each picture, turned by an angle for some of them."""

    def __init__(self, angles: Sequence[float], batch: int) -> None:
        self.runtime = Runtime("stub", "1", "none", "f32", 1, batch)
        self.sizes = (2,)
        turns = [np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]) for a in angles]
        self._rows = np.array([turn @ row for turn, row in zip(turns, DIRECTIONS, strict=True)], np.float32)

    def run(self, pictures: Sequence[NDArray[np.uint8]], views: Sequence[int] = ()) -> tuple[NDArray[np.float32], ...]:
        assert len(pictures) <= self.runtime.batch
        return (self._rows[[int(picture[0, 0, 0]) for picture in pictures]],)


def engines(batch: int) -> tuple[Engine, Engine]:
    return Turning([0] * 5, 4), Turning([0, 0, 0.1, 0, 0.4], batch)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_mean_worst_and_apart_do_not_depend_on_batches(batch: int) -> None:
    (near,) = compare(["layer"], *engines(batch), PICTURES)
    assert near.layer == "layer"
    assert near.mean == pytest.approx((3 + math.cos(0.1) + math.cos(0.4)) / 5, abs=1e-6)
    assert near.worst == pytest.approx(math.cos(0.4), abs=1e-6)
    assert near.apart == pytest.approx((0 + 0.8 - 0.6 + 0) / 4, abs=1e-6)


def test_progress_counts_every_picture() -> None:
    told: list[tuple[int, int]] = []
    compare(["layer"], *engines(2), PICTURES, lambda *now: told.append(now))
    assert told == [(2, 0), (2, 0), (1, 0)]


@pytest.mark.parametrize(
    ("a", "b", "expected"), [([0, 0], [0, 0], 1), ([0, 0], [0, 1], 0), ([1e30, 0], [1e30, 0], 1), ([1, 0], [-2, 0], -1)]
)
def test_cosine_of_zeros_and_of_large_numbers(a: list[float], b: list[float], expected: float) -> None:
    assert cosine(np.array(a, np.float32), np.array(b, np.float32)) == pytest.approx(expected)


def test_a_number_that_is_none_passes_no_gate() -> None:
    from decaf.features.quantize import Gate

    broken = Turning([0, 0, math.nan, 0, 0], 4)
    (near,) = compare(["layer"], Turning([0] * 5, 4), broken, PICTURES)
    assert math.isnan(near.mean) and math.isnan(near.worst)
    assert not Gate(0.0, -1.0).lets_through(near)


def test_usual_layers_are_the_named_ones_else_the_ends_of_resolutions() -> None:
    net = narrow_caffenet()
    assert [layer.name for layer in usual_layers(net)] == ["pool2", "relu6"]
    nameless = replace(net, aliases={})
    assert [layer.name for layer in usual_layers(nameless)] == ["relu1", "relu2", "pool2", "relu6"]
