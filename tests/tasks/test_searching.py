"""Queries of `decaf search`, what was found as plain values, and sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import decaf
from decaf.errors import DecafError, FeatureSetError, SearchError, SettingsDiffer, UnknownName
from decaf.search.duplicates import find_duplicates
from decaf.search.index import Index
from decaf.tasks.duplicates import group_records, write_duplicates_sheet
from decaf.tasks.searching import (
    answer,
    check_sheet,
    fitting_columns,
    notes_on,
    records,
    split_queries,
    write_search_sheet,
    writing_sheet,
)
from tests.tasks.folders import blobs, write_features

HOSTILE = "<script>alert('$x_1$')</script>\n\x1b[31m日本"
LABELS = ["cat", "dog", HOSTILE] * 4


@pytest.fixture
def index(tmp_path: Path) -> Index:
    errors = [None] * 11 + ["torn"]
    return Index.open(write_features(tmp_path / "f", blobs(LABELS), LABELS, errors=errors))


def asked(index: Index, *texts: str) -> list[int]:
    there, rest = split_queries(index, texts)
    assert not rest
    return [one.row for text in texts for one in there[text]]


def test_rows_and_paths_of_the_set(index: Index, tmp_path: Path) -> None:
    path = "photos/cat/3.bmp"
    assert asked(index, "#2", f"{index.features.folder}#4", path) == [2, 4, 3]
    assert asked(index, str(tmp_path / path)) == [3], "seen from elsewhere"
    assert split_queries(index, ["no.jpg", path], stored=False)[1] == ["no.jpg", path]
    with pytest.raises(UnknownName, match="no row 12: name one of 0 to 11"):
        split_queries(index, ["#12"])
    assert split_queries(index, ["nowhere#3"])[1] == ["nowhere#3"], "then it is a file's name"


def test_a_file_that_is_called_like_a_row_is_a_file(index: Index, tmp_path: Path) -> None:
    file = tmp_path / "photo#2"
    file.write_bytes(b"")
    assert split_queries(index, [str(file)])[1] == [str(file)]


def test_rows_of_other_features(index: Index, tmp_path: Path) -> None:
    alike = write_features(tmp_path / "g", blobs(LABELS), LABELS, precision="bf16")
    there, _ = split_queries(index, [f"{alike.folder}#1"])
    ((one,),) = there.values()
    assert one.features.folder == alike.folder
    assert "holds features with precision f32, the query is of bf16" in notes_on(index, [one])[0]
    answers = answer(index, [one], 3)
    assert 1 in [row for row, _ in answers.hits.of(0)], "the same row of the set may be found"
    write_features(tmp_path / "h", blobs(LABELS), LABELS, net_sha256="1" * 64)
    with pytest.raises(SettingsDiffer, match="features with net made-up"):
        split_queries(index, [f"{tmp_path / 'h'}#1"])
    write_features(tmp_path / "i", blobs(LABELS, d=5), LABELS)
    with pytest.raises(SettingsDiffer, match="shape of vector"):
        split_queries(index, [f"{tmp_path / 'i'}#1"])


def test_a_row_does_not_find_itself_and_a_broken_one_says_why(index: Index) -> None:
    there, _ = split_queries(index, ["#0", "#11"])
    answers = answer(index, [there["#0"][0], there["#11"][0]], 4)
    first, broken = records(answers)
    assert first["row"] == 0 and 0 not in [hit["row"] for hit in first["found"]]
    assert [hit["rank"] for hit in first["found"]] == [1, 2, 3, 4]
    assert [hit["label"] for hit in first["found"][:3]] == ["cat"] * 3
    assert broken["error"] == "torn" and broken["found"] == []
    with pytest.raises(SearchError, match=r"11.bmp cannot be searched for: torn"):
        answer(index, there["#11"], 4)


def test_queries_without_a_direction_and_with_nan(tmp_path: Path) -> None:
    x = blobs(LABELS)
    x[0], x[1] = 0, np.nan
    features = write_features(tmp_path / "f", x, LABELS)
    for metric, row, why in (("cosine", 0, "no direction"), ("cosine", 1, "NaN"), ("l2", 1, "NaN")):
        index = Index.open(features, metric=metric)  # type: ignore[arg-type]
        with pytest.raises(SearchError, match=why):
            answer(index, split_queries(index, [f"#{row}"])[0][f"#{row}"], 2)
    assert len(list(answer(index, split_queries(index, ["#0"])[0]["#0"], 2).hits.of(0))) == 2


def test_all_views_of_a_picture_are_passed_over(tmp_path: Path) -> None:
    paths = ["a", "a", "b", "b"]
    features = write_features(tmp_path / "f", blobs(["x"] * 4), ["x"] * 4, paths, views="ten")
    index = Index.open(features)
    there, _ = split_queries(index, ["#0"])
    (found,) = records(answer(index, there["#0"], 4))
    assert sorted(hit["row"] for hit in found["found"]) == [2, 3]


def test_sheets_are_drawn_without_the_pictures(index: Index, tmp_path: Path) -> None:
    from PIL import Image

    there, _ = split_queries(index, ["#0", "#2"])
    answers = answer(index, [*there["#0"], *there["#2"]], 30)
    assert write_search_sheet(answers, tmp_path / "s.png") == 22, "no picture is there"
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.size[0] > 600
    groups = find_duplicates(index, 0.9)
    assert write_duplicates_sheet(index.features, groups, 0.9, tmp_path / "d.png") == sum(len(g.rows) for g in groups)
    assert write_duplicates_sheet(index.features, [], 0.9, tmp_path / "none.png") == 0
    (first, *_) = group_records(index.features, groups)
    assert {"row", "path", "label", "similarity", "same_file"} == set(first[0])


def test_columns_leave_few_places_empty() -> None:
    assert [fitting_columns(tiles) for tiles in (1, 4, 8, 9, 11, 21, 25)] == [1, 4, 8, 5, 6, 7, 5]


def test_where_sheets_cannot_be_written(tmp_path: Path) -> None:
    for name, why in ((str(tmp_path), "a folder"), (str(tmp_path / "no" / "s.png"), "no folder"), ("s.jpg", "PNG")):
        with pytest.raises(SearchError, match=why):
            check_sheet(name)
    check_sheet(str(tmp_path / "s.PNG"))
    with pytest.raises(SearchError, match=r"cannot write s.png \(No space"), writing_sheet("s.png"):
        raise OSError(28, "No space left on device")


def test_errors_of_folders_are_ours(index: Index, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "decaf.json").write_text("{")
    with pytest.raises(FeatureSetError):
        split_queries(index, [f"{tmp_path / 'bad'}#1"])
    assert issubclass(SearchError, DecafError) and issubclass(SearchError, ValueError)
    assert isinstance(decaf.FeatureSet.open(index.features.folder).checksums[0], type(None))
