"""Counts of what was taken for what, and the surest mistakes, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from decaf.probe import Split
from decaf.tasks.confusion import confusion, per_class_table, surest_mistakes
from decaf.tasks.evaluate import Evaluation, Outcome
from decaf.tasks.targets import Examples, load_examples, read_targets
from tests.tasks.folders import write_features

LABELS = ["a", "a", "b", "b", "c"]


def outcome(test: list[int], predicted: str, confidence: list[float]) -> Outcome:
    split = Split(np.empty(0, np.intp), np.empty(0, np.intp), np.array(test))
    return Outcome(split, 0.0, 1.0, "none", np.array(list(predicted), object), np.array(confidence), 0.0)


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    paths = ["p/0", "p/1", "p/2", "p/3", "p/3x"]
    features = write_features(tmp_path / "f", np.ones((5, 2)), LABELS, paths)
    return load_examples(features, read_targets(features))


@pytest.fixture
def evaluation() -> Evaluation:
    first = outcome([0, 1, 2, 3], "abaa", [1, 2, 3, 0.5])
    return Evaluation([first, outcome([0, 2, 3], "baa", [9, 1, 0.7])])


def test_rows_are_the_truth_and_sum_to_one(examples: Examples, evaluation: Evaluation) -> None:
    found = confusion(examples.targets.values, evaluation)
    assert found.classes.tolist() == ["a", "b"]  # c is neither tested nor predicted
    assert found.counts.tolist() == [[[1, 1], [2, 0]], [[0, 1], [2, 0]]]
    np.testing.assert_allclose(found.shares, [[1 / 3, 2 / 3], [1, 0]])
    assert found.strongest(5) == [(1, 0, 1), (0, 1, pytest.approx(2 / 3))]


def test_each_class_has_a_line_the_worst_first(examples: Examples, evaluation: Evaluation) -> None:
    b, a = per_class_table(confusion(examples.targets.values, evaluation))
    assert (b.name, b.tested, b.accuracy, b.confused_with, b.confused) == ("b", 4, 0, "a", 1)
    assert (a.name, a.tested, a.accuracy, a.confused_with) == ("a", 3, 0.25, "b")
    assert a.std == pytest.approx(np.std([0.5, 0], ddof=1))


def test_a_class_that_is_only_predicted_has_no_line(examples: Examples) -> None:
    found = confusion(examples.targets.values, Evaluation([outcome([0, 1], "ac", [1, 1])]))
    assert found.classes.tolist() == ["a", "c"] and found.shares[1].tolist() == [0, 0]
    (line,) = per_class_table(found)
    assert (line.name, line.confused_with, line.confused) == ("a", "c", 0.5) and np.isnan(line.std)


def test_mistakes_are_told_once_with_the_greatest_lead(examples: Examples, evaluation: Evaluation) -> None:
    everything = surest_mistakes(examples, evaluation)
    told = [(m.row, m.truth, m.predicted, m.confidence, m.times, m.tested) for m in everything[:3]]
    assert told == [(0, "a", "b", 9, 1, 2), (2, "b", "a", 3, 2, 2), (1, "a", "b", 2, 1, 1)]
    assert [(m.row, m.confidence, m.times) for m in everything[3:]] == [(3, 0.7, 2)]


def test_a_picture_is_shown_once_even_where_several_regions_are_mistaken(tmp_path: Path) -> None:
    features = write_features(
        tmp_path / "f", np.ones((3, 2)), ["a", "a", "b"], ["p/0", "p/0", "p/1"], region=["0", "1", "0"]
    )
    examples = load_examples(features, read_targets(features))
    evaluation = Evaluation([outcome([0, 1, 2], "bba", [1, 2, 0.5])])
    assert [mistake.row for mistake in surest_mistakes(examples, evaluation)] == [1, 2]
