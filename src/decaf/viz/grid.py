"""Many small pictures in a grid: filters, and what a layer makes of a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.figures import BLUE, name_ticks, new_figure, plain, save_figure, with_fonts
from decaf.viz.text import one_line
from decaf.viz.theme import Theme, themed

Floats = NDArray[np.floating[Any]]

_FILTER = 0.52  # inches of a filter
_FAINT = 0.02  # of the strongest filter: a weaker one is drawn grey, not blown up
_MAP = 0.62  # inches of a channel
_PICTURE = 2.9  # inches of the picture beside
_MOST_CHANNELS = 120
_LARGEST_UNITS = 20
_EDGE = 0.15  # inches


@with_fonts
def save_filters(title: str, values: NDArray[np.float64], out: Path, theme: str = "light") -> int:
    """Draw filters in colour, in the network's order, and save the figure as its file's ending says.

    Grey is 0. Each filter is stretched to the full range by its own largest number; where that is below a fiftieth of
    the strongest filter's, it is stretched less and stays as good as grey.

    Args:
        title: above them.
        values: (filters, height, width, 3), RGB.
        out: a `.png`, `.svg` or `.pdf` file.
        theme: `light` or `dark`.

    Returns:
        How many filters are that weak.
    """
    count = len(values)
    columns = min(count, max(8, 2 ** round(math.log2(math.sqrt(count * 1.6)))))
    rows = -(-count // columns)
    number, head = 0.36, 0.62
    width, height = number + columns * _FILTER + _EDGE, head + rows * _FILTER + _EDGE
    width = max(width, 4.2)
    reach = np.abs(values).max(axis=(1, 2, 3))
    scale = np.maximum(reach, max(_FAINT * reach.max(), 1e-300))
    pixels = 0.5 + 0.5 * values / scale[:, None, None, None]
    with themed(theme) as colours:
        figure = new_figure(width, height)
        figure.text(_EDGE / width, 1 - 0.2 / height, title, fontsize=9.5, va="center")
        figure.text(_EDGE / width, 1 - 0.4 / height, "grey is 0; each is stretched by its own largest number",
                    fontsize=7.5, va="center", color=colours.soft)  # fmt: skip
        for index, one in enumerate(pixels):
            row, column = divmod(index, columns)
            left, bottom = number + column * _FILTER, height - head - (row + 1) * _FILTER
            if not column:
                place = ((number - 0.07) / width, (bottom + _FILTER / 2) / height)
                figure.text(*place, str(index), fontsize=7, ha="right", va="center", color=colours.soft)
            _tile(figure, (left, bottom, 0.93 * _FILTER), one)
        save_figure(figure, out)
    return int((reach < _FAINT * reach.max()).sum())


def _tile(figure: Any, place: tuple[float, float, float], pixels: NDArray[Any], **style: Any) -> Any:
    """A square picture at left, bottom, side in inches; every value is a sharp square."""
    left, bottom, side = place
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
    axes.set_axis_off()
    return axes.imshow(pixels, interpolation="nearest", **style)


@dataclass(frozen=True, eq=False)
class Activations:
    """What a layer makes of one picture.

    Attributes:
        net, layer: names.
        picture: (side, side, 3) uint8: what the network sees.
        name: of the picture.
        values: (channels, height, width) or (units,).
        labels: of the units, where they are classes; else empty.
    """

    net: str
    layer: str
    picture: NDArray[np.uint8]
    name: str
    values: Floats
    labels: Sequence[str] = ()

    @property
    def has_positions(self) -> bool:
        """Whether it has a height and width of more than one place."""
        return self.values.ndim == 3 and self.values.shape[1] * self.values.shape[2] > 1

    def strongest(self, count: int) -> NDArray[np.intp]:
        """Channels or units with the highest values, by number."""
        highest = self.values.reshape(len(self.values), -1).max(axis=1)
        return np.sort(np.argsort(-highest, kind="stable")[:count])


@with_fonts
def save_activations(shown: Activations, out: Path, theme: str = "light") -> None:
    """Draw what a layer makes of a picture, beside the picture, and save the figure as its file's ending says.

    Channels with positions are small maps on one scale; where there are more than 120, those of the highest values.
    Without positions, the 20 highest units are bars, above all of them in order.
    """
    with themed(theme) as colours:
        figure = _draw_maps(shown, colours) if shown.has_positions else _draw_units(shown, colours)
        save_figure(figure, out)


def _heading(figure: Any, shown: Activations, what: str, colours: Theme) -> None:
    width, height = figure.get_size_inches()
    figure.text(_EDGE / width, 1 - 0.2 / height, f"{one_line(shown.net, 40)}, {one_line(shown.layer, 40)}",
                fontsize=10, va="center")  # fmt: skip
    figure.text(_EDGE / width, 1 - 0.42 / height, what, fontsize=8, va="center", color=colours.soft)


def _draw_maps(shown: Activations, colours: Theme) -> Any:
    chosen = shown.strongest(_MOST_CHANNELS)
    columns = min(len(chosen), 15 if len(chosen) > 60 else 10)
    rows = -(-len(chosen) // columns)
    head, number = 0.62, 0.34
    left = _EDGE + _PICTURE + number + 0.1
    width = left + columns * _MAP + 0.75
    height = head + max(rows * _MAP, _PICTURE + 0.3) + _EDGE
    figure = new_figure(width, height)
    channels, *sides = shown.values.shape
    few = f"the {len(chosen)} of highest values of " if len(chosen) < channels else ""
    _heading(figure, shown, f"{few}{channels} channels of {sides[0]} x {sides[1]}, on one scale", colours)
    _picture(figure, shown, height - head, colours)
    style = _scale(shown.values[chosen])
    for index, channel in enumerate(chosen):
        row, column = divmod(index, columns)
        bottom = height - head - (row + 1) * _MAP
        if not column:
            place = ((left - 0.06) / width, (bottom + _MAP / 2) / height)
            figure.text(*place, str(channel), fontsize=7, ha="right", va="center", color=colours.soft)
        image = _tile(figure, (left + column * _MAP, bottom, 0.93 * _MAP), shown.values[channel], **style)
    tall = min(rows * _MAP, 2.6)
    bar = figure.add_axes(
        ((width - 0.62) / width, (height - head - tall) / height, 0.1 / width, (tall - 0.04) / height)
    )
    figure.colorbar(image, cax=bar).outline.set_visible(False)
    bar.tick_params(labelsize=7, length=2)
    return figure


def _scale(values: Floats) -> dict[str, Any]:
    """From 0 up in one hue's steps; where numbers are negative, purple to orange about 0."""
    high = float(np.abs(values).max()) or 1.0
    if float(values.min()) < 0:
        return {"cmap": "PuOr_r", "vmin": -high, "vmax": high}
    return {"cmap": "viridis", "vmin": 0, "vmax": high}


