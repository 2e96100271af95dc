"""From a file's bytes to upright RGB pixels, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import logging
import math
import os
import re
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, features

from decaf.errors import ImageError, NotTried

# A picture that is read, or refused with a reason, is nothing to warn of as well.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else errors it logs go to stderr where nobody listens

Pixels = NDArray[np.uint8]
ShapeRule = Callable[[int, int], tuple[int, int]]

_AVIF = "avif" in features.modules and features.check("avif")  # it came to Pillow late
# What counts as a picture inside a folder or a tar. Files named one by one, or in a list, are taken whatever they are
# called.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif"),
    *(".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif", ".heic", ".heif"),
)
# The only decoders that are ever opened, with that of HEIF.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", *(("AVIF",) if _AVIF else ()))
_ORIENTATION = 0x0112
_HARMLESS_BYTES = 64
_LEAST_REDUCTION = 2  # smaller ones take longer than decoding everything
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_CODED_SIDES = re.compile(rb"\0\0..ispe", re.DOTALL)
_PNG = b"\x89PNG\r\n\x1a\n"
_OPEN_FLAGS = os.O_RDONLY  # and what the system has of these
for _name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):
    _OPEN_FLAGS |= getattr(os, _name, 0)


@dataclass(frozen=True)
class Limits:
    """What is too large to be read. A picture needs about 10 bytes of memory per pixel while it is decoded.

    Attributes:
        file: bytes of a file.
        pixels: width times height. The default is where Pillow starts to warn of decompression bombs. A larger value
            raises Pillow's own bound, `PIL.Image.MAX_IMAGE_PIXELS`, for the whole process.
    """

    file: int = 256 * 2**20
    pixels: int = 89_478_485


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Origin:
    """What a file was when it was read.

    Attributes:
        size: bytes.
        mtime: time of the last change of its content, nanoseconds since 1970.
        sha256: of the content, hexadecimal.
    """

    size: int
    mtime: int
    sha256: str


def origin_of(data: bytes, mtime: int) -> Origin:
    """The origin of a file with this content and time of last change (ns)."""
    return Origin(len(data), mtime, hashlib.sha256(data).hexdigest())


def read_file(path: str, limits: Limits = DEFAULT_LIMITS) -> tuple[bytes, Origin]:
    """Read a picture file whole, and say what it was.

    The file is opened once and asked through its descriptor, so that name, content and time belong together. Never
    waits for a pipe.

    Raises:
        ImageError: it is no regular file, too large, unreadable, or was written to meanwhile.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
        try:
            return _read_descriptor(descriptor, limits)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror or error})") from None
    except ImageError:
        raise
    except MemoryError:
        raise NotTried("no memory for so large a file; see --max-megabytes") from None
    except ValueError:  # a name with a zero byte, or with characters the file system cannot write
        raise ImageError("cannot be read (no file can have this name)") from None


def _read_descriptor(descriptor: int, limits: Limits) -> tuple[bytes, Origin]:
    before = os.fstat(descriptor)
    _check_file(before, limits)
    with open(descriptor, "rb", closefd=False) as file:
        data = file.read(before.st_size)
    after = os.fstat(descriptor)
    if (len(data), before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ImageError("was written to while it was read: run again with --update")
    return data, origin_of(data, before.st_mtime_ns)


def _check_file(status: os.stat_result, limits: Limits) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not a regular file")
    if status.st_size > limits.file:
        least, most = math.ceil(status.st_size / 2**20), limits.file / 2**20
        raise ImageError(f"{least} MB: more than the {most:g} that are read; see --max-megabytes")


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS, at_least: ShapeRule | None = None) -> Pixels:
    """Decode a picture at full size; of several frames, the first. The format is told by the content.

    JPEG goes through libjpeg-turbo (simplejpeg), which gives Pillow's pixels bit for bit and complains of damage that
    Pillow lets pass. HEIF goes through pi_heif, the extra `heif`; its decoder conceals damage unless the file is cut
    short. Grey becomes three equal channels, transparency is dropped, values of more than 8 bits keep their upper 8,
    and the EXIF orientation is applied; HEIF has its own, which counts instead. Colour profiles are left as they are.

    Args:
        data: the whole file.
        limits: no picture with more pixels is decoded; its header tells.
        at_least: (height, width) of the picture -> the least height and width wanted. A JPEG at least twice as large
            is then decoded at a reduced scale, from fewer coefficients of its cosine transform: faster, not exact.

    Returns:
        (h, w, 3) uint8, RGB, upright.

    Raises:
        ImageError: the reason in a few words.
    """
    if not data:
        raise ImageError("empty file")
    _raise_pillows_bound(limits)
    try:
        if _is_heif(data):
            return _decode_heif(data, limits)
        pixels = _decode_jpeg(data, limits, at_least) if data[:3] == b"\xff\xd8\xff" else None
        return _decode_with_pillow(data, limits) if pixels is None else _upright(pixels, _jpeg_orientation(data))
    except ImageError:
        raise
    except MemoryError:
        raise NotTried("no memory to decode it; see --max-megapixels and --jobs") from None
    except Exception as error:  # decoders raise many kinds of exceptions for broken bytes
        raise ImageError(_reason(error, limits)) from None


