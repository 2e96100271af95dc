"""Every format is read by its content, whole or not at all; of several frames the first."""

from __future__ import annotations

import base64
import importlib.util
import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from decaf.errors import ImageError
from decaf.images.decode import FORMATS, Limits, decode
from decaf.images.find import SUFFIXES

needs_avif = pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow reads no AVIF")
needs_heif = pytest.mark.skipif(importlib.util.find_spec("pi_heif") is None, reason="pi-heif is not installed")


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
    assert set(SUFFIXES) - {".avif", ".heic", ".heif"} <= known


# HEIF. Nothing that encodes it is needed: here are three files of 8 rows and 16 columns, made with pillow-heif 1.8.


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


HEIF = {
    # 80 % quality, 4:4:4, orientation 7 in EXIF and, as the encoder writes it, in boxes of its own
    "turned": unpacked(
        "eNpjYGCQSSupLMhIzaxgAILczDRDEDs3MzGNgYHxcm5qSSIDBChmpOQUQdkMBZnJJQxowCQzJz8ZxHBxYGBiYASxGL9DaCCoAIoBAVM+"
        "XEQFiC0yM/PSwDyQrCiQkwpWBlSTUZZsyIAkyAhS4lqRCVbOV5BZkssAVckolFlQVABkf8gsSM4H0uVAvc6MLBxA5jwLkCK5Dwx//v/4"
        "wcDAz5wA1CHuwMjD+P8/SAEzWAUzUMkuJodEoJyWEyMjqsQEFgGFTXdDL8fcYTGREACKMU4ASQg0JAGVc7gwHiyWMJAACjEIJ+fnFOUl"
        "51QAxXkZ2BqAQiKZxQWpUP86QLFGck4iyLUCENczgJwJdM3/C6BQANInoKEhUJBZkQnSyMzBAVLDmVmUX8IMZuRmgmNCKrMgFxY9jAyM"
        "7I1MzKwtbe1gmaLUNKgMX3JKcTI4RkC2LclNSQRFXYkG43qWT3IzGi68nb2KIbK5M/y4oJmnw/7fu/O/+Z+bdb5akK2iZLe8/Y8/6s11"
        "jrO40zkv6lw2kujdGBRXN9Hn/deaO83e2Sb/1qzzFkgsvvS+pExsSS1Phnnchs7Ne7qr3B/8O/dy7dl0hxg5a5GSPbXlLjyyCisOAO1l"
        "g0Shry+DFtjvjIxCoFAGuo0d4lwA60CSTg=="
    ),
    # 12 bits of grey without loss: row r has the value 9000 r of 65535
    "grey": unpacked(
        "eNpjYGCQSCupLMhIzaxgAILczDRDCJuxPDe1JJEBAhQzUnKKoGyGgszkEgY0oJSZk58MYrg4MDACIRAwTofQQFADxMqZmXlpYB5IVBTI"
        "SWWC8jLKkg1BTL6CzJJcuJLvmQVFBUD6emZBcj6QLgIqc2Zk4QAyZ/4AKfr/geEPEDAw8DMnAHWIOzDyMP7/D1LADFbBDFSyi8khESin"
        "7sTIiCpxoIlF0Ct61a7s2UwgASMQwSSQBFTL5sJ4sLBbCGiBcHJ+TlFeck4FUJSXga0BKCSSWVyQCvWVAxRrJOckghwqAHU4yIVAh/y/"
        "AKSZgPQJEA3xXkUm2Hc8QEIisyAXFrzAEGNtZGJmbQGyW3JTEkHBW6HBuI47xY6hUUGn2sRY/v/f9sJHbrf+16eeEyhnzbbL9I0UZJH3"
        "jomclf3N9TT75bRZfycWPZvVEctg/58n/n9Q/D8J+R/B/5fn/9GyPyj/w/n/8vo/WvUH9X+4AFkfvP8J2h/Ue3NaLm+C46yG4kIR7kdJ"
        "bZyKCxJ9jxoDAOLWhVc="
    ),
    # the colour (200, 100, 50), multiplied by an alpha of 128
    "transparent": unpacked(
        "eNpjYGCQSSupLMhIzaxgAILczDRDEDs3MzGNgYGpOje1JJEBAhQzUnKKoGyGgszkEgY0YJKZk58MYrg4MDAxMIJYTPMhNBCYAcVAIlfh"
        "InJAbJGZmZcG5oFkRYGcVLAyoJqMsmRDBhRBJoQgX0FmSS4DVCXjmsyCogIg3ZJZkJwPFCsHKnNmZOEAMudZgK36wPDn/48fDAz8zAlA"
        "HeIOjDyM//+DFDCDVTADlexickgEymk5MTKiSkxgEVDYdDf0cswdFhMJAaAY4wSQhEBDElA5hwvjwWIJAwmgEINwcn5OUV5yTgVQnJeB"
        "rQEoJJJZXJAK9a8DFGsk5yQCXcsgAHE9A8iZQNf8vwDyIpA+AQ0NgYLMikyQRmYODpCaQoSv5v+A+eoPDl+BVCD5Sg3uK5jEgSYWsehV"
        "u7JnM4H4RiCCSQDkIzaQjw52QgIZ4gBGkJ3qiaUVziBeaVGeVW5BarpVRmpZspWRgaGpFVAqM8UKHDMKmQW5sCQDTAWsjUzMrC0MTKxt"
        "zOwdLSDfZxalpkHl+YD6csBphRFsXVFqLpgN8n1MbkoiKIkZaTCuZ/kk1m5SmHLp/l+v////+e/e9P3XBM+tTtb2DkFHEtT2l75ekHLk"
        "rPDKnAsa2iuWxy0D6pLSYFzH+aTIY0m6p4RWwYtT6S8qljq8ajB1OL0EALAAoZU="
    ),
}


