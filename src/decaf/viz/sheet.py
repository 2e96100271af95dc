"""A contact sheet: pictures in rows, with a few words below each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.figures import GREEN, GREY, ORANGE, new_figure, save_png, with_fonts
from decaf.viz.text import one_line

_SIDE = 1.75  # inches of a picture
_WORDS = 0.62  # inches below it
_PIXELS = 320  # the longest side that is drawn
_LONGEST, _LONGEST_SMALL = 22, 34  # letters of a line

Line = tuple[str, dict[str, Any]]
"""A line below a picture, and how it is set."""

_BOLD: dict[str, Any] = {"weight": "bold"}
_SMALL: dict[str, Any] = {"color": GREY, "fontsize": 7}


@dataclass(frozen=True)
class Shown:
    """One picture of a sheet.

    Attributes:
        load: gives its pixels, (h, w, 3) uint8; raises ValueError or OSError where they are not to be had.
        is_a: its class.
        taken_for: what it was taken for.
        note: a third, small line.
        verb: before `is_a`: `was` where that is no more than what was thought before.
        right: what it was taken for is true: green, not orange.
    """

    load: Callable[[], NDArray[np.uint8]]
    is_a: str
    taken_for: str
    note: str
    verb: str = "is"
    right: bool = False

    @property
    def lines(self) -> tuple[Line, ...]:
        """What stands below it."""
        is_a, taken_for = one_line(self.is_a, _LONGEST), one_line(self.taken_for, _LONGEST)
        colour = {"color": GREEN if self.right else ORANGE}
        return (f"{self.verb} {is_a}", _BOLD), (f"→ {taken_for}", colour), (self.note, _SMALL)

    @property
    def framed(self) -> bool:
        """Whether it is set apart."""
        return False


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet, with a name.

    Attributes:
        load: see `Shown`.
        name: the first line.
        notes: small lines below it, at most two.
        framed: whether it is set apart, as a query is from what was found.
    """

    load: Callable[[], NDArray[np.uint8]]
    name: str
    notes: tuple[str, ...] = ()
    framed: bool = False

    @property
    def lines(self) -> tuple[Line, ...]:
        """What stands below it."""
        small = tuple((one_line(note, _LONGEST_SMALL), _SMALL) for note in self.notes)
        return (one_line(self.name, _LONGEST), _BOLD), *small


@with_fonts
def save_sheet(title: str, pictures: Sequence[Shown | Tile | None], out: Path, columns: int = 6) -> int:
    """Draw pictures with a few words below each, and save the sheet as PNG.

    Args:
        title: one line above them.
        pictures: row after row; None leaves a place empty.
        out: the file.
        columns: pictures in a row; at least 3.

    Returns:
        How many pictures could not be shown; their places say so.
    """
    columns = max(min(columns, len(pictures)), 3)
    rows = max(-(-len(pictures) // columns), 1)
    gap, head = 0.2, 0.5
    width, height = columns * (_SIDE + gap) + gap, rows * (_SIDE + _WORDS) + head
    figure = new_figure(width, height)
    figure.text(gap / width, 1 - 0.3 / height, title, fontsize=11, va="center")
    missing = 0
    for number, shown in enumerate(pictures):
        if shown is None:
            continue
        row, column = divmod(number, columns)
        left, bottom = gap + column * (_SIDE + gap), height - head - row * (_SIDE + _WORDS) - _SIDE
        axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
        missing += not _draw(axes, shown)
    save_png(figure, out)
    return missing


def _draw(axes: Any, shown: Shown | Tile) -> bool:
    """Whether the picture could be shown."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=shown.framed, color=ORANGE, linewidth=2)
    for line, (text, style) in enumerate(shown.lines):
        place = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
        axes.annotate(text, (0, 0), (0, -10 - 11 * line), parse_math=False, **place, **{"fontsize": 8, **style})
    return draw_picture(axes, shown.load) is not None


def draw_picture(axes: Any, load: Callable[[], NDArray[np.uint8]]) -> tuple[int, int] | None:
    """Draw a picture, or why it cannot be shown, into axes. Its height and width; None where it is not there."""
    try:
        pixels = load()
    except (ValueError, OSError) as error:
        axes.set_facecolor("#eeeeee")
        reason = one_line(str(error), 60)
        axes.text(
            0.5, 0.5, f"not to be seen:\n{reason}", ha="center", va="center", fontsize=7, color=GREY, wrap=True,
            transform=axes.transAxes, parse_math=False,
        )  # fmt: skip
        return None
    axes.set_anchor("SW")  # above its words
    height, width = pixels.shape[:2]
    step = max(max(height, width) // _PIXELS, 1)
    whole = (-0.5, width - 0.5, height - 0.5, -0.5)  # so that axes count the pixels of the picture, not of the drawing
    axes.imshow(pixels[::step, ::step], aspect="equal", interpolation="antialiased", extent=whole)
    return height, width