def _decode_jpeg(data: bytes, limits: Limits, at_least: ShapeRule | None) -> Pixels | None:
    """None where Pillow should decode: colour spaces of print, and a few stray bytes, which harm no pixel."""
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(width, height, limits)
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


def _decode_with_pillow(data: bytes, limits: Limits) -> Pixels:
    if data[:8] == _PNG:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            _check_size(*image.size, limits)
            image.verify()  # the checksum of every chunk, which decoding does not look at
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(*image.size, limits)
        image.load()  # first: Pillow turns TIFF upright by itself, and says so only then
        return _upright(_rgb(image), _orientation(image))


def _is_heif(data: bytes) -> bool:
    """By the brands of its first box (ISO/IEC 14496-12, 4.3). AVIF has some of them in common, and is Pillow's."""
    end = min(int.from_bytes(data[:4], "big"), len(data), 1024) if data[4:8] == b"ftyp" else 0
    brands = {data[place : place + 4] for place in range(8, end, 4)}
    return bool(brands & _HEIF_BRANDS) and not brands & _AVIF_BRANDS


def _decode_heif(data: bytes, limits: Limits) -> Pixels:
    """Upright: the decoder turns the picture as its own boxes say, and EXIF does not count (ISO/IEC 23008-12)."""
    try:
        import pi_heif  # type: ignore  # untyped where it is installed, not found elsewhere
    except ImportError:
        raise NotTried('a HEIF picture, which needs one more package: pip install "decaf-vision[heif]"') from None
    _check_coded(data, limits)
    _check_items(data)
    pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False
    file = pi_heif.open_heif(data)
    picture = file[file.primary_index]
    width, height = picture.size
    _check_size(width, height, limits)
    return _rgb(picture.to_pillow())


def _check_coded(data: bytes, limits: Limits) -> None:
    """Refuse large pictures of which little is shown: the decoder crops, after all is decoded.

    The coded sides are in boxes `ispe`; codecs add up to 63 pixels to a side. A size field of 1 means that the size
    follows the name, in 8 bytes.
    """
    for box in _CODED_SIDES.finditer(data):
        place = box.end() + (12 if box[0].startswith(b"\0\0\0\1") else 4)
        width, height = (int.from_bytes(data[start : start + 4], "big") for start in (place, place + 4))
        if max(width - 63, 0) * max(height - 63, 0) > limits.pixels:
            _check_size(width, height, limits)


def _check_items(data: bytes) -> None:
    """Refuse items whose type or name is no text: pi_heif 1.4 would take the process down with it.

    An item's box `infe` (ISO/IEC 14496-12, 8.11.6): version, flags, number of the item, protection, type, names.
    """
    meta = _box(data, b"meta")
    for found in re.finditer(rb"infe", meta):
        place = found.start()
        end = place - 4 + int.from_bytes(meta[place - 4 : place], "big")
        version = meta[place + 4 : place + 5]
        texts = meta[place + 8 + (6 if version == b"\3" else 4) : end]
        try:
            texts.decode("utf-8")
        except UnicodeDecodeError:
            raise ImageError("cannot be decoded (a HEIF item has no readable type)") from None


def _box(data: bytes, name: bytes) -> bytes:
    """The first box of this name on the outermost level; nothing where there is none."""
    place = 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        if size == 1:
            size = int.from_bytes(data[place + 8 : place + 16], "big")
        end = place + size if size >= 8 else len(data)
        if data[place + 4 : place + 8] == name:
            return data[place:end]
        place = end
    return b""


def _rgb(image: Image.Image) -> Pixels:
    if image.mode in ("I", "F"):
        raise ImageError("32-bit grey values have no agreed range: convert it to 8 or 16 bits")
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.stack([grey] * 3, axis=-1)
    image.info.pop("transparency", None)  # dropped anyway; Pillow would warn of some kinds
    return np.asarray(image.convert("RGB"))


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise ImageError(f"{width} x {height} pixels, {_too_many(width * height, limits)}")


def _too_many(pixels: int, limits: Limits) -> str:
    most = limits.pixels / 1e6
    return f"{math.ceil(pixels / 1e6)} megapixels: more than the {most:g} that are decoded; see --max-megapixels"


def _raise_pillows_bound(limits: Limits) -> None:
    """Pillow refuses twice its own bound, in places that take no argument."""
    if Image.MAX_IMAGE_PIXELS is not None and limits.pixels > DEFAULT_LIMITS.pixels:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, limits.pixels)


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


def _reason(error: Exception, limits: Limits) -> str:
    text = str(error).split("\n")[0].strip()
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):  # before the sides are known
        pixels = max(map(int, re.findall(r"\d+", text)), default=0)
        return _too_many(pixels, limits) if pixels > limits.pixels else text
    if "cannot identify image file" in text:
        return f"not a picture in a format that is read ({', '.join(FORMATS)}, HEIF)"
    return f"cannot be decoded ({text or type(error).__name__})"
