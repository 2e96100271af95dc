"""A report as one HTML page that needs nothing else, and as Markdown beside its figures."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from decaf.files import write_atomically
from decaf.viz.text import one_line

HTML, MARKDOWN = "report.html", "report.md"


@dataclass(frozen=True)
class Table:
    """Text in rows; the first column names the row. `strong`: (row, column) of cells that stand out."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: Sequence[tuple[int, int]] = ()
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A PNG in the folder of the report. `alt`: what it shows, for those who cannot see it."""

    file: str
    alt: str
    caption: str
    kind: str = "figure"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    points: Sequence[str]
    kind: str = "points"


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    heading: str
    blocks: Sequence[Table | Figure | Text | Points]


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    lead: str
    sections: Sequence[Section]


def write_page(page: Page, folder: Path) -> dict[str, str]:
    """Write `report.html` and `report.md`.

    Args:
        page: what they say; all of it is text, nothing in it is taken for markup.
        folder: where they go, and where the figures lie already.

    Returns:
        Name of the file -> what it is.
    """
    import jinja2

    names = {"html.j2": HTML, "md.j2": MARKDOWN}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("decaf.tasks", "templates"),
        autoescape=lambda name: name == "report.html.j2",
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["md"] = markdown_text
    environment.globals["png"] = lambda file: base64.b64encode((folder / file).read_bytes()).decode()
    for ending, name in names.items():
        text = environment.get_template(f"report.{ending}").render(page=page)
        write_atomically(folder / name, text.encode("utf-8", "backslashreplace"))
    return {HTML: "the report, one page", MARKDOWN: "the same as Markdown"}


def markdown_text(text: object) -> str:
    """Text that Markdown shows as it is, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~$])", r"\\\1", one_line(text))
