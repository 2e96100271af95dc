"""From a file's bytes to upright RGB pixels, whole or not at all."""

from __future__ import annotations

import io
import re
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, features

from decaf.errors import ImageError

# A picture that is read, or refused with a reason, is nothing to warn of as well.
warnings.filterwarnings("ignore", module=r"PIL\.")

Pixels = NDArray[np.uint8]
ShapeRule = Callable[[int, int], tuple[int, int]]

LARGEST_FILE = 256 * 2**20  # bytes
LARGEST_PICTURE = 89_478_485  # pixels; where Pillow starts to warn of decompression bombs
# The only decoders that are ever opened. AVIF came to Pillow late.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", *(("AVIF",) if features.check("avif") else ()))
_ORIENTATION = 0x0112
_HARMLESS_BYTES = 64
_LEAST_REDUCTION = 2  # smaller ones take longer than decoding everything
_PNG = b"\x89PNG\r\n\x1a\n"


def read_file(path: str) -> bytes:
    """Read a picture file. Raises ImageError when it is no regular file, too large, or unreadable."""
    try:
        status = Path(path).stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST_FILE:
            return Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror or error})") from None
    except ValueError:  # a name with a zero byte, or with characters the file system cannot write
        raise ImageError("cannot be read (no file can have this name)") from None
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not a regular file")
    raise ImageError(f"{status.st_size} bytes: more than the {LARGEST_FILE} that are read")


def decode(data: bytes, at_least: ShapeRule | None = None) -> Pixels:
    """Decode a picture at full size; of several frames, the first. The format is told by the content.

    JPEG goes through libjpeg-turbo (simplejpeg), which gives Pillow's pixels bit for bit and complains of damage that
    Pillow lets pass. Grey becomes three equal channels, transparency is dropped, 16-bit values keep
    their upper 8 bits, and the EXIF orientation is applied. Colour profiles are left as they are.

    Args:
        data: the whole file.
        at_least: (height, width) of the picture -> the least height and width wanted. A JPEG at least twice as large
            is then decoded at a reduced scale, from fewer coefficients of its cosine transform: faster, not exact.

    Returns:
        (h, w, 3) uint8, RGB, upright.

    Raises:
        ImageError: the reason in a few words.
    """
    if not data:
        raise ImageError("empty file")
    try:
        pixels = _decode_jpeg(data, at_least) if data[:3] == b"\xff\xd8\xff" else None
        return _decode_with_pillow(data) if pixels is None else _upright(pixels, _jpeg_orientation(data))
    except ImageError:
        raise
    except Exception as error:  # decoders raise many kinds of exceptions for broken bytes
        raise ImageError(_reason(error)) from None


def _decode_jpeg(data: bytes, at_least: ShapeRule | None) -> Pixels | None:
    """None where Pillow should decode: colour spaces of print, and a few stray bytes, which harm no pixel."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height)
        if colours not in ("YCbCr", "RGB", "Gray"):
            simplejpeg.decode_jpeg(data, "CMYK")  # Pillow would let damage pass
            return None
        least_height, least_width = at_least(height, width) if at_least else (0, 0)
        pixels: Pixels = simplejpeg.decode_jpeg(
            data,
            "RGB",
            min_height=least_height,
            min_width=least_width,
            min_factor=_LEAST_REDUCTION if at_least else 1,
        )
        return pixels
    except ImageError:
        raise
    except ValueError as error:
        stray = re.search(r"(\d+) extraneous bytes before marker", str(error))
        if stray and int(stray[1]) <= _HARMLESS_BYTES:
            return None
        raise


def _jpeg_orientation(data: bytes) -> int:
    if b"Exif\0\0" not in data:
        return 1
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        return _orientation(image)


def _orientation(image: Image.Image) -> int:
    for xmp in ("xmp", "XML:com.adobe.xmp"):  # where Pillow would look next; for JPEG files nobody does
        image.info.pop(xmp, None)
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return 1
    return value if isinstance(value, int) else 1


def _decode_with_pillow(data: bytes) -> Pixels:
    if data[:8] == _PNG:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            _check_size(*image.size)
            image.verify()  # the checksum of every chunk, which decoding does not look at
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(*image.size)
        image.load()  # first: Pillow turns TIFF upright by itself, and says so only then
        orientation = _orientation(image)
        if image.mode in ("I", "F"):
            raise ImageError("32-bit grey values have no agreed range: convert it to 8 or 16 bits")
        if image.mode.startswith("I;16"):
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return _upright(np.stack([grey] * 3, axis=-1), orientation)
        image.info.pop("transparency", None)  # dropped anyway; Pillow would warn of some kinds
        return _upright(np.asarray(image.convert("RGB")), orientation)


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST_PICTURE:
        raise ImageError(f"{width} x {height} pixels: more than the {LARGEST_PICTURE} that are decoded")


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the eight EXIF orientations: bit 0 of (value - 1) mirrors, 3..4 turn by 180 degrees, 5..8 transpose."""
    if not 2 <= orientation <= 8:
        return pixels
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _reason(error: Any) -> str:
    text = str(error).split("\n")[0]
    if "cannot identify image file" in text:
        return f"not a picture in a format that is read ({', '.join(FORMATS)})"
    return text or type(error).__name__
