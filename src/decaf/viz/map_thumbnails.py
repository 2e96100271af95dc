"""Pictures on a map, side by side near their points: Figure 5 of the DeCAF paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.map_names import Box
from decaf.viz.theme import Theme

MOST = 150
_SIDES, _MANY = (1 / 21, 1 / 32), 60  # of the panel's width: a picture and the space around it, of few, of many
_FILLED = 0.86  # of it is picture
_PIXELS = 120


@dataclass(frozen=True)
class Thumbnail:
    """One picture.

    Attributes:
        at: x, y of its point on the map.
        load: gives its pixels, (h, w, 3) uint8; raises ValueError or OSError where they are not to be had.
        of: the name that decides the colour of its frame.
    """

    at: tuple[float, float]
    load: Callable[[], NDArray[np.uint8]]
    of: object = None


def draw_thumbnails(
    axes: Any, thumbnails: Sequence[Thumbnail], colour: Callable[[object], str], look: Theme
) -> tuple[list[Box], int]:
    """Draw each in a cell of a grid near its point, with a line to it.

    Returns:
        Where they lie, in pixels, and how many could not be shown.
    """
    if not thumbnails:
        return [], 0
    x0, x1 = axes.get_xlim()
    step = _SIDES[len(thumbnails) > _MANY] * (x1 - x0)
    cells, step = _cells(axes, np.array([one.at for one in thumbnails]), step)
    missing = 0
    for one, (x, y) in zip(thumbnails, cells, strict=True):
        frame = colour(one.of)
        axes.plot([one.at[0], x], [one.at[1], y], color=frame, linewidth=0.5, alpha=0.6, zorder=3)
        missing += not _draw(axes, one, (x, y), _FILLED * step / 2, frame)
    corners = np.hstack([axes.transData.transform(cells - step / 2), axes.transData.transform(cells + step / 2)])
    return [tuple(corner) for corner in corners.tolist()], missing


def _cells(axes: Any, at: NDArray[np.float64], step: float) -> tuple[NDArray[np.float64], float]:
    """(n, 2) middles of grid cells, least far from the points by the sum of squares, and the cells' side."""
    from scipy.optimize import linear_sum_assignment

    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    while int((x1 - x0) / step) * int((y1 - y0) / step) < len(at):
        step *= 0.9
    middles = (np.arange(x0 + step / 2, x1, step), np.arange(y0 + step / 2, y1, step))
    grid = np.stack(np.meshgrid(*middles), axis=-1).reshape(-1, 2)
    squares = ((at[:, None] - grid[None]) ** 2).sum(axis=2)
    return np.asarray(grid[linear_sum_assignment(squares)[1]]), step


def _draw(axes: Any, one: Thumbnail, at: tuple[float, float], half: float, frame: str) -> bool:
    """Whether the picture could be shown."""
    from matplotlib.patches import Rectangle

    try:
        pixels, shown = _square(one.load()), True
    except (ValueError, OSError):
        pixels, shown = np.full((2, 2, 3), 128, np.uint8), False
    limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
    around = (at[0] - half, at[0] + half, at[1] - half, at[1] + half)
    axes.imshow(pixels, extent=around, zorder=4, interpolation="antialiased", aspect="auto")
    axes.set(**limits)
    style: Any = {"fill": False, "edgecolor": frame, "linewidth": 1.4, "zorder": 4.5}
    axes.add_patch(Rectangle((around[0], around[2]), 2 * half, 2 * half, **style))
    return shown


def _square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest square in the middle, made small."""
    from PIL import Image

    h, w = pixels.shape[:2]
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    square = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(square.resize((_PIXELS, _PIXELS), Image.Resampling.BOX))
