"""The mean of a network's training pictures, pixel by pixel: read from a file, kept with a network, cut into views."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decaf.errors import NetError
from decaf.nets.numbers import read_npy
from decaf.nets.readers.pickle_machine import reading
from decaf.nets.views import crop_views

MEAN_IMAGE_FILES = (".npy", ".binaryproto")
LARGEST_MEAN_SIDE = 1024  # pixels
_LARGEST_FILE = 8 * 3 * LARGEST_MEAN_SIDE**2 + 2**16  # bytes: of 64-bit numbers, and a header


@dataclass(frozen=True)
class MeanImage:
    """What is subtracted from each picture before it is cropped.

    Attributes:
        sha256: of the values; two mean images are equal when it is.
        values: (side, side, 3) float32 in units of 0..255: channels in the network's order, rows as the network sees
            them; None where only its sha256 is known, as from a feature folder.
    """

    sha256: str
    values: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)

    @property
    def side(self) -> int | None:
        """Height and width, pixels."""
        return None if self.values is None else len(self.values)

    def views(self, crop: int) -> NDArray[np.float32]:
        """(10, crop, crop, 3): what is subtracted from each view. Raises NetError where the values are not known."""
        if self.values is None:
            raise NetError(
                f"the mean image with sha256 {self.sha256[:12]}... is not here: pass it again, mean=FILE.npy"
            )
        return np.stack(crop_views(self.values, crop))

    def to_text(self) -> str:
        """The values, for the metadata of a network."""
        return "" if self.values is None else base64.b64encode(_bytes(self.values)).decode()


def mean_image(values: NDArray[np.generic]) -> MeanImage:
    """Check values and take a copy.

    Args:
        values: (3, side, side) or (side, side, 3) numbers in units of 0..255.

    Raises:
        NetError: another shape, too large, or not finite.
    """
    if values.ndim == 3 and values.shape[0] == 3:
        values = values.transpose(1, 2, 0)
    if values.ndim != 3 or values.shape[2] != 3 or values.shape[0] != values.shape[1] or values.dtype.kind not in "fiu":
        raise NetError(f"a mean image of shape {values.shape} and {values.dtype}: give numbers, (3, side, side)")
    if not 0 < len(values) <= LARGEST_MEAN_SIDE:
        raise NetError(f"a mean image of {len(values)} px: at most {LARGEST_MEAN_SIDE} can be used")
    with np.errstate(over="ignore"):
        fixed = np.array(values, np.float32, order="C")
    if not np.isfinite(fixed).all():
        raise NetError("the mean image has values that are not finite: the file is damaged")
    return MeanImage(hashlib.sha256(_bytes(fixed)).hexdigest(), fixed)


def read_mean_image(path: Path, channels: str) -> MeanImage:
    """Read a mean image.

    Args:
        path: an `.npy` file, (3, side, side) or (side, side, 3), its channels in the network's order (Caffe's own
            `ilsvrc_2012_mean.npy` is BGR); or Caffe's `.binaryproto`, which is BGR.
        channels: the network's order, `RGB` or `BGR`.

    Raises:
        NetError: it holds no mean image.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise NetError(f"the mean image {path} cannot be read ({error}): name an .npy or .binaryproto file") from None
    if len(data) > _LARGEST_FILE:
        raise NetError(f"the mean image {path} has more than {_LARGEST_FILE:,} bytes: it cannot be one")
    if path.suffix != ".binaryproto":
        with reading(f"mean image {path}", "give an .npy file of numbers, (3, side, side)"):
            return mean_image(read_npy(data))
    from decaf.nets.readers.caffe import read_binaryproto

    values = read_binaryproto(data)
    return mean_image(values[::-1] if channels == "RGB" else values)


def from_text(text: str, expected: MeanImage, side: int) -> MeanImage:
    """The inverse of `to_text`. Raises NetError unless the values are those expected."""
    if len(text) > 4 * (4 * 3 * LARGEST_MEAN_SIDE**2 // 3 + 1):
        raise NetError("its mean image is too large")
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), "<f4").reshape(side, side, 3)
    except (binascii.Error, ValueError):
        raise NetError(f"its mean image does not have {side} x {side} pixels") from None
    image = mean_image(values)
    if image != expected:
        raise NetError("its mean image is damaged (sha256 differs)")
    return image


def _bytes(values: NDArray[np.float32]) -> bytes:
    return values.astype("<f4", copy=False).tobytes()
