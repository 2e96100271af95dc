"""The optimum is scikit-learn's, and the gap that is stated bounds the distance to it."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from decaf.probe import LinearProbe, LinearProbeCV, ScalingWarning, path

sys.path.insert(0, str(Path(__file__).parent))
import reference

Problem = tuple[np.ndarray, np.ndarray, np.ndarray]


def make(n: int, d: int, classes: int, seed: int, shape: str, dtype: type = np.float64) -> Problem:
    """Random clusters with an oddity; every class occurs, the last one once."""
    random = np.random.default_rng(seed)
    index = np.concatenate([np.arange(classes), random.integers(0, max(classes - 1, 1), max(n - classes, 0))])
    X = random.standard_normal((classes, d))[index] * 0.5 + random.standard_normal((len(index), d))
    if shape == "constant":
        X[:, 0] = 3.0
    elif shape == "duplicates":
        X[len(X) // 2 :] = X[: len(X) - len(X) // 2]
    elif shape == "offset":
        X += 30
    elif shape == "positive":
        X = np.maximum(X, 0)
    weights = random.uniform(0.2, 3, len(X)) if shape == "weights" else np.ones(len(X))
    return X.astype(dtype), index, weights


SHAPES = st.sampled_from(["plain", "constant", "duplicates", "offset", "positive", "weights"])
SIZES = {"n": st.integers(6, 60), "d": st.integers(1, 60), "classes": st.integers(2, 6), "seed": st.integers(0, 10**6)}


@pytest.mark.filterwarnings("ignore::decaf.probe.ScalingWarning")  # a column of zeros but for one tiny number
@given(**SIZES, shape=SHAPES, C=st.sampled_from([1e-4, 1e-2, 1.0, 100.0]))
@settings(max_examples=60, deadline=None)
def test_svm_reaches_the_optimum(n: int, d: int, classes: int, seed: int, shape: str, C: float) -> None:
    X, index, weights = make(n, d, classes, seed, shape)
    probe = LinearProbe(C=C).fit(X, index, weights)
    for row, k in enumerate(range(1, 2) if classes == 2 else range(classes)):
        signs = np.where(index == k, 1.0, -1.0)
        mine = reference.svm(probe.coef_[row], probe.intercept_[row], C, X, signs, weights)
        assert mine <= reference.svm_best(C, X, signs, weights) * (1 + 1e-6)


@pytest.mark.filterwarnings("ignore::decaf.probe.ScalingWarning")  # a column of zeros but for one tiny number
@given(**SIZES, shape=SHAPES, C=st.sampled_from([1e-3, 0.1, 10.0]))
@settings(max_examples=40, deadline=None)
def test_logistic_reaches_the_optimum(n: int, d: int, classes: int, seed: int, shape: str, C: float) -> None:
    X, index, weights = make(n, d, classes, seed, shape)
    probe = LinearProbe("logistic", C=C).fit(X, index, weights)
    mine = reference.logistic(probe.coef_, probe.intercept_, C, X, index, weights)
    assert mine <= reference.logistic_best(C, X, index, weights) * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize("shape", ["plain", "positive", "weights"])
@pytest.mark.parametrize("size", [(600, 160, 8), (150, 400, 8), (1500, 120, 2), (150, 1200, 2)])
def test_float32_reaches_its_tolerance(size: tuple[int, int, int], shape: str) -> None:
    X, index, weights = make(*size, 0, shape, np.float32)
    for C in (1e-3, 0.3):
        probe = LinearProbe(C=C).fit(X, index, weights)
        assert 0 < probe.gap_ <= 1e-4
        for row, k in enumerate(range(1, 2) if size[2] == 2 else range(size[2])):
            signs = np.where(index == k, 1.0, -1.0)
            best = reference.svm_best(C, X, signs, weights)
            mine = reference.svm(probe.coef_[row], probe.intercept_[row], C, X, signs, weights)
            assert best * (1 - 1e-9) <= mine <= best * (1 + 1.05 * probe.gap_) + 1e-6 * best
        probe = LinearProbe("logistic", C=C).fit(X, index, weights)
        best = reference.logistic_best(C, X, index, weights)
        mine = reference.logistic(probe.coef_, probe.intercept_, C, X, index, weights)
        assert best * (1 - 1e-6) <= mine <= best * (1 + 1.05 * probe.gap_) + 1e-6 * best


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("class_weight", [None, "balanced", "given"])
def test_coefficients_are_scikit_learns(classes: int, class_weight: str | None) -> None:
    X, index, weights = make(120, 20, classes, 3, "weights")
    labels = np.array([f"class {k}" for k in index])
    given = {f"class {k}": 1.0 + k for k in range(classes)} if class_weight == "given" else class_weight
    probe = LinearProbe(C=0.3, class_weight=given).fit(X, labels, weights)
    peer = LinearSVC(C=0.3, class_weight=given, tol=1e-12, max_iter=100000, dual=False).fit(X, labels, weights)
    np.testing.assert_allclose(probe.coef_, peer.coef_, atol=1e-6)
    np.testing.assert_allclose(probe.decision_function(X), peer.decision_function(X), atol=1e-5)
    soft = LinearProbe("logistic", C=0.3, class_weight=given).fit(X, labels, weights)
    other = LogisticRegression(C=0.3, class_weight=given, tol=1e-10, max_iter=10000).fit(X, labels, weights)
    np.testing.assert_allclose(soft.coef_, other.coef_, atol=1e-5)
    np.testing.assert_allclose(soft.intercept_, other.intercept_, atol=1e-4)
    np.testing.assert_allclose(soft.predict_proba(X), other.predict_proba(X), atol=1e-5)
    assert list(soft.classes_) == list(other.classes_)


@pytest.mark.parametrize("size", [(120, 20, 2), (120, 20, 5), (40, 90, 2), (40, 90, 5)])
def test_without_a_bias(size: tuple[int, int, int]) -> None:
    X, index, weights = make(*size, 3, "weights")
    X += 1
    probe = LinearProbe(C=0.3, fit_intercept=False).fit(X, index, weights)
    peer = LinearSVC(C=0.3, fit_intercept=False, tol=1e-12, max_iter=100000, dual=False).fit(X, index, weights)
    np.testing.assert_allclose(probe.coef_, peer.coef_, atol=1e-6)
    assert (probe.intercept_ == 0).all()
    soft = LinearProbe("logistic", C=0.3, fit_intercept=False, tol=1e-10).fit(X, index, weights)
    other = LogisticRegression(C=0.3, fit_intercept=False, tol=1e-10, max_iter=10000).fit(X, index, weights)
    np.testing.assert_allclose(soft.coef_, other.coef_, atol=1e-5)
    assert (soft.intercept_ == 0).all()
    chosen = LinearProbeCV(Cs=[0.3], fit_intercept=False).fit(X, index, weights)
    np.testing.assert_allclose(chosen.coef_, peer.coef_, atol=1e-6)
    expected = LinearProbe(C=0.3, fit_intercept=False, dropout=1e-9, dropout_form="expected", tol=1e-12)
    np.testing.assert_allclose(expected.fit(X, index, weights).coef_, peer.coef_, atol=1e-4)


def test_wild_scales_are_said_and_solved() -> None:
    X, index, weights = make(200, 60, 4, 1, "plain")
    X = X * 10.0 ** np.random.default_rng(0).uniform(-6, 6, X.shape[1])
    with pytest.warns(ScalingWarning, match=r"badly scaled columns \(.*standardize"):
        probe = LinearProbe(C=0.1).fit(X, index)
    assert len(probe.badly_scaled_) and probe.gap_ <= 1e-4
    for k in range(4):
        signs = np.where(index == k, 1.0, -1.0)
        mine = reference.svm(probe.coef_[k], probe.intercept_[k], 0.1, X, signs, weights)
        assert mine <= reference.svm_best(0.1, X, signs, weights) * (1 + 1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a gap that cannot be proven here is said as well; the objective is right
        soft = LinearProbe("logistic", C=0.1).fit(X, index)
        peer = LogisticRegression(C=0.1, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, index)
    best = reference.logistic(peer.coef_, peer.intercept_, 0.1, X, index, weights)
    assert reference.logistic(soft.coef_, soft.intercept_, 0.1, X, index, weights) <= best * (1 + 1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not len(LinearProbe(transform="standardize").fit(X, index).badly_scaled_)


def test_a_large_offset_keeps_its_small_differences() -> None:
    random = np.random.default_rng(0)
    index = np.arange(400) % 2
    X = random.standard_normal((400, 300)) * 1e-2
    X[:, 0] = 1e5 + 1e-2 * (index - 0.5) + 1e-4 * random.standard_normal(400)
    with pytest.warns(ScalingWarning):
        probe = LinearProbe("logistic", C=1e5).fit(X, index)
    assert probe.score(X, index) == 1.0


def test_a_thousand_classes() -> None:
    X, index, weights = make(2500, 64, 1000, 0, "plain", np.float32)
    probe = LinearProbe(C=0.1).fit(X, index)
    assert probe.coef_.shape == (1000, 64) and probe.gap_ <= 1e-4
    for k in (0, 500, 999):
        signs = np.where(index == k, 1.0, -1.0)
        mine = reference.svm(probe.coef_[k], probe.intercept_[k], 0.1, X, signs, weights)
        assert mine <= reference.svm_best(0.1, X, signs, weights) * (1 + 1.1e-4)
    soft = LinearProbe("logistic", C=0.1).fit(X, index)
    assert soft.gap_ <= 1e-4 and np.allclose(soft.predict_proba(X[:5]).sum(axis=1), 1, atol=1e-5)


def test_more_cores_or_fewer_give_the_same_optimum() -> None:
    X, index, _ = make(1500, 300, 50, 0, "plain", np.float32)
    for loss in ("svm", "logistic"):
        one, two = (LinearProbe(loss, tol=1e-7, n_jobs=jobs).fit(X, index) for jobs in (1, 2))
        np.testing.assert_allclose(one.coef_, two.coef_, atol=2e-4)


def test_too_few_iterations_are_said() -> None:
    from sklearn.exceptions import ConvergenceWarning

    X, index, _ = make(900, 320, 12, 0, "plain", np.float32)
    with pytest.warns(ConvergenceWarning, match=r"relative gap is .* after 8 iterations"):
        LinearProbe("logistic", C=10, max_iter=1).fit(X, index)


def test_a_large_c_is_approached_and_takes_few_iterations() -> None:
    """Started from 0 at once, this takes 865 iterations."""
    X, index, _ = make(900, 120, 30, 5, "plain", np.float32)
    probe = LinearProbe("logistic", C=3).fit(X, index)
    assert probe.gap_ <= 1e-4 and probe.n_iter_ <= 60


def test_no_rise_of_c_is_steeper_than_a_step() -> None:
    found = list(path._stages([1, 1, 1.5, 15, 2], 10**-1.5))
    assert [C for C, _ in found] == pytest.approx([0.1, 10**-0.5, 1, 1, 1.5, 15 / 10**0.5, 15, 2])
    assert [C for C, wanted in found if wanted] == [1, 1, 1.5, 15, 2]
    assert list(path._stages([0.02], 0.03)) == [(0.02, True)]


@pytest.mark.parametrize("loss", ["svm", "logistic"])
def test_what_is_not_kept_along_the_path_changes_nothing(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, index, _ = make(900, 120, 12, 5, "plain", np.float32)
    options = {"loss": loss, "Cs": [0.01, 0.1, 1.0], "random_state": 0, "n_jobs": 1}
    kept = LinearProbeCV(**options).fit(X, index)
    monkeypatch.setattr(path, "CLASS_BLOCK", 4 * 4 * 900)  # a few classes at a time, only their weights kept
    bare = LinearProbeCV(**options).fit(X, index)
    assert kept.C_ == bare.C_
    np.testing.assert_allclose(bare.coef_, kept.coef_, atol=0.02 * np.abs(kept.coef_).max())
