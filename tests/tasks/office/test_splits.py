"""Splits: Saenko's protocol, all of the source, and the files of the original package."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from decaf.errors import TaskError
from decaf.tasks.office.domain import Domain
from decaf.tasks.office.splits import all_of_source, draw, of_source, read_original, write_domain_splits
from tests.tasks.office.worlds import domain, features, write_original_splits

PAIR = ("amazon", "webcam")


@settings(deadline=None, max_examples=25)
@given(
    source=st.sampled_from(["amazon", "webcam", "dslr", "caltech10"]),
    counts=st.lists(st.integers(4, 30), min_size=2, max_size=5),
    seed=st.integers(0, 2**31),
    n=st.integers(1, 4),
)
def test_as_many_of_each_class_and_all_others_tested_on(source: str, counts: list[int], seed: int, n: int) -> None:
    y = np.repeat([f"class {k}" for k in range(len(counts))], counts).astype(object)
    random = np.random.default_rng(seed)
    names = [str(row) for row in range(len(y))]
    one, other = (
        Domain(name, np.zeros((len(y), 1), np.float32), random.permutation(y), names, "")
        for name in (source, "webcam" if source != "webcam" else "dslr")
    )
    for split in draw(one, other, n, seed):
        for count, times in Counter(one.y[split.source]).items():
            assert times == min(of_source(source), (one.y == count).sum())
        assert set(Counter(other.y[split.target]).values()) == {3}
        assert sorted([*split.target, *split.test]) == list(range(len(y)))


def test_numbers_of_the_protocol() -> None:
    assert [of_source(name) for name in ("amazon", "caltech10", "webcam", "dslr")] == [20, 20, 8, 8]


def test_a_split_depends_on_its_number_seed_and_pair_alone() -> None:
    world = features("amazon", "webcam", "dslr")
    source, target = world.of(PAIR)
    five, two = draw(source, target, 5, 0), draw(source, target, 2, 0)
    assert [s.source.tolist() for s in five[:2]] == [s.source.tolist() for s in two]
    others = [five[1], draw(source, target, 1, 1)[0], draw(world.domains["dslr"], target, 1, 0)[0]]
    assert all(five[0].target.tolist() != one.target.tolist() for one in others)


def test_features_in_the_same_order_have_the_same_splits() -> None:
    """Names of classes and rows are all that counts, so that SURF and DeCAF rows are of the same pictures."""
    one, other = features("amazon", "webcam", d=3).of(PAIR), features("amazon", "webcam", d=9).of(PAIR)
    assert [s.test.tolist() for s in draw(*one, 3, 0)] == [s.test.tolist() for s in draw(*other, 3, 0)]


def test_a_class_with_nothing_left_to_test_on_is_refused() -> None:
    source, target = domain("amazon"), domain("webcam", count=3)
    message = "class 'back_pack' of webcam has 3 pictures, 3 to train on and one to test on are needed: add pictures"
    with pytest.raises(TaskError, match=message):
        draw(source, target, 1, 0)


def test_without_labels_of_the_target_all_of_it_is_tested_on() -> None:
    source, target = domain("amazon"), domain("webcam")
    (split,) = all_of_source(source, target)
    assert len(split.source) == 96 and not len(split.target) and len(split.test) == 44


# -- the original package's files ---------------------------------------------------------------------------------


def test_original_splits_are_those_of_the_file(tmp_path: Path) -> None:
    world = features("dslr", "webcam")
    pair = ("dslr", "webcam")
    path = write_original_splits(tmp_path, pair, *world.of(pair))
    read = read_original(tmp_path, world, pair, 3)
    content = loadmat(path)
    for number, split in enumerate(read):
        for part, side, rows in (
            ("train", "source", split.source), ("train", "target", split.target), ("test", "target", split.test),
        ):  # fmt: skip
            of_file = content[part][side][0, 0][0, number].ravel()
            assert sorted(of_file - 1) == rows.tolist()
    assert len(read_original(tmp_path, world, pair, 2)) == 2


def test_names_of_domains_in_file_names_may_differ(tmp_path: Path) -> None:
    world = features("caltech10", "webcam")
    pair = ("caltech10", "webcam")
    path = write_original_splits(tmp_path, ("Caltech", "webcam"), *world.of(pair), of_source=20)
    assert path.name.startswith("SameCategory_Caltech-webcam") and read_original(tmp_path, world, pair, 1)


def test_original_splits_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    world = features("dslr", "webcam")
    pair = ("dslr", "webcam")
    with pytest.raises(TaskError, match="is not a folder: name the one with the files SameCategory"):
        read_original(tmp_path / "nowhere", world, pair, 1)
    with pytest.raises(TaskError, match=r"has no SameCategory_dslr-webcam_20RandomTrials_10Categories.mat"):
        read_original(tmp_path, world, pair, 1)
    path = write_original_splits(tmp_path, pair, *world.of(pair))
    with pytest.raises(TaskError, match="has 3 splits of every part: pass --splits 3 or fewer"):
        read_original(tmp_path, world, pair, 4)
    fewer = features("dslr", "webcam", count=6)
    with pytest.raises(TaskError, match="names rows that dslr with its 24 has not: give the ten classes in their"):
        read_original(tmp_path, fewer, pair, 1)
    turned = features("dslr", "webcam")
    y = turned.domains["webcam"].y
    y[:] = np.random.default_rng(0).permutation(y)
    with pytest.raises(TaskError, match="does not take as many rows of each class of webcam"):
        read_original(tmp_path, turned, pair, 1)
    content = loadmat(path)
    broken = {"train": content["train"], "test": {"target": content["train"]["target"][0, 0]}}
    savemat(path, broken)
    with pytest.raises(TaskError, match="nothing to test on, or what it also trains on"):
        read_original(tmp_path, world, pair, 1)
    twice = np.empty((1, 1), dtype=object)
    twice[0, 0] = np.ones((1, 3))
    savemat(path, {"train": {"source": twice, "target": twice}, "test": {"target": twice}})
    with pytest.raises(TaskError, match="names a row of dslr twice"):
        read_original(tmp_path, world, pair, 1)
    savemat(path, {"train": {"source": np.ones(3)}, "test": 3})
    with pytest.raises(TaskError, match=r"has no cells train.source: get it again"):
        read_original(tmp_path, world, pair, 1)


# -- written ------------------------------------------------------------------------------------------------------


def test_splits_are_written_by_the_names_of_the_rows(tmp_path: Path) -> None:
    world = features("amazon", "webcam")
    splits = draw(*world.of(PAIR), 2, 3)
    write_domain_splits(tmp_path / "splits.json", "saenko", 3, [(world, PAIR, splits), (world, PAIR, splits)])
    written = json.loads((tmp_path / "splits.json").read_text())
    assert written["seed"] == 3 and len(written["pairs"]) == 1  # once for features with the same rows
    first = written["pairs"][0]["splits"][0]
    assert first["train_source"] == [f"amazon row {row + 1}" for row in splits[0].source]
    assert first["test"] == [f"webcam row {row + 1}" for row in splits[0].test]
    same = domain("webcam")
    object.__setattr__(same, "names", ["one"] * len(same.y))
    object.__setattr__(world, "domains", {**world.domains, "webcam": same})
    with pytest.raises(TaskError, match="one is there twice: name each folder of pictures or features once"):
        write_domain_splits(tmp_path / "splits.json", "saenko", 3, [(world, PAIR, splits)])
