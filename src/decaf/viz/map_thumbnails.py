"""Pictures on a map, side by side near their points: Figure 5 of the DeCAF paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.theme import Theme

MOST = 150
_SIDE = 0.40  # inches of a picture and the space around it
_FILLED = 0.86  # of it is picture
_PIXELS = 120


@dataclass(frozen=True)
class Thumbnail:
    """One picture.

    Attributes:
        at: x, y of its point on the map.
        load: gives its pixels, (h, w, 3) uint8; raises ValueError or OSError where they are not to be had.
        colour: of its frame; empty: that of lines.
    """

    at: tuple[float, float]
    load: Callable[[], NDArray[np.uint8]]
    colour: str = ""


def draw_thumbnails(axes: Any, thumbnails: Sequence[Thumbnail], look: Theme) -> int:
    """Draw each in a cell of a grid near its point, with a line to it. Returns how many could not be shown."""
    if not thumbnails:
        return 0
    cells = _cells(axes, np.array([one.at for one in thumbnails]))
    missing = 0
    for one, (x, y) in zip(thumbnails, cells, strict=True):
        axes.plot([one.at[0], x], [one.at[1], y], color=one.colour or look.line, linewidth=0.5, alpha=0.7, zorder=3)
        missing += not _draw(axes, one, (x, y), look)
    return missing


def _cells(axes: Any, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) middles of grid cells: the assignment with the least sum of squared distances to the points."""
    from scipy.optimize import linear_sum_assignment

    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    step = _cell(axes)
    while int((x1 - x0) / step) * int((y1 - y0) / step) < len(at):
        step *= 0.9
    middles = (np.arange(x0 + step / 2, x1, step), np.arange(y0 + step / 2, y1, step))
    grid = np.stack(np.meshgrid(*middles), axis=-1).reshape(-1, 2)
    squares = ((at[:, None] - grid[None]) ** 2).sum(axis=2)
    return np.asarray(grid[linear_sum_assignment(squares)[1]])


def _cell(axes: Any) -> float:
    """The side of a cell, in the map's units."""
    x0, x1 = axes.get_xlim()
    return float(_SIDE * (x1 - x0) / (axes.get_position().width * axes.figure.get_figwidth()))


def _draw(axes: Any, one: Thumbnail, at: tuple[float, float], look: Theme) -> bool:
    limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
    half = _FILLED * _cell(axes) / 2
    frame = (at[0] - half, at[0] + half, at[1] - half, at[1] + half)
    try:
        pixels = _square(one.load())
        shown = True
    except (ValueError, OSError):
        pixels = np.full((2, 2, 3), 128, np.uint8)
        shown = False
    axes.imshow(pixels, extent=frame, zorder=4, interpolation="antialiased", aspect="auto")
    axes.set(**limits)
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle((frame[0], frame[2]), 2 * half, 2 * half, fill=False, edgecolor=one.colour or look.line,
                  linewidth=1.6, zorder=4.5)
    )  # fmt: skip
    return shown


def _square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest square in the middle, made small."""
    from PIL import Image

    h, w = pixels.shape[:2]
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(square.resize((_PIXELS, _PIXELS), Image.Resampling.BOX))
