"""Intervals against binomial quantiles and loops by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from decaf.tasks.adapt_scores import _accuracies, score_methods


def scored(right: dict[str, np.ndarray], truth: np.ndarray, tested: np.ndarray, picture=None, **options):
    wrong = np.full(len(truth), "?", object)
    predicted = {name: [np.where(row, truth, wrong) for row in rows] for name, rows in right.items()}
    picture = np.arange(len(truth)) if picture is None else picture
    return score_methods(predicted, truth, tested, picture, "a", **options)


def test_the_interval_of_one_class_is_binomial():
    n = 200
    truth, right = np.full(n, "x", object), np.arange(n)[None] < 150
    found = scored({"a": right}, truth, np.ones((1, n), bool))["a"]
    assert found.accuracy == 0.75 and found.change is None and found.splits == (0.75,)
    np.testing.assert_allclose(found.interval, binom.ppf([0.025, 0.975], n, 0.75) / n, atol=0.0101)


def test_rows_of_one_picture_are_drawn_together():
    truth, right = np.full(200, "x", object), np.arange(200)[None] < 150
    apart = scored({"a": right}, truth, np.ones((1, 200), bool))["a"]
    together = scored({"a": right}, truth, np.ones((1, 200), bool), np.arange(200) // 10)["a"]
    ratio = np.ptp(together.interval) / np.ptp(apart.interval)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)


def test_classes_count_the_same_and_rows_that_are_not_tested_do_not():
    truth = np.array(["x"] * 90 + ["y"] * 10 + [None] * 5, object)
    tested = np.array([label is not None for label in truth])[None]
    right = np.concatenate([np.ones(90, bool), np.arange(10) < 4, np.ones(5, bool)])[None]
    found = scored({"a": right}, truth, tested)["a"]
    assert found.accuracy == pytest.approx((1 + 0.4) / 2)


def test_a_change_is_paired():
    """Two methods that err on nearly the same rows: each is unsure, the change between them is not."""
    n = 400
    truth = np.full(n, "x", object)
    a = np.arange(n)[None] < 200
    b = a | (np.arange(n)[None] >= 390)
    found = scored({"a": a, "b": b}, truth, np.ones((1, n), bool))["b"]
    change = found.change
    assert change and change.difference == pytest.approx(10 / n)
    assert (change.mended, change.spoiled) == (10, 0)
    assert 0 < change.interval[0] < change.difference < change.interval[1] < 0.045
    assert np.ptp(change.interval) < np.ptp(found.interval) / 2
    assert change.p == pytest.approx(2 * binom.cdf(0, 10, 0.5))


def test_the_same_predictions_have_no_change():
    truth = np.array(["x", "y"] * 20, object)
    right = np.random.default_rng(0).random((1, 40)) < 0.6
    change = scored({"a": right, "b": right}, truth, np.ones((1, 40), bool))["b"].change
    assert change and change.interval == (0, 0) and change.p == 1


def test_several_splits_are_averaged_and_have_no_p():
    truth = np.array(["x", "y"] * 20, object)
    random = np.random.default_rng(0)
    tested = random.random((3, 40)) < 0.8
    a, b = random.random((3, 40)) < 0.7, random.random((3, 40)) < 0.9
    found = scored({"a": a, "b": b}, truth, tested)
    for name, right in (("a", a), ("b", b)):
        each = [
            np.mean([right[split][tested[split] & (truth == label)].mean() for label in "xy"]) for split in range(3)
        ]
        assert found[name].splits == pytest.approx(each)
        assert found[name].accuracy == pytest.approx(np.mean(each))
    change = found["b"].change
    assert change and np.isnan(change.p)
    assert change.mended == pytest.approx(np.mean((b & ~a & tested).sum(axis=1)))


def test_splits_that_differ_widen_the_interval():
    truth = np.full(300, "x", object)
    same = np.tile(np.arange(300) < 200, (4, 1))
    differing = np.stack([np.arange(300) < k for k in (120, 170, 230, 280)])
    tested = np.ones((4, 300), bool)
    assert same.mean() == pytest.approx(differing.mean(), abs=1e-9)
    widths = [np.ptp(scored({"a": right}, truth, tested)["a"].interval) for right in (same, differing)]
    assert widths[1] > 1.5 * widths[0]


def test_a_class_that_was_not_drawn_does_not_count():
    truth = np.array(["x", "x", "y"], object)
    right, tested = np.array([[[True, False, True]]]), np.ones((1, 3), bool)
    counts = np.array([[1, 1, 1], [2, 0, 0], [0, 1, 2]], float)
    np.testing.assert_allclose(_accuracies(right, tested, truth, counts)[:, 0, 0], [0.75, 1, 0.5])


def test_a_seed_repeats_the_draws():
    truth = np.array(["x", "y", "z"] * 333, object)
    right = np.random.default_rng(0).random((1, 999)) < 0.6
    intervals = [scored({"a": right}, truth, np.ones((1, 999), bool), seed=seed)["a"].interval for seed in (1, 1, 2)]
    assert intervals[0] == intervals[1] != intervals[2]
