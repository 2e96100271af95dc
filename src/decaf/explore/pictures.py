"""Pictures of a page: tiles of two sizes on sheets, and one larger file each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from decaf.errors import ImageError
from decaf.images.decode import Pixels

Item = TypeVar("Item")

SHEET = 1024  # pixels of a sheet's side
TILE, SMALL = 64, 16  # pixels of a tile's side
PER_SHEET, SMALL_PER_SHEET = (SHEET // TILE) ** 2, (SHEET // SMALL) ** 2
LONGEST = 4.0  # times as long as wide a tile is shown at most; longer pictures lose their ends
_QUALITY = 75
_PREVIEW_QUALITY = 80
_SHOWN_BY_BROWSERS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")


class Source(Protocol):
    """Where pixels come from."""

    def load(self, row: int) -> Pixels:
        """The picture of a row, (h, w, 3) uint8. Raises ImageError or OSError where it cannot be had."""

    def original(self, row: int) -> bytes | None:
        """The file of a row as it is; None where there is none that shows the same. Raises as `load`."""


@dataclass(frozen=True)
class PictureSettings:
    """How pictures are stored.

    Attributes:
        preview: longest side of the picture shown beside the map, pixels; 0: none is stored.
        copy: store the files as they are in place of previews.
        threads: decode at the same time.
    """

    preview: int = 256
    copy: bool = False
    threads: int = 2


@dataclass(frozen=True, eq=False)
class _Made:
    """One picture as a page needs it: its tile, width through height, and what could not be done."""

    tile: Pixels
    aspect: float
    suffix: str = ""
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Stored:
    """What was stored of pictures.

    Attributes:
        aspect: (n,) float32, width through height as shown, between 1/4 and 4.
        suffixes: (n,) ending of the file in `pictures/`; empty where there is none.
        problems: row -> why it cannot be shown.
        sheets, small_sheets: how many of each.
    """

    aspect: NDArray[np.float32]
    suffixes: NDArray[np.object_]
    problems: dict[int, str]
    sheets: int
    small_sheets: int


Save = Callable[[str, bytes], None]


def store_pictures(
    source: Source,
    order: NDArray[np.int32],
    paths: Sequence[str],
    settings: PictureSettings,
    folder: Path,
    save: Save,
    progress: Callable[[int, int], None] | None = None,
) -> Stored:
    """Store tiles on sheets, in `order`, and a file of each picture.

    A tile is the whole picture drawn into a square; the page draws it at its true shape. Sheets are JPEG without chroma
    subsampling: its blocks of 8 pixels end where tiles end, so no tile bleeds into the next.

    Args:
        source: of pixels; of files too where they are copied.
        order: rows, as `local_order` gives them.
        paths: for the endings of copied files.
        settings: what is stored.
        folder: in which `pictures/` is made.
        save: stores a sheet under a name: `large-0`, `small-0` and so on.
        progress: called with (done, of all) pictures.
    """
    n = len(order)
    aspect, suffixes = np.ones(n, np.float32), np.full(n, "", object)
    problems: dict[int, str] = {}
    maker = _Maker(source, paths, settings, folder)
    small: list[NDArray[np.uint8]] = []
    with ThreadPoolExecutor(settings.threads) as pool:
        for sheet, rows in enumerate(_parts(order.tolist(), PER_SHEET)):
            made = list(pool.map(maker, rows))
            for row, one in zip(rows, made, strict=True):
                aspect[row], suffixes[row] = one.aspect, one.suffix
                if one.problem:
                    problems[row] = one.problem
            tiles = np.stack([one.tile for one in made])
            save(f"large-{sheet}", _sheet(tiles))
            small.append(_shrunk(tiles))
            if progress:
                progress(sheet * PER_SHEET + len(rows), n)
    for sheet, part in enumerate(_parts(small, SMALL_PER_SHEET // PER_SHEET)):
        save(f"small-{sheet}", _sheet(np.concatenate(part)))
    return Stored(aspect, suffixes, problems, -(-n // PER_SHEET), -(-n // SMALL_PER_SHEET))


def _parts(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes what is stored of one picture."""

    source: Source
    paths: Sequence[str]
    settings: PictureSettings
    folder: Path

    def __call__(self, row: int) -> _Made:
        try:
            pixels = self.source.load(row)
            tile, aspect = _tile(pixels)
            return _Made(tile, aspect, self._store_file(row, pixels))
        except (ImageError, OSError) as error:
            return _Made(np.full((TILE, TILE, 3), 128, np.uint8), 1.0, "", str(error) or "it cannot be read")

    def _store_file(self, row: int, pixels: Pixels) -> str:
        """Write the picture's own file; returns its ending."""
        ending = os.path.splitext(self.paths[row])[1].lower()
        data = self.source.original(row) if self.settings.copy and ending in _SHOWN_BY_BROWSERS else None
        if data is None:
            longest = max(pixels.shape[:2]) if self.settings.copy else self.settings.preview
            if not longest:
                return ""
            ending, data = ".jpg", preview_of(pixels, longest)
        target = self.folder / file_of(row, ending)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return ending


def file_of(row: int, ending: str) -> str:
    """Where a picture's own file lies in the folder: a thousand in each folder."""
    return f"pictures/{row // 1000}/{row}{ending}"


def _tile(pixels: Pixels) -> tuple[Pixels, float]:
    """The picture drawn into a square, and its width through its height."""
    from PIL import Image

    height, width = pixels.shape[:2]
    most_high, most_wide = min(height, int(LONGEST * width)), min(width, int(LONGEST * height))
    top, left = (height - most_high) // 2, (width - most_wide) // 2
    cut = Image.fromarray(np.ascontiguousarray(pixels[top : top + most_high, left : left + most_wide]))
    square = cut.resize((TILE, TILE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(square), most_wide / most_high


def preview_of(pixels: Pixels, longest: int) -> bytes:
    """The picture as JPEG, no side longer than `longest` pixels."""
    from PIL import Image
    from simplejpeg import encode_jpeg

    image = Image.fromarray(pixels)
    image.thumbnail((longest, longest), Image.Resampling.BICUBIC, reducing_gap=2.0)
    pixels = np.ascontiguousarray(image)
    return bytes(encode_jpeg(pixels, quality=_PREVIEW_QUALITY, colorspace="RGB", colorsubsampling="420"))


def _shrunk(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Small tiles: means of 4 x 4 pixels."""
    step = TILE // SMALL
    blocks = tiles.reshape(len(tiles), SMALL, step, SMALL, step, 3)
    return np.asarray(np.rint(blocks.mean(axis=(2, 4))), np.uint8)


def _sheet(tiles: NDArray[np.uint8]) -> bytes:
    """Tiles side by side from the upper left corner, as JPEG; the last rows of a sheet may be left out."""
    from simplejpeg import encode_jpeg

    side = tiles.shape[1]
    across = SHEET // side
    down = -(-len(tiles) // across)
    grid = np.full((down * across, side, side, 3), 128, np.uint8)
    grid[: len(tiles)] = tiles
    pixels = grid.reshape(down, across, side, side, 3).transpose(0, 2, 1, 3, 4).reshape(down * side, SHEET, 3)
    return bytes(encode_jpeg(np.ascontiguousarray(pixels), quality=_QUALITY, colorspace="RGB", colorsubsampling="444"))
