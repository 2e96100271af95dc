"""What a row of a feature set is: a picture, a region of it, and a view of that."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from decaf.images.boxes import Box, Boxes
from decaf.images.listing import Listing
from decaf.nets.views import VIEWS

Views = Literal["center", "ten", "ten-mean"]

WHOLE = "whole"
NO_BOX = "none"


@dataclass(frozen=True)
class Row:
    """One row: the number of its picture, its region (None: all of it) and view.

    Attributes:
        picture: number in the listing.
        region: `whole`, the id of a box, or `none` where a picture has no box.
        box: the box, None where there is none.
        view: `center`, one of `VIEWS`, or `ten-mean`.
    """

    picture: int
    region: str
    box: Box | None
    view: str

    @property
    def lacks_box(self) -> bool:
        """Whether boxes were given, but none of this picture."""
        return self.box is None and self.region == NO_BOX


@dataclass(frozen=True)
class Rows:
    """All rows of a feature set, in order: picture after picture, region after region, view after view.

    Attributes:
        listing: the pictures.
        boxes: their regions; None: each picture as a whole.
        views: which views.
    """

    listing: Listing
    boxes: Boxes | None = None
    views: Views = "center"

    @cached_property
    def names_of_views(self) -> tuple[str, ...]:
        """The views a region has a row for."""
        return VIEWS if self.views == "ten" else (self.views,)

    @cached_property
    def _regions_before(self) -> array[int] | None:
        """Per picture, how many regions come before it; a picture without a box has one, to say so."""
        if self.boxes is None:
            return None
        before = array("q", [0])
        for start, end in zip(self.boxes.ends, self.boxes.ends[1:], strict=False):
            before.append(before[-1] + max(end - start, 1))
        return before

    def __len__(self) -> int:
        regions = self._regions_before[-1] if self._regions_before else len(self.listing)
        return regions * len(self.names_of_views)

    def __getitem__(self, row: int) -> Row:
        region, view = divmod(row, len(self.names_of_views))
        name = self.names_of_views[view]
        if self.boxes is None or self._regions_before is None:
            return Row(region, WHOLE, None, name)
        picture = bisect_right(self._regions_before, region) - 1
        if self.boxes.ends[picture] == self.boxes.ends[picture + 1]:
            return Row(picture, NO_BOX, None, name)
        box = self.boxes.box(picture, region - self._regions_before[picture])
        return Row(picture, box.id, box, name)

    def label(self, row: Row) -> str | None:
        """A box's own label, else its picture's."""
        return (row.box.label if row.box else None) or self.listing.label(row.picture)

    def aligned(self, batch: int) -> int:
        """The number of rows to work on at a time: whole pictures that fill whole batches, as far as can be told."""
        from math import gcd, lcm

        per_row = len(VIEWS) if self.views == "ten-mean" else 1
        return lcm(len(self.names_of_views), batch // gcd(batch, per_row)) * (4 if self.boxes else 1)

    def digest(self) -> str:
        """16 hexadecimal digits that change with the listing or any box."""
        if self.boxes is None:
            return self.listing.digest()
        hasher = hashlib.sha256(self.listing.digest().encode())
        for picture in range(len(self.listing)):
            hasher.update(repr(self.boxes.of(picture)).encode("utf-8", "surrogateescape"))
        return hasher.hexdigest()[:16]


def shards_of(rows: Sequence[int], size: int) -> list[Sequence[int]]:
    """Rows in parts of `size`, the last one perhaps shorter."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
