"""Groups without labels, and how they agree with labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from decaf.errors import SearchError, UnknownName
from decaf.search import groups as module
from decaf.search.groups import agreement, find_groups
from decaf.search.index import Index
from tests.tasks.folders import blobs, write_features

LABELS = ["cat"] * 30 + ["dog"] * 20 + ["<b>$x$"] * 12


def opened(path: Path, x: object, **options: object) -> Index:
    x = np.asarray(x, np.float32)
    return Index.open(write_features(path, x, ["a"] * len(x), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["kmeans", "hdbscan"])
def test_clouds_are_found_the_largest_first(tmp_path: Path, method: str) -> None:
    x = blobs(LABELS, d=8, noise=0.05)
    found = find_groups(opened(tmp_path / "f", x), method, 3, least=5)  # type: ignore[arg-type]
    assert len(found) == 3 and np.bincount(found.groups).tolist() == [30, 20, 12]
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    mean = units[:30].astype(np.float64).mean(axis=0)
    assert found.centres[0] == pytest.approx(mean, abs=1e-6)
    assert found.typical[:30] == pytest.approx(units[:30] @ mean / np.linalg.norm(mean), abs=1e-6)
    assert found.members(0)[0] == found.typical[:30].argmax()
    assert agreement(found.groups, np.array(LABELS, dtype=object)) == module.Agreement(62, 1.0, 1.0, 1.0, 1.0)


def test_directions_count_not_lengths(tmp_path: Path) -> None:
    x = blobs(LABELS, d=8, noise=0.02) * np.random.default_rng(0).uniform(0.1, 10, (62, 1))
    found = find_groups(opened(tmp_path / "f", x), "kmeans", 3)
    assert np.bincount(found.groups).tolist() == [30, 20, 12]


def test_rows_without_a_direction_are_in_no_group(tmp_path: Path) -> None:
    x = blobs(LABELS, d=8, noise=0.05)
    x[0], x[1] = np.nan, 0
    found = find_groups(opened(tmp_path / "f", x, errors=[None] * 61 + ["torn"]), "kmeans", 3)
    assert np.flatnonzero(found.groups < 0).tolist() == [0, 1, 61]
    assert np.isnan(found.typical[[0, 1, 61]]).all() and np.isfinite(found.typical[2:61]).all()


def test_large_sets_are_grouped_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MINI_BATCH_FROM", 10)
    found = find_groups(opened(tmp_path / "f", blobs(LABELS, d=8, noise=0.05)), "kmeans", 3, seed=1)
    assert sorted(np.bincount(found.groups).tolist()) == [12, 20, 30]


def test_equal_pictures_are_one_group(tmp_path: Path) -> None:
    index = opened(tmp_path / "f", np.ones((20, 4)))
    assert len(find_groups(index, "kmeans", 5)) == 1
    assert find_groups(index, "hdbscan").groups.tolist() in ([-1] * 20, [0] * 20)
    one = opened(tmp_path / "one", np.ones((1, 4)))
    assert find_groups(one).groups.tolist() == [0]


def test_what_cannot_be_grouped_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = opened(tmp_path / "f", blobs(LABELS))
    with pytest.raises(UnknownName, match="kmeans, hdbscan"):
        find_groups(index, "ward")  # type: ignore[arg-type]
    with pytest.raises(SearchError, match="63 groups of 62 rows"):
        find_groups(index, "kmeans", 63)
    with pytest.raises(UnknownName, match="at least 1"):
        find_groups(index, "hdbscan", least=1)
    monkeypatch.setattr(module, "_DENSITY_ROWS", 61)
    with pytest.raises(SearchError, match="use k-means"):
        find_groups(index, "hdbscan")


def test_agreement_by_hand() -> None:
    """Manning, Raghavan, Schuetze (2008), figure 16.4 and section 16.3: purity 0.71, Rand-adjusted and NMI beside."""
    labels = list("xxxxxo" + "xoooo" + "d" + "xxddd")
    groups = np.array([0] * 6 + [1] * 6 + [2] * 5)
    found = agreement(groups, labels)
    assert found is not None and found.rows == 17
    assert found.purity == pytest.approx(12 / 17) and round(found.nmi, 2) == 0.36 and round(found.ari, 2) == 0.24


def test_agreement_counts_rows_with_both() -> None:
    found = agreement(np.array([0, 0, 1, -1, 1]), ["a", None, "b", "a", "b"])
    assert found is not None and (found.rows, found.in_groups, found.purity) == (3, 0.75, 1.0)
    assert agreement(np.array([-1, 0]), ["a", None]) is None
