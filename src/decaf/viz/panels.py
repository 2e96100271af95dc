"""Methods in rows, pairs of domains in panels: accuracies, or differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from decaf.viz.figures import GREY, new_figure, plain, save_png, with_fonts
from decaf.viz.text import one_line
from decaf.viz.theme import LIGHT, MARKERS

_ROW, _PANEL, _NAMES = 0.17, 2.9, 2.5  # inches: of a mark, of a panel's width, of the names of the rows
_ENTRY = 1.6  # inches of a name in the legend
_LONGEST = 40  # characters of a name
_ACROSS = 4  # panels side by side

Interval = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """One number.

    Attributes:
        panel, row: where it stands.
        series: marks of one have one colour and marker, and a place of their own within the row; published ones are
            grey and share a place.
        value: per cent, or points.
        inner, outer: intervals, drawn thick and thin.
        hollow: published.
        small: one of several that another mark sums up: grey, on the line of the first series.
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
    panels, rows = (list(dict.fromkeys(getattr(mark, name) for mark in marks)) for name in ("panel", "row"))
    looks = _looks(marks)
    across = min(len(panels), _ACROSS)
    down = math.ceil(len(panels) / across)
    places = max(look.place for look in looks.values()) + 1
    height = len(rows) * (_ROW * places + 0.16)
    figure = new_figure(_NAMES + _PANEL * across, down * (height + 0.75) + 0.5)
    figure.set_layout_engine("constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True)
    reach = _reach(marks, zero)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, [mark for mark in marks if mark.panel == panel], rows, looks)
        _set_axes(axes, panel, rows, reach, zero)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel(label, fontsize=10)
    _add_legend(figure, looks)
    save_png(figure, out)


@dataclass(frozen=True)
class _Look:
    """Of a series; `place` counts from the top of a row."""

    colour: str
    marker: str
    hollow: bool
    place: int


def _looks(marks: Sequence[Mark]) -> dict[str, _Look]:
    small, ours, published = (
        list(dict.fromkeys(mark.series for mark in marks if which(mark)))
        for which in (
            lambda mark: mark.small, lambda mark: not (mark.small or mark.hollow), lambda mark: mark.hollow,
        )
    )  # fmt: skip
    looks = {name: _Look(GREY, "o", False, 0) for name in small}
    for place, (name, colour, marker) in enumerate(zip(ours, cycle(LIGHT.series), cycle(MARKERS), strict=False)):
        looks[name] = _Look(colour, marker, False, place)
    for name, marker in zip(published, cycle(MARKERS), strict=False):
        looks[name] = _Look(GREY, marker, True, len(ours))
    return looks


def _draw_panel(axes: Any, marks: Sequence[Mark], rows: Sequence[str], looks: Mapping[str, _Look]) -> None:
    places = max(look.place for look in looks.values()) + 1
    for mark in marks:
        look = looks[mark.series]
        y = rows.index(mark.row) + 0.8 * (look.place - (places - 1) / 2) / places
        for interval, width in ((mark.outer, 0.8), (mark.inner, 2.2)):
            if interval:
                axes.plot(interval, [y, y], color=look.colour, linewidth=width, solid_capstyle="butt", zorder=2)
        face = "white" if mark.hollow else look.colour
        size = 3.2 if mark.small else 5.2
        style = {"markeredgecolor": look.colour, "markerfacecolor": face, "alpha": 0.55 if mark.small else 1}
        axes.plot([mark.value], [y], look.marker, markersize=size, zorder=3, **style)


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
    return max(low - free, -1), min(high + free, 101)  # a mark at 0 or 100 is drawn whole


def _add_legend(figure: Any, looks: Mapping[str, _Look]) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for name, look in looks.items():
        face = "white" if look.hollow else look.colour
        style: dict[str, Any] = {"marker": look.marker, "color": look.colour, "markerfacecolor": face, "linestyle": ""}
        handles.append(Line2D([], [], label=one_line(name), **style))
    fitting = max(int(figure.get_figwidth() / _ENTRY), 1)
    columns = min(len(looks), fitting)
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, fontsize=9)
