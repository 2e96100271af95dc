"""Colours of figures that are drawn light or dark, told apart by every kind of colour vision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from decaf.errors import UnknownName
from decaf.viz.figures import BLUE, GREEN, ORANGE

# Circles first; the others keep their shape at a few pixels.
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<", ">", "p")


@dataclass(frozen=True)
class Theme:
    """Paper, ink, softer ink for what matters less, lines, and colours of series."""

    paper: str
    ink: str
    soft: str
    line: str
    series: tuple[str, ...]


# Okabe and Ito (2008) without yellow, which white swallows, then those that keep farthest from all before them for
# every kind of colour vision; the dark ones are lighter, with yellow for amber.
LIGHT = Theme(
    "#ffffff",
    "#1c1e21",
    "#5b6068",
    "#d9dce1",
    (BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9", "#222222", "#8800ff", "#773311", "#99bb66", "#4422aa"),
)
DARK = Theme(
    "#16181c",
    "#e6e8eb",
    "#a2a8b1",
    "#383d45",
    (
        "#56b4e9",
        "#ff7a33",
        "#12996e",
        "#d98cba",
        "#f0e442",
        "#2f7fd6",
        "#f4f4f4",
        "#9933ff",
        "#bb1111",
        "#aaff88",
        "#993388",
    ),
)


THEMES = {"light": LIGHT, "dark": DARK}


def theme(dark: bool) -> Theme:
    """The dark or the light one."""
    return DARK if dark else LIGHT


@contextmanager
def themed(name: str) -> Iterator[Theme]:
    """Have everything drawn in the colours of a theme. Raises UnknownName where there is none of this name."""
    import matplotlib

    if name not in THEMES:
        raise UnknownName(f"no theme {name!r}: use one of {', '.join(THEMES)}")
    theme = THEMES[name]
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor")
    pages = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    style: dict[Any, Any] = dict.fromkeys(inks, theme.ink) | dict.fromkeys(pages, theme.paper)
    # letters stay letters in SVG and PDF: they can be searched and edited; the same figure gives the same bytes
    style |= {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "decaf", "text.parse_math": False}
    with matplotlib.rc_context(style):
        yield theme


def apart(distances: Sequence[Sequence[float]], colours: int) -> list[int]:
    """A colour for each of several things, so that near things differ: each gets the colour that is farthest away.

    Args:
        distances: (n, n) between the things; the first thing is coloured first.
        colours: how many there are.

    Returns:
        (n,) numbers below `colours`.
    """
    chosen: list[int] = []
    for row in distances:
        nearest = [float("inf")] * colours
        for other, colour in enumerate(chosen):
            nearest[colour] = min(nearest[colour], row[other])
        chosen.append(max(range(colours), key=lambda colour: nearest[colour]))
    return chosen
