"""Write a page and its data into a folder, whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decaf.errors import ExploreError
from decaf.explore.columns import packed_texts, readable
from decaf.explore.layouts import in_one_frame, local_order
from decaf.explore.pictures import PER_SHEET, SHEET, SMALL, TILE, PictureSettings, Source, Stored, store_pictures
from decaf.explore.site import Site
from decaf.files import TEMPORARY

FORMAT = 1
STATIC = Path(__file__).parent / "static"
DATA, ABOUT = "data", "site"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Written:
    """A page that was written.

    Attributes:
        folder: open `index.html` in it.
        pictures: how many.
        unseen: row -> why its picture cannot be shown.
        size: bytes of the folder.
    """

    folder: Path
    pictures: int
    unseen: dict[int, str]
    size: int


def write_site(
    out: str | Path,
    site: Site,
    source: Source,
    settings: PictureSettings | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write a page of pictures on maps as a folder for any web server, or to open from the disk.

    Args:
        out: the folder; an older page there is replaced, anything else is left alone.
        site: what the page shows.
        source: of the pictures.
        settings: how pictures are stored.
        progress: called with (done, of all) pictures.

    Raises:
        ExploreError: the parts of the site do not fit together, no picture can be read, or `out` is something else.

    Example:
        >>> write_site("page", Site("Birds", paths, [Column("label", labels)], {"pool": places}), pictures)
    """
    site.check()
    with _new_folder(Path(out)) as folder:
        problems = write_data(folder, site, source, settings or PictureSettings(), progress)
        write_page(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Written(Path(out), len(site.paths), problems, size)


def write_page(folder: Path) -> None:
    """Copy the page itself: what `static/` holds."""
    for file in STATIC.iterdir():
        if file.is_file():
            shutil.copyfile(file, folder / file.name)


def write_data(
    folder: Path,
    site: Site,
    source: Source,
    settings: PictureSettings,
    progress: Progress | None = None,
    served: str = "",
) -> dict[int, str]:
    """Write what a page shows as scripts in `data/`, and the files of pictures.

    Args:
        folder: gets `data/` and, where the settings say so, `pictures/`.
        site, source, settings, progress: see `write_site`.
        served: where a server hands out the picture of a row, `SERVED/ROW`; empty: files in `pictures/`, if any.

    Returns:
        row -> why its picture cannot be shown. Raises as `write_site`.
    """
    site.check()
    (folder / DATA).mkdir()
    scripts = _Scripts(folder / DATA)
    layouts = in_one_frame(site.layouts)
    order = local_order(layouts[site.first_layer], PER_SHEET)
    stored = store_pictures(source, order, site.paths, settings, folder, scripts.save, progress)
    if len(stored.problems) == len(site.paths):
        why = stored.problems[0]
        raise ExploreError(f"none of the pictures can be read ({site.paths[0]}: {why}): go where they lie")
    scripts.save("order", order.astype("<i4").tobytes())
    scripts.save("aspect", stored.aspect.astype("<f4").tobytes())
    scripts.save("paths", packed_texts(site.paths))
    about = _about(site, stored, scripts) | _save_layouts(site, layouts, scripts)
    about["pictures"] |= {"files": _save_suffixes(stored, scripts), "copied": settings.copy, "served": served}
    scripts.describe(about)
    return stored.problems


class _Scripts:
    """Data as scripts that hand base64 text to the page: the one way that works from `file://` too.

    Measured in Chromium: 8 MB of base64 decode in 11 ms, less than a request takes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._digest = folder, hashlib.sha256()

    def save(self, name: str, data: bytes) -> None:
        self._digest.update(name.encode() + data)
        (self._folder / f"{name}.js").write_bytes(
            b'decaf.chunk("%b","%b");\n' % (name.encode(), base64.b64encode(data))
        )

    def describe(self, about: dict[str, Any]) -> None:
        """The description comes last, with a digest of all the rest: a browser never mixes two versions of a site."""
        text = json.dumps(about | {"digest": self._digest.hexdigest()[:16]}, ensure_ascii=True, allow_nan=False)
        (self._folder / f"{ABOUT}.js").write_text(f"decaf.describe({text});\n")


def _about(site: Site, stored: Stored, scripts: _Scripts) -> dict[str, Any]:
    columns = []
    for number, column in enumerate(site.columns):
        about, values = column.encoded()
        scripts.save(f"column-{number}", values.astype(values.dtype.newbyteorder("<")).tobytes())
        columns.append(about)
    return {
        "format": FORMAT,
        "title": readable(site.title),
        "count": len(site.paths),
        "columns": columns,
        "label": site.label_column,
        "notes": list(map(readable, site.notes)),
        "palette": palette(),
        "pictures": {
            "sheet": SHEET, "tile": TILE, "small": SMALL,
            "sheets": stored.sheets, "smallSheets": stored.small_sheets,
            "problems": {str(row): readable(why) for row, why in stored.problems.items()},
        },
    }  # fmt: skip


def _save_layouts(site: Site, layouts: dict[str, Any], scripts: _Scripts) -> dict[str, Any]:
    layers = []
    for number, (layer, places) in enumerate(layouts.items()):
        scripts.save(f"layout-{number}", places.astype("<f4").tobytes())
        near = site.neighbours.get(layer)
        if near is not None:
            scripts.save(f"near-{number}", near.astype("<i4").tobytes())
        layers.append({"name": readable(layer), "near": 0 if near is None else near.shape[1]})
    return {"layers": layers, "first": list(layouts).index(site.first_layer)}


def _save_suffixes(stored: Stored, scripts: _Scripts) -> list[str]:
    """Endings of the pictures' own files; which of them each has is a column of bytes."""
    endings, codes = np.unique(stored.suffixes.astype(str), return_inverse=True)
    scripts.save("endings", codes.astype(np.uint8).tobytes())
    return list(map(str, endings.tolist()))


def palette() -> dict[str, Any]:
    """Colours of categories on light and on dark paper, as in the figures; of numbers, from little to much."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    from decaf.viz.theme import DARK, LIGHT

    return {
        "light": LIGHT.series,
        "dark": DARK.series,
        "numbers": [to_hex(colormaps["viridis"](share)) for share in np.linspace(0, 1, 16)],
    }


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a new folder beside `out` that takes its place when all went well."""
    check_folder(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}{TEMPORARY}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if out.exists():
            old = temporary.with_suffix(".old")
            out.rename(old)
            temporary.rename(out)
            shutil.rmtree(old, ignore_errors=True)
        else:
            temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_folder(out: Path) -> None:
    """Raise ExploreError where a page may not be written, before anything is computed for it."""
    if not out.name or (out.exists() and not out.is_dir()):
        raise ExploreError(f"{out} is no folder: name a new one for the page")
    if out.is_dir() and any(out.iterdir()) and not (out / DATA / f"{ABOUT}.js").is_file():
        raise ExploreError(f"{out} holds other files than a page of decaf: name a new folder")
