"""Near-duplicates: the components of all pairs above the threshold, without their table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

import decaf
from decaf.errors import UnknownName
from decaf.search import duplicates as module
from decaf.search import index as index_module
from decaf.search.duplicates import find_duplicates
from decaf.search.index import Index
from tests.search.test_exact import clouds
from tests.tasks.folders import write_features


def opened(path: Path, x: Any, **options: Any) -> Index:
    return Index.open(write_features(path, np.asarray(x, np.float32), ["a"] * len(x), **options))


def components(x: Any, threshold: float) -> list[tuple[int, ...]]:
    """SciPy's connected components of the table of all pairs; the largest first."""
    alike = 1 - cdist(x.astype(np.float64), x.astype(np.float64), "cosine") >= threshold
    _, names = connected_components(alike, directed=False)
    groups = [tuple(np.flatnonzero(names == name).tolist()) for name in range(names.max() + 1)]
    return sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group))


@pytest.mark.parametrize("sketched", [False, True])
def test_groups_are_the_components(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sketched: bool) -> None:
    x = clouds(400, 520, seed=3)
    monkeypatch.setattr(module, "_BLOCK", 64)
    monkeypatch.setattr(module, "_PAIRS", 7)
    monkeypatch.setattr(index_module, "SKETCHED_FROM", 1 if sketched else 10**12)
    index = opened(tmp_path / "f", x)
    assert (index.sketch is not None) == sketched
    for threshold in (0.8, 0.87, 0.95):
        assert [group.rows for group in find_duplicates(index, threshold)] == components(x, threshold)
    assert any(len(group) > 2 for group in components(x, 0.87)), "the test has groups to find"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.floats(0.1, 0.999))
def test_groups_are_the_components_of_anything(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, threshold: float
) -> None:
    x = clouds(n, 5, seed)
    x[np.random.default_rng(seed).integers(0, n, n // 3)] = x[0]
    x += np.float32(1e-3)
    index = opened(tmp_path_factory.mktemp("f"), x)
    assert [group.rows for group in find_duplicates(index, threshold)] == components(x, threshold)


def test_equal_pictures_are_one_group_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("equal rows need no comparison")

    monkeypatch.setattr(module, "_checked", lambda *arguments: never() if len(arguments[1][0]) else iter(()))
    (group,) = find_duplicates(opened(tmp_path / "f", np.ones((1000, 4))), 1.0)
    assert group.rows == tuple(range(1000)) and set(group.similarities) == {1.0}


def test_similarities_are_to_the_first(tmp_path: Path) -> None:
    angles = np.radians([0, 10, 20, 90])
    (group,) = find_duplicates(opened(tmp_path / "f", np.stack([np.cos(angles), np.sin(angles)], 1)), 0.98)
    assert group.rows == (0, 1, 2), "a chain of pairs is one group"
    assert group.similarities == pytest.approx((1, np.cos(angles[1]), np.cos(angles[2])), abs=1e-6)


def test_rows_of_one_picture_are_no_duplicates(tmp_path: Path) -> None:
    paths, region = ["a.jpg", "a.jpg", "b.jpg"], ["1", "2", "1"]
    alike = opened(tmp_path / "f", np.ones((3, 4)), paths=paths, region=region)
    assert [group.rows for group in find_duplicates(alike, 0.9)] == [(0, 1, 2)], "each is like the other picture"
    apart = opened(tmp_path / "g", [[1, 0], [1, 0.01], [0, 1]], paths=paths, region=region)
    assert find_duplicates(apart, 0.9) == []


def test_files_of_the_same_bytes_are_a_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = opened(tmp_path / "f", [[1, 0], [0, 1], [1, 1], [1, -1]], errors=[None, None, None, "torn"])
    sums = np.array(["s", "s", None, "s"], dtype=object)
    monkeypatch.setattr(decaf.FeatureSet, "checksums", sums, raising=False)
    (group,) = find_duplicates(index, 0.99)
    assert group.rows == (0, 1) and group.same_file == (True, True)


def test_broken_rows_and_zeros_are_in_no_group(tmp_path: Path) -> None:
    x = np.ones((6, 3))
    x[0], x[1], x[2] = np.nan, 0, 0
    (group,) = find_duplicates(opened(tmp_path / "f", x, errors=[None] * 5 + ["torn"]), 0.9)
    assert group.rows == (3, 4)
    assert find_duplicates(opened(tmp_path / "one", np.ones((1, 3))), 0.9) == []


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_a_threshold_that_is_none(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(UnknownName, match="threshold"):
        find_duplicates(opened(tmp_path / "f", np.ones((2, 2))), threshold)
