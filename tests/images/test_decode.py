"""A picture file gives Pillow's pixels, upright and whole, or an ImageError of a few words; nothing else."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps, PngImagePlugin
from tests.conftest import ordinary_user

from decaf.errors import ImageError
from decaf.images.decode import Limits, Origin, Pixels, decode, origin_of, read_file

_ORIENTATION = 0x0112
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def scene(height: int = 40, width: int = 60, seed: int = 0) -> Pixels:
    """Smooth gradients with a patch of noise: no two orientations look alike."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 4, y * 6, x * 3 + y * 2 + seed], axis=-1).astype(np.uint8)
    patch = pixels[: height // 2, : width // 3]
    patch[:] = np.random.default_rng(seed).integers(0, 256, patch.shape)
    return pixels


def encoded(picture: Pixels | Image.Image, file_format: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[_ORIENTATION] = orientation
    return block.tobytes()


def by_pillow(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def upright_by_pillow(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def without_pillow(data: bytes) -> Pixels:
    """What `decode` makes of it when Pillow is out of reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "open", None)
        return decode(data)


def outcome(data: bytes) -> Pixels | None:
    """The pixels, or None where there is an ImageError; anything else fails."""
    try:
        pixels = decode(data)
    except ImageError as error:
        reason = str(error)
        assert 0 < len(reason) <= 120
        assert "\n" not in reason
        assert "object at" not in reason
        return None
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.size > 0
    return pixels


# JPEG

_JPEG_OPTIONS = st.fixed_dictionaries(
    {
        "quality": st.integers(1, 100),
        "subsampling": st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
        "progressive": st.booleans(),
        "optimize": st.booleans(),
    }
)


@settings(max_examples=300, deadline=None, database=None)
@given(st.integers(1, 64), st.integers(1, 64), st.integers(0, 9), st.sampled_from(["RGB", "L"]), _JPEG_OPTIONS)
def test_jpeg_pixels_are_pillows(height: int, width: int, seed: int, mode: str, options: dict[str, Any]) -> None:
    data = encoded(Image.fromarray(scene(height, width, seed)).convert(mode), "JPEG", **options)
    got = without_pillow(data)
    assert got.shape == (height, width, 3)
    assert got.dtype == np.uint8
    assert np.array_equal(got, by_pillow(data))


@pytest.mark.parametrize("options", [{"keep_rgb": True}, {"restart_marker_blocks": 2}, {"comment": b"Exif\0\0?"}])
def test_unusual_jpeg_pixels_are_pillows(options: dict[str, Any]) -> None:
    data = encoded(scene(), "JPEG", **options)
    assert np.array_equal(decode(data), by_pillow(data))


def test_photographs_are_pillows(real_data: Path) -> None:
    paths = sorted((real_data / "imagenet_sample").iterdir())
    assert len(paths) == 100
    for path in paths:
        assert np.array_equal(decode(read_file(str(path))[0]), upright_by_pillow(path.read_bytes())), path.name


def test_plain_photographs_do_not_need_pillow(real_data: Path) -> None:
    plain = [data for path in (real_data / "imagenet_sample").iterdir() if b"Exif" not in (data := path.read_bytes())]
    assert len(plain) > 90
    assert all(without_pillow(data).shape[2] == 3 for data in plain[:10])


def cmyk(transform: int = 0) -> bytes:
    """A JPEG of four channels; its Adobe marker says CMYK (0) or YCCK (2)."""
    ink = np.dstack([scene(), scene(seed=1)[..., :1]])
    data = encoded(Image.frombytes("CMYK", (60, 40), ink.tobytes()), "JPEG")
    marker = data.index(b"Adobe")
    return data[: marker + 11] + bytes([transform]) + data[marker + 12 :]


@pytest.mark.parametrize("transform", [0, 2], ids=["CMYK", "YCCK"])
def test_four_channel_jpeg_pixels_are_pillows(transform: int) -> None:
    data = cmyk(transform)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "CMYK"
    assert np.array_equal(decode(data), by_pillow(data))


# PNG


def png(pixels: Pixels | np.ndarray[Any, Any], colour: int, interlaced: bool = False) -> bytes:
    """A PNG written by hand, for what Pillow cannot write; `colour` is the format's colour type."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, pixels.itemsize * 8, colour, 0, 0, interlaced)
    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    passes = [pixels[top::down, left::right] for top, left, down, right in starts] if interlaced else [pixels]
    big_endian = pixels.dtype.newbyteorder(">")
    rows = [b"\0" + row.astype(big_endian).tobytes() for part in passes if part.size for row in part]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, body)
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    )


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@settings(max_examples=100, deadline=None, database=None)
@given(st.integers(1, 64), st.integers(1, 64), st.integers(0, 9), st.integers(0, 9))
def test_png_keeps_every_pixel(height: int, width: int, seed: int, level: int) -> None:
    pixels = scene(height, width, seed)
    assert np.array_equal(decode(encoded(pixels, "PNG", compress_level=level)), pixels)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (9, 5), (40, 60)])
