"""How alike each of some things is to each of others: a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.figures import name_ticks, new_figure, save_figure, with_fonts
from decaf.viz.text import one_line
from decaf.viz.theme import Theme, themed

Matrix = NDArray[np.float64]

_MOST_WRITTEN = 14  # columns up to which values stand in their cells
_MOST_ROWS_WRITTEN = 40
_MOST_NAMED = 60  # things; of more, every second, fifth, tenth ... is named
_WRITTEN_CELL, _NARROW_CELL, _LEAST_SIDE, _MOST_SIDE = 0.62, 0.17, 2.4, 10.5  # inches
_LONGEST = 34  # characters of a name
_NEGATIVE = -0.05  # values below this want colours on both sides of 0


@dataclass(frozen=True, eq=False)
class Heatmap:
    """What is drawn.

    Attributes:
        title, measure: above the map, and beside its scale.
        rows, columns: names.
        row_title, column_title: what they are; empty where the names say it.
        values: (rows, columns); NaN where there is none.
        low, high: ends of intervals, written below the values; None where there are none.
        row_breaks, column_breaks: numbers of things before which another source begins; a line is drawn there.
    """

    title: str
    measure: str
    rows: Sequence[str]
    columns: Sequence[str]
    row_title: str
    column_title: str
    values: Matrix
    low: Matrix | None = None
    high: Matrix | None = None
    row_breaks: Sequence[int] = ()
    column_breaks: Sequence[int] = ()


@with_fonts
def save_heatmap(shown: Heatmap, out: Path, theme: str = "light") -> None:
    """Draw a heat map and save it as its file's ending says.

    Colours are told apart by every kind of colour vision: viridis from 0 to 1; where values are negative, purple to
    orange from -1 to 1.

    Args:
        shown: any number of rows and columns.
        out: a `.png`, `.svg` or `.pdf` file.
        theme: `light` or `dark`.
    """
    rows, columns = ([one_line(name, _LONGEST) for name in names] for names in (shown.rows, shown.columns))
    written = len(columns) <= _MOST_WRITTEN and len(rows) <= _MOST_ROWS_WRITTEN
    width, height = _side(len(columns), written), _side(len(rows), written, 0.6 if shown.low is None else 0.75)
    size = _font(len(rows), len(columns))
    left, below = _room(rows, shown.row_title, size), _room(columns, shown.column_title, size)
    page_width = max(left + width + 1.15, 0.085 * len(shown.title) + 0.3)
    page_height = below + height + 0.55
    with themed(theme) as colours:
        figure = new_figure(page_width, page_height)
        place = (left / page_width, below / page_height, width / page_width, height / page_height)
        axes = figure.add_axes(place)
        image = _draw(axes, shown.values, colours)
        _name(axes, rows, columns, shown)
        for draw, breaks in ((axes.axhline, shown.row_breaks), (axes.axvline, shown.column_breaks)):
            for number in breaks:
                draw(number - 0.5, color=colours.paper, linewidth=2)
        if written:
            _write(axes, image, shown)
        figure.text(0.12 / page_width, 1 - 0.26 / page_height, shown.title, fontsize=10.5, va="center")
        scale = figure.add_axes(((left + width + 0.18) / page_width, place[1], 0.14 / page_width, place[3]))
        _draw_scale(figure, scale, image, shown.measure)
        save_figure(figure, out)


def _side(count: int, written: bool, flat: float = 1.0) -> float:
    cell = _WRITTEN_CELL * flat if written else _NARROW_CELL
    return float(np.clip(cell * count, 1.1 if written else _LEAST_SIDE, _MOST_SIDE))


def _font(rows: int, columns: int) -> float:
    """Points, of names."""
    return 7.5 if max(rows, columns) > 2 * _MOST_WRITTEN else 9


def _room(names: Sequence[str], title: str, size: float) -> float:
    """Inches for names beside or below the map, and for the title of the axis."""
    return 0.2 + 0.0078 * size * max(map(len, names)) + (0.25 if title else 0)


def _draw(axes: Any, values: Matrix, colours: Theme) -> Any:
    signed = bool(np.nanmin(values, initial=0) < _NEGATIVE)
    axes.set_facecolor(colours.line)  # where there is no value
    low, cmap = (-1, "PuOr_r") if signed else (0, "viridis")
    image = axes.imshow(values, cmap=cmap, vmin=low, vmax=1, interpolation="nearest", aspect="auto")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def _name(axes: Any, rows: Sequence[str], columns: Sequence[str], shown: Heatmap) -> None:
    small = _font(len(rows), len(columns))
    for axis, names, style in ((axes.xaxis, columns, {"rotation": 90}), (axes.yaxis, rows, {})):
        step = _step(len(names))
        kept = names[::step]
        name_ticks(axis, kept, fontsize=small, **style)
        axis.set_ticks(range(0, len(names), step))
    axes.set_xlabel(one_line(shown.column_title, 60), fontsize=9)
    axes.set_ylabel(one_line(shown.row_title, 60), fontsize=9)


def _step(count: int) -> int:
    return next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, count) if count / step <= _MOST_NAMED)


def _write(axes: Any, image: Any, shown: Heatmap) -> None:
    for (i, j), value in np.ndenumerate(shown.values):
        known = bool(np.isfinite(value))
        text = f"{value:.2f}" if known else "-"
        colour = _on(image.cmap(image.norm(value))) if known else "#666666"
        interval = shown.low is not None and shown.high is not None and known and shown.low[i, j] < shown.high[i, j]
        axes.text(j, i - (0.16 if interval else 0), text, ha="center", va="center", fontsize=8.5, color=colour)
        if interval and shown.low is not None and shown.high is not None:
            ends = f"{shown.low[i, j]:.2f} to {shown.high[i, j]:.2f}"
            axes.text(j, i + 0.22, ends, ha="center", va="center", fontsize=6, color=colour)


def _on(background: Sequence[float]) -> str:
    """Black or white, whichever is read better on a colour (relative luminance, WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in background[:3]]
    return "black" if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 else "white"


def _draw_scale(figure: Any, axes: Any, image: Any, measure: str) -> None:
    bar = figure.colorbar(image, cax=axes)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=2)
    bar.set_label(measure, fontsize=8.5)
