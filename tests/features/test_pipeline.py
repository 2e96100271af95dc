"""Rows come out in order, broken ones marked, whatever finishes first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from decaf.errors import ImageError
from decaf.features.pipeline import Load, Sample, compute
from decaf.images.decode import Origin
from tests.features.helpers import MeanEngine


def picture(row: int) -> NDArray[np.uint8]:
    return np.full((4, 4, 3), row % 251, np.uint8)


def one_by_one(load: Callable[[int], NDArray[np.uint8]]) -> Load:
    def sample(row: int) -> Sample:
        try:
            return Sample((load(row),))
        except ImageError as error:
            return Sample((), str(error))

    return lambda rows: list(map(sample, rows))


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

    blocks = list(compute(ranges, one_by_one(load), MeanEngine(threads=3)))
    assert [block.rows for block in blocks] == ranges
    for block in blocks:
        assert block.errors == tuple(f"row {row}" if row in broken else None for row in block.rows)
        expected = np.array([0 if row in broken else row % 251 for row in block.rows], np.float32)
        np.testing.assert_array_equal(block.features[0], np.tile(expected[:, None], 3))
        np.testing.assert_array_equal(block.features[1], np.tile(expected[:, None], 6))


def test_nothing_gives_nothing() -> None:
    assert list(compute([], one_by_one(picture), MeanEngine())) == []


def test_progress_adds_up_to_rows_and_broken_rows() -> None:
    def load(row: int) -> NDArray[np.uint8]:
        if row % 5 == 0:
            raise ImageError("no")
        return picture(row)

    told: list[tuple[int, int]] = []
    list(
        compute(
            [range(10), range(10, 23)], one_by_one(load), MeanEngine(), lambda rows, broken: told.append((rows, broken))
        )
    )
    assert np.sum(told, axis=0).tolist() == [23, 5]


def test_an_unexpected_error_ends_the_run_and_its_threads() -> None:
    def load(row: int) -> NDArray[np.uint8]:
        if row == 7:
            raise ZeroDivisionError("a fault")
        return picture(row)

    before = set(threading.enumerate())  # another test's server may live on
    with pytest.raises(ZeroDivisionError, match="a fault"):
        list(compute([range(100_000)], one_by_one(load), MeanEngine()))
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("decaf")]


def test_work_does_not_run_far_ahead_of_what_is_taken() -> None:
    seen: list[int] = []

    def load(row: int) -> NDArray[np.uint8]:
        seen.append(row)
        return picture(row)

    endless = (range(start, start + 10) for start in count(0, 10))
    blocks = compute(endless, one_by_one(load), MeanEngine(threads=2, batch=2))
    next(blocks)
    time.sleep(0.2)
    assert len(seen) < 150
    blocks.close()


def views(row: int, count: int) -> tuple[NDArray[np.uint8], ...]:
    return tuple(np.random.default_rng((row, view)).integers(0, 256, (4, 4, 3), np.uint8) for view in range(count))


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    broken=st.sets(st.integers(0, 40)),
    each=st.sampled_from([1, 2, 10]),
    batch=st.integers(1, 7),
    threads=st.integers(1, 3),
    at_a_time=st.integers(0, 15),
)
@settings(max_examples=60, deadline=None, database=None)
def test_a_row_is_the_mean_of_its_pictures_whatever_the_batch(
    sizes: list[int], broken: set[int], each: int, batch: int, threads: int, at_a_time: int
) -> None:
    ends = np.cumsum(sizes)
    ranges = [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    def load(rows: Sequence[int]) -> list[Sample]:
        return [Sample((), f"row {row}") if row in broken else Sample(views(row, each)) for row in rows]

    blocks = list(compute(ranges, load, MeanEngine(threads, batch), at_a_time=at_a_time))
    assert [block.rows for block in blocks] == ranges
    for block in blocks:
        assert block.errors == tuple(f"row {row}" if row in broken else None for row in block.rows)
        for layer, size in enumerate(MeanEngine().sizes):
            values = block.features[layer]
            assert values.shape == (len(block.rows), size) and values.dtype == np.float32
            for row, value in zip(block.rows, values, strict=True):
                one_by_one = [MeanEngine().run([picture])[layer][0] for picture in views(row, each)]
                expected = np.zeros(size) if row in broken else np.mean(one_by_one, axis=0, dtype=np.float64)
                np.testing.assert_array_equal(value, expected.astype(np.float32))


@given(sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5), at_a_time=st.integers(0, 9))
@settings(max_examples=40, deadline=None, database=None)
def test_rows_are_taken_a_few_at_a_time_and_never_across_blocks(sizes: list[int], at_a_time: int) -> None:
    ends = np.cumsum(sizes)
    ranges = [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    taken: list[range] = []

    def load(rows: Sequence[int]) -> list[Sample]:
        assert isinstance(rows, range)
        taken.append(rows)
        return [Sample((picture(row),)) for row in rows]

    list(compute(ranges, load, MeanEngine(batch=4), at_a_time=at_a_time))
    step = at_a_time or 4
    parts = [block[start : start + step] for block in ranges for start in range(0, len(block), step)]
    assert sorted(taken, key=lambda rows: rows.start) == parts


def test_rows_in_any_order_keep_it() -> None:
    rows = [5, 3, 9, 3, 0]
    (block,) = compute([rows], one_by_one(picture), MeanEngine(), at_a_time=2)
    assert block.rows == rows and block.features[0][:, 0].tolist() == rows


def test_what_a_file_was_stays_with_its_row() -> None:
    def load(rows: Sequence[int]) -> list[Sample]:
        origins = [None if row == 2 else Origin(row, 10 * row, f"{row:x}") for row in rows]
        return [
            Sample((picture(row),) if row % 3 else (), None if row % 3 else "broken", origin)
            for row, origin in zip(rows, origins, strict=True)
        ]

    (block,) = compute([range(10)], load, MeanEngine(), at_a_time=3)
    assert block.origins == tuple(None if row == 2 else Origin(row, 10 * row, f"{row:x}") for row in range(10))