def test_interlaced_png_keeps_every_pixel(shape: tuple[int, int]) -> None:
    assert np.array_equal(decode(png(scene(*shape), 2, interlaced=True)), scene(*shape))


def test_grey_png_becomes_three_equal_channels() -> None:
    grey = scene()[..., 0]
    assert np.array_equal(decode(encoded(grey, "PNG")), np.dstack([grey] * 3))


def test_transparency_is_dropped_not_blended() -> None:
    alpha = np.arange(40 * 60).reshape(40, 60).astype(np.uint8)
    assert np.array_equal(decode(encoded(np.dstack([scene(), alpha]), "PNG")), scene())
    grey = scene()[..., 0]
    grey_and_alpha = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    assert np.array_equal(decode(encoded(grey_and_alpha, "PNG")), np.dstack([grey] * 3))


@pytest.mark.parametrize("colours", [2, 4, 16, 256])
@pytest.mark.parametrize("transparency", [None, 1, bytes(range(200, 256))], ids=["opaque", "one colour", "graded"])
def test_palette_png_has_the_colours_of_its_palette(colours: int, transparency: int | bytes | None) -> None:
    image = Image.fromarray(scene()).quantize(colours)
    expected = np.array(image.getpalette(), np.uint8).reshape(-1, 3)[np.asarray(image)]
    options = {} if transparency is None else {"transparency": transparency}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pixels here, silence below
        assert np.array_equal(decode(encoded(image, "PNG", **options)), expected)


def test_transparent_colour_of_an_opaque_png_stays() -> None:
    assert np.array_equal(decode(encoded(scene(), "PNG", transparency=tuple(map(int, scene()[0, 0])))), scene())
    grey = scene()[..., 0]
    assert np.array_equal(decode(encoded(grey, "PNG", transparency=int(grey[0, 0]))), np.dstack([grey] * 3))


