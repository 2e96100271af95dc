"""On real pictures: mirror images are found, a new picture finds its kind, groups are kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import decaf
from decaf.search.duplicates import find_duplicates
from decaf.search.groups import agreement, find_groups
from decaf.search.index import Index
from decaf.tasks.discovery import name_groups

KINDS = ("Leopards", "accordion", "pizza", "stop_sign")


@pytest.fixture(scope="module")
def index(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """20 pictures of four kinds each; of the leopards the first ten and their mirror images (101 to 110)."""
    folder = real_data / "caltech101" / "101_ObjectCategories"
    numbers = {"Leopards": [*range(1, 11), *range(101, 111)]}
    paths = [folder / kind / f"image_{n:04d}.jpg" for kind in KINDS for n in numbers.get(kind, range(1, 21))]
    place = tmp_path_factory.mktemp("pictures")
    for path in paths:
        (place / path.parent.name).mkdir(exist_ok=True)
        (place / path.parent.name / path.name).symlink_to(path)
    return Index.open(decaf.extract(place, out=tmp_path_factory.mktemp("f") / "f", resize="warp"))


def test_mirror_images_are_nearest_and_duplicates(index: Index) -> None:
    hits = index.search(index.features[:10].X(), 1, [[row] for row in range(10)])
    assert hits.rows[:, 0].tolist() == list(range(10, 20))
    pairs = {frozenset((row, row + 10)) for row in range(10)}
    found = [frozenset(group.rows) for group in find_duplicates(index, 0.9) if min(group.rows) < 10]
    assert sum(any(pair <= group for group in found) for pair in pairs) >= 9


def test_the_nearest_is_nearly_always_of_the_same_kind(index: Index) -> None:
    hits = index.search(index.features.X(), 5, [[row] for row in range(80)])
    same = index.features.labels[hits.rows] == index.features.labels[:, None]
    assert same.mean() > 0.95


def test_groups_are_the_kinds_and_have_their_names(index: Index) -> None:
    found = find_groups(index, "kmeans", 4)
    agreed = agreement(found.groups, index.features.labels)
    assert agreed is not None and agreed.ari > 0.9
    named, why = name_groups(index, found)
    titles = {words.labels[0][0]: words.names[0] for words in named}
    assert why == "" and titles["accordion"].startswith("accordion") and titles["pizza"].startswith("pizza")
    assert titles["stop_sign"].startswith("street sign")
    assert np.isfinite(found.typical).all()
