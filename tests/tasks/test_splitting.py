"""Splits are disjoint, repeatable, and never cut a picture in two."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decaf.errors import ProbeError
from decaf.probe import per_class
from decaf.tasks.fitting import fit_model
from decaf.tasks.splitting import (
    draw_splits,
    fewer,
    held_out,
    load_splits,
    obtain_splits,
    save_splits,
    stratified_folds,
    too_small,
)
from decaf.tasks.targets import Examples, load_examples, read_targets
from tests.tasks.folders import blobs, write_blobs, write_features

LABELS = ["a"] * 8 + ["b"] * 5 + ["c"] * 90


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    features = write_blobs(tmp_path / "f", LABELS)
    return load_examples(features, read_targets(features))


@pytest.fixture
def regions(tmp_path: Path) -> Examples:
    """Twelve pictures of two classes, three rows each, interleaved."""
    labels = ["ab"[row % 12 % 2] for row in range(36)]
    paths = [f"p/{row % 12}" for row in range(36)]
    names = [str(row // 12) for row in range(36)]
    features = write_features(tmp_path / "r", blobs(labels), labels, paths, regions=names)
    return load_examples(features, read_targets(features))


def as_lists(splits: Any) -> list[Any]:
    return [[part.tolist() for part in vars(split).values()] for split in splits]


def test_half_of_each_class_is_trained_on_and_at_most_thirty(examples: Examples) -> None:
    splits = draw_splits(examples, None, 3, 0)
    for split in splits:
        assert Counter(examples.targets.values[split.train]) == {"a": 4, "b": 2, "c": 30}
        assert sorted([*split.train, *split.test]) == list(range(len(LABELS)))
    assert len({tuple(split.train) for split in splits}) == 3
    assert as_lists(draw_splits(examples, None, 2, 0)) == as_lists(splits[:2])
    assert as_lists(draw_splits(examples, None, 1, 1)) != as_lists(splits[:1])


def test_a_number_of_each_class_is_drawn_as_the_library_draws_it(examples: Examples) -> None:
    drawn = draw_splits(examples, 3, 2, 5)
    assert as_lists(drawn) == as_lists(per_class(examples.targets.values, 3, n_splits=2, seed=5))
    with pytest.raises(ProbeError, match="class 'b' has 5 rows, the split needs 6"):
        draw_splits(examples, 5, 1, 0)


@pytest.mark.parametrize("n_train", [None, 4])
def test_no_picture_is_on_both_sides(regions: Examples, n_train: int | None) -> None:
    for split in draw_splits(regions, n_train, 4, 0):
        assert not set(regions.picture[split.train]) & set(regions.picture[split.test])
        assert len(split.train) + len(split.test) == 36
        expected = n_train or 3
        assert Counter(regions.targets.values[split.train]) == {"a": 3 * expected, "b": 3 * expected}


def test_no_picture_is_learned_from_and_validated_on(regions: Examples) -> None:
    for seed in range(3):
        held = held_out(regions.targets.values, regions.picture, seed)
        folds = stratified_folds(regions, 3, seed)
        assert len(held) == 1 and len(folds) == 3
        for train, validation in (*held, *folds):
            assert not set(regions.picture[train]) & set(regions.picture[validation])
            assert sorted([*train, *validation]) == list(range(36))
        assert sorted(np.concatenate([validation for _, validation in folds])) == list(range(36))


def test_a_single_picture_of_each_class_leaves_nothing_to_validate(tmp_path: Path) -> None:
    features = write_features(tmp_path / "f", np.ones((4, 2)), list("abab"), list("pqpq"), region=list("0011"))
    examples = load_examples(features, read_targets(features))
    assert held_out(examples.targets.values, examples.picture, 0) == []
    assert stratified_folds(examples, 5, 0) == []
    assert too_small(examples) == {"a": 2, "b": 2}


def test_pictures_of_several_classes_are_validated_on_all_the_same(tmp_path: Path) -> None:
    """Boxes of several kinds in one picture; the last kind is in one picture only."""
    labels = [*"ab" * 12, "c", "c"]
    paths = [f"p/{row // 2 % 6}" for row in range(24)] + ["p/5", "p/5"]
    features = write_features(tmp_path / "f", blobs(labels), labels, paths, region=[str(row) for row in range(26)])
    examples = load_examples(features, read_targets(features))
    for train, validation in (
        *held_out(examples.targets.values, examples.picture, 0),
        *stratified_folds(examples, 3, 0),
    ):
        assert not set(examples.picture[train]) & set(examples.picture[validation])
        assert set(examples.targets.values[validation]) == {"a", "b"}  # never c, which is then not taught
    assert fit_model(features, read_targets(features)).names == ("a", "b", "c")
    assert fit_model(features, read_targets(features), loss="logistic").names == ("a", "b", "c")


def test_folds_are_fewer_where_a_class_is_small(tmp_path: Path) -> None:
    features = write_blobs(tmp_path / "f", ["a"] * 10 + ["b"] * 3)
    assert len(stratified_folds(load_examples(features, read_targets(features)), 5, 0)) == 3
    features = write_blobs(tmp_path / "g", ["a"] * 10 + ["b"])
    (fold,) = stratified_folds(load_examples(features, read_targets(features)), 5, 0)
    assert 10 in fold[0] and len(fold[1]) == 1  # the only b is learned from


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_splits_are_written_once_and_read_ever_after(
    tmp_path: Path, examples: Examples, regions: Examples, suffix: str
) -> None:
    for name, these in (("e", examples), ("r", regions)):
        file = str(tmp_path / f"{name}.{suffix}")
        drawn, were_read = obtain_splits(these, file, None, 2, 0)
        again, read_again = obtain_splits(these, file, 1, 5, 9)
        assert (were_read, read_again) == (False, True) and as_lists(drawn) == as_lists(again)


def test_splits_that_do_not_fit_are_refused(tmp_path: Path, examples: Examples) -> None:
    (tmp_path / "none.json").write_text('{"splits": []}')
    with pytest.raises(ProbeError, match="has no split"):
        load_splits(str(tmp_path / "none.json"), examples)
    (tmp_path / "half.json").write_text('{"splits": [{"train": ["photos/a/0.bmp"]}]}')
    with pytest.raises(ProbeError, match=r"1 rows to train on and 0 to test on: complete .*half\.json"):
        load_splits(str(tmp_path / "half.json"), examples)
    with pytest.raises(ProbeError, match=r"cannot write .*nowhere/x\.json \(No such file"):
        save_splits(str(tmp_path / "nowhere" / "x.json"), examples, draw_splits(examples, 1, 1, 0))


def test_a_curve_has_few_inside_many_and_one_test_set(examples: Examples) -> None:
    (split,) = draw_splits(examples, 4, 1, 0)
    by_number = [fewer(examples, split, n, 7) for n in (1, 2, 4)]
    for n, smaller in zip((1, 2, 4), by_number, strict=True):
        assert Counter(examples.targets.values[smaller.train]) == {"a": n, "b": n, "c": n}
        assert smaller.test.tolist() == split.test.tolist()
    assert set(by_number[0].train) < set(by_number[1].train) < set(by_number[2].train) == set(split.train)
    with pytest.raises(ProbeError, match="asks for 5 of each class, 'a' has 4 to train on"):
        fewer(examples, split, 5, 0)


def test_without_classes_half_of_the_pictures_are_trained_on(tmp_path: Path, regions: Examples) -> None:
    file = tmp_path / "n.csv"
    file.write_text("path,n\n" + "".join(f"{path},{n}\n" for n, path in enumerate(regions.pictures)))
    features = write_features(
        tmp_path / "n", blobs(list("ab") * 18), [None] * 36, [f"p/{row % 12}" for row in range(36)],
        region=[str(row // 12) for row in range(36)],
    )  # fmt: skip
    numbers = load_examples(features, read_targets(features, str(file), ["n"], "regression"))
    (split,) = draw_splits(numbers, None, 1, 0)
    assert len(split.train) == len(split.test) == 18
    assert not set(numbers.picture[split.train]) & set(numbers.picture[split.test])
    with pytest.raises(ProbeError, match="--train-per-class is for classes"):
        draw_splits(numbers, 3, 1, 0)
