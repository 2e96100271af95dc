"""What a regression predicts beside what is true, and what it misses by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.figures import BLUE, GREY, ORANGE, new_figure, plain, save_png, with_fonts
from decaf.viz.text import one_line

_MOST = 9  # targets
_IN_A_ROW = 3
_LONGEST = 34  # characters of a name
_WINDOWS = 12  # parts of the range of predictions in which residuals are averaged
_FEWEST = 5  # rows of which a mean is drawn


@dataclass(frozen=True, eq=False)
class Predicted:
    """One target.

    Attributes:
        name: the target.
        truth, predicted: (n,) float, test rows of all splits.
        note: what stands below the name, such as R squared.
    """

    name: str
    truth: NDArray[np.float64]
    predicted: NDArray[np.float64]
    note: str


@with_fonts
def save_numbers(targets: Sequence[Predicted], out: Path) -> None:
    """Draw predicted against true numbers, below them the residuals, and save the figure as PNG.

    Args:
        targets: the first 9 are drawn; where there are more, the figure says so.
        out: the file.
    """
    shown = targets[:_MOST]
    columns = min(len(shown), _IN_A_ROW)
    rows = -(-len(shown) // columns)
    figure = new_figure(max(4.1 * columns, 5.2), 5.6 * rows + 0.3)
    figure.set_layout_engine("constrained", h_pad=0.08, w_pad=0.1)
    all_axes = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=(3, 1.2) * rows)
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        upper, lower = all_axes[2 * row][column], all_axes[2 * row + 1][column]
        if number < len(shown):
            _draw(upper, lower, shown[number])
        else:
            upper.set_axis_off()
            lower.set_axis_off()
    if len(targets) > _MOST:
        figure.suptitle(f"The first {_MOST} of {len(targets)} targets", fontsize=10)
    save_png(figure, out)


def _draw(upper: Any, lower: Any, target: Predicted) -> None:
    both = np.concatenate([target.truth, target.predicted])
    low, high = float(both.min()), float(both.max())
    free = 0.04 * (high - low) or 1.0
    limits = (low - free, high + free)
    style = {"color": BLUE, "alpha": _opacity(len(target.truth)), "edgecolors": "none", "s": 16, "rasterized": True}
    upper.plot(limits, limits, color=GREY, linewidth=1, linestyle="--", zorder=0)
    upper.scatter(target.predicted, target.truth, **style)
    upper.set(xlim=limits, ylim=limits, ylabel="true")
    upper.set_title(f"{one_line(target.name, _LONGEST)}\n", fontsize=11, loc="left", parse_math=False)
    upper.annotate(target.note, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", fontsize=9)
    missed = target.truth - target.predicted
    reach = float(np.abs(missed).max()) * 1.08 or 1.0
    lower.axhline(0, color=GREY, linewidth=1, linestyle="--", zorder=0)
    lower.scatter(target.predicted, missed, **style)
    lower.plot(*_running_mean(target.predicted, missed), color=ORANGE, linewidth=1.8)
    lower.set(xlim=limits, ylim=(-reach, reach), xlabel="predicted", ylabel="true - predicted")
    for axes in (upper, lower):
        axes.grid(color="#eeeeee")
        axes.set_axisbelow(True)
        plain(axes)


def _opacity(n: int) -> float:
    """Fewer points are darker; many show where they are dense."""
    return float(np.clip(12 / np.sqrt(max(n, 1)), 0.08, 0.7))


def _running_mean(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Mean of y in windows of as many rows each, in order of x: a bend is what a straight line cannot say."""
    windows = min(_WINDOWS, len(x) // _FEWEST)
    if windows < 2:
        return [], []
    parts = np.array_split(np.argsort(x, kind="stable"), windows)
    return [float(x[part].mean()) for part in parts], [float(y[part].mean()) for part in parts]
