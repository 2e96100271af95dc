"""The pictures behind the rows of a feature set, to look at."""

from __future__ import annotations

import os
from functools import cache, cached_property
from typing import Any

import numpy as np

from decaf.errors import DecafError, ImageError
from decaf.features.feature_set import FeatureSet
from decaf.images.decode import DEFAULT_LIMITS, Pixels, decode, read_file
from decaf.images.prepare import cut_box


class Pictures:
    """Pixels of rows, by the paths that were stored: as they were seen then, else from here."""

    def __init__(self, features: FeatureSet) -> None:
        self._features = features
        self._folder = str(features.meta["source"]["folder"])

    def load(self, row: int) -> Pixels:
        """The picture of a row, (h, w, 3) uint8; of a region, what lies in its box. Raises ImageError."""
        one = self._features[[row]]
        pixels = decode(self._read(str(one.paths[0])))
        box = one.boxes[0]
        if np.isnan(box).any():
            return pixels
        return cut_box(pixels, tuple(map(float, box)), self.context)  # type: ignore[arg-type]

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
    listing = _listing(archive)
    path = f"{archive}/{name}"
    for row in range(len(listing)):
        if listing.path(row) == path:
            return bytes(listing.read(row, DEFAULT_LIMITS)[0])
    raise ImageError("the archive does not hold it")


@cache
def _listing(archive: str) -> Any:
    from decaf.images.find import find_images

    try:
        return find_images(archive)
    except DecafError as error:
        raise ImageError(str(error)) from None
