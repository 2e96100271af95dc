"""Exact search: what a comparison with every row in float64 gives, however close or odd the rows are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from decaf.search.exact import by_bounds, by_scan, top
from decaf.search.matrix import Matrix, Metric, Query, matrix_of, scan, scan_error
from decaf.search.sketch import Sketch, find_basis, sketch_of, units_of

METRICS: tuple[Metric, ...] = ("cosine", "l2")


def sketched(matrix: Matrix, size: int) -> Sketch:
    basis = find_basis(matrix)[:, :size]
    blocks = [sketch_of(units_of(matrix, start), basis) for start in range(0, len(matrix), 4096)]
    return Sketch(basis, np.concatenate(blocks))


def brute(x: NDArray[Any], query: NDArray[Any], metric: Metric, k: int) -> tuple[list[int], NDArray[np.float64]]:
    """SciPy's distances, sorted; of equal ones the first row first."""
    name = "cosine" if metric == "cosine" else "euclidean"
    distances = cdist(query[None].astype(np.float64), x.astype(np.float64), name)[0]
    order = np.argsort(distances, kind="stable")[:k]
    return order.tolist(), 1 - distances[order] if metric == "cosine" else -(distances[order] ** 2)


def clouds(n: int, d: int, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(n // 20, 1), d))
    x = centres[random.integers(0, len(centres), n)] + random.normal(0, 0.3, (n, d))
    return np.maximum(x, 0).astype(np.float32) * random.uniform(0.5, 2, (n, 1)).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_scan_and_bounds_agree_with_scipy(metric: Metric) -> None:
    x = clouds(3000, 64)
    matrix = matrix_of(x)
    sketch = sketched(matrix, 16)
    for row in (0, 17, 2999):
        query = Query(x[row].astype(np.float64) + 0.1, metric, matrix.usable)
        rows, keys = brute(x, query.vector, metric, 10)
        for found in (
            by_scan(matrix, query, 10),
            by_bounds(matrix, query, 10, sketch.bounds(query.unit[None])[0].astype(np.float64)),
        ):
            assert found[0].tolist() == rows
            assert found[1] == pytest.approx(keys, rel=1e-9, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(1, 50),
    st.sampled_from(METRICS),
    st.sampled_from([0.0, 1e-7, 1e-4, 1.0]),
    st.sampled_from([1e-20, 1.0, 1e20]),
)
def test_bounds_and_scan_never_differ(
    seed: int, n: int, d: int, k: int, metric: Metric, spread: float, scale: float
) -> None:
    """Rows that float32 can hardly tell apart, zeros, and all sizes; float64 decides in both."""
    random = np.random.default_rng(seed)
    x = ((random.normal(size=d) + spread * random.normal(size=(n, d))) * scale).astype(np.float32)
    x[random.random(n) < 0.1] = 0
    matrix = matrix_of(x)
    allowed = random.random(n) < 0.8
    query = Query(random.normal(size=d) * scale, metric, allowed)
    every = np.flatnonzero(allowed)
    expected = top(every, query.keys(matrix, every), k)
    upper = (
        sketched(matrix, 1 + seed % d).bounds(query.unit[None])[0].astype(np.float64) if matrix.norms.any() else None
    )
    for found in (by_scan(matrix, query, k), by_bounds(matrix, query, k, upper) if upper is not None else expected):
        assert found[0].tolist() == expected[0].tolist()
        assert found[1].tolist() == expected[1].tolist()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 90), st.sampled_from([1e-20, 1.0, 1e20]))
def test_no_cosine_errs_by_more_than_is_said(seed: int, d: int, scale: float) -> None:
    """Sums that cancel, and vectors as alike as can be: the worst for float32."""
    random = np.random.default_rng(seed)
    x = (random.normal(size=(50, d)) * scale).astype(np.float32)
    x[10:] = x[0] * random.uniform(0.5, 2, (40, 1)).astype(np.float32)
    matrix = matrix_of(x)
    unit = x[0].astype(np.float64) / np.linalg.norm(x[0].astype(np.float64))
    exact = 1 - cdist(unit[None], x.astype(np.float64), "cosine")[0]
    assert np.abs(scan(matrix, unit[None])[0] - exact).max() <= scan_error(d)
    sketch = sketched(matrix, max(d // 4, 1))
    bounds = sketch.bounds(unit[None])[0].astype(np.float64)
    assert (bounds >= exact - 1e-15).all(), "a bound below what it bounds"


def test_equal_rows_come_in_order_and_the_scan_takes_over() -> None:
    matrix = matrix_of(np.ones((5000, 8), np.float32))
    query = Query(np.ones(8), "cosine", matrix.usable)
    upper = sketched(matrix, 2).bounds(query.unit[None])[0].astype(np.float64)
    for rows, keys in (by_scan(matrix, query, 7), by_bounds(matrix, query, 7, upper)):
        assert rows.tolist() == list(range(7)) and keys == pytest.approx(1)


def test_rows_that_are_no_numbers_or_not_allowed_are_not_found() -> None:
    x = clouds(40, 6)
    x[3], x[5, 2], x[7] = np.nan, np.inf, 3e38
    matrix = matrix_of(x)
    assert np.flatnonzero(~matrix.usable).tolist() == [3, 5, 7]
    allowed = matrix.usable
    allowed[[0, 1]] = False
    for metric in METRICS:
        rows, keys = by_scan(matrix, Query(x[0].astype(np.float64), metric, allowed), 100)
        assert len(rows) == 35 and not {0, 1, 3, 5, 7} & set(rows.tolist())
        assert (np.diff(keys) <= 0).all() and np.isfinite(keys).all()
        nothing = by_scan(matrix, Query(x[0].astype(np.float64), metric, np.zeros(40, bool)), 5)
        assert len(nothing[0]) == 0


def test_halves_are_searched_as_what_they_are() -> None:
    x = clouds(500, 16).astype(np.float16)
    query = x[3].astype(np.float64) + 0.05
    matrix = matrix_of(x)
    assert by_scan(matrix, Query(query, "cosine", matrix.usable), 5)[0].tolist() == brute(x, query, "cosine", 5)[0]


def test_many_queries_at_once_are_the_same_as_one_by_one() -> None:
    x = clouds(9000, 12)
    matrix = matrix_of(x)
    units = x[:5].astype(np.float64) / np.linalg.norm(x[:5].astype(np.float64), axis=1, keepdims=True)
    together = scan(matrix, units)
    for unit, cosines in zip(units, together, strict=True):
        assert scan(matrix, unit[None])[0] == pytest.approx(cosines, abs=2 * scan_error(12))
