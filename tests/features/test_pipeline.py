"""Rows come out in order, broken ones marked, whatever finishes first."""

from __future__ import annotations

import threading
import time
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from decaf.errors import ImageError
from decaf.features.pipeline import compute
from tests.features.helpers import MeanEngine


def picture(row: int) -> NDArray[np.uint8]:
    return np.full((4, 4, 3), row % 251, np.uint8)


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6), broken=st.sets(st.integers(0, 100)))
@settings(max_examples=40, deadline=None)
def test_every_row_is_in_its_place_and_broken_ones_say_why(sizes: list[int], broken: set[int]) -> None:
    ends = np.cumsum(sizes)
    ranges = [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    def load(row: int) -> NDArray[np.uint8]:
        time.sleep(0.0005 * (row % 3))
        if row in broken:
            raise ImageError(f"row {row}")
        return picture(row)

    blocks = list(compute(ranges, load, MeanEngine(threads=3)))
    assert [block.rows for block in blocks] == ranges
    for block in blocks:
        assert block.errors == tuple(f"row {row}" if row in broken else None for row in block.rows)
        expected = np.array([0 if row in broken else row % 251 for row in block.rows], np.float32)
        np.testing.assert_array_equal(block.features[0], np.tile(expected[:, None], 3))
        np.testing.assert_array_equal(block.features[1], np.tile(expected[:, None], 6))


def test_nothing_gives_nothing() -> None:
    assert list(compute([], picture, MeanEngine())) == []


def test_progress_adds_up_to_rows_and_broken_rows() -> None:
    def load(row: int) -> NDArray[np.uint8]:
        if row % 5 == 0:
            raise ImageError("no")
        return picture(row)

    told: list[tuple[int, int]] = []
    list(compute([range(10), range(10, 23)], load, MeanEngine(), lambda rows, broken: told.append((rows, broken))))
    assert np.sum(told, axis=0).tolist() == [23, 5]


def test_an_unexpected_error_ends_the_run_and_its_threads() -> None:
    def load(row: int) -> NDArray[np.uint8]:
        if row == 7:
            raise ZeroDivisionError("a fault")
        return picture(row)

    with pytest.raises(ZeroDivisionError, match="a fault"):
        list(compute([range(100_000)], load, MeanEngine()))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decaf")]


def test_work_does_not_run_far_ahead_of_what_is_taken() -> None:
    seen: list[int] = []

    def load(row: int) -> NDArray[np.uint8]:
        seen.append(row)
        return picture(row)

    endless = (range(start, start + 10) for start in count(0, 10))
    blocks = compute(endless, load, MeanEngine(threads=2, batch=2))
    next(blocks)
    time.sleep(0.2)
    assert len(seen) < 150
    blocks.close()
