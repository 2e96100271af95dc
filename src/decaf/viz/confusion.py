"""A confusion matrix, and in words its strongest confusions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.figures import GREY, name_ticks, new_figure, plain, save_png, with_fonts
from decaf.viz.text import one_line

Pair = tuple[str, str, float]

_MOST_NAMED = 150  # classes; more names would be too small to read
_MOST_WRITTEN = 20  # classes up to which each share is written into its cell
_CELL = 0.16  # inches: a line of 7 points
_LONGEST = 22  # characters of a name


@with_fonts
def save_confusion(classes: Sequence[str], shares: NDArray[np.float64], strongest: Sequence[Pair], out: Path) -> None:
    """Draw the matrix, and beside it the strongest confusions as bars, and save it as PNG.

    Args:
        classes: (k,) names.
        shares: (k, k) in [0, 1]: [truth, predicted].
        strongest: (truth, predicted, share), the greatest first.
        out: the file.
    """
    k = len(classes)
    side = max(_CELL * min(k, _MOST_NAMED) if k > _MOST_WRITTEN else 0.4 * k, 3.2)
    names = [one_line(name, _LONGEST) for name in classes]
    margin = 0.6 + 0.075 * max(map(len, names))  # inches for names
    beside = 5.2
    width, height = margin + side + beside, side + margin + 0.6
    figure = new_figure(width, height)
    matrix = figure.add_axes((margin / width, margin / height, side / width, side / height))
    image = _draw_matrix(matrix, names, shares)
    matrix.set_title(f"What pictures of {k} classes are taken for", fontsize=11, loc="left")
    _draw_scale(figure, image, (margin + side + 0.2) / width, (margin + side - min(side, 3)) / height, height)
    bars = figure.add_axes(
        ((margin + side + 1.1) / width, (margin + side - _bars_height(strongest)) / height,
         (beside - 1.3) / width, _bars_height(strongest) / height)
    )  # fmt: skip
    _draw_strongest(bars, strongest)
    save_png(figure, out)


def _bars_height(strongest: Sequence[Pair]) -> float:
    return 0.2 + 0.19 * max(len(strongest), 1)


def _draw_matrix(axes: Any, names: Sequence[str], shares: NDArray[np.float64]) -> Any:
    from matplotlib.colors import PowerNorm

    # the square root: confusions of a few per cent are seen beside a diagonal near 1
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    axes.set_xlabel("taken for")
    axes.set_ylabel("is")
    if len(names) <= _MOST_NAMED:
        size = 7 if len(names) > _MOST_WRITTEN else 9
        name_ticks(axes.xaxis, names, rotation=90, fontsize=size)
        name_ticks(axes.yaxis, names, fontsize=size)
    axes.tick_params(length=0)
    if len(names) <= _MOST_WRITTEN:
        for i, j in zip(*np.nonzero(shares >= 0.005), strict=True):
            dark = shares[i, j] > 0.35
            axes.text(j, i, f"{shares[i, j]:.0%}", ha="center", va="center", fontsize=7, color="w" if dark else "k")
    else:
        axes.set_xticks(np.arange(4.5, len(names), 5), minor=True)
        axes.set_yticks(np.arange(4.5, len(names), 5), minor=True)
        axes.grid(which="minor", color="#dddddd", linewidth=0.4)  # lines to follow from a name to its cell
        axes.tick_params(which="minor", length=0)
    return image


def _draw_scale(figure: Any, image: Any, left: float, bottom: float, height: float) -> None:
    axes = figure.add_axes((left, bottom, 0.15 / figure.get_figwidth(), min(3, figure.get_figheight()) * 0.8 / height))
    bar = figure.colorbar(image, cax=axes, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.set_yticklabels(["0", "1%", "5%", "20%", "50%", "100%"], fontsize=8)
    bar.outline.set_visible(False)


def _draw_strongest(axes: Any, strongest: Sequence[Pair]) -> None:
    axes.set_title("Most frequent confusions", fontsize=11, loc="left")
    shares = [share for _, _, share in strongest]
    axes.barh(range(len(shares)), shares, color="#4a90c4", height=0.55)
    axes.set(xlim=(0, max(shares, default=1) / 0.3), ylim=(max(len(shares), 1) - 0.4, -0.6), xticks=[], yticks=[])
    plain(axes)
    axes.spines[["bottom"]].set_visible(False)
    for row, (truth, predicted, share) in enumerate(strongest):
        text = f" {share:.0%}  {one_line(truth, _LONGEST)} → {one_line(predicted, _LONGEST)}"
        axes.text(share, row, text, va="center", fontsize=8, parse_math=False, clip_on=False)
    if not strongest:
        axes.text(0, 0, "none", va="center", fontsize=8, color=GREY)
