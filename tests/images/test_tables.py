"""CSV files are read the same whoever reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from decaf.errors import TableError
from decaf.images.tables import match_paths, read_csv


def lines(tmp_path: Path, content: str, *needed: str, **options: object) -> list[tuple[int, dict[str, str]]]:
    file = tmp_path / "t.csv"
    file.write_text(content, newline="")
    return list(read_csv(str(file), needed, **options))  # type: ignore[arg-type]


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    found = lines(tmp_path, 'path,a\n\n"x\ny",1\nz,2\n', "path")
    assert found == [(4, {"path": "x\ny", "a": "1"}), (5, {"path": "z", "a": "2"})]


def test_columns_are_found_in_any_case_but_first_as_they_are_written(tmp_path: Path) -> None:
    assert lines(tmp_path, "PATH,Label\nx,1\n", "path", "label") == [(2, {"path": "x", "label": "1"})]
    assert lines(tmp_path, "path,A,a\nx,1,2\n", "path", "A", "a") == [(2, {"path": "x", "A": "1", "a": "2"})]


def test_a_line_may_end_before_what_is_not_needed(tmp_path: Path) -> None:
    assert lines(tmp_path, "path,a,b\nx,1\n", "path", "a", known=["b"]) == [(2, {"path": "x", "a": "1"})]
    with pytest.raises(TableError, match=r"t\.csv line 2 is cut short"):
        lines(tmp_path, "path,a,b\nx,1\n", "path", "b")


@pytest.mark.parametrize("header", ["path,a,a", "path,a,A", "path,Path,a"])
def test_a_column_named_twice_is_refused(tmp_path: Path, header: str) -> None:
    if header == "path,a,A":  # as it is written comes first
        assert lines(tmp_path, header + "\nx,1,2\n", "path") != []
    else:
        with pytest.raises(TableError, match=r"has two columns (path|a): rename one"):
            lines(tmp_path, header + "\nx,1,2\n", "path", "a")


def test_names_that_fit_are_given_for_each_path() -> None:
    said = {"a.png": 1, "photos/a.png": 2, "b.png": 3}
    found = match_paths("t.csv", said, ["photos/a.png", "photos/./b.png", "c.png"], ["photos"])
    assert list(found) == [["a.png", "photos/a.png"], ["b.png"], []]
