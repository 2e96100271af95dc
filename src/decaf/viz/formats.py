"""Figures in the format a file's ending names, on a light or a dark page."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decaf.errors import UnknownName
from decaf.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Theme:
    """Colours of a page. `ink`: of text; `grey`: of what stands back; `faint`: of lines and empty places."""

    page: str
    ink: str
    grey: str
    faint: str


THEMES = {
    "light": Theme("#ffffff", "#000000", "#666666", "#e4e4e4"),
    "dark": Theme("#161a1f", "#e8eaed", "#a0a6ad", "#3a4149"),
}


def check_format(out: Path) -> None:
    """Raise UnknownName where a figure cannot be written in the format that a file's ending names."""
    if out.suffix.lower() not in FORMATS:
        raise UnknownName(f"{out}: a figure ends in {', '.join(FORMATS)}: name it so")


@contextmanager
def themed(name: str) -> Iterator[Theme]:
    """Have everything drawn in the colours of a theme. Raises UnknownName where there is none of this name."""
    import matplotlib

    if name not in THEMES:
        raise UnknownName(f"no theme {name!r}: use one of {', '.join(THEMES)}")
    theme = THEMES[name]
    inks = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "axes.titlecolor")
    pages = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    style: dict[Any, Any] = dict.fromkeys(inks, theme.ink) | dict.fromkeys(pages, theme.page)
    # letters stay letters in SVG and PDF: they can be searched and edited; the same figure gives the same bytes
    style |= {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "decaf", "text.parse_math": False}
    with matplotlib.rc_context(style):
        yield theme


def save_figure(figure: Figure, out: Path) -> None:
    """Write a figure as its file's ending says, whole or not at all. Letters no font has are drawn as boxes."""
    check_format(out)
    kind = out.suffix.lower()[1:]
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with atomic_path(out) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(temporary, format=kind, metadata=undated)
