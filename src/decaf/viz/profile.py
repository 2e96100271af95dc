"""Figure 3 of the DeCAF paper for any network: time per layer, and what share each kind of layer takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decaf.viz.figures import BLUE, GREEN, ORANGE, name_ticks, new_figure, plain, save_png, with_fonts
from decaf.viz.text import one_line

if TYPE_CHECKING:
    from decaf.engines.profile import Profile, Timing
    from decaf.engines.steps import Step

# The rest of Okabe and Ito's palette for what the first three leave out.
KIND_COLOURS = {
    "convolution": BLUE,
    "fully connected": ORANGE,
    "pooling": GREEN,
    "normalisation": "#cc79a7",
    "activation": "#e69f00",
    "reorder": "#56b4e9",
    "other": "#999999",
}
_WIDTH = 8.6  # inches
_ROW = 2.2  # inches: a row of panels
_PANEL_HEIGHT, _PANEL_WIDTH = 115, 275  # points, about: inside the axes
_LABELLED = 8  # bars of a panel, at most
_LEAST_LABELLED = 0.025  # of the whole
_FONT, _LINE = 7.5, 9.5  # points: of a label, and from one to the next
_LETTERS = 18
_ROOM_FOR_TEXT = 0.07  # share of a bar from which its percentage fits in


@with_fonts
def save_profile(profile: Profile, out: Path) -> None:
    """Draw (a) the time of every layer for each batch size and precision, (b) the shares of their kinds; save as PNG.

    Args:
        profile: what `decaf.profile` measured.
        out: the file.
    """
    batches = list(dict.fromkeys(timing.batch for timing in profile.timings))
    precisions = list(dict.fromkeys(timing.precision for timing in profile.timings))
    shares = 0.75 + 0.34 * len(profile.timings)
    figure = new_figure(_WIDTH, 0.7 + _ROW * len(batches) + shares)
    figure.set_layout_engine("constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(_ROW * len(batches) + 0.3, shares + 0.4))
    above, below = parts
    panels = above.subplots(len(batches), len(precisions), squeeze=False)
    for timing in profile.timings:
        axes = panels[batches.index(timing.batch), precisions.index(timing.precision)]
        _draw_layers(axes, timing)
    for row in panels:
        row[0].set_ylabel("ms a picture", fontsize=9)
    for axes in panels[-1]:
        axes.set_xlabel("layers, in the order they run", fontsize=9)
    above.suptitle(_heading(profile), fontsize=10, x=0.01, ha="left")
    _draw_kinds(below.subplots(), profile.timings)
    kinds = [kind for kind in KIND_COLOURS if any(kind in timing.kinds for timing in profile.timings)]
    handles = [_patch(KIND_COLOURS[kind]) for kind in kinds]
    below.legend(handles, kinds, loc="outside lower center", ncols=len(kinds), frameon=False, fontsize=8.5)
    save_png(figure, out)


def _heading(profile: Profile) -> str:
    threads = f"{profile.threads} thread{'s' if profile.threads > 1 else ''}"
    return (
        f"(a) {one_line(profile.net, 40)}: time of each layer; {profile.engine}, {profile.instruction_set}, {threads}"
    )


def _patch(colour: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour)


def _draw_layers(axes: Any, timing: Timing) -> None:
    times = [1e3 * layer.seconds / timing.batch for layer in timing.layers]
    axes.bar(range(len(times)), times, 0.86, color=[KIND_COLOURS[layer.step.kind] for layer in timing.layers])
    labels = {place: one_line(_label(timing.layers[place].step), _LETTERS) for place in _largest(timing)}
    for place, label in labels.items():
        text = axes.annotate(
            label,
            (place, times[place]),
            (0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            rotation=90,
            fontsize=_FONT,
        )
        text.set_parse_math(False)
    axes.set_ylim(0, max([1.05 * max(times), 1e-6, *(times[place] * _room(label) for place, label in labels.items())]))
    axes.set_xlim(-1, len(times))
    axes.set_xticks([])
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_axisbelow(True)
    whole = 1e3 * timing.total_seconds / timing.batch
    busy = "" if timing.quiet else " (machine busy)"
    axes.set_title(f"batch {timing.batch}, {timing.precision}: {whole:.3g} ms a picture{busy}", fontsize=9, loc="left")
    plain(axes)


def _label(step: Step) -> str:
    """The shortest name of what a step computes: `block2.expand`, not `block2.expand.conv`."""
    return min((step.name, *step.merged), key=len)


def _largest(timing: Timing) -> list[int]:
    """Places of the bars that are labelled: the largest, none beside a larger one where there is no room for both."""
    apart = _LINE * (len(timing.layers) + 1) / _PANEL_WIDTH
    chosen: list[int] = []
    for place in sorted(range(len(timing.layers)), key=lambda place: -timing.layers[place].seconds):
        large = timing.layers[place].share >= _LEAST_LABELLED and len(chosen) < _LABELLED
        if large and all(abs(place - other) >= apart for other in chosen):
            chosen.append(place)
    return chosen


def _room(label: str) -> float:
    """How much higher than its bar a panel must be for the label to fit in above."""
    return _PANEL_HEIGHT / (_PANEL_HEIGHT - 6 - 0.62 * _FONT * len(label))


def _draw_kinds(axes: Any, timings: Sequence[Timing]) -> None:
    for row, timing in enumerate(timings):
        start = 0.0
        for kind, share in timing.kinds.items():
            axes.barh(row, share, 0.74, left=start, color=KIND_COLOURS[kind], edgecolor="white", linewidth=0.6)
            if share >= _ROOM_FOR_TEXT:
                middle = start + share / 2
                axes.text(middle, row, f"{share:.0%}", ha="center", va="center", color="white", fontsize=8.5)
            start += share
    name_ticks(axes.yaxis, [f"batch {timing.batch}, {timing.precision}" for timing in timings], fontsize=8.5)
    axes.set(xlim=(0, 1), ylim=(len(timings) - 0.5, -0.5))
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title("(b) share of each kind of layer", fontsize=10, loc="left")
    plain(axes)
