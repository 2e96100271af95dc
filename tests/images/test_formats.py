"""Every format is read by its content, whole or not at all; of several frames the first."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from decaf.errors import ImageError
from decaf.images.decode import decode
from decaf.images.find import SUFFIXES

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")


def scene(height: int = 37, width: int = 52) -> NDArray[np.uint8]:
    """Smooth colours with some grain: compressible, yet no two rows alike."""
    y, x = np.mgrid[:height, :width]
    grain = np.random.default_rng(1).integers(0, 24, (height, width, 3))
    return (np.stack([3 * x, 5 * y, 2 * x + y], axis=-1) % 232 + grain).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(scene()).convert(mode)


LOSSLESS = {
    "webp": encoded(picture(), "WEBP", lossless=True),
    "bmp": encoded(picture(), "BMP"),
    "tiff": encoded(picture(), "TIFF"),
    "tiff deflate": encoded(picture(), "TIFF", compression="tiff_adobe_deflate"),
    "tiff lzw": encoded(picture(), "TIFF", compression="tiff_lzw"),
}
OTHERS = {
    "webp lossy": encoded(picture(), "WEBP", quality=80),
    "webp alpha": encoded(picture("RGBA"), "WEBP", lossless=True),
    "gif": encoded(picture("P"), "GIF"),
    "gif grey": encoded(picture("L"), "GIF"),
    "gif transparent": encoded(picture("P"), "GIF", transparency=3),
    "bmp grey": encoded(picture("L"), "BMP"),
    "bmp palette": encoded(picture("P"), "BMP"),
    "bmp 1 bit": encoded(picture("1"), "BMP"),
    "tiff grey": encoded(picture("L"), "TIFF"),
    "tiff cmyk": encoded(picture("CMYK"), "TIFF"),
    "tiff palette": encoded(picture("P"), "TIFF"),
    "tiff alpha": encoded(picture("RGBA"), "TIFF"),
    "tiff 1 bit": encoded(picture("1"), "TIFF", compression="group4"),
    "tiff jpeg": encoded(picture(), "TIFF", compression="jpeg"),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_the_pixels_that_went_in(name: str) -> None:
    np.testing.assert_array_equal(decode(LOSSLESS[name]), scene())


@pytest.mark.parametrize("name", OTHERS)
def test_every_kind_of_pixel_becomes_rgb_as_in_pillow(name: str) -> None:
    with Image.open(io.BytesIO(OTHERS[name])) as image:
        image.info.pop("transparency", None)
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(OTHERS[name]), expected)
    assert len(np.unique(expected)) > 1


@needs_avif
def test_avif() -> None:
    got = decode(encoded(picture(), "AVIF", quality=95)).astype(int)
    assert got.shape == scene().shape and np.abs(got - scene()).mean() < 6


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_read(kind: str) -> None:
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    frames = [Image.new("RGB", (9, 7), colour) for colour in ((200, 10, 10), (10, 200, 10), (10, 10, 200))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    np.testing.assert_array_equal(decode(data), np.full((7, 9, 3), (200, 10, 10)))


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientations(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bit_tiff_keeps_its_upper_bits(order: str) -> None:
    grey = (scene()[..., 0].astype(np.uint16) << 8 | 77).astype(order)
    image = Image.frombytes("I;16" if order == "<u2" else "I;16B", grey.shape[::-1], grey.tobytes())
    np.testing.assert_array_equal(decode(encoded(image, "TIFF")), np.stack([scene()[..., 0]] * 3, axis=-1))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_thirty_two_bit_grey_is_refused_with_a_remedy(mode: str) -> None:
    with pytest.raises(ImageError, match="convert it to 8 or 16 bits"):
        decode(encoded(picture("L").convert(mode), "TIFF"))


@pytest.mark.parametrize("name", [*LOSSLESS, *OTHERS])
def test_a_file_cut_short_is_refused_or_whole(name: str) -> None:
    data = (LOSSLESS | OTHERS)[name]
    whole, refused = decode(data), 0
    for length in range(0, len(data), max(len(data) // 40, 1)):
        try:
            np.testing.assert_array_equal(decode(data[:length]), whole)
        except ImageError as error:
            refused += 1
            assert 0 < len(str(error)) < 200
    assert refused >= 30


def test_suffixes_cover_the_formats() -> None:
    Image.init()
    known = {
        suffix for suffix, kind in Image.EXTENSION.items() if kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
    }
    assert set(SUFFIXES) - {".avif"} <= known
