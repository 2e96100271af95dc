"""Names with a score each, the lowest first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaf.viz.figures import BLUE, GREY, name_ticks, new_figure, plain, save_png, with_fonts
from decaf.viz.text import one_line

_MOST = 60  # names; more would make a figure nobody scrolls through
_ROW = 0.2  # inches of a name
_LONGEST = 30  # characters of a name


@dataclass(frozen=True)
class Ranked:
    """One name.

    Attributes:
        name: a class or a target.
        mean, std: 0 to 1, over the splits; NaN where there is none.
        chance: what a blind guess scores; NaN where that is not known.
    """

    name: str
    mean: float
    std: float
    chance: float = math.nan


@with_fonts
def save_ranking(what: str, thing: str, ranked: Sequence[Ranked], out: Path) -> None:
    """Draw a bar from 0 for each name, the lowest score on top, and save the figure as PNG.

    Args:
        what: the scores, such as `accuracy`.
        thing: what has them, such as `class`.
        ranked: in any order; of more than 60 the lowest are drawn, and the title says so.
        out: the file.
    """
    known = sorted((one for one in ranked if not math.isnan(one.mean)), key=lambda one: one.mean)
    shown = known[:_MOST]
    rows = max(len(shown), 1)
    figure = new_figure(7.2, 1 + _ROW * rows)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for row, one in enumerate(shown):
        _draw_row(axes, row, one)
    guess = "" if all(math.isnan(one.chance) for one in shown) else "; black mark: of a blind guess"
    name_ticks(axes.yaxis, [one_line(one.name, _LONGEST) for one in shown], fontsize=8)
    axes.set(xlim=(0, 1), ylim=(rows - 0.4, -0.6), xlabel=what + guess)
    axes.xaxis.set_major_formatter("{x:.1f}")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    few = f"the {len(shown)} lowest of {len(known)}" if len(known) > len(shown) else "the lowest first"
    axes.set_title(f"{what.capitalize()} of each {thing}, {few}", fontsize=11, loc="left")
    plain(axes)
    save_png(figure, out)


def _draw_row(axes: Any, row: int, one: Ranked) -> None:
    axes.barh(row, one.mean, color=BLUE, alpha=0.75, height=0.62)
    if not math.isnan(one.std):
        low, high = min(one.std, one.mean), min(one.std, 1 - one.mean)  # no score is below 0 or above 1
        axes.errorbar([one.mean], [row], xerr=[[low], [high]], color="black", elinewidth=1, capsize=2)
    if not math.isnan(one.chance):
        axes.plot([one.chance], [row], "|", color="black", markersize=8)
    spread = "" if math.isnan(one.std) else f" ± {one.std:.3f}"
    place = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8, "color": GREY}
    axes.annotate(f"{one.mean:.3f}{spread}", (1.02, row), **place)
