"""Accuracy against the number of training pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from decaf.viz.figures import BLUE, GREY, new_figure, plain, save_png, with_fonts

Point = tuple[int, float, float]


@with_fonts
def save_curve(points: Sequence[Point], chance: float, out: Path) -> None:
    """Draw a learning curve and save it as PNG.

    Args:
        points: (training pictures per class, mean accuracy, standard deviation or NaN).
        chance: accuracy of a blind guess.
        out: the file.
    """
    figure = new_figure(6.4, 4.4)
    axes = figure.add_axes((0.125, 0.13, 0.845, 0.78))
    n, mean, std = ([point[i] for point in points] for i in range(3))
    bars = [0 if math.isnan(error) else error for error in std]
    axes.errorbar(n, mean, yerr=bars, color=BLUE, marker="o", markersize=5, linewidth=1.8, capsize=3)
    axes.axhline(chance, color=GREY, linewidth=1, linestyle=":")
    axes.text(max(n), chance, f"chance {chance:.1%}", ha="right", va="bottom", fontsize=9, color=GREY)
    for count, accuracy in zip(n, mean, strict=True):
        axes.annotate(f"{accuracy:.1%}", (count, accuracy), (5, -15), textcoords="offset points", ha="left", fontsize=8)
    axes.set(ylim=(0, 1.02), xticks=n, xlabel="training pictures per class", ylabel="mean accuracy over the classes")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.set_title("Learning curve", fontsize=11, loc="left")
    plain(axes)
    save_png(figure, out)
