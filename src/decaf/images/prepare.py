"""From pixels to the network's input square, exactly as its authors made it."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from PIL import Image

from decaf.errors import ImageError
from decaf.images.decode import Pixels, decode, read_file
from decaf.nets.preprocess import Preprocess
from decaf.nets.views import crop_views

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_REACH = {"bicubic": 2.0, "bilinear": 1.0}  # radius of the filter, output pixels
_LARGEST_RESIZED = 2**26  # pixels
_SNAP = 6  # decimals of a pixel; what is finer is rounding error


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
    _check_resized(height, width, height * new_width, new_height * crop)
    turned = preprocess.orientation == "upside-down"
    top, left = _centre(new_height, preprocess, turned), _centre(new_width, preprocess)
    first, last = _rows_reached(height, new_height, top, preprocess)
    rows = Image.fromarray(pixels[first:last]).resize((new_width, last - first), kernel)
    canvas = Image.new("RGB", (crop, height))
    canvas.paste(rows.crop((left, 0, left + crop, last - first)), (0, first))
    square = np.asarray(canvas.resize((crop, new_height), kernel))[top : top + crop]
    return np.ascontiguousarray(square[::-1]) if turned else square


def _centre(side: int, preprocess: Preprocess, turned: bool = False) -> int:
    """Where the centre crop begins in the resized picture; offsets are rounded down in the picture as it is cropped."""
    whole = preprocess.size if preprocess.resize == "square" else side
    offset = (whole - preprocess.crop) // 2
    return (side - whole) // 2 + (whole - preprocess.crop - offset if turned else offset)


def prepare_ten(pixels: Pixels, preprocess: Preprocess) -> tuple[Pixels, ...]:
    """Resize a picture once and crop the ten views that DeCAF's scores were averaged over.

    The four corners and the centre of the picture as the network sees it, then the left-right mirror of each, in the
    order of `VIEWS`: those of torchvision's `TenCrop` and of Caffe. The DeCAF release took its corners from a square
    of 256 px, which is `resize="square"`, and turned its last five views upside down where mirrors were meant; they
    are mirrors here. The centre view is that of `prepare`.

    Args:
        pixels: (h, w, 3) uint8, RGB.
        preprocess: the rule, the sides and the filter.

    Returns:
        Ten arrays (crop, crop, 3) uint8, RGB.

    Raises:
        ImageError: as `prepare`.
    """
    height, width = pixels.shape[:2]
    new_height, new_width = resized_shape(height, width, preprocess)
    _check_resized(height, width, height * new_width, new_height * new_width)
    kernel = _FILTERS[preprocess.interpolation]
    rows = Image.fromarray(pixels).resize((new_width, height), kernel)
    whole = np.asarray(rows.resize((new_width, new_height), kernel))
    if preprocess.resize == "square":
        top, left, size = (new_height - preprocess.size) // 2, (new_width - preprocess.size) // 2, preprocess.size
        whole = whole[top : top + size, left : left + size]
    if preprocess.orientation == "upside-down":
        whole = whole[::-1]
    return tuple(np.ascontiguousarray(view) for view in crop_views(whole, preprocess.crop))


def cut_box(pixels: Pixels, box: tuple[float, float, float, float], context: float = 1.0) -> Pixels:
    """Cut a box out of a picture, with some of its surroundings.

    As the DeCAF paper does for birds (section 4.3): the box grows about its centre, and what reaches over the edge of
    the picture is left out. Pixels that it covers in part belong to it.

    Args:
        pixels: (h, w, 3) uint8.
        box: x0, y0, x1, y1: left, top, right and bottom edge in pixels of the upright picture; (0, 0, w, h) is all.
        context: what width and height of the box are multiplied by: finite, above 0.

    Returns:
        (h', w', 3) uint8, a view with at least one pixel.

    Raises:
        ImageError: the box is not finite, has no area, or lies outside the picture.
    """
    x0, y0, x1, y1 = box
    if not all(map(math.isfinite, box)):
        raise ImageError(f"box {_numbers(box)} has a side that is not finite")
    if x1 <= x0 or y1 <= y0:
        raise ImageError(f"box {_numbers(box)} has no area: it needs x0 < x1 and y0 < y1")
    rows, columns = (_grown(*side, context) for side in ((y0, y1, pixels.shape[0]), (x0, x1, pixels.shape[1])))
    if rows is None or columns is None:
        raise ImageError(f"box {_numbers(box)} is outside of the picture ({pixels.shape[1]} x {pixels.shape[0]})")
    return pixels[rows, columns]


def _grown(low: float, high: float, length: int, context: float) -> slice | None:
    """One side of a box, scaled about its middle, in whole pixels 0..length; None outside of them."""
    growth = (high / 2 - low / 2) * (context - 1)
    first, last = low - growth, high + growth
    if min(last, high) <= 0 or max(first, low) >= length:
        return None
    start = min(math.floor(round(max(first, 0), _SNAP)), length - 1)
    return slice(start, max(math.ceil(round(min(last, length), _SNAP)), start + 1))


def _numbers(box: tuple[float, float, float, float]) -> str:
    return " ".join(f"{value:g}" for value in box)


def resized_shape(height: int, width: int, preprocess: Preprocess) -> tuple[int, int]:
    """Height and width after resizing; the long side is rounded down, as torchvision does."""
    size = preprocess.size
    if preprocess.resize == "warp":
        return size, size
    short = min(height, width)
    return size * height // short, size * width // short


def _check_resized(height: int, width: int, *steps: int) -> None:
    if max(steps) > _LARGEST_RESIZED:
        raise ImageError(f"{width} x {height} pixels is too elongated to resize")


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
    data, _ = read_file(path)
    if not fast_decode:
        return prepare(decode(data), preprocess)
    rule = partial(resized_shape, preprocess=preprocess)
    return prepare(decode(data, at_least=rule), preprocess)
