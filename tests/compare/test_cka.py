"""CKA against its definition by traces; what leaves it unchanged; what is unbiased; intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decaf.compare import cka as module
from decaf.compare import pairs
from decaf.compare.cka import Kernel, cka, jackknife
from decaf.errors import CompareError


def biased_hsic(K: np.ndarray, L: np.ndarray) -> float:
    """tr(K H L H) / (n - 1)^2: Kornblith et al. 2019, before equation 3."""
    n = len(K)
    H = np.eye(n) - 1 / n
    return float(np.trace(K @ H @ L @ H) / (n - 1) ** 2)


def song_hsic(K: np.ndarray, L: np.ndarray) -> float:
    """Song et al. 2012, equation 5, with matrices whose diagonals are set to 0."""
    n = len(K)
    K, L, one = K - np.diag(np.diag(K)), L - np.diag(np.diag(L)), np.ones(n)
    middle = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2))
    return float((np.trace(K @ L) + middle - 2 / (n - 2) * (one @ K @ L @ one)) / (n * (n - 3)))


def reference(X: np.ndarray, Y: np.ndarray, debiased: bool) -> float:
    hsic = song_hsic if debiased else biased_hsic
    K, L = X @ X.T, Y @ Y.T
    return hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))


def two(n: int, d: int, e: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    X = random.normal(2, 1, (n, d))
    return X, X @ random.normal(size=(d, e)) + 2 * random.normal(size=(n, e))


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize(("d", "e"), [(3, 5), (50, 4), (4, 50), (60, 70), (18, 18)])
def test_the_definition_gives_the_same_in_every_form(d: int, e: int, debiased: bool) -> None:
    X, Y = two(20, d, e)
    found = cka([Kernel.of(X)], [Kernel.of(Y)], debiased)[0, 0]
    assert found == pytest.approx(reference(X, Y, debiased), abs=1e-12)


@pytest.mark.parametrize("debiased", [False, True])
def test_tiles_and_half_the_memory_change_nothing_to_speak_of(debiased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [*two(30, 4, 80), two(30, 90, 7, 1)[0]]
    before = cka(kernels := [Kernel.of(X) for X in layers], kernels, debiased)
    monkeypatch.setattr(module, "_TILE", 7)
    np.testing.assert_allclose(cka(kernels, kernels, debiased), before, atol=1e-12)
    monkeypatch.setattr(pairs, "_WIDE", 10)
    half = [Kernel.of(X) for X in layers]
    assert {(one.gram if one.factor is None else one.factor).dtype for one in half} == {np.dtype(np.float32)}  # type: ignore[union-attr]
    np.testing.assert_allclose(cka(half, half, debiased), before, atol=1e-5)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(5, 25), st.integers(1, 30), st.booleans(), st.floats(0.01, 100))
def test_rotation_scale_and_shift_change_nothing(seed: int, n: int, d: int, debiased: bool, scale: float) -> None:
    X, Y = two(n, d, 3, seed)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    moved = scale * X @ rotation + 5
    before, after = (cka([Kernel.of(one)], [Kernel.of(Y)], debiased) for one in (X, moved))
    np.testing.assert_allclose(after, before, atol=1e-8)
    itself = cka([Kernel.of(X)], [Kernel.of(moved)], debiased)[0, 0]
    assert itself == pytest.approx(1, abs=1e-8)
    order = np.random.default_rng(seed).permutation(n)
    np.testing.assert_allclose(cka([Kernel.of(X[order])], [Kernel.of(Y[order])], debiased), before, atol=1e-8)


def test_all_with_all_is_symmetric_with_ones() -> None:
    kernels = [Kernel.of(X) for X in (*two(20, 4, 9), two(20, 40, 3, 1)[0])]
    values = cka(kernels, kernels)
    np.testing.assert_array_equal(values, values.T)
    np.testing.assert_allclose(np.diag(values), 1)


def test_of_noise_only_the_debiased_one_is_nought() -> None:
    random = np.random.default_rng(0)
    biased, debiased = (
        [cka(*([Kernel.of(random.normal(size=(50, 200)))] for _ in "ab"), kind)[0, 0] for _ in range(30)]
        for kind in (False, True)
    )
    assert np.mean(biased) > 0.75
    assert abs(np.mean(debiased)) < 0.01


def test_what_cannot_be_compared_is_said() -> None:
    X = np.random.default_rng(0).normal(size=(10, 3))
    with pytest.raises(CompareError, match="all pictures have the same vector"):
        Kernel.of(np.tile(np.float32([0.1, 3e5]), (10, 1)))
    with pytest.raises(CompareError, match="same vector"):
        Kernel.of(np.zeros((10, 2)))
    with pytest.raises(CompareError, match="NaN or infinite numbers in 1 of 10 rows, first in 4"):
        Kernel.of(np.where(np.arange(30).reshape(10, 3) == 12, np.nan, X))
    with pytest.raises(CompareError, match="4 pictures or more"):
        cka([Kernel.of(X[:3])], [Kernel.of(X[:3])])
    assert np.isfinite(cka([Kernel.of(X[:3])], [Kernel.of(X[:3])], False)).all()


@pytest.mark.parametrize("n", [4, 7, 50])
def test_pictures_equally_far_from_each_other_tell_nothing(n: int) -> None:
    kernel, other = Kernel.of(3 * np.eye(n)), Kernel.of(np.random.default_rng(0).normal(size=(n, 3)))
    assert np.isnan(cka([kernel], [kernel, other])).all()
    assert np.isfinite(cka([kernel], [kernel, other], False)).all()


@pytest.mark.parametrize(("d", "e"), [(5, 6), (80, 90)])
def test_the_jackknife_leaves_groups_out(d: int, e: int) -> None:
    X, Y = two(12, d, e)
    steps: list[int] = []
    low, high = jackknife([Kernel.of(X)], [Kernel.of(Y)], True, 0, lambda: steps.append(1))
    value = reference(X, Y, True)
    left = np.array([reference(np.delete(X, i, 0), np.delete(Y, i, 0), True) for i in range(12)])
    error = np.sqrt(11 / 12 * ((left - left.mean()) ** 2).sum())
    assert low[0, 0] == pytest.approx(value - 2.2009851601 * error, abs=1e-8)  # Student's t, 11 degrees of freedom
    assert high[0, 0] == pytest.approx(min(value + 2.2009851601 * error, 1), abs=1e-8)
    assert len(steps) == 12


def test_jackknife_intervals_cover_what_other_pictures_give() -> None:
    random = np.random.default_rng(0)
    A, B = random.normal(size=(5, 12)), random.normal(size=(5, 12))

    def draw(n: int) -> list[Kernel]:
        hidden = random.normal(size=(n, 5))
        return [Kernel.of(np.maximum(hidden @ W + random.normal(size=(n, 12)), 0)) for W in (A, B)]

    many = draw(30_000)
    truth = cka(many[:1], many[1:])[0, 0]
    hits = 0
    for seed in range(60):
        a, b = draw(60)
        low, high = jackknife([a], [b], True, seed)
        hits += bool(low[0, 0] <= truth <= high[0, 0])
    assert hits >= 52
