"""From pixels to the network's input square, exactly as its authors made it."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from decaf.errors import ImageError
from decaf.images.decode import Pixels, decode, read_file
from decaf.nets.preprocess import Preprocess

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_REACH = {"bicubic": 2.0, "bilinear": 1.0}  # radius of the filter, output pixels
_LARGEST_RESIZED = 2**26  # pixels


def prepare(pixels: Pixels, preprocess: Preprocess) -> Pixels:
    """Resize and crop a picture.

    Equals `Image.resize` of the whole picture (Pillow's antialiased filter on uint8) followed by a centre crop, bit
    for bit, as long as Pillow resizes rows before columns. Pillow 13 turns the order round for many portrait pictures;
    here it is always rows first, as in every Pillow the networks' authors had. Rows and columns that cannot reach the
    crop are left out.

    Args:
        pixels: (h, w, 3) uint8, RGB.
        preprocess: the rule, the sides and the filter.

    Returns:
        (crop, crop, 3) uint8, RGB.

    Raises:
        ImageError: the picture is so elongated that its resized form would not fit in memory.
    """
    height, width = pixels.shape[:2]
    new_height, new_width = resized_shape(height, width, preprocess)
    crop, kernel = preprocess.crop, _FILTERS[preprocess.interpolation]
    if max(height * new_width, new_height * crop) > _LARGEST_RESIZED:
        raise ImageError(f"{width} x {height} pixels is too elongated to resize")
    top, left = (new_height - crop) // 2, (new_width - crop) // 2
    first, last = _rows_reached(height, new_height, top, preprocess)
    rows = Image.fromarray(pixels[first:last]).resize((new_width, last - first), kernel)
    canvas = Image.new("RGB", (crop, height))
    canvas.paste(rows.crop((left, 0, left + crop, last - first)), (0, first))
    return np.asarray(canvas.resize((crop, new_height), kernel))[top : top + crop]


def resized_shape(height: int, width: int, preprocess: Preprocess) -> tuple[int, int]:
    """Height and width after resizing; the long side is rounded down, as torchvision does."""
    size = preprocess.size
    if preprocess.resize == "warp":
        return size, size
    short = min(height, width)
    return size * height // short, size * width // short


def _rows_reached(height: int, new_height: int, top: int, preprocess: Preprocess) -> tuple[int, int]:
    """First and last+1 of the rows that the crop depends on, with a row to spare."""
    scale = height / new_height
    reach = _REACH[preprocess.interpolation] * max(scale, 1.0) + 1
    first = math.floor((top + 0.5) * scale - reach)
    last = math.ceil((top + preprocess.crop - 0.5) * scale + reach)
    return max(first, 0), min(last, height)


def load(path: str, preprocess: Preprocess, *, fast_decode: bool = False) -> Pixels:
    """Read, decode and prepare one picture file.

    `fast_decode` decodes a large JPEG at a reduced scale, never below the resized picture. Raises ImageError.
    """
    data = read_file(path)
    if not fast_decode:
        return prepare(decode(data), preprocess)
    return prepare(decode(data, lambda height, width: resized_shape(height, width, preprocess)), preprocess)
