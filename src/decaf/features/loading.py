"""From row numbers to what the network sees of them: each picture is read and decoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from decaf.errors import ImageError, NotTried
from decaf.features.pipeline import Sample
from decaf.features.rows import Row, Rows
from decaf.images.decode import Limits, Origin, Pixels, decode
from decaf.images.prepare import cut_box, prepare, prepare_ten, resized_shape
from decaf.nets.preprocess import Preprocess
from decaf.nets.views import VIEWS

OnBroken = Callable[[str, str], None]
"""Called with a picture's path and what is wrong with it."""


@dataclass(frozen=True)
class Loader:
    """Load rows of a feature set.

    Attributes:
        rows: what each row is.
        preprocess: how pixels become the network's input.
        limits: caps on files and pictures.
        context: how much wider and higher than its box a region is.
        fast_decode: decode large JPEG files at a reduced scale.
        on_broken: may raise, to stop at a broken picture.
    """

    rows: Rows
    preprocess: Preprocess
    limits: Limits
    context: float
    fast_decode: bool
    on_broken: OnBroken

    def __call__(self, numbers: Sequence[int]) -> list[Sample]:
        """A sample for each row."""
        samples: list[Sample] = []
        for picture, group in groupby(map(self.rows.__getitem__, numbers), key=lambda row: row.picture):
            samples.extend(self._samples(picture, list(group)))
        return samples

    def _samples(self, picture: int, rows: Sequence[Row]) -> Iterator[Sample]:
        origin: Origin | None = None
        if rows[0].lacks_box:
            missing = Sample((), "no box is given for this picture", self.rows.listing.origin(picture))
            yield from [missing] * len(rows)
            return
        try:
            data, origin = self.rows.listing.read(picture, self.limits)
            pixels = self.decode(data)
        except ImageError as error:
            if origin is None or isinstance(error, NotTried):  # without a digest: an update will try again
                origin = self.rows.listing.origin(picture)
            yield from [self._broken(picture, error, origin)] * len(rows)
            return
        for _, views in groupby(rows, key=lambda row: row.region):
            yield from self.views_of(pixels, list(views), origin)

    def decode(self, data: bytes) -> Pixels:
        """The pixels of a file. Raises ImageError."""
        if not self.fast_decode:
            return decode(data, self.limits)
        return decode(data, self.limits, lambda height, width: resized_shape(height, width, self.preprocess))

    def views_of(self, pixels: Pixels, rows: Sequence[Row], origin: Origin | None = None) -> Iterator[Sample]:
        """Samples of one region of a picture, a row for each view."""
        try:
            box = rows[0].box
            region = cut_box(pixels, box.corners, self.context) if box else pixels
            if self.rows.views == "center":
                yield Sample((prepare(region, self.preprocess),), None, origin)
                return
            ten = prepare_ten(region, self.preprocess)
        except ImageError as error:
            yield from [self._broken(rows[0].picture, error, origin)] * len(rows)
            return
        for row in rows:
            views = range(len(VIEWS)) if self.rows.views == "ten-mean" else [VIEWS.index(row.view)]
            yield Sample(tuple(ten[view] for view in views), None, origin, tuple(views))

    def _broken(self, picture: int, error: ImageError, origin: Origin | None) -> Sample:
        self.on_broken(self.rows.listing.path(picture), str(error))
        return Sample((), str(error), origin)
