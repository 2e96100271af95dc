"""Methods of adaptation side by side: how accurate each is, and what it has over doing without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaf.viz.figures import BLUE, GREEN, GREY, ORANGE, new_figure, plain, save_png, with_fonts
from decaf.viz.text import one_line

_ROW = 0.34  # inches of a method
_LONGEST = 34  # characters of a name
Interval = tuple[float, float]


@dataclass(frozen=True)
class Compared:
    """One method.

    Attributes:
        name: of the method.
        accuracy: 0 to 1, with its interval.
        change: of the accuracy against the baseline, with its interval; None for the baseline.
        chosen: drawn full, its name bold.
    """

    name: str
    accuracy: float
    interval: Interval
    change: tuple[float, Interval] | None
    chosen: bool = False


@with_fonts
def save_comparison(methods: Sequence[Compared], baseline: str, out: Path) -> None:
    """Draw accuracies on the left and changes on the right, a row for each method, and save the figure as PNG.

    Args:
        methods: in the order they are drawn in, downwards.
        baseline: the method that the others are compared with.
        out: the file.
    """
    figure = new_figure(9, 1.15 + _ROW * len(methods))
    figure.set_layout_engine("constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for row, one in enumerate(methods):
        _draw(left, row, one.accuracy, one.interval, BLUE, one.chosen)
        if one.change:
            low, high = one.change[1]
            colour = GREEN if low > 0 else ORANGE if high < 0 else GREY
            _draw(right, row, one.change[0], (low, high), colour, one.chosen)
    left.set_yticks(range(len(methods)), [one_line(one.name, _LONGEST) for one in methods], parse_math=False)
    for label, one in zip(left.get_yticklabels(), methods, strict=True):
        label.set_weight("bold" if one.chosen else "normal")
    left.set(ylim=(len(methods) - 0.4, -0.6), xlabel="mean accuracy over the classes, %")
    right.set_xlabel(f"change against {baseline}, points of per cent")
    right.axvline(0, color=GREY, linewidth=1, zorder=0)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#eeeeee")
        axes.set_axisbelow(True)
        axes.margins(x=0.14)
        plain(axes)
        axes.spines["left"].set_visible(False)
    save_png(figure, out)


def _draw(axes: Any, row: int, value: float, interval: Interval, colour: str, full: bool) -> None:
    low, high = (100 * end for end in interval)
    axes.plot([low, high], [row, row], color=colour, linewidth=1.6, solid_capstyle="round")
    axes.plot([100 * value], [row], "o", markersize=6.5, color=colour if full else "white", markeredgecolor=colour)
    signed = "{:+.1f}" if colour != BLUE else "{:.1f}"
    place = {"textcoords": "offset points", "ha": "center", "fontsize": 8, "color": "#333333"}
    axes.annotate(signed.format(100 * value), (100 * value, row), (0, 6), **place)
