"""Figures of classes and targets: rankings, curves of precision, numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from decaf.viz.numbers import Predicted, save_numbers
from decaf.viz.precision import Curve, save_precision
from decaf.viz.ranking import Ranked, save_ranking

NAN = float("nan")
ODD = ["plain", "$\\nosuch{$", "new\nline", "<b>&amp;</b>", "a" * 200]
RECALL = np.linspace(0.1, 1, 10)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    figures: list[Any] = []
    for module in ("numbers", "precision", "ranking"):
        monkeypatch.setattr(f"decaf.viz.{module}.save_png", lambda figure, out: figures.append(figure))
    return figures


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as figure:
        assert figure.format == "PNG" and len(figure.convert("RGB").getcolors(1 << 24) or []) > 50
        return figure.size


def test_figures_are_drawn_whatever_targets_are_called_and_however_many(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for names in (ODD[:1], ODD[:2], ODD * 5):
        save_ranking("accuracy", "class", [Ranked(name, 0.5, NAN, 0.1) for name in names], tmp_path / "r.png")
        curves = [Curve(name, np.sort(random.random(10))[::-1], random.random()) for name in names]
        save_precision(RECALL, curves, tmp_path / "p.png")
        numbers = [Predicted(name, random.random(9), random.random(9), "R² 0.1") for name in names]
        save_numbers(numbers, tmp_path / "n.png")
        for name in "rpn":
            width, height = size(tmp_path / f"{name}.png")
            assert 100 < height < 3000 and 500 < width < 2000
    save_ranking("accuracy", "class", [Ranked("x", NAN, NAN)], tmp_path / "r.png")
    save_precision(RECALL, [], tmp_path / "p.png")


def test_of_many_names_the_lowest_are_shown_and_the_title_says_so(seen: list[Any]) -> None:
    ranked = [Ranked(f"class {number}", number / 100, 0.01) for number in range(99, -1, -1)]
    save_ranking("accuracy", "class", ranked, Path("x"))
    (axes,) = seen[0].axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [f"class {number}" for number in range(60)]
    assert axes.get_title(loc="left") == "Accuracy of each class, the 60 lowest of 100"
    assert axes.get_xlim() == (0, 1)  # bars begin at nothing
    assert [bar.get_width() for bar in axes.patches] == [number / 100 for number in range(60)]


def test_deviations_end_where_scores_do(seen: list[Any]) -> None:
    save_ranking("accuracy", "class", [Ranked("a", 0.9, 0.3), Ranked("b", 0.1, 0.3)], Path("x"))
    for container in seen[0].axes[0].containers:
        for line in container.lines[2] if hasattr(container, "lines") else ():
            for segment in line.get_segments():
                assert segment[:, 0].min() >= -1e-9 and segment[:, 0].max() <= 1 + 1e-9


def test_the_mean_of_the_curves_is_drawn(seen: list[Any]) -> None:
    save_precision(RECALL, [Curve("a", np.full(10, 0.9), 0.9), Curve("b", np.full(10, 0.5), 0.5)], Path("x"))
    lines = {line.get_label(): line.get_ydata() for line in seen[0].axes[0].lines}
    np.testing.assert_allclose(lines["mean of 2 targets: 0.700"], 0.7)
    assert {"a: 0.900", "b: 0.500"} <= set(lines)


def test_residuals_are_what_is_missed(seen: list[Any]) -> None:
    save_numbers([Predicted("size", np.array([1.0, 2, 3]), np.array([1.0, 4, 2]), "R² 0.1")], Path("x"))
    upper, lower = seen[0].axes
    assert upper.collections[0].get_offsets().tolist() == [[1, 1], [4, 2], [2, 3]]
    assert lower.collections[0].get_offsets().tolist() == [[1, 0], [4, -2], [2, 1]]
    assert upper.get_xlim() == upper.get_ylim() == lower.get_xlim()


def test_a_bend_in_the_residuals_shows_as_a_line(seen: list[Any]) -> None:
    x = np.linspace(-1, 1, 200)
    save_numbers([Predicted("bent", x**2, x, "")], Path("x"))
    mean = max((line for line in seen[0].axes[1].lines), key=lambda line: len(line.get_xdata()))
    np.testing.assert_allclose(mean.get_ydata(), mean.get_xdata() ** 2 - mean.get_xdata(), atol=0.01)