def quadrants() -> NDArray[np.uint8]:
    """What was encoded as `turned`."""
    pixels = np.empty((8, 16, 3), np.uint8)
    pixels[:4, :8], pixels[:4, 8:] = (255, 40, 10), (20, 200, 60)
    pixels[4:, :8], pixels[4:, 8:] = (30, 60, 250), (240, 220, 0)
    return pixels


def assert_close(got: NDArray[np.uint8], expected: NDArray[Any], most: int = 6) -> None:
    assert got.shape == expected.shape and got.dtype == np.uint8
    assert np.abs(got.astype(int) - expected).max() <= most


@needs_heif
def test_heif_is_turned_once_though_two_places_say_so() -> None:
    assert b"Exif\0\0MM" in HEIF["turned"]
    upright = np.asarray(Image.fromarray(quadrants()).transpose(Image.Transpose.TRANSVERSE))  # what 7 means
    assert_close(decode(HEIF["turned"]), upright)


@needs_heif
@pytest.mark.parametrize("quarters", range(4))
def test_every_turn_of_heif(quarters: int) -> None:
    """The box `irot` counts quarter turns to the left; this file's `imir` then puts the bottom row first."""
    place = HEIF["turned"].index(b"irot") + 4
    data = HEIF["turned"][:place] + bytes([quarters]) + HEIF["turned"][place + 1 :]
    assert_close(decode(data), np.rot90(quadrants(), quarters)[::-1])


@needs_heif
def test_deep_grey_heif_keeps_its_upper_bits() -> None:
    rows = np.arange(8) * 9000 >> 8
    np.testing.assert_array_equal(decode(HEIF["grey"]), np.broadcast_to(rows[:, None, None], (8, 16, 3)))


@needs_heif
def test_transparency_of_heif_is_dropped_not_blended() -> None:
    assert_close(decode(HEIF["transparent"]), np.full((8, 16, 3), (200, 100, 50)), most=2)


@needs_heif
@pytest.mark.parametrize("name", HEIF)
def test_heif_cut_short_is_refused(name: str) -> None:
    for length in range(1, len(HEIF[name]) - 1, 7):
        with pytest.raises(ImageError):
            decode(HEIF[name][:length])


def with_sides(data: bytes, width: int, height: int) -> bytes:
    place = data.index(b"ispe") + 8
    return data[:place] + struct.pack(">II", width, height) + data[place + 8 :]


