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
_LONGEST = 22


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


@with_fonts
def save_sheet(title: str, pictures: Sequence[Shown], out: Path, columns: int = 6) -> int:
    """Draw pictures with their class and what they were taken for, and save the sheet as PNG.

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
        row, column = divmod(number, columns)
        left, bottom = gap + column * (_SIDE + gap), height - head - row * (_SIDE + _WORDS) - _SIDE
        axes = figure.add_axes((left / width, bottom / height, _SIDE / width, _SIDE / height))
        missing += not _draw(axes, shown)
    save_png(figure, out)
    return missing


def _draw(axes: Any, shown: Shown) -> bool:
    """Whether the picture could be shown."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    words = (f"{shown.verb} {one_line(shown.is_a, _LONGEST)}", f"→ {one_line(shown.taken_for, _LONGEST)}", shown.note)
    styles: tuple[dict[str, Any], ...] = (
        {"weight": "bold"},
        {"color": GREEN if shown.right else ORANGE},
        {"color": GREY, "fontsize": 7},
    )
    for line, (text, style) in enumerate(zip(words, styles, strict=True)):
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
