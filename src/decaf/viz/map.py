"""Maps of features: Figures 1, 2 and 5 of the DeCAF paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.figures import new_figure, save_figure, with_fonts
from decaf.viz.map_names import anchor, write_names
from decaf.viz.map_thumbnails import Thumbnail, draw_thumbnails
from decaf.viz.text import one_line
from decaf.viz.theme import MARKERS, Theme, apart, theme

_SIDE_ALONE, _SIDE = 9.0, 6.2  # inches of a panel
_ACROSS = 3  # panels side by side
_HEAD = 0.62  # inches above a panel
_LONGEST = 34  # characters of a name in the legend
MOST_IN_LEGEND = 40
_VECTORS = 30_000  # points; more are pixels in a vector file too


@dataclass(frozen=True, eq=False)
class Panel:
    """One map.

    Attributes:
        title, note: what stands above it: what it shows, and numbers.
        places: (n, 2) float; NaN is not drawn.
        colours: (n,) names that decide the colours; None is drawn in grey.
        shapes: (n,) names that decide the markers, or None where there is one kind.
        names: (n,) names that are written where their points cluster, or None.
        thumbnails: pictures drawn beside their points.
    """

    title: str
    note: str
    places: NDArray[np.float64]
    colours: NDArray[np.object_]
    shapes: NDArray[np.object_] | None = None
    names: NDArray[np.object_] | None = None
    thumbnails: Sequence[Thumbnail] = field(default=())


@dataclass(frozen=True)
class Drawn:
    """What did not fit.

    Attributes:
        unnamed: names that would have covered others.
        missing: thumbnails of pictures that could not be shown.
    """

    unnamed: int
    missing: int


@with_fonts
def save_map(panels: Sequence[Panel], out: Path, dark: bool = False, legend: str = "") -> Drawn:
    """Draw maps side by side, with one legend below, and save the figure.

    Args:
        panels: one or more.
        out: the file, .png, .svg or .pdf.
        dark: light points on dark.
        legend: what the colours stand for.
    """
    look = theme(dark)
    columns = min(len(panels), _ACROSS)
    rows = -(-len(panels) // columns)
    side = _SIDE_ALONE if len(panels) == 1 else _SIDE
    keys = _Keys(panels, look)
    below = keys.height(columns * side, legend)
    tall = side * max(_extent(panel)[1] for panel in panels)
    width, height = columns * (side + 0.2) + 0.2, rows * (tall + _HEAD) + 0.1 + below
    figure = new_figure(width, height)
    figure.set_facecolor(look.paper)
    unnamed = missing = 0
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        left, bottom = 0.2 + column * (side + 0.2), height - (row + 1) * (tall + _HEAD)
        axes = figure.add_axes((left / width, bottom / height, side / width, tall / height))
        _frame(axes, panel, look, tall / side)
        _draw_points(axes, panel, keys, look)
        taken, unseen = draw_thumbnails(axes, panel.thumbnails, keys.colour, look)
        unnamed += write_names(axes, panel, look, taken) if panel.names is not None else 0
        missing += unseen
    keys.draw(figure, legend)
    save_figure(figure, out)
    return Drawn(unnamed, missing)


class _Keys:
    """Which colour and marker stands for what, the same in all panels, and the legend that says so."""

    def __init__(self, panels: Sequence[Panel], look: Theme) -> None:
        self._look = look
        self._names = _ordered(panel.colours for panel in panels)
        self._shapes = _ordered(panel.shapes for panel in panels if panel.shapes is not None)
        self.has_grey = any(name is None for panel in panels for name in panel.colours)
        few = len(self._names) <= len(look.series)
        colours = range(len(self._names)) if few else self._spread(panels[-1])
        users: list[list[object]] = [[] for _ in look.series]
        self.style: dict[object, tuple[str, str]] = {}
        for name, colour in zip(self._names, colours, strict=True):
            marker = len(users[colour]) if len(self._names) <= MOST_IN_LEGEND else 0
            users[colour].append(name)
            self.style[name] = (look.series[colour], MARKERS[marker % len(MARKERS)])

    def _spread(self, panel: Panel) -> list[int]:
        """The number of a colour for each name: clusters side by side differ."""
        places = np.array([anchor(panel.places[panel.colours == name]) for name in self._names])
        places = np.nan_to_num(places, nan=1e9)
        distances = np.linalg.norm(places[:, None] - places[None], axis=2)
        return apart(distances.tolist(), len(self._look.series))

    def colour(self, name: object) -> str:
        return self.style[name][0] if name in self.style else self._look.line

    def marker(self, shape: object) -> str:
        return MARKERS[self._shapes.index(shape) % len(MARKERS)]

    def _entries(self) -> list[tuple[str, str, str]]:
        """Name, colour, marker."""
        listed = [] if len(self._names) > MOST_IN_LEGEND else self._names
        entries = [(one_line(name, _LONGEST), *self.style[name]) for name in listed]
        if len(self._shapes) > 1:
            entries += [(one_line(name, _LONGEST), self._look.soft, self.marker(name)) for name in self._shapes]
        return entries + ([("none", self._look.line, MARKERS[0])] if self.has_grey and listed else [])

    def _columns(self, width: float) -> int:
        longest = max((len(name) for name, _, _ in self._entries()), default=1)
        return max(int(width / (0.45 + 0.085 * longest)), 1)

    def height(self, width: float, title: str) -> float:
        """Inches below the panels."""
        entries = len(self._entries())
        rows = -(-entries // self._columns(width))
        return 0.2 + 0.24 * (rows + bool(title)) if entries else 0.1

    def draw(self, figure: Any, title: str) -> None:
        from matplotlib.lines import Line2D

        entries = self._entries()
        if not entries:
            return
        handles = [
            Line2D([], [], linestyle="", marker=marker, color=colour, markersize=7, label=name)
            for name, colour, marker in entries
        ]
        columns = min(self._columns(figure.get_figwidth()), len(entries))
        legend = figure.legend(
            handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=9.5, title=title,
            labelcolor=self._look.ink, handletextpad=0.2, columnspacing=1.4, borderaxespad=0.2,
        )  # fmt: skip
        legend.get_title().set(color=self._look.soft, fontsize=9.5)
        for text in [*legend.get_texts(), legend.get_title()]:
            text.set_parse_math(False)


def _ordered(columns: Any) -> list[object]:
    """Names in alphabetical order, those of a rest last."""
    names = {name for column in columns for name in column if name is not None}
    return sorted(names, key=lambda name: (str(name).startswith("other"), str(name)))


def _extent(panel: Panel) -> tuple[NDArray[np.float64], float]:
    """Low and high corner, (2, 2), and how high the points stand for their width, 0.5 to 1."""
    drawn = panel.places[np.isfinite(panel.places[:, 0])]
    corners = np.stack([drawn.min(axis=0), drawn.max(axis=0)]) if len(drawn) else np.zeros((2, 2))
    wide, tall = np.diff(corners, axis=0)[0]
    return corners, float(np.clip(tall / wide if wide else 1.0, 0.5, 1))


def _frame(axes: Any, panel: Panel, look: Theme, ratio: float) -> None:
    axes.set_facecolor(look.paper)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color(look.line)
    corners, _ = _extent(panel)
    middle, (wide, tall) = corners.mean(axis=0), np.diff(corners, axis=0)[0]
    half = 0.53 * max(float(wide), float(tall) / ratio) or 1.0
    axes.set_xlim(middle[0] - half, middle[0] + half)
    axes.set_ylim(middle[1] - half * ratio, middle[1] + half * ratio)
    place = {"xycoords": "axes fraction", "textcoords": "offset points", "parse_math": False}
    axes.annotate(one_line(panel.title, 90), (0, 1), (0, 20), fontsize=12, weight="bold", color=look.ink, **place)
    axes.annotate(one_line(panel.note, 150), (0, 1), (0, 6), fontsize=9, color=look.soft, **place)


def _draw_points(axes: Any, panel: Panel, keys: _Keys, look: Theme) -> None:
    """All in one random order within a marker, so that no class lies on top of all others."""
    rows = np.flatnonzero(np.isfinite(panel.places[:, 0]))
    rows = np.random.default_rng(0).permutation(rows)
    styles = [keys.style.get(name, (look.line, MARKERS[0])) for name in panel.colours[rows]]
    colours = np.array([colour for colour, _ in styles], dtype=object)
    if panel.shapes is None:
        markers = np.array([marker for _, marker in styles], dtype=object)
    else:
        markers = np.array([keys.marker(shape) for shape in panel.shapes[rows]], dtype=object)
    size = _size(len(rows), axes.get_position().width * axes.figure.get_figwidth())
    for marker in dict.fromkeys(markers):
        of_marker = markers == marker
        axes.scatter(
            *panel.places[rows[of_marker]].T, s=size * (1.0 if marker == "o" else 1.15), c=list(colours[of_marker]),
            marker=marker, alpha=0.55 if panel.thumbnails else 0.85, linewidths=0, rasterized=len(rows) > _VECTORS,
        )  # fmt: skip


def _size(n: int, side: float) -> float:
    """Area of a marker in square points: all points together cover a sixth of the panel, none is too small to see."""
    return float(np.clip((72 * side) ** 2 / 6 / max(n, 1), 2.5, 42))
