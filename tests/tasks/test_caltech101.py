"""Caltech-101: where it lies and how it is split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from decaf.errors import ProbeError, TaskError
from decaf.tasks.caltech101 import BACKGROUND, PUBLISHED, TASK, find_classes, sample
from decaf.tasks.task import Protocol, validation_count
from tests.tasks.benchmarks import caltech

FOLDER = Path("caltech")


def paths(**counts: int) -> list[str]:
    return [f"caltech/{name}/image_{index:04d}.jpg" for name, count in counts.items() for index in range(count)]


def test_the_folder_may_be_named_or_one_above_it(tmp_path: Path) -> None:
    classes = caltech(tmp_path / "data" / "caltech-101") / "101_ObjectCategories"
    for given in (classes, classes.parent, tmp_path / "data", tmp_path):
        assert find_classes(given) == classes
    renamed = classes.rename(tmp_path / "mine")
    assert find_classes(renamed) == renamed  # known by its background class


def test_other_folders_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="nowhere is not a folder"):
        find_classes(tmp_path / "nowhere")
    (tmp_path / "cats").mkdir()
    with pytest.raises(TaskError, match="holds no 101_ObjectCategories: name"):
        find_classes(tmp_path)


def test_of_thirty_pictures_twenty_five_train_and_five_choose_and_the_rest_test() -> None:
    labelled = paths(BACKGROUND_Google=40, ant=31, bass=35)
    found = sample(labelled, FOLDER, Protocol(n_splits=3, seed=7))
    assert [found.y[row] for row in (0, 40, 71)] == ["BACKGROUND_Google", "ant", "bass"]
    for split in found.splits:
        for name, rest in (("BACKGROUND_Google", 10), ("ant", 1), ("bass", 5)):
            counts = [int((found.y[part] == name).sum()) for part in (split.train, split.validation, split.test)]
            assert counts == [25, 5, rest]
        assert len(np.unique(np.concatenate(list(vars(split).values())))) == len(labelled)
    again = sample(labelled, FOLDER, Protocol(n_splits=1, seed=7)).splits[0]
    assert again.train.tolist() == found.splits[0].train.tolist()
    assert found.splits[0].train.tolist() != found.splits[1].train.tolist()
    other = sample(labelled, FOLDER, Protocol(n_splits=1, seed=8)).splits[0]
    assert other.train.tolist() != again.train.tolist()


def test_a_class_with_thirty_pictures_is_refused_by_name() -> None:
    with pytest.raises(ProbeError, match="class 'ant' has 30 rows, the split needs 31"):
        sample(paths(BACKGROUND_Google=40, ant=30), FOLDER, Protocol())
    with pytest.raises(TaskError, match="1 folder"):
        sample(paths(ant=40), FOLDER, Protocol())


def test_what_differs_from_the_paper_is_said() -> None:
    every = {f"class{number}": 31 for number in range(101)} | {BACKGROUND: 31}
    whole = sample(paths(**every), FOLDER, Protocol(n_splits=1))
    assert whole.comparable and not whole.notes
    del every[BACKGROUND]
    part = sample(paths(**every), FOLDER, Protocol(n_splits=1))
    assert not part.comparable and "here are 101, and no BACKGROUND_Google" in part.notes[0]
    other = sample(paths(**every, other=31), FOLDER, Protocol(n_splits=1))  # 102 classes, but not those
    assert not other.comparable and "here are 102, and no BACKGROUND_Google" in other.notes[0]
    fewer = sample(paths(**every | {BACKGROUND: 31}), FOLDER, Protocol(n_splits=1, train_per_class=12))
    assert not fewer.comparable and "30 pictures of each class, this run on 12" in fewer.notes[0]
    assert len(fewer.splits[0].train) == 102 * 10 and len(fewer.splits[0].validation) == 102 * 2


def test_a_sixth_of_the_training_pictures_is_held_out() -> None:
    assert [validation_count(n) for n in (1, 2, 5, 12, 30, 50)] == [0, 1, 1, 2, 5, 8]


def test_the_published_numbers_are_the_papers() -> None:
    assert PUBLISHED.table["svm", True] == (None, (86.91, 0.7), (85.51, 0.9))
    assert PUBLISHED.table["svm", False] == ((77.12, 1.1), (84.77, 1.2), (83.24, 1.2))
    assert PUBLISHED.table["logistic", True] == (None, (86.08, 0.8), (85.68, 0.6))
    assert PUBLISHED.table["logistic", False] == ((63.29, 6.6), (84.30, 1.6), (84.87, 0.6))
    assert [value for _, value, _ in PUBLISHED.others] == [84.3, 65.5]
    assert PUBLISHED.one_shot is not None and PUBLISHED.one_shot[1] == 33.0
    assert TASK.curve == (1, 3, 5, 10, 15, 20, 25, 30)
