"""Regions of pictures, from a CSV file."""

from __future__ import annotations

import os
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from decaf.errors import TableError
from decaf.images.listing import Listing
from decaf.images.tables import match_paths, read_csv

_CORNERS = ("x0", "y0", "x1", "y1")
_COLUMNS = ("path", *_CORNERS, "id", "label")
_NO_BOX = "is no box: it needs a path and four numbers x0, y0, x1, y1"

Corners = tuple[float, float, float, float]


class Box(NamedTuple):
    """A region of a picture.

    Attributes:
        corners: x0, y0, x1, y1 in pixels of the upright picture; x1 and y1 lie just outside.
        id: its name; unique within its picture.
        label: None where the file gives none.
    """

    corners: Corners
    id: str
    label: str | None


class Boxes:
    """The boxes of each picture of a listing, in about 60 bytes each and those of its id.

    Attributes:
        unused: paths in the file that are no picture of the listing.
    """

    def __init__(self, file: str, listing: Listing, sources: Sequence[str]) -> None:
        """Read a CSV file and find the pictures it names.

        Args:
            file: with a header and the columns `path`, `x0`, `y0`, `x1`, `y1`, and `id` and `label` where wanted.
                A path is written as the listing has it, or as it is seen from one of the sources.
            listing: the pictures.
            sources: what the listing was made from.

        Raises:
            TableError: the file cannot be read, a line is no box, or a path fits two pictures or all fit none.
        """
        self._corners: array[float] = array("d")
        self._ids: list[str] = []
        self._labels: list[str | None] = []
        labels: dict[str | None, str | None] = {}  # each is kept once
        lines_of: dict[str, list[int]] = defaultdict(list)
        for line, (path, box) in enumerate(_read(file)):
            lines_of[os.path.normpath(path)].append(line)
            self._corners.extend(box.corners)
            self._ids.append(box.id)
            self._labels.append(labels.setdefault(box.label, box.label))
        self._match(file, listing, sources, lines_of)

    def _match(self, file: str, listing: Listing, sources: Sequence[str], lines_of: dict[str, list[int]]) -> None:
        self._order, self._ends = array("q"), array("q", [0])
        unused = dict.fromkeys(lines_of)
        paths = (listing.path(row) for row in range(len(listing)))
        for names in match_paths(file, lines_of, paths, sources, "box"):
            self._order.extend(sorted(line for name in names for line in lines_of[name]))
            self._ends.append(len(self._order))
            for name in names:
                unused.pop(name, None)
        self.unused = tuple(unused)
        self._refuse_twins(file, listing)

    def _refuse_twins(self, file: str, listing: Listing) -> None:
        for row in range(len(listing)):
            ids = [box.id for box in self.of(row)]
            if len(set(ids)) < len(ids):
                twin = next(name for name in ids if ids.count(name) > 1)
                raise TableError(f"{file} has two boxes {twin!r} of {listing.path(row)}: give each an id of its own")

    @property
    def ends(self) -> array[int]:
        """(pictures + 1,) how many boxes there are before each picture."""
        return self._ends

    def of(self, picture: int) -> list[Box]:
        """The boxes of a picture, in the order of the file; numbered where they have no id."""
        return [self.box(picture, number) for number in range(self._ends[picture + 1] - self._ends[picture])]

    def box(self, picture: int, number: int) -> Box:
        """One of the boxes of a picture."""
        line = self._order[self._ends[picture] + number]
        x0, y0, x1, y1 = self._corners[4 * line : 4 * line + 4]
        return Box((x0, y0, x1, y1), self._ids[line] or str(number), self._labels[line])


def _read(file: str) -> Iterator[tuple[str, Box]]:
    for line, cells in read_csv(file, _COLUMNS[:5], _COLUMNS[5:], _NO_BOX):
        try:
            x0, y0, x1, y1 = (float(cells[name]) for name in _CORNERS)
            path = cells["path"] or None
        except ValueError:
            path = None
        if path is None:
            raise TableError(f"{file} line {line} {_NO_BOX}")
        yield path, Box((x0, y0, x1, y1), cells.get("id", ""), cells.get("label") or None)
