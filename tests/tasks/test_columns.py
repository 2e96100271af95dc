"""Several targets: each column has its probe; numbers have a ridge; measures are those of the textbook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from decaf.errors import ProbeError
from decaf.probe import LinearProbeCV, Split
from decaf.tasks.columns import (
    RECALL,
    ColumnsEvaluation,
    ColumnsOutcome,
    average_precision,
    evaluate_columns,
    fit_ridge,
    precision_at_recall,
    precision_curves,
    r_squared,
)
from decaf.tasks.misses import surest_misses
from decaf.tasks.splitting import draw_splits
from decaf.tasks.targets import Examples, load_examples, read_targets
from tests.tasks.folders import write_features

N, D = 60, 5


def examples(tmp_path: Path, columns: dict[str, np.ndarray], kind: str, rows_each: int = 1) -> Examples:
    """Rows of noise around what the columns are made of: feature k is column k."""
    random = np.random.default_rng(0)
    n = len(next(iter(columns.values())))
    X = random.normal(0, 0.1, (n * rows_each, D))
    for k, values in enumerate(columns.values()):
        X[:, k] += np.repeat(values, rows_each)
    paths = [f"photos/{row // rows_each}" for row in range(n * rows_each)]
    regions = [str(row % rows_each) for row in range(n * rows_each)]
    features = write_features(tmp_path / "f", X, [None] * len(X), paths, region=regions)
    lines = [",".join(["path", *columns])]
    lines += [",".join([str(row), *(repr(float(values[row])) for values in columns.values())]) for row in range(n)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    return load_examples(features, read_targets(features, str(tmp_path / "t.csv"), list(columns), kind))


@pytest.mark.parametrize("rows_each", [1, 3])
def test_yes_and_no_are_learned_for_each_column(tmp_path: Path, rows_each: int) -> None:
    random = np.random.default_rng(1)
    columns = {"red": random.random(N) > 0.5, "big": random.random(N) > 0.7, "noise": random.random(N) > 0.5}
    these = examples(tmp_path, columns, "multilabel", rows_each)
    these.X[:, 2] = 0  # nothing tells the third
    steps: list[object] = []
    probe = LinearProbeCV(random_state=0)
    found = evaluate_columns(these, draw_splits(these, None, 3, 0), probe, (), steps.append)
    red, big, noise = found.per_column("average_precision")
    assert red.mean > 0.99 and big.mean > 0.99 and noise.mean < 0.8 and red.n == len(steps) == 3
    expected = np.mean([red.mean, big.mean, noise.mean])
    assert found.summary("average_precision").mean == pytest.approx(expected)


def test_a_column_that_says_one_thing_only_is_named(tmp_path: Path) -> None:
    these = examples(tmp_path, {"red": np.arange(N) % 2, "none": np.zeros(N)}, "multilabel")
    with pytest.raises(ProbeError, match="column none is 0 in all 30 training rows: leave it out"):
        evaluate_columns(these, draw_splits(these, None, 1, 0), LinearProbeCV(), ())


def test_average_precision_is_the_mean_precision_at_each_hit() -> None:
    truth = np.array([[1, 0], [0, 0], [1, 0]], bool)
    scores = np.array([[3.0, 1], [2, 2], [1, 3]])
    np.testing.assert_allclose(average_precision(truth, scores), [(1 + 2 / 3) / 2, np.nan])


def test_r_squared_is_the_share_of_variance_and_nothing_without_any() -> None:
    truth, predicted = np.array([[1.0, 4], [3, 4]]), np.array([[1.5, 4], [3, 5]])
    np.testing.assert_allclose(r_squared(truth, predicted), [1 - 0.25 / 2, np.nan])


@pytest.mark.parametrize("rows_each", [1, 3])
def test_numbers_are_learned_whatever_their_scale(tmp_path: Path, rows_each: int) -> None:
    random = np.random.default_rng(2)
    columns = {"small": random.normal(0, 1, N), "large": random.normal(0, 1, N)}
    these = examples(tmp_path, columns, "regression", rows_each)
    these.targets.values[:, 1] *= 1e4
    found = evaluate_columns(these, draw_splits(these, None, 3, 0), LinearProbeCV(), ("none",))
    small, large = found.per_column("r2")
    assert small.mean > 0.95 and large.mean > 0.95
    small, large = found.per_column("mean_absolute_error")
    assert small.mean < 0.2 and 100 < large.mean < 2000


def test_the_transform_that_validates_best_is_taken(tmp_path: Path) -> None:
    values = np.random.default_rng(3).uniform(-2, 2, N)
    these = examples(tmp_path, {"n": values}, "regression")
    these.X[:, 0] = np.sign(values) * values**2  # of which sqrt gives the value again
    ridge = fit_ridge(these, np.arange(N), ("none", "sqrt"))
    assert ridge.transform.name == "sqrt" and ridge.validation > 0.99
    assert fit_ridge(these, np.arange(N), ("none",)).validation < ridge.validation


def test_the_penalty_grows_with_the_noise(tmp_path: Path) -> None:
    values = np.random.default_rng(4).normal(0, 1, N)
    these = examples(tmp_path, {"n": values}, "regression")
    sure = fit_ridge(these, np.arange(N), ("none",)).alphas[0]
    these.targets.values[:, 0] += np.random.default_rng(5).normal(0, 3, N)
    assert fit_ridge(these, np.arange(N), ("none",)).alphas[0] > 10 * sure


def test_rows_of_one_picture_do_not_vouch_for_each_other(tmp_path: Path) -> None:
    """Copies of a picture would make pure noise look learned, were one left out at a time."""
    random = np.random.default_rng(6)
    these = examples(tmp_path, {"n": random.normal(0, 1, 20)}, "regression", 3)
    noise = np.repeat(random.normal(0, 1, (20, D)), 3, axis=0)
    these.X[:] = noise
    ridge = fit_ridge(these, np.arange(60), ("none",))
    alone = fit_ridge(
        Examples(these.X, these.targets, tuple(map(str, range(60))), np.arange(60)), np.arange(60), ("none",)
    )
    assert ridge.validation < 0.1 < alone.validation


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    these = examples(tmp_path, {"n": np.arange(4.0)}, "regression")
    with pytest.raises(ProbeError, match="2 rows to train a regression on"):
        evaluate_columns(these, draw_splits(these, None, 1, 0), LinearProbeCV(), ("none",))


def test_a_regression_of_one_value_is_refused_by_name(tmp_path: Path) -> None:
    these = examples(tmp_path, {"n": np.arange(6.0), "same": np.full(6, 7.0)}, "regression")
    with pytest.raises(ProbeError, match="column same is 7 in all 6 training rows: leave it out"):
        fit_ridge(these, np.arange(6), ("none",))


# What the figures show


def test_precision_is_that_of_the_first_rank_that_reaches_a_recall() -> None:
    truth = np.array([1, 0, 1, 0, 0, 1, 1], bool)  # in order of the scores: hits at ranks 1, 3, 6, 7
    found = precision_at_recall(truth, -np.arange(7.0))
    for recall, expected in ((0.25, 1), (0.26, 2 / 3), (0.5, 2 / 3), (0.75, 3 / 6), (1, 4 / 7)):
        assert found[np.isclose(RECALL, recall)] == pytest.approx(expected)


def test_the_area_below_a_curve_is_the_average_precision() -> None:
    random = np.random.default_rng(0)
    truth, scores = random.random(400) > 0.8, random.normal(0, 1, 400).round(1)  # ties
    scores[truth] += 1
    expected = average_precision(truth[:, None], scores[:, None])[0]
    assert precision_at_recall(truth, scores).mean() == pytest.approx(expected, abs=0.01)


def outcome(rows: list[int], predicted: list[list[float]]) -> ColumnsOutcome:
    none = np.empty(0, int)
    columns = len(predicted[0])
    return ColumnsOutcome(Split(none, none, np.array(rows)), {}, (0.0,) * columns, ("none",) * columns,
                          np.array(predicted), 0.0)  # fmt: skip


def test_a_split_without_a_yes_has_no_part_in_a_curve(tmp_path: Path) -> None:
    these = examples(tmp_path, {"a": np.array([1, 0, 1, 0]), "b": np.array([0, 0, 0, 1])}, "multilabel")
    halves = [outcome([0, 1], [[2, 1], [1, 2]]), outcome([1, 2], [[1, 1], [0, 0]])]
    a, b = precision_curves(these, ColumnsEvaluation(("a", "b"), halves))
    np.testing.assert_allclose(a, 0.75)  # first in one split, second of two in the other
    assert np.isnan(b).all()


def test_the_surest_wrong_side_is_told_once_for_each_picture(tmp_path: Path) -> None:
    these = examples(tmp_path, {"a": np.array([1, 0, 1]), "b": np.array([0, 0, 1])}, "multilabel")
    first = outcome([0, 1, 2], [[-2, 1], [0.5, -1], [3, 3]])
    second = outcome([0, 1], [[-1, 4], [-1, -1]])
    told = [
        (m.row, m.truth, m.predicted, m.confidence, m.times, m.tested, m.measure.format(m.confidence))
        for m in surest_misses(these, ColumnsEvaluation(("a", "b"), [first, second]))
    ]
    assert told == [
        (0, "not b", "b", 4, 2, 2, "sure by 4.00"),
        (1, "not a", "a", 0.5, 1, 2, "sure by 0.50"),
    ]


def test_misses_of_numbers_are_measured_in_deviations(tmp_path: Path) -> None:
    these = examples(tmp_path, {"small": np.array([0.0, 2.0]), "large": np.array([0.0, 2000.0])}, "regression")
    (first, second) = surest_misses(
        these, ColumnsEvaluation(("small", "large"), [outcome([0, 1], [[3, 100], [2, 1000]])])
    )
    assert (first.truth, first.predicted, first.confidence) == ("small 0", "3", 3)
    assert (second.truth, second.predicted, second.confidence) == ("large 2000", "1000", 1)


def test_regions_of_one_picture_are_one_miss(tmp_path: Path) -> None:
    these = examples(tmp_path, {"a": np.array([1, 0])}, "multilabel", 2)
    missed = surest_misses(these, ColumnsEvaluation(("a",), [outcome([0, 1, 2, 3], [[-1], [-2], [1], [-1]])]))
    assert [(m.row, m.confidence) for m in missed] == [(1, 2), (2, 1)]
