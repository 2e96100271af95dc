"""The pictures behind the rows of a feature set, to look at."""

from __future__ import annotations

import os
from functools import cache, cached_property

import numpy as np

from decaf.errors import DecafError, ImageError
from decaf.features.feature_set import FeatureSet
from decaf.images.decode import DEFAULT_LIMITS, Pixels, decode, read_file
from decaf.images.listing import Listing
from decaf.images.prepare import cut_box


class Pictures:
    """Pixels of rows, by the paths that were stored: as they were seen then, else from here."""

    def __init__(self, features: FeatureSet) -> None:
        self._features = features
        self._folder = str(features.meta["source"]["folder"])

    def load(self, row: int) -> Pixels:
        """The picture of a row, (h, w, 3) uint8; of a region, what lies in its box. Raises ImageError."""
        pixels = decode(self._read(str(self._features.paths[row])))
        if self._is_whole(row):
            return pixels
        box = self._features.boxes[row]
        return cut_box(pixels, tuple(map(float, box)), self.context)  # type: ignore[arg-type]

    def original(self, row: int) -> bytes | None:
        """The file of a row as it is; None where the row is a region of it. Raises ImageError."""
        return self._read(str(self._features.paths[row])) if self._is_whole(row) else None

    def _is_whole(self, row: int) -> bool:
        return bool(np.isnan(self._features.boxes[row]).any())

    @property
    def context(self) -> float:
        """How much wider and higher than its box a region is."""
        regions = str(self._features.meta["settings"]["regions"])
        return float(regions.rpartition(" x ")[2]) if " x " in regions else 1.0

    def _read(self, path: str) -> bytes:
        for place in (os.path.join(self._folder, path), path):
            if os.path.isfile(place):
                return read_file(place)[0]
        for place in (self._folder, ""):
            for archive in self._archives:
                if path.startswith(f"{archive}/"):
                    return _read_member(os.path.join(place, archive), path[len(archive) + 1 :])
        raise ImageError("the file is not there")

    @cached_property
    def _archives(self) -> list[str]:
        return [given for given in self._features.meta["source"]["given"] if os.path.splitext(given)[1]]


def _read_member(archive: str, name: str) -> bytes:
    listing, row_of = _listing(archive)
    row = row_of.get(f"{archive}/{name}")
    if row is None:
        raise ImageError("the archive does not hold it")
    return bytes(listing.read(row, DEFAULT_LIMITS)[0])


@cache
def _listing(archive: str) -> tuple[Listing, dict[str, int]]:
    """What lies in an archive, and path -> row there; of two with one name the first."""
    from decaf.images.find import find_images

    try:
        listing = find_images(archive)
    except DecafError as error:
        raise ImageError(str(error)) from None
    return listing, {listing.path(row): row for row in reversed(range(len(listing)))}
