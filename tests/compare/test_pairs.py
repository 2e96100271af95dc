"""Dissimilarities are those of SciPy, whatever the size of a tile; where they are not defined, it is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from decaf.compare import pairs
from decaf.compare.pairs import (
    count_pairs,
    dissimilarities,
    is_dissimilarity_matrix,
    pair_places,
    pair_products,
    pictures_of,
    upper_triangle,
)
from decaf.errors import CompareError

MEASURES = ("correlation", "cosine", "euclidean")


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("tile", [1, 7, 16, 1024])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scipy_finds_the_same(measure: str, tile: int, dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_TILE", tile)
    X = np.random.default_rng(0).normal(3, 1, (33, 9)).astype(dtype)
    X[5] = X[20]
    ours = dissimilarities(X, measure)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(
        ours, pdist(X.astype(np.float64), measure), atol=3e-7 if measure == "euclidean" else 1e-12
    )


def test_many_pictures_are_stored_in_half_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(20, 5))
    before = dissimilarities(X)
    monkeypatch.setattr(pairs, "_WIDE", 10)
    after = dissimilarities(X)
    assert after.dtype == np.float32
    np.testing.assert_allclose(after, before, rtol=1e-6)


def test_distances_far_from_zero_keep_their_digits() -> None:
    X = np.random.default_rng(0).normal(1e6, 1, (12, 4))
    np.testing.assert_allclose(dissimilarities(X, "euclidean"), pdist(X), rtol=1e-9)


def test_where_it_is_not_defined_it_says_so() -> None:
    X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    X[3] = 0.1
    with pytest.raises(CompareError, match="1 of 6 pictures have equal numbers, first in row 3: correlation is not"):
        dissimilarities(X)
    X[4] = 0
    with pytest.raises(CompareError, match="1 of 6 pictures have zeros only, first in row 4: cosine is not"):
        dissimilarities(X, "cosine")
    assert np.isfinite(dissimilarities(X, "euclidean")).all()
    X[1, 1] = np.nan
    X[2, 0] = np.inf
    for measure in MEASURES:
        with pytest.raises(CompareError, match="in 2 of 6 rows, first in 1"):
            dissimilarities(X, measure)
    with pytest.raises(CompareError, match="no dissimilarity 'cityblock'"):
        dissimilarities(X, "cityblock")


@given(st.data())
def test_pairs_of_some_pictures_are_where_they_are_looked_for(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 12))
    square = squareform(np.arange(1.0, count_pairs(n) + 1))
    rows = np.array(data.draw(st.permutations(range(n))))[: data.draw(st.integers(2, n))]
    expected = squareform(square[np.ix_(rows, rows)])
    np.testing.assert_array_equal(squareform(square)[pair_places(rows, n)], expected)
    weights = np.random.default_rng(n).random(n)
    product = np.outer(weights, weights)
    np.fill_diagonal(product, 0)
    np.testing.assert_allclose(pair_products(weights), squareform(product))
    assert pictures_of(count_pairs(n)) == n and pictures_of(count_pairs(n + 3) + 1) == 0


def test_a_matrix_of_dissimilarities_is_known_as_one() -> None:
    square = squareform(pdist(np.random.default_rng(0).normal(size=(8, 3))))
    np.testing.assert_array_equal(upper_triangle(square), squareform(square))
    asymmetric, on_diagonal = square.copy(), square.copy()
    asymmetric[0, 1] += 0.1
    on_diagonal[2, 2] = 1
    for matrix in (asymmetric, on_diagonal, square[:5]):
        assert not is_dissimilarity_matrix(matrix)
        with pytest.raises(CompareError, match="symmetric with a diagonal of zeros"):
            upper_triangle(matrix)
