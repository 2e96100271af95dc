"""Correlations of dissimilarities against SciPy, brute force and the definitions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist, squareform
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

from decaf.compare.pairs import dissimilarities
from decaf.compare.rsa import (
    Ranking,
    bootstrap,
    correlations,
    noise_ceiling,
    permutation_p,
    tau_a,
)
from decaf.errors import CompareError

BY = ("spearman", "pearson", "kendall")
FEW = arrays(np.float64, st.integers(2, 30), elements=st.integers(-3, 3))


def three(n: int = 24, seed: int = 0) -> list[np.ndarray]:
    """Dissimilarities of a representation, of a noisy one, and of one with ties."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 8))
    noisy = X + random.normal(size=X.shape)
    return [dissimilarities(X), dissimilarities(noisy, "euclidean"), pdist(np.round(X[:, :2]), "cityblock")]


def tau_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    signs = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in combinations(range(len(x)), 2)]
    return float(np.mean(signs))


def reference(x: np.ndarray, y: np.ndarray, by: str) -> float:
    if by == "kendall":
        return tau_by_hand(x, y)
    return float((spearmanr if by == "spearman" else pearsonr)(x, y).statistic)


@pytest.mark.parametrize("by", BY)
def test_others_find_the_same(by: str) -> None:
    rdms = three()
    expected = [[reference(x, y, by) for y in rdms] for x in rdms]
    np.testing.assert_allclose(correlations(rdms, rdms, by), expected, atol=1e-12)
    np.testing.assert_allclose(correlations(rdms[:1], rdms[1:], by), [expected[0][1:]], atol=1e-12)


@given(FEW)
def test_ranks_are_scipys(values: np.ndarray) -> None:
    np.testing.assert_array_equal(Ranking.of(values).ranks(), rankdata(values))


@given(FEW, st.data())
def test_ranks_of_numbers_that_are_there_several_times(values: np.ndarray, data: st.DataObject) -> None:
    counts = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(values), max_size=len(values))))
    given_ = Ranking.of(values).ranks(counts.astype(float))
    np.testing.assert_allclose(np.repeat(given_, counts), rankdata(np.repeat(values, counts)))


@given(st.data())
def test_tau_a_counts_pairs(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 15))
    x, y = (data.draw(arrays(np.float64, n, elements=st.integers(0, 4))) for _ in range(2))
    assert tau_a(x, y) == pytest.approx(tau_by_hand(x, y), abs=1e-12)
    if len(set(x)) == len(set(y)) == n:
        assert tau_a(x, y) == pytest.approx(kendalltau(x, y).statistic)


@given(st.integers(0, 1000))
def test_ranks_do_not_ask_by_how_much(seed: int) -> None:
    a, b, _ = three(10, seed)
    np.testing.assert_allclose(correlations([a], [b]), correlations([np.exp(a)], [b**3]), atol=1e-12)
    np.testing.assert_allclose(correlations([a], [b], "pearson"), correlations([2 * a + 1], [b], "pearson"), atol=1e-12)


def test_what_is_constant_has_no_correlation() -> None:
    for by in ("spearman", "pearson"):
        with pytest.raises(CompareError, match="all pairs of pictures are equally dissimilar"):
            correlations([np.ones(10)], [np.arange(10.0)], by)
    with pytest.raises(CompareError, match="no correlation 'distance'"):
        correlations([np.arange(10.0)], [np.arange(10.0)], "distance")


@pytest.mark.parametrize("by", BY)
def test_a_bootstrap_is_the_correlation_over_pictures_drawn_anew(by: str) -> None:
    a, b, c = three(12)
    random = np.random.default_rng(3)
    expected = []
    for _ in range(4):
        drawn = np.sort(random.integers(0, 12, 12))
        different = np.array([i != j for i, j in combinations(drawn, 2)])
        x, y, z = (squareform(squareform(one)[np.ix_(drawn, drawn)], checks=False)[different] for one in (a, b, c))
        expected.append([[reference(x, y, by), reference(x, z, by)]])
    steps: list[int] = []
    found = bootstrap([a], [b, c], by, 4, 3, lambda: steps.append(1))
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert len(steps) == 4


@pytest.mark.parametrize("by", BY)
def test_permutations_move_pictures_not_pairs(by: str) -> None:
    a, b, _ = three(9, 5)
    observed = reference(a, b, by)
    random = np.random.default_rng(7)
    higher = 1
    for _ in range(19):
        order = random.permutation(9)
        higher += reference(squareform(squareform(a)[np.ix_(order, order)]), b, by) >= observed - 1e-12
    assert permutation_p([a], [b], by, 19, 7)[0, 0] == pytest.approx(higher / 20)


def test_p_values_of_unrelated_representations_are_uniform() -> None:
    random = np.random.default_rng(0)
    p = [
        permutation_p([pdist(random.normal(size=(8, 3)))], [pdist(random.normal(size=(8, 3)))], "spearman", 39, seed)
        for seed in range(200)
    ]
    share = np.mean(np.array(p) <= 0.1)
    assert 0.05 < share < 0.16  # 0.1 within three standard errors


def test_the_noise_ceiling_is_that_of_nili_and_others() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(15, 6))
    subjects = [dissimilarities(X + s * random.normal(size=X.shape)) for s in (0.5, 1, 1.5, 2)]
    ranks = np.array([rankdata(one) for one in subjects])
    upper = np.mean([spearmanr(own, ranks.mean(axis=0)).statistic for own in ranks])
    lower = np.mean([spearmanr(ranks[i], np.delete(ranks, i, 0).mean(axis=0)).statistic for i in range(4)])
    found = noise_ceiling(subjects)
    assert (found.lower, found.upper) == (pytest.approx(lower), pytest.approx(upper))
    standard = np.array([(one - one.mean()) / one.std() for one in subjects])
    upper = np.mean([pearsonr(own, standard.mean(axis=0)).statistic for own in standard])
    assert noise_ceiling(subjects, "pearson").upper == pytest.approx(upper)
    kendall = noise_ceiling(subjects, "kendall")
    assert kendall.lower < kendall.upper < found.upper
    with pytest.raises(CompareError, match="two subjects or more"):
        noise_ceiling(subjects[:1])


def test_bootstrap_intervals_cover_what_other_pictures_give() -> None:
    """The correlation over very many pictures lies in most intervals of few."""
    random = np.random.default_rng(0)
    mixing = random.normal(size=(6, 6))

    def draw(n: int) -> list[np.ndarray]:
        X = random.normal(size=(n, 6))
        return [dissimilarities(X, "euclidean"), dissimilarities(X @ mixing + random.normal(size=X.shape), "euclidean")]

    many = draw(1200)
    truth = correlations(many[:1], many[1:])[0, 0]
    hits = 0
    for seed in range(40):
        a, b = draw(40)
        low, high = np.quantile(bootstrap([a], [b], "spearman", 100, seed), [0.025, 0.975])
        hits += low <= truth <= high
    assert hits >= 33
