"""What all figures share: matplotlib without a window or a file in the home folder, fonts, names of any kind."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from decaf.errors import UnknownName
from decaf.files import atomic_path, cache_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawing = ParamSpec("Drawing")
Drawn = TypeVar("Drawn")

# Told apart by every kind of colour vision on white: blue, orange, green of Okabe and Ito (2008).
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
GREY = "#666666"
DPI = 120
ENDINGS = (".png", ".svg", ".pdf")
_UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
_LARGEST_SIDE = 60_000  # pixels; matplotlib draws up to 65535

# Where one of these is installed, its letters are used for what DejaVu Sans lacks.
_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Hiragino Sans", "MS Gothic", "WenQuanYi Zen Hei")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    _settle()
    from matplotlib.figure import Figure

    return Figure(figsize=(min(width, _LARGEST_SIDE / DPI), min(height, _LARGEST_SIDE / DPI)), dpi=DPI)


def save_png(figure: Figure, out: Path) -> None:
    """Write a PNG, whole or not at all."""
    _save(figure, out, "png")


def check_ending(out: Path) -> None:
    """Raise UnknownName where a figure cannot be written in the format that a file's ending names."""
    if out.suffix.lower() not in ENDINGS:
        raise UnknownName(f"{out}: a figure ends in {', '.join(ENDINGS)}: name it so")


def save_figure(figure: Figure, out: Path) -> None:
    """Write a PNG, SVG or PDF by the ending of the file, whole or not at all; the same figure gives the same bytes."""
    check_ending(out)
    _save(figure, out, out.suffix.lower().removeprefix("."), metadata=_UNDATED.get(out.suffix.lower()))


def _save(figure: Figure, out: Path, kind: str, **options: Any) -> None:
    import matplotlib

    plainly: Any = {"svg.hashsalt": "decaf", "pdf.fonttype": 42}  # no random names; letters stay letters
    with atomic_path(out) as temporary, matplotlib.rc_context(plainly):
        figure.savefig(temporary, format=kind, facecolor=figure.get_facecolor(), **options)


def with_fonts(draw: Callable[Drawing, Drawn]) -> Callable[Drawing, Drawn]:
    """Have a function draw with fonts for as many scripts as are installed, whatever matplotlib is set to.

    Letters no font has are drawn as boxes.
    """

    @wraps(draw)
    def drawn(*args: Drawing.args, **kwargs: Drawing.kwargs) -> Drawn:
        _settle()
        import matplotlib

        with matplotlib.rc_context({"font.family": list(_families())}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a box is drawn for it
            return draw(*args, **kwargs)

    return drawn


def _settle() -> None:
    os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))  # else it writes into the home folder


@cache
def _families() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in _FONTS if name in installed))


def name_ticks(axis: Any, names: Sequence[str], **style: Any) -> None:
    """Name the ticks 0, 1, ... of an x or y axis; dollar signs are dollar signs."""
    axis.set_ticks(range(len(names)), names, **style)
    for text in axis.get_ticklabels():
        text.set_parse_math(False)


def plain(axes: Any) -> None:
    """Without the upper and right edge, which say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
