"""Whatever the size and the kind of pixels, a file of any format gives RGB, and nothing too large is begun."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from decaf.errors import ImageError
from decaf.images.decode import FORMATS, Limits, Pixels, decode
from decaf.images.prepare import prepare
from decaf.nets.preprocess import Preprocess

needs_avif = pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow reads no AVIF")

# Which kinds of pixels a format keeps exactly
_KINDS = {
    "PNG": ("1", "L", "LA", "P", "P transparent", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("1", "L", "P", "P transparent"),
    "WEBP": ("L", "RGB", "RGBA"),
}
_CASES = [(file_format, kind) for file_format, kinds in _KINDS.items() for kind in kinds]
_SHAPES = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([(1, 1), (5000, 3), (3, 5000), (1, 4097), (4097, 1)]),
)


def noise(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    high = np.iinfo(dtype).max + 1
    return np.random.default_rng(sum(shape)).integers(0, high, shape, dtype=dtype)


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def grey(values: Pixels) -> Pixels:
    return np.stack([values] * 3, axis=-1)


def scaled(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """a * b / 255, rounded, as fixed-point arithmetic does it."""
    product = a.astype(int) * b + 128
    return (product + (product >> 8)) >> 8


def picture(kind: str, height: int, width: int) -> tuple[Image.Image, Pixels]:
    """A picture with such pixels, and the RGB that they stand for."""
    mode = kind.removesuffix(" transparent")
    if mode in ("P", "PA"):
        return with_palette(mode, height, width)
    if mode in ("1", "I;16"):
        values = noise(height, width, dtype=np.uint16)
        eight = (values >> 8).astype(np.uint8)
        return (
            (Image.fromarray(eight > 127), grey(np.where(eight > 127, 255, 0).astype(np.uint8)))
            if mode == "1"
            else (Image.fromarray(values), grey(eight))
        )
    channels = noise(height, width, len(Image.new(mode, (1, 1)).getbands()))
    return from_bytes(mode, channels), _IN_RGB[mode](channels)


def from_bytes(mode: str, channels: Pixels) -> Image.Image:
    return Image.frombytes(mode, channels.shape[1::-1], channels.tobytes())


def with_palette(mode: str, height: int, width: int) -> tuple[Image.Image, Pixels]:
    palette, index, alpha = noise(256, 3), noise(height, width), noise(height, width)
    image = Image.fromarray(index).convert("P")
    if mode == "PA":
        image = Image.merge("PA", [Image.fromarray(index), Image.fromarray(alpha)])
    image.putpalette(palette.tobytes())
    return image, palette[index]


def from_ink(channels: Pixels) -> Pixels:
    white = 255 - channels[..., 3:]
    return (white - scaled(channels[..., :3], white)).astype(np.uint8)


_IN_RGB: dict[str, Callable[[Pixels], Pixels]] = {
    "L": lambda channels: grey(channels[..., 0]),
    "LA": lambda channels: grey(channels[..., 0]),
    "RGB": lambda channels: channels,
    "RGBA": lambda channels: channels[..., :3],
    "CMYK": from_ink,
    "YCbCr": lambda channels: np.asarray(from_bytes("YCbCr", channels).convert("RGB")),
}


@settings(max_examples=250, deadline=None, database=None)
@given(st.sampled_from(_CASES), _SHAPES)
def test_every_kind_of_pixel_in_every_format_becomes_rgb(case: tuple[str, str], shape: tuple[int, int]) -> None:
    check_kind(*case, shape)


@pytest.mark.parametrize(("file_format", "kind"), _CASES)
def test_each_kind_of_pixel_becomes_rgb(file_format: str, kind: str) -> None:
    check_kind(file_format, kind, (23, 31))


def check_kind(file_format: str, kind: str, shape: tuple[int, int]) -> None:
    image, expected = picture(kind, *shape)
    options = {"WEBP": {"lossless": True, "exact": True}}.get(file_format, {})
    if "transparent" in kind:
        options["transparency"] = 7
    got = decode(encoded(image, file_format, **options))
    assert got.shape == (*shape, 3) and got.dtype == np.uint8
    assert np.array_equal(got, expected)


@settings(max_examples=60, deadline=None, database=None)
@given(st.sampled_from(["L", "RGB", "CMYK", "YCbCr"]), _SHAPES)
def test_jpeg_of_every_kind_is_pillows(mode: str, shape: tuple[int, int]) -> None:
    data = encoded(picture(mode, *shape)[0], "JPEG")
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(decode(data), np.asarray(image.convert("RGB")))


@needs_avif
@settings(max_examples=12, deadline=None, database=None)
@given(st.sampled_from(["L", "RGB", "RGBA"]), st.tuples(st.integers(1, 40), st.integers(1, 40)))
@example("RGB", (1, 1))
@example("RGB", (3, 700))
def test_avif_of_every_kind_is_pillows(mode: str, shape: tuple[int, int]) -> None:
    data = encoded(picture(mode, *shape)[0], "AVIF", speed=10)
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(decode(data), np.asarray(image.convert("RGB")))


@settings(max_examples=60, deadline=None, database=None)
@given(_SHAPES, st.sampled_from([2, 6]))
def test_png_of_sixteen_bits_a_colour_keeps_the_upper_eight(shape: tuple[int, int], colour_type: int) -> None:
    deep = noise(*shape, 3 if colour_type == 2 else 4, dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    assert np.array_equal(decode(png(shape[1], shape[0], 16, colour_type, rows)), deep[..., :3] >> 8)


def test_lab_is_what_pillow_makes_of_it_or_refused() -> None:
    image = Image.frombytes("LAB", (3, 1), bytes([0, 0, 0, 255, 0, 0, 136, 0, 0]))  # black, white and L* = 53.3
    try:
        image.convert("RGB")
    except ValueError:  # older Pillow
        with pytest.raises(ImageError, match="LAB"):
            decode(encoded(image, "TIFF"))
    else:
        got = decode(encoded(image, "TIFF"))[0].astype(int)
        assert np.abs(got - [[0] * 3, [255] * 3, [127] * 3]).max() <= 2


@settings(max_examples=60, deadline=None, database=None)
@given(
    _SHAPES,
    st.sampled_from([(17, 16), (9, 4), (1, 1)]),
    st.sampled_from(["warp", "short-side"]),
    st.sampled_from(["bicubic", "bilinear"]),
)
@example((5000, 3), (64, 56), "short-side", "bicubic")
@example((3, 5000), (64, 56), "short-side", "bicubic")
@example((5000, 3), (256, 224), "warp", "bicubic")
def test_square_of_any_shape_is_that_of_two_passes(
    shape: tuple[int, int], pair: tuple[int, int], resize: Any, kernel: Any
) -> None:
    (size, crop), (height, width), pixels = pair, shape, noise(*shape, 3)
    new = [size * side // min(shape) if resize == "short-side" else size for side in (width, height)]
    resampling = Image.Resampling[kernel.upper()]
    whole = Image.fromarray(pixels).resize((new[0], height), resampling).resize((new[0], new[1]), resampling)
    left, top = (new[0] - crop) // 2, (new[1] - crop) // 2
    rule = Preprocess(size, crop, (0, 0, 0), (1, 1, 1), resize=resize, interpolation=kernel)
    got = prepare(pixels, rule)
    assert got.shape == (crop, crop, 3) and got.dtype == np.uint8
    assert np.array_equal(got, np.asarray(whole.crop((left, top, left + crop, top + crop))))


# Headers that claim too much


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def patched(data: bytes, place: int, text: bytes) -> bytes:
    return data[:place] + text + data[place + len(text) :]


def jpeg_claim(width: int, height: int) -> bytes:
    data = encoded(Image.new("RGB", (60, 40)), "JPEG")
    return patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def bmp_claim(width: int, height: int) -> bytes:
    return patched(encoded(Image.new("RGB", (60, 40)), "BMP"), 18, struct.pack("<ii", width, height))


def gif_claim(width: int, height: int) -> bytes:
    sides = struct.pack("<HH", width, height)
    data = patched(encoded(Image.new("L", (60, 40)), "GIF"), 6, sides)
    return patched(data, data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", 60, 40)) + 5, sides)


def tiff_claim(width: int, height: int) -> bytes:
    data = encoded(Image.new("RGB", (60, 40)), "TIFF")
    for tag, old, new in ((256, 60, width), (257, 40, height)):
        entry = struct.pack("<HHIHH", tag, 3, 1, old, 0), struct.pack("<HHIHH", tag, 4, 1, old, 0)
        place = max(data.find(form) for form in entry)
        assert place > 0
        data = patched(data, place, struct.pack("<HHII", tag, 4, 1, new))
    return data


def webp_claim(width: int, height: int) -> bytes:
    frames = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return patched(data, data.index(b"VP8X") + 12, sides)


def avif_claim(width: int, height: int) -> bytes:
    data = encoded(Image.new("RGB", (60, 40)), "AVIF")
    return patched(data, data.index(b"ispe") + 8, struct.pack(">II", width, height))


_CLAIMS = {
    "jpeg": jpeg_claim,
    "png": lambda width, height: png(width, height, 8, 2, b""),
    "bmp": bmp_claim,
    "gif": gif_claim,
    "tiff": tiff_claim,
    "webp": webp_claim,
    **({"avif": avif_claim} if "AVIF" in FORMATS else {}),
}


@pytest.mark.parametrize("name", _CLAIMS)
@pytest.mark.parametrize("side", [9_460, 13_000, 14_000, 50_000])
def test_too_many_megapixels_are_refused_with_a_remedy(name: str, side: int) -> None:
    """Just above the limit, up to twice the limit, and where Pillow itself refuses."""
    with pytest.raises(ImageError) as caught:
        decode(_CLAIMS[name](side, side))
    if not (name == "avif" and side == 50_000):  # more than its decoder takes for a picture
        assert "megapixels: more than the 89.4785" in str(caught.value) and "--max-megapixels" in str(caught.value)


@pytest.mark.parametrize("name", _CLAIMS)
def test_less_may_be_allowed(name: str) -> None:
    data = _CLAIMS[name](60, 40)
    if name != "png":
        assert decode(data, Limits(pixels=2400)).shape == (40, 60, 3)
    with pytest.raises(ImageError, match=r"60 x 40 pixels, 1 megapixels: more than the 0\.002399"):
        decode(data, Limits(pixels=2399))


@pytest.mark.parametrize("name", _CLAIMS)
def test_more_may_be_allowed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow has a bound of its own, here one so small that a small picture is beyond it."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    whole = {"png": encoded(Image.new("RGB", (60, 40)), "PNG")}.get(name) or _CLAIMS[name](60, 40)
    if name != "jpeg":
        with pytest.raises(ImageError, match="2400"):
            decode(whole)
    assert decode(whole, Limits(pixels=10**8)).shape == (40, 60, 3)
    assert Image.MAX_IMAGE_PIXELS == 10**8


def test_a_bound_that_is_lifted_stays_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    decode(encoded(Image.new("RGB", (60, 40)), "PNG"), Limits(pixels=10**8))
    assert Image.MAX_IMAGE_PIXELS is None


@pytest.mark.skipif(sys.platform != "linux", reason="memory is asked for in /proc")
def test_nothing_is_allocated_for_what_is_refused(tmp_path: Path) -> None:
    """A picture of 50,000 x 50,000 pixels takes 7 GB; 1 GB of address space is left for all of them."""
    for name, claim in _CLAIMS.items():
        (tmp_path / name).write_bytes(claim(50_000, 50_000))
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "from decaf.images.decode import decode\n"
        "Image.init()\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: decode(path.read_bytes())\n"
        "    except ValueError as error: assert type(error).__name__ == 'ImageError', error\n"
        "    else: raise SystemExit(path.name)\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * 1024  # KiB
