"""Pictures beside the classes a network gives them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from decaf.files import atomic_path, cache_folder
from decaf.images.decode import decode, read_file

Guess = tuple[str, float]

_BAR = "#3b75af"  # blue: told apart by every kind of colour vision on white


def save_predictions(pictures: Sequence[tuple[str, Sequence[Guess]]], out: Path) -> None:
    """Draw each picture above bars of its most probable classes, and save the figure as PNG.

    Args:
        pictures: path and (class, probability) pairs, most probable first.
        out: the PNG file.

    Raises:
        ImageError: a picture cannot be read.
    """
    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))  # else it writes into the home folder
    from matplotlib.figure import Figure

    count = len(pictures)
    figure = Figure(figsize=(3.4 * count, 4.4), dpi=120, layout="constrained")
    axes = figure.subplots(2, count, squeeze=False, height_ratios=(3, 2))
    for column, (path, guesses) in enumerate(pictures):
        axes[0, column].imshow(decode(read_file(path)[0]))
        axes[0, column].set_axis_off()
        _draw_bars(axes[1, column], guesses)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png")


def _draw_bars(axis, guesses: Sequence[Guess]) -> None:  # type: ignore[no-untyped-def]
    axis.barh(range(len(guesses)), [probability for _, probability in guesses], color=_BAR, height=0.72)
    axis.set(xlim=(0, 1.45), ylim=(len(guesses) - 0.5, -0.5), xticks=[], yticks=[])
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    for row, (name, probability) in enumerate(guesses):
        first_word = name.split(",")[0]
        axis.text(probability + 0.02, row, f"{first_word}  {probability:.0%}", va="center", fontsize=9)