def test_one_bit_png_is_black_and_white() -> None:
    bits = scene()[..., 0] > 99
    assert 0 < bits.mean() < 1
    expected = np.where(bits, 255, 0).astype(np.uint8)
    assert np.array_equal(decode(encoded(Image.fromarray(bits), "PNG")), np.dstack([expected] * 3))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_grey_levels_spread_over_the_whole_range(bits: int) -> None:
    levels = np.arange(2**bits)
    packed = np.packbits(levels[:, None] >> np.arange(bits)[::-1] & 1)
    data = png(packed[None].astype(np.uint8), 0)
    header = struct.pack(">IIBBBBB", len(levels), 1, bits, 0, 0, 0, 0)
    data = data[:8] + chunk(b"IHDR", header) + data[33:]
    assert decode(data)[0, :, 0].tolist() == [level * 255 // (2**bits - 1) for level in levels]


def test_16_bit_values_keep_their_upper_8_bits() -> None:
    every = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    upper = (every >> 8).astype(np.uint8)
    assert np.array_equal(decode(encoded(every, "PNG")), np.dstack([upper] * 3))
    assert np.array_equal(decode(png(every, 0)), np.dstack([upper] * 3))
    assert np.array_equal(decode(png(np.dstack([every, every.T]), 4)), np.dstack([upper] * 3))
    assert np.array_equal(
        decode(png(np.dstack([every, every.T, 65535 - every]), 2)), np.dstack([upper, upper.T, 255 - upper])
    )
    four = np.dstack([every, every.T, 65535 - every, every])
    assert np.array_equal(decode(png(four, 6)), np.dstack([upper, upper.T, 255 - upper]))


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("file_format", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "L"), ("PNG", "P")],
)
def test_orientation_is_that_of_exif_transpose(file_format: str, mode: str, orientation: int) -> None:
    data = encoded(Image.fromarray(scene()).convert(mode), file_format, exif=exif(orientation))
    got = decode(data)
    assert got.shape == ((40, 60, 3) if orientation < 5 else (60, 40, 3))
    assert np.array_equal(got, upright_by_pillow(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_png_is_turned_like_one_of_8_bits(orientation: int) -> None:
    grey = scene()[..., 0]
    deep, shallow = (encoded(pixels, "PNG", exif=exif(orientation)) for pixels in (grey.astype(np.uint16) * 257, grey))
    assert np.array_equal(decode(deep), decode(shallow))


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_orientations_are_eight_different_ones(file_format: str) -> None:
    turned = [decode(encoded(scene(), file_format, exif=exif(orientation))) for orientation in range(1, 9)]
    assert len({(pixels.shape, pixels.tobytes()) for pixels in turned}) == 8
    assert all(pixels.flags.c_contiguous for pixels in turned)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_unknown_orientation_turns_nothing(file_format: str, orientation: int) -> None:
    assert np.array_equal(
        decode(encoded(scene(), file_format, exif=exif(orientation))), decode(encoded(scene(), file_format))
    )  # fmt: skip


@settings(max_examples=150, deadline=None, database=None)
@given(st.binary(max_size=60), st.booleans())
def test_broken_exif_costs_no_pixels(garbage: bytes, headed: bool) -> None:
    block = b"Exif\0\0" + (b"MM\0\x2a\0\0\0\x08" if headed else b"") + garbage
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = decode(encoded(scene(), "JPEG", exif=block))
    assert sorted(got.shape) == [3, 40, 60]
    assert np.array_equal(np.sort(got, axis=None), np.sort(decode(encoded(scene(), "JPEG")), axis=None))


def _with_xmp(kind: str) -> bytes:
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", _XMP)
        return encoded(scene(), "PNG", pnginfo=text)
    return encoded(Image.fromarray(scene()).convert(kind), "JPEG", xmp=_XMP.encode())


def test_orientation_in_xmp_counts_everywhere_or_nowhere() -> None:
    assert len({decode(_with_xmp(kind)).shape for kind in ("RGB", "L", "CMYK", "PNG")}) == 1


# Broken files

_WHOLE = {
    "jpeg": encoded(scene(), "JPEG"),
    "jpeg 4:4:4": encoded(scene(), "JPEG", subsampling="4:4:4", quality=95),
    "jpeg progressive": encoded(scene(), "JPEG", progressive=True),
    "jpeg grey": encoded(scene()[..., 0], "JPEG"),
    "jpeg with exif": encoded(scene(), "JPEG", exif=exif(6)),
    "jpeg cmyk": cmyk(),
    "png": encoded(scene(), "PNG"),
    "png grey": encoded(scene()[..., 0], "PNG"),
    "png palette": encoded(Image.fromarray(scene()).quantize(16), "PNG"),
    "png alpha": encoded(np.dstack([scene(), scene()[..., 0]]), "PNG"),
    "png 16 bit": encoded(scene()[..., 0].astype(np.uint16) * 257, "PNG"),
    "png interlaced": png(scene(), 2, interlaced=True),
}
_JPEGS = sorted(name for name in _WHOLE if "jpeg" in name)
_PNGS = sorted(name for name in _WHOLE if "png" in name)


@pytest.mark.parametrize("name", sorted(_WHOLE))
def test_file_cut_at_any_tenth_is_refused(name: str) -> None:
    whole = _WHOLE[name]
    assert outcome(whole) is not None
    for tenth in range(10):
        with pytest.raises(ImageError):
            decode(whole[: len(whole) * tenth // 10])


@pytest.mark.parametrize("name", sorted(_WHOLE))
def test_file_cut_anywhere_never_gives_other_pixels(name: str) -> None:
    whole = _WHOLE[name]
    expected = decode(whole)
    outcomes = [outcome(whole[:length]) for length in range(1, len(whole), max(1, len(whole) // 400))]
    outcomes += [outcome(whole[:-missing]) for missing in range(1, 33)]
    assert all(pixels is None or np.array_equal(pixels, expected) for pixels in outcomes)
    assert sum(pixels is None for pixels in outcomes) > 200


def test_photograph_cut_at_any_tenth_is_refused(real_data: Path) -> None:
    for path in sorted((real_data / "imagenet_sample").iterdir())[:8]:
        whole = path.read_bytes()
        for tenth in range(10):
            with pytest.raises(ImageError):
                decode(whole[: len(whole) * tenth // 10])


def upright_by_pillow_or_none(data: bytes) -> Pixels | None:
    try:
        return upright_by_pillow(data)
    except (OSError, SyntaxError):
        return None


@pytest.mark.parametrize("name", _JPEGS)
def test_corrupted_jpeg_is_refused_or_what_pillow_makes_of_it(name: str) -> None:
    """Not every damage shows: a changed byte can be as good a code as the one before."""
    random = np.random.default_rng(0)
    whole = _WHOLE[name]
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        start = int(random.integers(len(data) // 3, len(data) - 8))
        data[start : start + 3] = random.bytes(3)
        pixels, expected = outcome(bytes(data)), upright_by_pillow_or_none(bytes(data))
        assert pixels is None or np.array_equal(pixels, expected)
        refused += pixels is None
    assert refused > 5


@pytest.mark.parametrize("name", _JPEGS)
@pytest.mark.parametrize("share", [0.5, 0.7, 0.9])
def test_jpeg_that_ends_early_is_refused_though_it_ends_properly(name: str, share: float) -> None:
    data = _WHOLE[name]
    with pytest.raises(ImageError):
        decode(data[: int(share * len(data))] + b"\xff\xd9")


@pytest.mark.parametrize("name", _JPEGS)
def test_jpeg_with_a_hole_is_refused(name: str) -> None:
    data = bytearray(_WHOLE[name])
    first, last = len(data) // 2, 3 * len(data) // 4
    data[first:last] = bytes(last - first)
    with pytest.raises(ImageError):
        decode(bytes(data))


def test_a_few_stray_bytes_between_segments_harm_nothing() -> None:
    data = _WHOLE["jpeg"]
    place = data.index(b"\xff\xdb")
    np.testing.assert_array_equal(decode(data[:place] + b"\0\0\0" + data[place:]), decode(data))


@pytest.mark.parametrize("name", _PNGS)
def test_png_with_a_flipped_bit_is_refused(name: str) -> None:
    """Every chunk carries a checksum, so no damage needs to pass for pixels."""
    whole = _WHOLE[name]
    body = whole.index(b"IDAT") + 4
    for place in range(body, len(whole) - 16, max(1, len(whole) // 60)):
        data = bytearray(whole)
        data[place] ^= 4
        with pytest.raises(ImageError):
            decode(bytes(data))


@pytest.mark.parametrize("name", sorted(_WHOLE))
def test_what_follows_the_end_of_a_picture_does_not_matter(name: str) -> None:
    assert np.array_equal(decode(_WHOLE[name] + b"trailing bytes" * 10), decode(_WHOLE[name]))


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("1.jpg", _WHOLE["jpeg"])
    return buffer.getvalue()


_FOREIGN = {
    "empty": b"",
    "one byte": b"\xff",
    "text": b"a list of pictures\n",
    "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "zip": _zip(),
    "ppm": encoded(scene(), "PPM"),
    "ico": encoded(scene(), "ICO"),
    "jpeg 2000": encoded(scene(), "JPEG2000"),
    "webp": b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\0\0\0\0\0\0\0\0",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>',
    "start of a jpeg": b"\xff\xd8\xff",
    "start of a png": b"\x89PNG\r\n\x1a\n",
    "jpeg without pixels": b"\xff\xd8\xff\xd9",
    "zeros": bytes(5000),
}


@pytest.mark.parametrize("name", sorted(_FOREIGN))
def test_other_files_are_refused_in_a_few_words(name: str) -> None:
    assert outcome(_FOREIGN[name]) is None


@pytest.mark.parametrize("name", ["text", "html", "zip", "ppm", "ico", "jpeg 2000", "svg"])
def test_reason_names_the_formats_that_are_read(name: str) -> None:
    with pytest.raises(ImageError, match=r"JPEG, PNG"):
        decode(_FOREIGN[name])


def resized_header(data: bytes, width: int, height: int) -> bytes:
    """The same file, but its header claims other sides."""
    if data[:4] == b"\x89PNG":
        return data[:8] + chunk(b"IHDR", struct.pack(">II", width, height) + data[24:29]) + data[33:]
    place = 2
    while data[place + 1] not in (0xC0, 0xC2):
        place += 2 + struct.unpack(">H", data[place + 2 : place + 4])[0]
    return data[: place + 5] + struct.pack(">HH", height, width) + data[place + 9 :]


# Far too large, between Pillow's warning and Pillow's error, and hardly too large
_TOO_LARGE = [
    *((name, side) for name in _JPEGS for side in (65_500, 12_000, 9_460)),
    *((name, side) for name in _PNGS for side in (50_000, 12_000, 9_460)),
]


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails as soon as pixels are about to be allocated."""

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("started to decode")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", refuse)
    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(("name", "side"), _TOO_LARGE)
def test_header_that_claims_too_much_is_refused_before_decoding(name: str, side: int) -> None:
    data = resized_header(_WHOLE[name], side, side)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # or Pillow's would stop it
        assert outcome(data) is None
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("name", sorted(_WHOLE))
def test_picture_may_have_as_many_pixels_as_allowed_and_no_more(name: str) -> None:
    assert Limits().pixels == Image.MAX_IMAGE_PIXELS
    assert np.array_equal(decode(_WHOLE[name], Limits(pixels=40 * 60)), decode(_WHOLE[name]))
    with pytest.raises(ImageError, match=r"60 x 40 pixels, 1 megapixels: more than the 0.002399.*--max-megapixels"):
        decode(_WHOLE[name], Limits(pixels=40 * 60 - 1))


# Nobody acts on Pillow's warnings; they only litter the terminal.
_NOISY = {
    "palette with graded transparency": encoded(Image.fromarray(scene()).quantize(16), "PNG", transparency=bytes(16)),
    "broken exif": encoded(scene(), "JPEG", exif=exif(6)[:20]),
    "large jpeg": resized_header(_WHOLE["jpeg"], 12_000, 12_000),
    "large png": resized_header(_WHOLE["png"], 12_000, 12_000),
}


@pytest.mark.parametrize("name", sorted(_NOISY))
def test_decoding_prints_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "1").write_bytes(_NOISY[name])
    program = (
        "import sys\n"
        "from decaf.images.decode import decode, read_file\n"
        "try: print(decode(read_file(sys.argv[1])[0]).shape)\n"
        "except ValueError as error: print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "1"], capture_output=True, text=True, check=True)
    assert done.stdout == ("ImageError\n" if "large" in name else "(40, 60, 3)\n")
    assert done.stderr == ""


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"\x89PNG\r\n\x1a\n", b"GIF89a"]),
    st.binary(),
)
def test_random_bytes_are_refused(start: bytes, rest: bytes) -> None:
    assert outcome(start + rest) is None


def edited(data: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    edited = bytearray(data)
    for place, how, text in edits:
        at = int(place * len(edited))
        edited[at : at if how == "insert" else at + len(text)] = b"" if how == "remove" else text
    return bytes(edited)


_EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["insert", "remove", "replace"]), st.binary(min_size=1, max_size=6)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=600, deadline=None, database=None)
@given(st.sampled_from(sorted(_WHOLE)), _EDITS)
def test_mutated_pictures_are_refused_or_give_pixels(name: str, edits: list[tuple[float, str, bytes]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome(edited(_WHOLE[name], edits))


@pytest.mark.parametrize("name", _JPEGS)
def test_some_mutations_give_pixels_and_some_do_not(name: str) -> None:
    """The test above would say little if every edit were refused, or none."""
    random = np.random.default_rng(0)
    edits = [[(random.random(), "replace", random.bytes(1))] for _ in range(150)]
    assert {outcome(edited(_WHOLE[name], edit)) is None for edit in edits} == {True, False}


# Reading


def read_reason(path: str | Path) -> str:
    """The message of the ImageError, known to be a few words."""
    with pytest.raises(ImageError) as caught:
        read_file(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 80
    return str(caught.value)


def test_file_is_read_whole(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "1.jpg").write_bytes(data)
    (tmp_path / "link.jpg").symlink_to("1.jpg")
    for name in ("1.jpg", "link.jpg"):
        assert read_file(str(tmp_path / name))[0] == data


def test_origin_says_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(b"abc")
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    expected = Origin(3, path.stat().st_mtime_ns, digest)
    assert read_file(str(path)) == (b"abc", expected)
    assert origin_of(b"abc", expected.mtime) == expected
    assert expected.mtime // 1000 == 1_700_000_000_123_456  # a file system may keep less than nanoseconds


def test_empty_file_is_read_and_then_refused(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    assert read_file(str(tmp_path / "1.jpg"))[0] == b""
    with pytest.raises(ImageError, match=r"^empty file$"):
        decode(b"")


def _broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _missing(path: Path) -> None:
    assert not path.exists()


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "reason"),
    [(_missing, "No such file"), (_broken_link, "No such file"), (_loop, "symbolic links"), (_folder, "regular file")],
)
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    make(tmp_path / "1.jpg")
    assert reason in read_reason(tmp_path / "1.jpg")


def test_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    assert "Not a directory" in read_reason(tmp_path / "1.jpg" / "2.jpg")
    assert "too long" in read_reason(tmp_path / ("long" * 100))


# A list of another encoding than the system's yields such paths.
@pytest.mark.parametrize("name", ["a\0b.jpg", "\ud800.jpg"])
def test_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    read_reason(tmp_path / name)


@pytest.mark.parametrize("kind", ["pipe", "device", "link to device"])
def test_endless_files_are_refused_without_waiting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "1.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link to device":
        path.symlink_to("/dev/zero")
    else:
        path = Path("/dev/zero")
    program = (
        "import resource, sys\n"
        "from decaf.images.decode import read_file\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "try: read_file(sys.argv[1])\n"
        "except ValueError as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "ImageError not a regular file\n"


def test_closed_file_is_refused() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        for name, mode in (("open.jpg", 0o644), ("closed.jpg", 0o000)):
            (folder / name).write_bytes(b"data")
            (folder / name).chmod(mode)
        with ordinary_user():
            assert read_file(str(folder / "open.jpg"))[0] == b"data"
            assert "Permission denied" in read_reason(folder / "closed.jpg")
    finally:
        shutil.rmtree(folder)


def test_file_may_be_as_large_as_allowed_and_no_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(bytes(2**20 + 1))
    assert len(read_file(str(path), Limits(file=2**20 + 1))[0]) == 2**20 + 1
    monkeypatch.setattr("builtins.open", None)  # its size alone is enough to refuse it
    with pytest.raises(ImageError, match=r"^2 MB: more than the 1 that are read; see --max-megabytes$"):
        read_file(str(path), Limits(file=2**20))


def written_meanwhile(path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[], object]) -> None:
    """Calls `write` when `path` has been opened and measured, before it is read."""
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        monkeypatch.setattr(os, "fstat", real)
        write()
        return status

    monkeypatch.setattr(os, "fstat", fstat)


@pytest.mark.parametrize("content", [b"longer than before", b"short", b"12345678", b""])
def test_file_that_is_written_to_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(b"as large")
    os.utime(path, ns=(1, 1))
    written_meanwhile(path, monkeypatch, lambda: path.write_bytes(content))
    assert read_reason(path) == "was written to while it was read: run again with --update"
    assert read_file(str(path))[0] == content


def test_length_tells_what_the_time_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(b"as large")
    os.utime(path, ns=(1, 1))
    written_meanwhile(path, monkeypatch, lambda: (path.write_bytes(b"longer than before"), os.utime(path, ns=(1, 1))))
    assert read_reason(path) == "was written to while it was read: run again with --update"


def test_no_more_is_read_than_allowed_though_the_file_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(b"1")
    written_meanwhile(path, monkeypatch, lambda: os.truncate(path, 10**12))  # a hole: takes no room
    tracemalloc.start()
    read_reason(path)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_a_file_that_is_replaced_meanwhile_is_read_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(b"before")
    mtime = path.stat().st_mtime_ns
    (tmp_path / "2.jpg").write_bytes(b"something else")
    written_meanwhile(path, monkeypatch, lambda: os.replace(tmp_path / "2.jpg", path))
    assert read_file(str(path)) == (b"before", origin_of(b"before", mtime))


def test_every_descriptor_is_closed(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").touch()
    before = len(os.listdir("/dev/fd"))
    for path in (tmp_path / "1.jpg", tmp_path, tmp_path / "2.jpg"):
        with suppress(ImageError):
            read_file(str(path))
    assert len(os.listdir("/dev/fd")) == before
