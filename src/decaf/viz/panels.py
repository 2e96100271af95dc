"""Methods in rows, pairs of domains in panels: accuracies, or differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from decaf.viz.figures import BLUE, GREEN, GREY, ORANGE, new_figure, plain, save_png, with_fonts
from decaf.viz.text import one_line

_COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", "#e69f00")  # Okabe and Ito (2008)
_MARKERS = "os^Dvp"
_ROW, _PANEL, _NAMES = 0.17, 2.9, 2.5  # inches: of a mark, of a panel's width, of the names of the rows
_LONGEST = 40  # characters of a name
_ACROSS = 4  # panels side by side
_LOW_ROWS = 6  # rows that are given more room

Interval = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """One number.

    Attributes:
        panel, row: where it stands.
        series: marks of one have one colour and marker, and a place of their own within the row.
        value: per cent, or points.
        inner, outer: intervals, drawn thick and thin.
        hollow: published.
        small: one of several that another mark sums up.
    """

    panel: str
    row: str
    series: str
    value: float
    inner: Interval | None = None
    outer: Interval | None = None
    hollow: bool = False
    small: bool = False


@with_fonts
def save_panels(marks: Sequence[Mark], label: str, out: Path, zero: bool = False) -> None:
    """Draw a panel for each pair, a row for each method, a mark for each kind of features; save the figure as PNG.

    Args:
        marks: in the order panels, rows and series are to have.
        label: of the horizontal axis.
        out: the file.
        zero: whether 0 is a line, in the middle.
    """
    panels, rows, series = (list(dict.fromkeys(getattr(m, name) for m in marks)) for name in ("panel", "row", "series"))
    across = min(len(panels), _ACROSS)
    down = math.ceil(len(panels) / across)
    height = max(len(rows) * (_ROW * len(series) + 0.16), 0.28 * min(len(rows), _LOW_ROWS))
    figure = new_figure(_NAMES + _PANEL * across, down * (height + 0.75) + 0.5)
    figure.set_layout_engine("constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    reach = _reach(marks, zero)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, [mark for mark in marks if mark.panel == panel], rows, series)
        _set_axes(axes, panel, rows, reach, zero)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel(label, fontsize=10)
    _add_legend(figure, marks, series)
    save_png(figure, out)


def _draw_panel(axes: Any, marks: Sequence[Mark], rows: Sequence[str], series: Sequence[str]) -> None:
    for mark, y in zip(marks, _heights(marks, rows, series), strict=True):
        colour, marker = _style(series, mark.series)
        for interval, width in ((mark.outer, 0.8), (mark.inner, 2.2)):
            if interval:
                axes.plot(interval, [y, y], color=colour, linewidth=width, solid_capstyle="butt", zorder=2)
        face = "white" if mark.hollow else colour
        size = 3.2 if mark.small else 5.2
        style = {"markeredgecolor": colour, "markerfacecolor": face, "alpha": 0.55 if mark.small else 1}
        axes.plot([mark.value], [y], marker, markersize=size, zorder=3, **style)


def _heights(marks: Sequence[Mark], rows: Sequence[str], series: Sequence[str]) -> Iterator[float]:
    """The middle of a mark's row, and around it a place for each series."""
    for mark in marks:
        place = series.index(mark.series) - (len(series) - 1) / 2
        yield rows.index(mark.row) + 0.8 * place / len(series)


def _style(series: Sequence[str], name: str) -> tuple[str, str]:
    number = series.index(name)
    return next(islice(cycle(_COLOURS), number, None)), next(islice(cycle(_MARKERS), number, None))


def _set_axes(axes: Any, panel: str, rows: Sequence[str], reach: Interval, zero: bool) -> None:
    axes.set_title(one_line(panel, _LONGEST), fontsize=10, parse_math=False)
    names = [one_line(row, _LONGEST) for row in rows]
    axes.set_yticks(range(len(rows)), names, parse_math=False, fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(*reach)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8.5)
    axes.grid(axis="x", color="#eeeeee")
    for edge in range(1, len(rows)):
        axes.axhline(edge - 0.5, color="#f2f2f2", linewidth=0.8, zorder=0)
    if zero:
        axes.axvline(0, color=GREY, linewidth=1, zorder=1)
    axes.set_axisbelow(True)
    plain(axes)
    axes.spines["left"].set_visible(False)


def _reach(marks: Sequence[Mark], zero: bool) -> Interval:
    """All values and thick intervals; thin ones may be cut off at the edge."""
    ends = [end for mark in marks for end in (mark.value, *(mark.inner or ()))]
    low, high = min(ends), max(ends)
    free = max(0.06 * (high - low), 0.5)
    if zero:
        return min(low - free, -free), max(high + free, free)
    return max(low - free, 0), min(high + free, 100)


def _add_legend(figure: Any, marks: Sequence[Mark], series: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for name in series:
        colour, marker = _style(series, name)
        hollow = all(mark.hollow for mark in marks if mark.series == name)
        face = "white" if hollow else colour
        handles.append(
            Line2D([], [], linestyle="", marker=marker, color=colour, markerfacecolor=face, label=one_line(name))
        )
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(series), 6), frameon=False, fontsize=9)
