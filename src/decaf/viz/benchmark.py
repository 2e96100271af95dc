"""Figures of a benchmark: settings side by side, accuracy against training pictures; published numbers as marks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby, islice
from pathlib import Path
from typing import Any

from decaf.viz.figures import BLUE, GREEN, GREY, ORANGE, new_figure, plain, save_png, with_fonts
from decaf.viz.text import one_line

_COLOURS = (BLUE, ORANGE, GREEN)
_EMPTY = 5.0  # per cent left free below the lowest mark of a curve
_ROW = 0.23  # inches of a setting
_LONGEST = 40  # characters of a name


@dataclass(frozen=True)
class Dot:
    """One setting: where it stands and how it is drawn.

    Attributes:
        group, name: a heading, and the name below it.
        series: dots of one have one colour.
        mean, std: per cent; std may be NaN.
        hollow: with dropout.
    """

    group: str
    name: str
    series: str
    mean: float
    std: float
    hollow: bool


@dataclass(frozen=True)
class Reference:
    """A published number. `at`: training pictures per class; None: a line across the figure. `value`: per cent."""

    name: str
    value: float
    at: int | None = None


@with_fonts
def save_dots(dots: Sequence[Dot], references: Sequence[Reference], out: Path) -> None:
    """Draw a dot with its deviation for each setting, group below group, and save the figure as PNG.

    Dots, not bars: where the axis begins then says nothing of how much better one is than another.

    Args:
        dots: in the order they are drawn in.
        references: lines across all groups.
        out: the file.
    """
    groups = len({dot.group for dot in dots})
    figure = new_figure(9, 0.75 + _ROW * (len(dots) + 1.4 * groups + 0.75 * len(references)))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    names: dict[float, str] = {}
    series = list(dict.fromkeys(dot.series for dot in dots))
    colours = dict(zip(series, islice(cycle(_COLOURS), len(series)), strict=True))
    for y, dot in _placed(axes, dots):
        names[y] = one_line(dot.name, _LONGEST)
        _draw_dot(axes, y, dot, colours[dot.series])
    axes.set_yticks(list(names), list(names.values()), parse_math=False, fontsize=9)
    axes.set_ylim(max(names) + 0.7)
    axes.set_xlim(*_reach([*dots, *references]))
    axes.set_xlabel("mean accuracy over the classes, %")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    _draw_published(axes, references)
    plain(axes)
    axes.spines["left"].set_visible(False)
    save_png(figure, out)


def _placed(axes: Any, dots: Sequence[Dot]) -> Iterator[tuple[float, Dot]]:
    """Each dot with its height, downwards; a heading above each group."""
    y = 0.0
    for group, own in groupby(dots, lambda dot: dot.group):
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
        axes.annotate(one_line(group, _LONGEST), (0, y - 1), (-4, 0), ha="right", weight="bold", fontsize=10,
                      parse_math=False, **place)  # fmt: skip
        for dot in own:
            yield y, dot
            y += 1
        y += 1.4


def _draw_dot(axes: Any, y: float, dot: Dot, colour: str) -> None:
    single = math.isnan(dot.std)
    axes.errorbar([dot.mean], [y], xerr=None if single else [dot.std], color=colour, elinewidth=1.4, capsize=3)
    axes.plot([dot.mean], [y], "o", markersize=6.5, markeredgecolor=colour, color="white" if dot.hollow else colour)
    text = f"{dot.mean:.2f}" + ("" if single else f" ± {dot.std:.2f}")
    axes.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)


def _reach(marks: Sequence[Dot | Reference]) -> tuple[float, float]:
    """From a little below the lowest to a little above the highest, deviations included."""
    low = min(_value(mark) - _deviation(mark) for mark in marks)
    high = max(_value(mark) + _deviation(mark) for mark in marks)
    free = max(0.06 * (high - low), 0.5)
    return max(low - free, 0), min(high + free, 100)


def _value(mark: Dot | Reference) -> float:
    return mark.mean if isinstance(mark, Dot) else mark.value


def _deviation(mark: Dot | Reference) -> float:
    return mark.std if isinstance(mark, Dot) and not math.isnan(mark.std) else 0.0


def _draw_published(axes: Any, references: Sequence[Reference]) -> None:
    """A line each from its name down; the highest value's name stands highest, so that no line crosses a name."""
    bottom = axes.get_ylim()[0]
    for row, line in enumerate(sorted(references, key=lambda one: one.value)):
        top = -2.1 - 0.75 * row
        axes.plot([line.value] * 2, [bottom, top - 0.3], color=GREY, linewidth=1, linestyle="--", zorder=0)
        axes.annotate(
            f"{line.name} {line.value:g}", (line.value, top), (-4, 0), textcoords="offset points", fontsize=8,
            color=GREY, ha="right", va="center", parse_math=False,
        )  # fmt: skip
    axes.set_ylim(bottom, -1.9 - 0.75 * len(references))


def _lowest(values: Sequence[float], references: Sequence[Reference]) -> float:
    least = min([*values, *(reference.value for reference in references)])
    return max(0.0, math.floor((least - _EMPTY) / 10) * 10.0)


def _draw_lines(axes: Any, references: Sequence[Reference]) -> None:
    lines = sorted((one for one in references if one.at is None), key=lambda one: one.value)
    low, high = axes.get_ylim()
    for line, place in zip(lines, spread([one.value for one in lines], 0.045 * (high - low)), strict=True):
        axes.axhline(line.value, color=GREY, linewidth=1, linestyle="--")
        axes.annotate(
            f"{line.name} {line.value:g}", (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=7.5,
            color=GREY,
        )  # fmt: skip


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
    _draw_lines(axes, references)
    axes.set_xticks(sorted({n for _, points in curves for n, _, _ in points}))
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    plain(axes)
    save_png(figure, out)
