"""Names on a map, each where its points cluster, none on another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.text import one_line
from decaf.viz.theme import Theme

if TYPE_CHECKING:
    from decaf.viz.map import Panel

_LONGEST = 22
_MANY = 40  # names, from which they are written smaller
_STEPS = (
    (0, 0),
    (0, 1),
    (0, -1),
    (0.4, 0.6),
    (-0.4, 0.6),
    (0.4, -0.6),
    (-0.4, -0.6),
    (0, 2),
    (0, -2),
    (0.6, 0),
    (-0.6, 0),
)

Box = tuple[float, float, float, float]


def anchor(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,) the middle of the densest part of a class: of the quarter of its points around its best-surrounded one.

    The median of all points may lie between two clusters, where the class is not. NaN for a class without places.
    """
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 3:
        return points.mean(axis=0) if len(points) else np.full(2, np.nan)
    if len(points) > 1000:  # enough to find where they are dense
        points = points[np.linspace(0, len(points) - 1, 1000).astype(int)]
    near = max(len(points) // 4, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    densest = int(np.partition(distances, near, axis=1)[:, near].argmin())
    return np.asarray(np.median(points[np.argsort(distances[densest], kind="stable")[: near + 1]], axis=0))


def write_names(axes: Any, panel: Panel, look: Theme, taken: list[Box]) -> int:
    """Write each name at its anchor or a little beside it, those of large classes first.

    Args:
        axes: with limits set.
        panel: names and places.
        look: colours.
        taken: what else may not be covered, in pixels; the names are added.

    Returns:
        How many names found no free place and are left out.
    """
    assert panel.names is not None
    names, counts = np.unique([str(name) for name in panel.names if name is not None], return_counts=True)
    size = 9.5 if len(names) <= _MANY else 7
    unwritten = 0
    for name in names[np.argsort(-counts, kind="stable")]:
        at = anchor(panel.places[panel.names == name])
        if np.isfinite(at).all() and not _write(axes, one_line(name, _LONGEST), at, size, look, taken):
            unwritten += 1
    return unwritten


def _write(axes: Any, name: str, at: NDArray[np.float64], size: float, look: Theme, taken: list[Box]) -> bool:
    from matplotlib import patheffects

    text = axes.text(
        *at, name, fontsize=size, color=look.ink, ha="center", va="center", parse_math=False, zorder=5,
        path_effects=[patheffects.withStroke(linewidth=2.2, foreground=look.paper, alpha=0.85)],
    )  # fmt: skip
    to_pixels, inside = axes.transData, axes.get_window_extent()
    extent = text.get_window_extent()
    x, y = to_pixels.transform(at)
    for right, up in _STEPS:
        shift = (right * extent.width, up * extent.height)
        box = (extent.x0 + shift[0], extent.y0 + shift[1], extent.x1 + shift[0], extent.y1 + shift[1])
        if _is_within(box, inside) and not any(_overlap(box, other) for other in taken):
            text.set_position(to_pixels.inverted().transform((x + shift[0], y + shift[1])))
            taken.append(box)
            return True
    text.remove()
    return False


def _is_within(box: Box, frame: Any) -> bool:
    return bool(box[0] >= frame.x0 and box[2] <= frame.x1 and box[1] >= frame.y0 and box[3] <= frame.y1)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
