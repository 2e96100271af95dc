"""Figures of benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from decaf.viz.benchmark import Dot, Reference, save_curves, save_dots, spread

NAN = float("nan")


def pixels(path: Path) -> tuple[tuple[int, int], int]:
    with Image.open(path) as picture:
        return picture.size, len(picture.convert("RGB").getcolors(1 << 24) or [])


def test_names_of_lines_do_not_touch() -> None:
    assert spread([], 2) == []
    assert spread([10, 20], 2) == [10, 20]
    assert spread([10, 11, 11.5, 30], 2) == [10, 12, 14, 30]


DOTS = [
    Dot(group, name, name.split()[0], 60 + 3 * number, NAN if number else 1.5, "dropout" in name)
    for group in ("pool", "a_$very$_long\nlayer_name")
    for number, name in enumerate(("LogReg", "LogReg with dropout", "SVM", "SVM with dropout", "$\\nosuch{$"))
]


def test_dots_are_drawn_whatever_the_layers_are_called(tmp_path: Path) -> None:
    save_dots(DOTS, [Reference("A *", 84.3), Reference("$B *", 84.5)], tmp_path / "high.png")
    save_dots(DOTS[:1], [], tmp_path / "low.png")
    high, low = pixels(tmp_path / "high.png"), pixels(tmp_path / "low.png")
    assert high[0][1] > low[0][1] and min(high[1], low[1]) > 50


def test_every_setting_has_its_name_its_dot_and_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("decaf.viz.benchmark.save_png", lambda figure, out: seen.append(figure))
    save_dots(DOTS, [Reference("A *", 84.3)], tmp_path / "x.png")
    (axes,) = seen[0].axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [dot.name for dot in DOTS]
    drawn = [line for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in drawn] == [dot.mean for dot in DOTS]
    assert [line.get_markerfacecolor() == "white" for line in drawn] == [dot.hollow for dot in DOTS]
    written = {text.get_text() for text in axes.texts}
    assert {"60.00 ± 1.50", "63.00", "A * 84.3", "pool", "a_$very$_long\\nlayer_name"} <= written
    low, high = axes.get_xlim()
    assert low < 58.5 and high > 84.3  # every deviation and every published number is inside


def test_curves_are_drawn_with_marks(tmp_path: Path) -> None:
    curves = [("SVM on pool", [(1, 68.0, 2.0), (30, 93.6, NAN)]), ("LogReg on pool", [(1, 65.0, 2.0), (30, 92.8, 0.5)])]
    save_curves(curves, [Reference("Yang *", 84.3), Reference("one *", 33.0, at=1)], tmp_path / "curve.png")
    save_curves(curves[:1], [], tmp_path / "one.png")
    assert pixels(tmp_path / "curve.png")[1] > 50
    assert (tmp_path / "curve.png").read_bytes() != (tmp_path / "one.png").read_bytes()
