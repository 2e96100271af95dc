"""Regions of pictures, from a CSV file."""

from __future__ import annotations

import csv
import os
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from decaf.errors import TableError
from decaf.images.listing import Listing

_CORNERS = ("x0", "y0", "x1", "y1")
_COLUMNS = ("path", *_CORNERS, "id", "label")

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
        self._match(file, listing, _prefixes(sources), lines_of)

    def _match(self, file: str, listing: Listing, prefixes: Sequence[str], lines_of: dict[str, list[int]]) -> None:
        self._order, self._ends = array("q"), array("q", [0])
        found: dict[str, str] = {}
        for row in range(len(listing)):
            path = os.path.normpath(listing.path(row))
            names = _names(path, prefixes) & lines_of.keys()
            for name in names:
                if found.setdefault(name, path) != path:
                    raise TableError(f"{name} in {file} fits {found[name]} and {path}: write the whole path")
            self._order.extend(sorted(line for name in names for line in lines_of[name]))
            self._ends.append(len(self._order))
        self.unused = tuple(path for path in lines_of if path not in found)
        if not found:
            named = self.unused[0] if self.unused else "no box at all"
            raise TableError(f"{file} names none of the pictures ({named}): write paths as the sources have them")
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


def _prefixes(sources: Sequence[str]) -> list[str]:
    return sorted({os.path.join(os.path.normpath(source), "") for source in sources})


def _names(path: str, prefixes: Sequence[str]) -> set[str]:
    """What a picture may be called in the file."""
    return {path} | {path[len(prefix) :] for prefix in prefixes if path.startswith(prefix)}


def _read(file: str) -> Iterator[tuple[str, Box]]:
    try:
        with open(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            rows = csv.reader(lines)
            header = [name.strip().lower() for name in next(rows, [])]
            if missing := [name for name in _COLUMNS[:5] if name not in header]:
                raise TableError(f"{file} has no column {missing[0]}: its first line names {', '.join(_COLUMNS)}")
            at = {name: header.index(name) for name in _COLUMNS if name in header}
            for row in rows:
                if row:
                    yield _parse(row, at, f"{file} line {rows.line_num}")
    except OSError as error:
        raise TableError(f"cannot read {file} ({error.strerror}): make it readable or name another") from None
    except csv.Error as error:
        raise TableError(f"{file} is no CSV file ({error}): write it anew") from None


def _parse(row: Sequence[str], at: dict[str, int], where: str) -> tuple[str, Box]:
    try:
        x0, y0, x1, y1 = (float(row[at[name]]) for name in _CORNERS)
        texts = {name: row[at[name]] for name in ("path", "id", "label") if name in at}
        if not texts["path"]:
            raise ValueError("no path")
    except (ValueError, IndexError):
        raise TableError(f"{where} is no box: it needs a path and four numbers x0, y0, x1, y1") from None
    return texts["path"], Box((x0, y0, x1, y1), texts.get("id", ""), texts.get("label") or None)
