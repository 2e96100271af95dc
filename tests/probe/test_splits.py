"""Splits are disjoint, seeded, complete, and read back as they were written; scores are compared in pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from decaf.errors import ProbeError
from decaf.probe import compare, mean_class_accuracy, per_class, read_splits, summarise, write_splits

LABELS = [f"class {k}" for k in range(7) for _ in range(8 + k)]


@given(st.integers(1, 5), st.integers(0, 2), st.integers(0, 99))
def test_counts_and_completeness(train: int, validation: int, seed: int) -> None:
    (split,) = per_class(LABELS, train, validation, seed=seed)
    labels = np.array(LABELS)
    for part, number in ((split.train, train), (split.validation, validation)):
        assert all((labels[part] == label).sum() == number for label in set(LABELS))
    every = np.concatenate([split.train, split.validation, split.test])
    assert sorted(every) == list(range(len(LABELS)))


def test_seeds() -> None:
    five, two = per_class(LABELS, 3, n_splits=5, seed=4), per_class(LABELS, 3, n_splits=2, seed=4)
    assert all(np.array_equal(a.train, b.train) for a, b in zip(five, two, strict=False))
    assert len({tuple(split.train) for split in five}) == 5
    assert not np.array_equal(per_class(LABELS, 3, seed=5)[0].train, five[0].train)


def test_a_fixed_number_to_test_on_and_rows_without_label() -> None:
    (split,) = per_class([None, *LABELS, None], 2, n_test=3)
    assert len(split.train) == 14 and len(split.test) == 21
    assert 0 not in split.train and len(LABELS) + 1 not in split.test


def test_too_few_are_named() -> None:
    with pytest.raises(ProbeError, match="class 'class 0' has 8 rows, the split needs 9: take fewer"):
        per_class(LABELS, 8)
    with pytest.raises(ProbeError, match=r"has 8 rows, the split needs 11 .3 classes are as small"):
        per_class(LABELS, 9, 1)
    with pytest.raises(ProbeError, match="n_train = 0"):
        per_class(LABELS, 0)
    with pytest.raises(ProbeError, match="no row has a label"):
        per_class([None, None], 1)


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_files(tmp_path: Path, ending: str) -> None:
    names = [f'{label}/{row}, "é".jpg' for row, label in enumerate(LABELS)]
    splits = per_class(LABELS, 3, 2, n_splits=3)
    write_splits(tmp_path / f"a.{ending}", splits, names)
    back = read_splits(tmp_path / f"a.{ending}", names)
    assert len(back) == 3
    for a, b in zip(splits, back, strict=True):
        assert all(np.array_equal(vars(a)[part], vars(b)[part]) for part in ("train", "validation", "test"))
    (turned, *_) = read_splits(tmp_path / f"a.{ending}", names[::-1])
    assert {names[::-1][row] for row in turned.train} == {names[row] for row in splits[0].train}
    with pytest.raises(ProbeError, match=r"names are not among the rows, the first is"):
        read_splits(tmp_path / f"a.{ending}", names[:10])


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '{"splits": [{"train": ["a", "a"]}]}', '{"splits": [{"learn": ["a"]}]}', '{"splits": [3]}'],
)
def test_files_that_are_no_splits(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ProbeError, match=r"a\.json"):
        read_splits(tmp_path / "a.json", ["a", "b"])
    (tmp_path / "a.csv").write_text("what,ever\n1,2\n")
    with pytest.raises(ProbeError, match=r"a\.csv"):
        read_splits(tmp_path / "a.csv", ["a", "b"])
    with pytest.raises(ProbeError, match=r"nothing\.json"):
        read_splits(tmp_path / "nothing.json", ["a"])


def test_names_must_be_different_and_the_ending_known(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="same name"):
        write_splits(tmp_path / "a.json", per_class("aabb", 1), ["x"] * 4)
    with pytest.raises(ProbeError, match=r"\.json or \.csv"):
        write_splits(tmp_path / "a.txt", per_class("aabb", 1), list("wxyz"))


def test_every_class_counts_the_same() -> None:
    truth = ["a"] * 8 + ["b"] * 2
    assert mean_class_accuracy(truth, ["a"] * 10) == 0.5
    assert mean_class_accuracy(truth, ["a"] * 8 + ["b", "a"]) == 0.75
    with pytest.raises(ProbeError, match="one length"):
        mean_class_accuracy(["a"], ["a", "b"])


def test_summary() -> None:
    got = summarise([0.9, 0.8, 0.7])
    assert (round(got.mean, 9), round(got.std, 9), got.n) == (0.8, 0.1, 3)
    assert np.isnan(summarise([1.0]).std)
    with pytest.raises(ProbeError, match="no scores"):
        summarise([])


def test_comparison_is_the_paired_t_test() -> None:
    random = np.random.default_rng(0)
    a, b = random.random(6), random.random(6)
    got, peer = compare(a, b), ttest_rel(a, b)
    interval = peer.confidence_interval(0.95)
    assert np.isclose(got.p_value, peer.pvalue) and np.isclose(got.difference, (a - b).mean())
    assert np.allclose(got.interval, (interval.low, interval.high))
    corrected = compare(a, b, test_share=0.5)
    assert np.isclose(corrected.standard_error, got.standard_error * np.sqrt(1 + 0.5 * 6))
    assert corrected.p_value > got.p_value
    assert compare([1, 1], [1, 1]).p_value == 1.0 and compare([1, 1], [0, 0]).p_value == 0.0
    with pytest.raises(ProbeError, match="two or more"):
        compare([1.0], [1.0])