@needs_heif
def test_heif_may_have_as_many_pixels_as_allowed_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    import pi_heif  # type: ignore

    assert decode(HEIF["grey"], Limits(pixels=128)).shape == (8, 16, 3)
    monkeypatch.setattr(pi_heif.HeifImage, "load", lambda _: pytest.fail("started to decode"))
    with pytest.raises(ImageError, match=r"16 x 8 pixels, 1 megapixels: more than the 0\.000127"):
        decode(HEIF["grey"], Limits(pixels=127))
    with pytest.raises(ImageError, match=r"30000 x 30000 pixels, 900 megapixels: .*--max-megapixels"):
        decode(with_sides(HEIF["grey"], 30_000, 30_000))
    with pytest.raises(ImageError, match=r"50000 x 50000 pixels, 2500 megapixels"):
        decode(with_sides(HEIF["grey"], 50_000, 50_000))


@needs_heif
@pytest.mark.parametrize("box", [b"\0\0\0\x14ispe", b"\0\0\0\x01ispe\0\0\0\0\0\0\0\x1c", b"\0\0\x30\x14ispe"])
def test_a_large_heif_of_which_little_is_shown_is_refused(box: bytes) -> None:
    """A box `clap` crops to 16 x 8 what was decoded before."""
    data = HEIF["grey"]
    assert b"clap" in data
    place = data.index(b"ispe") - 4
    with pytest.raises(ImageError, match=r"9600 x 9600 pixels, 93 megapixels"):
        decode(data[:place] + box + bytes(4) + struct.pack(">II", 9600, 9600) + data[place + 20 :])
    assert decode(data, Limits(pixels=16 * 8)).shape == (8, 16, 3)


@needs_heif
@pytest.mark.parametrize(("width", "height"), [(1, 1), (15, 8), (160, 80)])
def test_heif_of_other_sides_than_its_header_says_is_refused(width: int, height: int) -> None:
    with pytest.raises(ImageError):
        decode(with_sides(HEIF["grey"], width, height))


@needs_heif
@settings(max_examples=150, deadline=None, database=None)
@given(st.sampled_from(sorted(HEIF)), st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4))))
def test_mutated_heif_is_refused_or_gives_pixels(name: str, edits: list[tuple[float, bytes]]) -> None:
    data = HEIF[name]
    for share, text in edits:
        place = int(share * len(data))
        data = data[:place] + text + data[place + len(text) :]
    try:
        assert decode(data).ndim == 3
    except ImageError as error:
        assert 0 < len(str(error)) < 200 and "\n" not in str(error)


BRANDS = [b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"]


@pytest.mark.parametrize("brand", BRANDS)
def test_heif_without_its_package_is_refused_with_the_remedy(brand: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(ImageError, match=r'pip install "decaf-vision\[heif\]"'):
        decode(HEIF["turned"][:8] + brand + HEIF["turned"][12:])
    with pytest.raises(ImageError, match=r'pip install "decaf-vision\[heif\]"'):
        decode(b"\0\0\0\x10ftyp" + brand + bytes(4))


@needs_avif
@pytest.mark.parametrize("brand", [b"avif", b"mif1"])
def test_avif_needs_no_package(brand: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    data = encoded(picture(), "AVIF")
    assert data[4:12] == b"ftypavif" and b"mif1" in data[:40]
    np.testing.assert_array_equal(decode(data[:8] + brand + data[12:]), decode(data))


@pytest.mark.parametrize("brand", [b"isom", b"mp42", b"qt  ", b"crx "])
def test_films_are_not_taken_for_heif(brand: bytes) -> None:
    with pytest.raises(ImageError, match=r"not a picture in a format that is read \(.*, HEIF\)"):
        decode(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"hvc1" + bytes(100) + b"heic")


def test_nothing_is_imported_for_heif_before_there_is_one() -> None:
    program = "import sys, decaf.images.decode as m; m.decode(sys.stdin.buffer.read()); print('pi_heif' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], input=LOSSLESS["bmp"], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


@needs_heif
@pytest.mark.parametrize("wrong", [b"\xff\xff\xff\xff", b"Exi\x80"])
def test_heif_items_without_a_readable_type_are_refused_not_fatal(wrong: bytes) -> None:
    place = HEIF["turned"].index(b"Exif")  # the type of an item, in its box `infe`
    data = HEIF["turned"][:place] + wrong + HEIF["turned"][place + 4 :]
    with pytest.raises(ImageError, match="no readable type"):
        decode(data)
