"""Panels of marks: every mark is drawn where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from decaf.viz import panels
from decaf.viz.panels import Mark, save_panels

MARKS = [
    Mark(pair, method, features, 50 + 3 * k, inner=(48 + 3 * k, 53 + 3 * k), outer=(-200, 200))
    for pair in ("Amazon → Webcam", "Dslr → $Webcam$")
    for k, method in enumerate(("SVM (S)", "SVM (ST)", "a name\nof two lines and of many many letters more"))
    for features in ("SURF", "pool")
]


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    kept: list[Any] = []
    monkeypatch.setattr(panels, "save_png", lambda one, out: kept.append(one))
    return kept


def test_a_mark_stands_in_its_panel_and_row(figure: list[Any], tmp_path: Path) -> None:
    save_panels([*MARKS, Mark("Dslr → $Webcam$", "SVM (S)", "paper*", 70, hollow=True)], "points", tmp_path / "f.png")
    left, right = figure[0].axes
    assert left.get_title() == "Amazon → Webcam" and right.get_title() == "Dslr → $Webcam$"
    drawn = {(line.get_xdata()[0], round(line.get_ydata()[0])) for line in left.lines if len(line.get_xdata()) == 1}
    assert drawn == {(50, 0), (53, 1), (56, 2)}
    hollow = [line for line in right.lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata()[0] for line in hollow] == [70]
    assert [text.get_text()[:10] for text in left.get_yticklabels()] == ["SVM (S)", "SVM (ST)", "a name\\nof"]
    low, high = left.get_xlim()
    assert low < 48 and 70 < high < 100  # thin intervals do not widen it
    assert left.get_ylim() == (2.5, -0.5)


def test_zero_is_in_sight_where_it_is_a_line(figure: list[Any], tmp_path: Path) -> None:
    save_panels([Mark("a", "b", "c", 4.0, inner=(3, 5))], "points", tmp_path / "f.png", zero=True)
    low, high = figure[0].axes[0].get_xlim()
    assert low < 0 and high > 5


def test_many_panels_are_laid_out_in_rows(tmp_path: Path) -> None:
    marks = [Mark(f"pair {k}", "SVM", "a pair", 10.0 * k, small=True) for k in range(9)]
    save_panels(marks, "accuracy, %", tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as image:
        assert image.width > 1000 and image.height > 300
