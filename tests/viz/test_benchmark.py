"""Figures of benchmarks."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from decaf.viz.benchmark import Bar, Reference, save_bars, save_curves, spread

NAN = float("nan")


def pixels(path: Path) -> tuple[tuple[int, int], int]:
    with Image.open(path) as picture:
        return picture.size, len(picture.convert("RGB").getcolors(1 << 24) or [])


def test_names_of_lines_do_not_touch() -> None:
    assert spread([], 2) == []
    assert spread([10, 20], 2) == [10, 20]
    assert spread([10, 11, 11.5, 30], 2) == [10, 12, 14, 30]


def test_bars_are_drawn_whatever_the_layers_are_called(tmp_path: Path) -> None:
    bars = [
        Bar(panel, group, series, 60 + 3 * number, NAN if number else 1.5, "dropout" in series)
        for panel in ("as they are", "square $root")
        for group in ("pool", "a_$very$_long_layer_name")
        for number, series in enumerate(("LogReg", "LogReg with dropout", "SVM", "SVM with dropout"))
    ]
    save_bars(bars, [Reference("A *", 84.3), Reference("B *", 84.5)], tmp_path / "wide.png")
    save_bars(bars[:4], [], tmp_path / "narrow.png")
    wide, narrow = pixels(tmp_path / "wide.png"), pixels(tmp_path / "narrow.png")
    assert wide[0][0] > narrow[0][0] and min(wide[1], narrow[1]) > 50


def test_curves_are_drawn_with_marks(tmp_path: Path) -> None:
    curves = [("SVM on pool", [(1, 68.0, 2.0), (30, 93.6, NAN)]), ("LogReg on pool", [(1, 65.0, 2.0), (30, 92.8, 0.5)])]
    save_curves(curves, [Reference("Yang *", 84.3), Reference("one *", 33.0, at=1)], tmp_path / "curve.png")
    save_curves(curves[:1], [], tmp_path / "one.png")
    assert pixels(tmp_path / "curve.png")[1] > 50
    assert (tmp_path / "curve.png").read_bytes() != (tmp_path / "one.png").read_bytes()
