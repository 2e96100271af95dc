"""How well models explain several subjects, below what noise lets any model explain (Nili et al. 2014, figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.viz.figures import BLUE, name_ticks, new_figure, plain, save_figure, with_fonts
from decaf.viz.text import one_line
from decaf.viz.theme import Theme, themed

_COLUMN = 0.42  # inches of a model
_LONGEST = 30  # characters of a name
_MOST = 120  # models


@dataclass(frozen=True, eq=False)
class Subjects:
    """What is drawn.

    Attributes:
        title: above the figure.
        models: names.
        values: (models, subjects) correlations.
        ceiling: lower and upper end.
    """

    title: str
    models: Sequence[str]
    values: NDArray[np.float64]
    ceiling: tuple[float, float]


@with_fonts
def save_subjects(shown: Subjects, out: Path, theme: str = "light") -> None:
    """Draw each model's mean over subjects with its standard error, a dot per subject, and the noise ceiling as a band.

    Args:
        shown: of more than 120 models the first are drawn, and the title says so.
        out: a `.png`, `.svg` or `.pdf` file.
        theme: `light` or `dark`.
    """
    models = [one_line(name, _LONGEST) for name in shown.models[:_MOST]]
    title = shown.title if len(models) == len(shown.models) else f"{shown.title}; the first {_MOST} layers"
    with themed(theme) as colours:
        figure = new_figure(max(4.6, 1.3 + _COLUMN * len(models)), 3.4 + 0.07 * max(map(len, models)))
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        _draw(axes, shown.values[:_MOST], shown.ceiling, colours)
        name_ticks(axes.xaxis, models, rotation=90, fontsize=8.5)
        axes.set(xlim=(-0.7, len(models) - 0.3), ylabel="correlation with a subject")
        axes.set_title(title, fontsize=10, loc="left")
        plain(axes)
        save_figure(figure, out)


def _draw(axes: Any, values: NDArray[np.float64], ceiling: tuple[float, float], colours: Theme) -> None:
    axes.axhspan(*ceiling, color=colours.soft, alpha=0.35, linewidth=0)
    axes.annotate("noise ceiling", (1, max(ceiling)), (-3, 2), xycoords=("axes fraction", "data"), ha="right",
                  textcoords="offset points", fontsize=8, color=colours.soft)  # fmt: skip
    axes.axhline(0, color=colours.soft, linewidth=0.8)
    places = np.arange(len(values))
    means = np.nanmean(values, axis=1)
    errors = np.nanstd(values, axis=1, ddof=1) / np.sqrt(values.shape[1])
    axes.bar(places, means, 0.62, color=BLUE, alpha=0.85)
    beside = np.linspace(-0.22, 0.22, values.shape[1])
    for place, row in zip(places, values, strict=True):
        axes.plot(place + beside, row, "o", markersize=2.6, color=colours.ink, alpha=0.45, markeredgewidth=0)
    axes.errorbar(places, means, yerr=errors, fmt="none", ecolor=colours.ink, elinewidth=1.3, capsize=2.5)
    axes.grid(axis="y", color=colours.line, linewidth=0.7)
    axes.set_axisbelow(True)
