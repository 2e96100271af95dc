"""Settings side by side: who is chosen, what dropout does, fewer training pictures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from decaf.probe import LinearProbe, LinearProbeCV, Split, mean_class_accuracy, per_class
from decaf.tasks.evaluate import Evaluation, Outcome
from decaf.tasks.grid import (
    TOL,
    Result,
    Setting,
    best,
    best_of_each_split,
    dropout_effects,
    first_of_each,
    learning_curve,
    run_grid,
    settings_of,
)

NOTHING = np.empty(0, np.intp)
SPLIT = Split(np.arange(10), np.arange(10, 12), np.arange(12, 36))


def result(setting: Setting, accuracies: Sequence[float], validations: Sequence[float]) -> Result:
    pairs = zip(accuracies, validations, strict=True)
    none = np.empty(0, object), np.empty(0)
    return Result(setting, Evaluation([Outcome(SPLIT, a, 0.1, "none", *none, 0.0, v) for a, v in pairs]))


def blobs(n: int = 40, d: int = 8) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    y = np.array(["a", "b", "c"], dtype=object)[np.arange(3 * n) % 3]
    centres = random.normal(0, 1.2, (3, d))
    return (centres[np.arange(3 * n) % 3] + random.normal(size=(3 * n, d))).astype(np.float32), y


def test_the_settings_are_those_of_the_papers_table_in_its_order() -> None:
    names = [str(setting) for setting in settings_of(["pool"], ["none", "sqrt"], 0.5)]
    assert names == [
        "LogReg on pool",
        "LogReg with dropout on pool",
        "SVM on pool",
        "SVM with dropout on pool",
        "LogReg, square root on pool",
        "SVM, square root on pool",
    ]
    assert [setting.dropout for setting in settings_of(["pool"], ["none"], 0.5)] == [0, 0.5, 0, 0.5]
    assert {setting.copies for setting in settings_of(["pool"], ["none"], 0.5, 7)} == {7}
    averaged, copied = (Setting("pool", "svm", 0.5, "none", copies).options(1) for copies in (0, 7))
    assert averaged["dropout_form"] == "expected" and "n_copies" not in averaged
    assert copied["dropout_form"] == "copies" and copied["n_copies"] == 7 and copied["random_state"] == 1
    assert [str(setting) for setting in settings_of(["pool"], ["none"], 0)] == ["LogReg on pool", "SVM on pool"]


def test_the_setting_is_chosen_by_validation_whatever_the_test_pictures_say() -> None:
    a, b, c = (Setting(layer, "svm", 0, "none") for layer in "abc")
    results = [result(a, [0.9, 0.9], [0.5, 0.5]), result(b, [0.1, 0.3], [0.8, 0.5]), result(c, [0.2, 0.4], [0.6, 0.7])]
    assert best(results).setting == b  # of two equal ones the earlier
    each = best_of_each_split(results)
    assert [setting for setting, _ in each] == [b, c]
    assert [outcome.accuracy for _, outcome in each] == [0.1, 0.4]


def test_dropout_is_compared_with_the_same_setting_without_it() -> None:
    plain, masked = Setting("a", "svm", 0, "none"), Setting("a", "svm", 0.5, "none")
    other, alone = Setting("a", "svm", 0, "sqrt"), Setting("b", "svm", 0.5, "none")
    results = [
        result(plain, [0.80, 0.81, 0.80], [1, 1, 1]),
        result(masked, [0.70, 0.71, 0.70], [1, 1, 1]),
        result(other, [0.1, 0.1, 0.1], [1, 1, 1]),
        result(alone, [0.1, 0.1, 0.1], [1, 1, 1]),
    ]
    (effect,) = dropout_effects(results)
    assert effect.setting == masked and effect.verdict == "worse"
    assert effect.difference == pytest.approx(-0.1)
    (swapped,) = dropout_effects([result(plain, [0.5, 0.6], [1, 1]), result(masked, [0.6, 0.7], [1, 1])])
    assert swapped.verdict == "better"
    noisy = dropout_effects([result(plain, [0.5, 0.6, 0.5], [1] * 3), result(masked, [0.6, 0.5, 0.6], [1] * 3)])
    assert noisy[0].verdict == "unclear"
    share = len(SPLIT.test) / (len(SPLIT.train) + len(SPLIT.validation))
    assert share == 2  # the variance of the mean is 1/3 + 2 times that of the differences
    assert noisy[0].comparison is not None
    assert noisy[0].comparison.standard_error == pytest.approx(np.std([0.1, -0.1, 0.1], ddof=1) * np.sqrt(1 / 3 + 2))
    (single,) = dropout_effects([result(plain, [0.5], [1]), result(masked, [0.9], [1])])
    assert single.comparison is None and single.verdict == "unclear" and single.difference == pytest.approx(0.4)


def test_every_setting_is_measured_on_every_split_and_features_are_read_once_a_layer() -> None:
    X, y = blobs()
    splits = per_class(y, 8, 4, n_splits=2)
    asked: list[str] = []
    told: list[Result] = []

    def layer(name: str) -> np.ndarray:
        asked.append(name)
        return X if name == "good" else np.random.default_rng(1).normal(size=X.shape)  # chance

    settings = settings_of(["good", "bad"], ["none"], 0.5)
    results = run_grid(layer, y, splits, settings, 0, told.append)
    assert asked == ["good", "bad"] and told == results and [r.setting for r in results] == settings
    for measured in results:
        assert len(measured.accuracies) == 2
        assert (measured.test.mean > 0.8) == (measured.setting.layer == "good")
        assert all(outcome.transform == "none" for outcome in measured.evaluation.outcomes)
    assert best(results).setting.layer == "good"
    masked = settings_of(["good"], ["none"], 0.9, 1)[1:2]
    first, second, other = (run_grid(layer, y, splits, masked, seed, told.append)[0] for seed in (0, 0, 1))
    assert first.accuracies == second.accuracies != other.accuracies  # the masks come from the seed


def test_the_validation_accuracy_is_that_of_the_c_that_was_chosen() -> None:
    X, y = blobs(d=2)
    (split,) = per_class(y, 8, 4)
    setting = Setting("good", "svm", 0, "none")
    (found,) = run_grid(lambda _: X, y, [split], [setting], 0, lambda _: None)
    rows = np.concatenate([split.train, split.validation])
    fold = (np.arange(24), np.arange(24, 36))
    probe = LinearProbeCV(cv=[fold], **setting.options(0)).fit(X[rows], y[rows])
    assert probe.scores_ is not None and probe.scores_.min() < probe.scores_.max() == found.validation.mean


def test_the_curve_ends_at_the_grid_and_trains_on_nested_sets_with_the_c_of_the_split() -> None:
    X, y = blobs(d=2)
    splits = per_class(y, 8, 4, n_splits=2)
    (whole,) = run_grid(lambda _: X, y, splits, [Setting("good", "svm", 0, "none")], 0, lambda _: None)
    curve = learning_curve(whole, X, y, [1, 5, 12], seed=4)
    assert [n for n, _ in curve.points] == [1, 5, 12]
    assert curve.points[-1][1] == whole.accuracies
    outcome = whole.evaluation.outcomes[1]
    for n, accuracies in curve.points[:2]:
        rows = first_of_each(np.concatenate([splits[1].train, splits[1].validation]), y, n, [4, 1])
        probe = LinearProbe("svm", outcome.C, tol=TOL).fit(X[rows], y[rows])
        assert accuracies[1] == mean_class_accuracy(y[splits[1].test], probe.predict(X[splits[1].test]))
    assert np.mean(curve.points[0][1]) < np.mean(curve.points[-1][1])


def test_larger_training_sets_contain_smaller_ones() -> None:
    y = np.array(["a", "b"] * 20, dtype=object)
    rows = np.arange(4, 40)
    sets = [first_of_each(rows, y, n, [0, 1]).tolist() for n in (1, 3, 10, 18)]
    for n, chosen in zip((1, 3, 10, 18), sets, strict=True):
        assert sorted(y[chosen]) == ["a"] * n + ["b"] * n
    for smaller, larger in itertools.pairwise(sets):
        assert set(smaller) < set(larger) <= set(rows)
    assert first_of_each(rows, y, 3, [0, 2]).tolist() != sets[1]