def _picture(figure: Any, shown: Activations, top: float, colours: Theme) -> None:
    width, height = figure.get_size_inches()
    _tile(figure, (_EDGE, top - _PICTURE, _PICTURE), shown.picture)
    figure.text(_EDGE / width, (top - _PICTURE - 0.14) / height, one_line(shown.name, 44), fontsize=7.5, va="center",
                color=colours.soft)  # fmt: skip


def _draw_units(shown: Activations, colours: Theme) -> Any:
    values = shown.values.ravel()
    best = np.argsort(-values, kind="stable")[:_LARGEST_UNITS]
    names = [_unit_name(shown.labels, int(unit)) for unit in best]
    head = 0.62
    left = _EDGE + _PICTURE + 0.35 + 0.075 * max(map(len, names))
    width, height = left + 4.2, head + max(0.19 * len(best) + 1.35, _PICTURE + 0.3) + _EDGE
    figure = new_figure(width, height)
    _heading(figure, shown, f"the {len(best)} highest of {len(values):,} units, and all of them in order", colours)
    _picture(figure, shown, height - head, colours)
    high = 0.19 * len(best)
    bars = figure.add_axes((left / width, (height - head - high) / height, 3.3 / width, high / height))
    bars.barh(range(len(best)), values[best], 0.72, color=BLUE)
    name_ticks(bars.yaxis, names, fontsize=8)
    bars.set_ylim(len(best) - 0.4, -0.6)
    for row, value in enumerate(values[best]):
        bars.annotate(f"{value:.3g}", (max(value, 0), row), (3, 0), textcoords="offset points", va="center", fontsize=7)
    bars.tick_params(length=0)
    bars.set_xticks([])
    plain(bars)
    bars.spines["bottom"].set_visible(False)
    every = figure.add_axes((left / width, (height - head - high - 1.1) / height, 3.3 / width, 0.75 / height))
    every.vlines(np.arange(len(values)), 0, values, color=BLUE, linewidth=0.5)
    every.axhline(0, color=colours.soft, linewidth=0.6)
    every.set_xlim(-0.5, len(values) - 0.5)
    every.tick_params(labelsize=7)
    every.set_xlabel("unit", fontsize=8)
    plain(every)
    return figure


def _unit_name(labels: Sequence[str], unit: int) -> str:
    return f"{one_line(labels[unit].split(',')[0], 26)}  {unit}" if labels else str(unit)
