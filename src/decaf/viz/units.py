"""Units, and the pictures that excite them most: a row each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.figures import new_figure, save_figure, with_fonts
from decaf.viz.sheet import draw_picture
from decaf.viz.text import one_line
from decaf.viz.theme import Theme, themed

_SIDE, _GAP, _WORDS, _HEAD = 1.15, 0.08, 0.34, 0.32  # inches: of a picture, beside, below, and above a row
_EDGE, _TOP = 0.15, 0.42
_LONGEST = 18  # characters of a label
_MOST_IN_LINE = 12  # pictures
_LEAST_MARK = 0.18  # of a picture's side; a smaller square would hide what it marks


@dataclass(frozen=True)
class Tile:
    """One picture.

    Attributes:
        load: gives its pixels, (h, w, 3) uint8; raises ValueError or OSError where they are not to be had.
        label, value: below it.
        box: x0, y0, x1, y1 of a place in it, as shares of its width and height; None: no place.
    """

    load: Callable[[], NDArray[np.uint8]]
    label: str
    value: str
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class UnitRow:
    """A unit: its name, what is said of it, and its pictures, the most exciting first."""

    name: str
    note: str
    tiles: Sequence[Tile]


@with_fonts
def save_units(title: str, rows: Sequence[UnitRow], out: Path, theme: str = "light") -> int:
    """Draw a row of pictures for each unit and save the sheet as its file's ending says.

    Args:
        title: above all.
        rows: the units; more than 12 pictures go on in the next line.
        out: a `.png`, `.svg` or `.pdf` file.
        theme: `light` or `dark`.

    Returns:
        How many pictures could not be shown; their places say so.
    """
    columns = max(3, min(_MOST_IN_LINE, max(len(row.tiles) for row in rows)))
    heights = [_HEAD + -(-len(row.tiles) // columns) * (_SIDE + _WORDS) for row in rows]
    width = max(2 * _EDGE + columns * (_SIDE + _GAP) - _GAP, 0.062 * len(title) + 2 * _EDGE)
    height = _TOP + sum(heights) + 0.05
    missing = 0
    with themed(theme) as colours:
        figure = new_figure(width, height)
        figure.text(_EDGE / width, 1 - 0.22 / height, one_line(title, 160), fontsize=9, va="center")
        top = height - _TOP
        for row, high in zip(rows, heights, strict=True):
            _write_name(figure, row, top, colours)
            for number, tile in enumerate(row.tiles):
                line, column = divmod(number, columns)
                bottom = top - _HEAD - line * (_SIDE + _WORDS) - _SIDE
                missing += not _draw(figure, tile, _EDGE + column * (_SIDE + _GAP), bottom, colours)
            top -= high
        save_figure(figure, out)
    return missing


def _write_name(figure: Any, row: UnitRow, top: float, colours: Theme) -> None:
    width, height = figure.get_size_inches()
    y = (top - 0.16) / height
    figure.text(_EDGE / width, y, row.name, fontsize=9, weight="bold", va="center")
    place = (_EDGE + 0.2 + 0.088 * len(row.name)) / width
    figure.text(place, y, row.note, fontsize=7.5, va="center", color=colours.soft)


def _draw(figure: Any, tile: Tile, left: float, bottom: float, colours: Theme) -> bool:
    """Whether the picture could be shown."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    for line, (text, colour) in enumerate([(tile.value, colours.ink), (one_line(tile.label, _LONGEST), colours.soft)]):
        axes.annotate(text, (0, 0), (0, -9 - 9 * line), xycoords="axes fraction", textcoords="offset points",
                      fontsize=7, color=colour, annotation_clip=False)  # fmt: skip
    sides = draw_picture(axes, tile.load)
    if sides and tile.box:
        _mark(axes, tile.box, sides)
    return sides is not None


def _mark(axes: Any, box: tuple[float, float, float, float], sides: tuple[int, int]) -> None:
    from matplotlib.patches import Rectangle

    (x0, y0, x1, y1), (height, width) = box, sides
    wide, high = (max(end - start, _LEAST_MARK) for start, end in ((x0, x1), (y0, y1)))
    corner = ((x0 + x1 - wide) / 2 * width - 0.5, (y0 + y1 - high) / 2 * height - 0.5)
    size = (wide * width, high * height)
    for colour, line in (("black", 2.6), ("white", 1.2)):  # seen on any picture
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=line))
