"""Precision against recall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decaf.viz.figures import BLUE, GREEN, GREY, ORANGE, new_figure, plain, save_png, with_fonts
from decaf.viz.text import one_line

_MOST = 10  # thin lines; a band tells of more
_LONGEST = 30  # characters of a name


@dataclass(frozen=True, eq=False)
class Curve:
    """One target. `precision`: (recalls,) mean over the splits. `area`: its average precision."""

    name: str
    precision: NDArray[np.float64]
    area: float


@with_fonts
def save_precision(recall: NDArray[np.float64], curves: Sequence[Curve], out: Path) -> None:
    """Draw the mean of all curves, the best, the middle and the worst by name, the others as a band; save it as PNG.

    Args:
        recall: (recalls,) ascending in (0, 1].
        curves: one for each target, without NaN.
        out: the file.
    """
    figure = new_figure(7.4, 5.3)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    ordered = sorted(curves, key=lambda curve: -curve.area)
    named = [ordered[place] for place in sorted({0, len(ordered) // 2, len(ordered) - 1})] if ordered else []
    if len(ordered) > _MOST:
        low, high = np.percentile([curve.precision for curve in ordered], (25, 75), axis=0)
        axes.fill_between(
            recall, low, high, color=BLUE, alpha=0.13, linewidth=0, label="the middle half of the targets"
        )
    else:
        for curve in ordered:
            axes.plot(recall, curve.precision, color="#cccccc", linewidth=0.8)
    for curve, colour, style in zip(named, cycle((GREEN, GREY, ORANGE)), cycle(("-", "-.", "--")), strict=False):
        label = f"{one_line(curve.name, _LONGEST)}: {curve.area:.3f}".replace("$", r"\$")
        axes.plot(recall, curve.precision, color=colour, linewidth=1.6, linestyle=style, label=label)
    if len(ordered) > 1:
        mean = np.mean([curve.precision for curve in ordered], axis=0)
        area = float(np.mean([curve.area for curve in ordered]))
        axes.plot(recall, mean, color=BLUE, linewidth=2.6, label=f"mean of {len(ordered)} targets: {area:.3f}")
    least = min((float(curve.precision.min()) for curve in ordered), default=0.0)
    axes.set(xlim=(0, 1), ylim=(np.floor(10 * least) / 10, 1.01))
    axes.set_xlabel("recall: share of the yes pictures that are found")
    axes.set_ylabel("precision: share of what is found that is yes")
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    axes.set_title("Precision against recall; the area below a curve is its average precision", fontsize=11, loc="left")
    if ordered:
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    plain(axes)
    save_png(figure, out)
