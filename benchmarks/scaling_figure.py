"""Four log-log panels of what a fit costs: seconds against pictures, features, classes and values of C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaf.viz.figures import BLUE, GREY, ORANGE, new_figure, plain, save_png, with_fonts

AXES = {"n": "pictures", "d": "features of each", "classes": "classes", "Cs": "values of C"}
STYLES = {"svm": (BLUE, "o", "SVM", 6), "logistic": (ORANGE, "s", "logistic regression", -12)}
NEAR = 1.05  # sizes that differ by less are taken for equal


@dataclass(frozen=True)
class Cost:
    """One fit: its size and what it took."""

    loss: str
    n: int
    d: int
    classes: int
    Cs: int
    seconds: float


def varied(costs: Sequence[Cost], axis: str, base: Cost) -> list[Cost]:
    """The fits of one loss that differ from `base` in one size only, in its order, the base included."""
    others = [name for name in AXES if name != axis]
    alike = [
        cost
        for cost in costs
        if cost.loss == base.loss and all(_near(getattr(cost, name), getattr(base, name)) for name in others)
    ]
    return sorted(alike, key=lambda cost: getattr(cost, axis))


def _near(a: int, b: int) -> bool:
    return max(a, b) <= NEAR * min(a, b)


@with_fonts
def save_scaling(costs: Sequence[Cost], bases: Sequence[Cost], out: Path) -> None:
    """Draw the costs and save the figure as PNG.

    Args:
        costs: in any order; those that differ from a base in two sizes are in no panel.
        bases: one for each loss, among the costs.
        out: the file.
    """
    figure = new_figure(13, 3.9)
    figure.set_layout_engine("constrained")
    all_axes = figure.subplots(1, len(AXES), sharey=True)
    for axes, (axis, label) in zip(all_axes, AXES.items(), strict=True):
        for base in bases:
            _draw(axes, varied(costs, axis, base), axis)
        axes.margins(y=0.12)
        axes.set(xscale="log", yscale="log", xlabel=label)
        ticks = sorted({getattr(cost, axis) for base in bases for cost in varied(costs, axis, base)})
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], fontsize=8)
        axes.minorticks_off()
        axes.grid(color="#eeeeee")
        axes.set_axisbelow(True)
        plain(axes)
    _guide(all_axes, bases[0])
    all_axes[0].set_ylabel("seconds")
    all_axes[0].yaxis.set_major_formatter("{x:g}")
    handles, names = all_axes[0].get_legend_handles_labels()
    size = bases[0]
    others = f"{size.n:,} pictures, {size.d:,} features, {size.classes} classes, {size.Cs} value of C"
    figure.suptitle(f"In each panel one size varies; the others: {others}", fontsize=10, x=0.01, ha="left")
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    save_png(figure, out)


def _draw(axes: Any, costs: Sequence[Cost], axis: str) -> None:
    colour, marker, name, above = STYLES[costs[0].loss]
    x, seconds = [getattr(cost, axis) for cost in costs], [cost.seconds for cost in costs]
    axes.plot(x, seconds, color=colour, marker=marker, markersize=5, label=name)
    for place, value in zip(x, seconds, strict=True):
        axes.annotate(f"{value:.2g}" if value < 100 else f"{value:.0f}", (place, value), (0, above),
                      textcoords="offset points", ha="center", fontsize=7, color=colour)  # fmt: skip


def _guide(all_axes: Sequence[Any], base: Cost) -> None:
    """A dotted line of slope 1 through the base: cost in proportion."""
    for axes, axis in zip(all_axes, AXES, strict=True):
        low, high = axes.get_xlim()
        own = getattr(base, axis)
        y = [base.seconds * x / own for x in (low, high)]
        limits = axes.get_ylim()
        axes.plot((low, high), y, color=GREY, linewidth=1, linestyle=":", label="in proportion", zorder=0)
        axes.set(xlim=(low, high), ylim=limits)
