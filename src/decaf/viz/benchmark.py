"""Figures of a benchmark: settings side by side, accuracy against training pictures; published numbers as marks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from decaf.viz.figures import BLUE, GREEN, GREY, ORANGE, name_ticks, new_figure, plain, save_png, with_fonts

_COLOURS = (BLUE, ORANGE, GREEN)
_SHORT = 10  # letters of a name that stand beside the next
_EMPTY = 5.0  # per cent left free below the lowest mark


@dataclass(frozen=True)
class Bar:
    """One bar: where it stands, its height, how it is drawn.

    Attributes:
        panel, group, series: names; bars of a series look alike.
        mean, std: per cent; std may be NaN.
        hatched: with dropout.
    """

    panel: str
    group: str
    series: str
    mean: float
    std: float
    hatched: bool


@dataclass(frozen=True)
class Reference:
    """A published number. `at`: training pictures per class; None: a line across the figure. `value`: per cent."""

    name: str
    value: float
    at: int | None = None


@with_fonts
def save_bars(bars: Sequence[Bar], references: Sequence[Reference], out: Path) -> None:
    """Draw bars in groups, a panel beside the other, and save the figure as PNG.

    Args:
        bars: in the order they are drawn in.
        references: lines across all panels.
        out: the file.
    """
    panels = list(dict.fromkeys(bar.panel for bar in bars))
    groups = list(dict.fromkeys(bar.group for bar in bars))
    series = list(dict.fromkeys(bar.series for bar in bars))
    kinds = list(dict.fromkeys(_kind(name) for name in series))
    colours = dict(zip(kinds, islice(cycle(_COLOURS), len(kinds)), strict=True))
    figure = new_figure(1.9 + len(panels) * max(2.0, 0.36 * len(groups) * len(series) + 0.5), 4.6)
    figure.set_layout_engine("constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    all_axes[0].set_ylim(_lowest([bar.mean for bar in bars], references), 100)
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw_panel(axes, [bar for bar in bars if bar.panel == panel], groups, colours)
        axes.set_title(panel, fontsize=10, loc="left")
        _draw_lines(axes, references, named=axes is all_axes[-1])
    all_axes[0].set_ylabel("mean accuracy over the classes, %")
    drawn = [axes.get_legend_handles_labels() for axes in all_axes]
    named = {label: handle for handles, labels in drawn for handle, label in zip(handles, labels, strict=True)}
    figure.legend(
        named.values(), named.keys(), loc="outside lower center", ncols=min(len(named), 4), frameon=False, fontsize=9
    )
    save_png(figure, out)


def _lowest(values: Sequence[float], references: Sequence[Reference]) -> float:
    least = min([*values, *(reference.value for reference in references)])
    return max(0.0, math.floor((least - _EMPTY) / 10) * 10.0)


def _kind(series: str) -> str:
    """What a series shares its colour with: the same without dropout."""
    return series.partition(" with ")[0]


def _draw_panel(axes: Any, bars: Sequence[Bar], groups: Sequence[str], colours: Mapping[str, str]) -> None:
    series = list(dict.fromkeys(bar.series for bar in bars))
    width = min(0.84 / len(series), 0.3)
    for number, name in enumerate(series):
        own = [bar for bar in bars if bar.series == name]
        x = [groups.index(bar.group) + (number - (len(series) - 1) / 2) * width for bar in own]
        error = [0 if math.isnan(bar.std) else bar.std for bar in own]
        colour = colours[_kind(name)]
        hatched = bool(own) and own[0].hatched
        style = {"color": "white", "edgecolor": colour, "hatch": "////"} if hatched else {"color": colour}
        axes.bar(x, [bar.mean for bar in own], width * 0.88, label=name, linewidth=1, **style)
        axes.errorbar(x, [bar.mean for bar in own], yerr=error, fmt="none", ecolor="black", elinewidth=1, capsize=2)
        for place, bar, reach in zip(x, own, error, strict=True):
            axes.annotate(
                f"{bar.mean:.1f}",
                (place, bar.mean + reach),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
    name_ticks(axes.xaxis, groups, rotation=20 if max(map(len, groups)) > _SHORT else 0)
    axes.set_xlim(-0.55, len(groups) - 0.45)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    plain(axes)


def _draw_lines(axes: Any, references: Sequence[Reference], named: bool) -> None:
    lines = sorted((one for one in references if one.at is None), key=lambda one: one.value)
    low, high = axes.get_ylim()
    for line, place in zip(lines, spread([one.value for one in lines], 0.045 * (high - low)), strict=True):
        axes.axhline(line.value, color=GREY, linewidth=1, linestyle="--")
        if named:
            text = f"{line.name} {line.value:g}"
            axes.annotate(
                text, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=7.5, color=GREY
            )


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Ascending values moved up where needed, so that each is `gap` above the one before."""
    places: list[float] = []
    for value in values:
        places.append(max(value, places[-1] + gap) if places else value)
    return places


@with_fonts
def save_curves(
    curves: Sequence[tuple[str, Sequence[tuple[int, float, float]]]], references: Sequence[Reference], out: Path
) -> None:
    """Draw accuracy against training pictures per class, and save the figure as PNG.

    Args:
        curves: (name, (pictures, mean and standard deviation in per cent; NaN of one split) ...).
        references: lines, and marks at a number of pictures.
        out: the file.
    """
    figure = new_figure(7.4, 4.6)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for (name, points), colour, marker in zip(curves, cycle(_COLOURS), cycle("os^"), strict=False):
        n, mean, std = zip(*points, strict=True)
        error = [0 if math.isnan(value) else value for value in std]
        axes.errorbar(n, mean, yerr=error, color=colour, marker=marker, markersize=5, capsize=3, label=name)
    for reference in references:
        if reference.at is not None:
            axes.plot([reference.at], [reference.value], "D", color=GREY, markersize=6)
            axes.annotate(
                f"{reference.name} {reference.value:g}",
                (reference.at, reference.value),
                (8, -3),
                textcoords="offset points",
                fontsize=7.5,
                color=GREY,
            )
    values = [mean for _, points in curves for _, mean, _ in points]
    axes.set(xlabel="training pictures per class", ylabel="mean accuracy over the classes, %")
    axes.set_ylim(_lowest(values, references), 100)
    _draw_lines(axes, references, named=True)
    axes.set_xticks(sorted({n for _, points in curves for n, _, _ in points}))
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    plain(axes)
    save_png(figure, out)
