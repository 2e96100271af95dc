"""`Index`: from a feature folder to rows and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

import decaf
from decaf.errors import SearchError, UnknownName
from decaf.search import index as module
from decaf.search.index import Index
from decaf.search.lists import make_lists
from tests.search.test_exact import METRICS, clouds
from tests.tasks.folders import write_features


def folder(path: Path, x: NDArray[Any], errors: list[str | None] | None = None, **settings: Any) -> decaf.FeatureSet:
    return write_features(path, x, ["a"] * len(x), errors=errors, **settings)


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_cosines_or_distances(tmp_path: Path, metric: str) -> None:
    x = clouds(300, 12)
    index = Index.open(folder(tmp_path / "f", x), metric=metric)  # type: ignore[arg-type]
    hits = index.search(x[:4], k=300)
    distances = cdist(x[:4].astype(float), x.astype(float), "cosine" if metric == "cosine" else "euclidean")
    scores = 1 - distances if metric == "cosine" else distances
    assert np.sort(hits.rows, axis=1).tolist() == [list(range(300))] * 4
    assert hits.scores == pytest.approx(np.take_along_axis(scores, hits.rows, axis=1), abs=1e-7)
    assert hits.rows[:, 0].tolist() == [0, 1, 2, 3] and index.recall == 1


def test_large_sets_are_searched_by_sketches_with_the_same_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = clouds(900, 600)
    features = folder(tmp_path / "f", x)
    plain = Index.open(features)
    monkeypatch.setattr(module, "SKETCHED_FROM", 1)
    fast = Index.open(features)
    assert plain.sketch is None and fast.sketch is not None and fast.sketch.values.shape == (900, 257)
    skip = [[row] for row in range(9)]
    monkeypatch.setattr(module, "_BOUNDS_AT_ONCE", 900 * 4)
    one, other = (index.search(x[:9], 7, skip) for index in (plain, fast))
    assert one.rows.tolist() == other.rows.tolist() and one.scores.tolist() == other.scores.tolist()
    assert all(row not in found for row, found in enumerate(one.rows.tolist()))


@pytest.mark.parametrize("metric", METRICS)
def test_approximate_search_keeps_what_it_says(tmp_path: Path, metric: str) -> None:
    x = clouds(1000, 24, seed=1)
    features = folder(tmp_path / "f", x)
    exact = Index.open(features, metric=metric)  # type: ignore[arg-type]
    quick = Index.open(features, metric=metric, approximate=True)  # type: ignore[arg-type]
    assert quick.lists is not None and quick.recall >= 0.97 and quick.lists.probes < len(quick.lists.centres)
    asked = x[:200] + np.random.default_rng(2).normal(0, 0.1, (200, 24))
    truth, found = exact.search(asked, 10), quick.search(asked, 10)
    recall = np.mean([np.isin(a, b).mean() for a, b in zip(truth.rows, found.rows, strict=True)])
    assert recall >= 0.95
    assert np.sort(quick.lists.order).tolist() == list(range(1000)), "every row is in one list"
    again = Index.open(features, metric=metric, approximate=True)  # type: ignore[arg-type]
    assert again.search(asked, 10).rows.tolist() == found.rows.tolist() and again.recall == quick.recall


def test_lists_are_the_same_for_a_seed() -> None:
    from decaf.search.matrix import matrix_of
    from tests.search.test_exact import sketched

    matrix = matrix_of(clouds(1000, 16))
    one, other = (make_lists(matrix, sketched(matrix, 8), "cosine") for _ in range(2))
    assert one.order.tolist() == other.order.tolist() and one.probes == other.probes


def test_more_than_there_are(tmp_path: Path) -> None:
    x = clouds(5, 4)
    x[2] = np.nan
    features = folder(tmp_path / "f", x, [None, None, None, "torn", None])
    for approximate in (False, True):
        hits = Index.open(features, approximate=approximate).search(x[:2], 50, [[0], [1]])
        assert [sorted(dict(hits.of(number))) for number in (0, 1)] == [[1, 4], [0, 4]]
        assert (hits.rows[:, -1] == -1).all() and np.isnan(hits.scores[:, -1]).all()


def test_one_picture_and_equal_pictures(tmp_path: Path) -> None:
    one = Index.open(folder(tmp_path / "one", np.ones((1, 4))), approximate=True)
    assert one.search(np.ones(4)).rows.tolist() == [[0]]
    assert one.search(np.ones(4), skip=[[0]]).rows.tolist() == [[-1]]
    equal = Index.open(folder(tmp_path / "equal", np.ones((50, 4))), approximate=True)
    assert equal.search(np.ones(4), 3).scores == pytest.approx(np.ones((1, 3))) and equal.recall == 1


def test_what_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    features = folder(tmp_path / "f", clouds(20, 4))
    index = Index.open(features)
    for vector, why in (
        (np.ones(5), "5 numbers long"),
        ([1, np.nan, 0, 0], "NaN or infinity"),
        (np.zeros(4), "no direction"),
    ):
        with pytest.raises(SearchError, match=why):
            index.search(vector)
    assert Index.open(features, metric="l2").search(np.zeros(4), 1).rows.shape == (1, 1)
    with pytest.raises(UnknownName, match="k is 0"):
        index.search(np.ones(4), 0)
    with pytest.raises(UnknownName, match="cosine, l2"):
        Index.open(features, metric="l1")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="no layer 'x'"):
        Index.open(features, "x")
    with pytest.raises(SearchError, match="no row"):
        Index.open(folder(tmp_path / "nan", np.full((3, 4), np.nan)))
    with pytest.raises(SearchError, match="differ from zero"):
        Index.open(folder(tmp_path / "zeros", np.zeros((3, 4))), approximate=True)


def test_changed_features_are_searched_anew(tmp_path: Path) -> None:
    x = clouds(30, 4)
    assert Index.open(folder(tmp_path / "f", x)).search(x[3], 1).rows.tolist() == [[3]]
    index = Index.open(folder(tmp_path / "f", x[::-1]))
    assert index.search(x[3], 1).rows.tolist() == [[26]]
    assert all(file.parent == tmp_path / "f" / "derived" for file in index.files)


def test_damaged_files_are_made_anew(tmp_path: Path) -> None:
    x = clouds(200, 8)
    features = folder(tmp_path / "f", x)
    expected = Index.open(features, approximate=True).search(x[:3], 4)
    for file in Index.open(features, approximate=True).files:
        for damage in (b"", b"x" * 200, file.read_bytes()[:-3]):
            file.write_bytes(damage)
            assert Index.open(features, approximate=True).search(x[:3], 4).rows.tolist() == expected.rows.tolist()


def test_progress_counts_the_rows_of_each_file(tmp_path: Path) -> None:
    features, told = folder(tmp_path / "f", clouds(90, 8)), list[int]()
    Index.open(features, approximate=True, progress=told.append)
    assert sum(told) == 3 * 90 == module.rows_to_prepare(features, None, True)
    assert module.rows_to_prepare(features, None, False) == 90
    Index.open(features, approximate=True, progress=told.append)
    assert sum(told) == 3 * 90, "what is there is not made again"
