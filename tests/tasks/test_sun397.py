"""SUN-397: the official lists, a part of the classes, splits of one's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from decaf.errors import TaskError
from decaf.images.find import find_images
from decaf.tasks.sun397 import PUBLISHED, find_classes, sample
from decaf.tasks.task import Protocol, Sample
from tests.tasks.benchmarks import SUN, sun, write_partition

TWO = Protocol(n_splits=2)


def sampled(folder: Path, protocol: Protocol = TWO) -> tuple[Sample, list[str]]:
    classes = find_classes(folder)
    paths = list(find_images(classes).paths)
    return sample(paths, classes, protocol), paths


def test_pictures_and_classes_are_those_of_the_official_lists(tmp_path: Path) -> None:
    found, paths = sampled(sun(tmp_path))
    assert set(found.y) == {f"/{name}" for name in SUN}
    for number, split in enumerate(found.splits):
        lines = (tmp_path / "Partitions" / f"Training_{number + 1:02d}.txt").read_text().split()
        listed = {Path(line).name for line in lines if "nothere" not in line}
        used = {Path(paths[found.rows[row]]).name for row in (*split.train, *split.validation)}
        assert used == listed and len(used) == 12
        for part, each in ((split.train, 3), (split.validation, 1), (split.test, 3)):
            assert set(Counter(found.y[part]).values()) == {each}
        for row in split.test:
            assert paths[found.rows[row]].endswith(f"{found.y[row]}/{Path(paths[found.rows[row]]).name}")
    assert len(found.rows) < len(paths)  # pictures of no list are not asked for


def test_a_part_of_the_data_says_so(tmp_path: Path) -> None:
    found, _ = sampled(sun(tmp_path))
    assert not found.comparable
    assert found.notes[0].startswith("A subset: 3 of 397 classes and 42 of the 54 places in the official lists; 4 ")
    for path in (tmp_path / "SUN397" / "a" / "abbey").iterdir():
        path.unlink()
    found, _ = sampled(tmp_path)
    assert set(found.y) == {"/d/desert/sand", "/i/inn/indoor"} and "2 of 397" in found.notes[0]


def test_a_class_without_test_pictures_is_left_out_and_named(tmp_path: Path) -> None:
    sun(tmp_path)
    test = tmp_path / "Partitions" / "Testing_02.txt"
    test.write_text("".join(f"{line}\n" for line in test.read_text().split() if "abbey" not in line))
    found, _ = sampled(tmp_path)
    assert "Left out, with too few pictures: /a/abbey." in found.notes[1]
    for split in found.splits:
        assert "/a/abbey" not in set(found.y[np.concatenate(list(vars(split).values()))])


def test_lists_are_found_beside_the_classes_or_named(tmp_path: Path) -> None:
    folder = sun(tmp_path / "one")
    moved = (folder / "Partitions").rename(tmp_path / "lists")
    with pytest.raises(TaskError, match=r"no Training_01.txt in .*--partitions random"):
        sampled(folder)
    found, _ = sampled(folder, Protocol(n_splits=1, partitions=str(moved)))
    assert len(found.splits) == 1


def test_a_class_with_one_training_picture_is_left_out(tmp_path: Path) -> None:
    train = sun(tmp_path) / "Partitions" / "Training_01.txt"
    abbeys = [line for line in train.read_text().split() if "abbey" in line and "nothere" not in line]
    train.write_text("".join(f"{line}\n" for line in train.read_text().split() if line not in abbeys[1:]))
    found, _ = sampled(tmp_path)
    assert "Left out, with too few pictures: /a/abbey." in found.notes[1]


@pytest.mark.parametrize(
    "damage", ["no slash", "no class", "binary", "no test", "other pictures", "shared", "too many"]
)
def test_wrong_lists_are_refused(tmp_path: Path, damage: str) -> None:
    lists = sun(tmp_path) / "Partitions"
    protocol, message = Protocol(n_splits=2), ""
    if damage == "no slash":
        (lists / "Training_02.txt").write_text("/a/abbey/sun_x.jpg\nabbey 3\n")
        message = "Training_02.txt line 2 is no picture such as /a/abbey/sun_x.jpg"
    elif damage == "no class":
        (lists / "Training_02.txt").write_text("/a/abbey/sun_x.jpg\n\n/sun_x.jpg\n")
        message = "Training_02.txt line 3 is no picture"
    elif damage == "binary":
        (lists / "Training_01.txt").write_bytes(b"\xff\xfe\x00")
        message = "Training_01.txt is no list of pictures"
    elif damage == "no test":
        (lists / "Testing_02.txt").unlink()
        message = "cannot read .*Testing_02.txt .*needs its Testing_NN.txt"
    elif damage == "other pictures":
        for number in (1, 2):
            write_partition(lists, number, ["/b/bar/sun_u.jpg"], ["/b/bar/sun_v.jpg"])
        message = "no picture of .* is here"
    elif damage == "shared":
        line = (lists / "Training_01.txt").read_text().split()[0]
        with (lists / "Testing_01.txt").open("a") as file:
            file.write(f"{line}\n")
        message = "share /a/abbey/sun_a_abbey000.png"
    else:
        protocol, message = Protocol(n_splits=5), "there are 2 official splits in .*: pass --splits 2"
    with pytest.raises(TaskError, match=message):
        sampled(tmp_path, protocol)


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    sun(tmp_path)
    twin = tmp_path / "SUN397" / "i" / "inn" / "indoor" / "sun_a_abbey000.png"
    twin.write_bytes(b"")
    with pytest.raises(TaskError, match=r"2 pictures are called sun_a_abbey000.png"):
        sampled(tmp_path)


def test_random_splits_take_half_of_small_classes(tmp_path: Path) -> None:
    found, paths = sampled(sun(tmp_path), Protocol(n_splits=2, partitions="random"))
    assert len(found.rows) == len(paths) == 27 and set(found.y) == set(SUN)
    for split in found.splits:
        for part, each in ((split.train, 3), (split.validation, 1), (split.test, 5)):
            assert Counter(found.y[part]) == dict.fromkeys(SUN, each)
    assert "Random splits, not the official ones: 4 pictures of each class to train on and 5" in found.notes[0]
    large = [f"x/{name}/{index}.jpg" for name in "ab" for index in range(130)]
    split = sample(large, Path("x"), Protocol(n_splits=1, partitions="random")).splits[0]
    assert [len(part) for part in vars(split).values()] == [84, 16, 100]  # 42 / 8 / 50, as in the paper


def test_the_published_numbers_are_the_papers() -> None:
    assert PUBLISHED.table == {
        ("logistic", True): ((40.94, 0.3), (40.84, 0.3)),
        ("svm", True): ((39.36, 0.3), (40.66, 0.3)),
    }
    assert PUBLISHED.others[0][1] == 38.0
