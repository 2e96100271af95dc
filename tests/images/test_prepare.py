"""The network's input square is what Pillow's two passes over the whole picture make of it, bit for bit."""

from __future__ import annotations

import math
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from decaf.errors import ImageError
from decaf.images.decode import Pixels, decode, read_file
from decaf.images.prepare import load, prepare, resized_shape
from decaf.nets.preprocess import Preprocess

_KERNELS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_RESIZES = ("warp", "short-side")
_PAIRS = ((256, 224), (224, 224), (256, 227), (300, 299), (64, 56), (33, 8), (17, 16), (8, 5), (1, 1))  # size, crop
_MOST = 2**26  # pixels of any picture made on the way
_PIXELS = 3_000_000  # what one generated example may cost
_EVERY_RULE = [(resize, kernel) for resize in _RESIZES for kernel in _KERNELS]


def rule(size: int, crop: int, resize: str = "short-side", interpolation: str = "bicubic") -> Preprocess:
    return Preprocess(
        size, crop, (0, 0, 0), (1, 1, 1), resize=resize, interpolation=interpolation  # type: ignore[arg-type]
    )  # fmt: skip


@cache
def noise(height: int, width: int, seed: int = 0) -> Pixels:
    """Pixels in which no row and no column resembles another; whoever writes to them fails."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels.setflags(write=False)
    return pixels


def target_shape(height: int, width: int, wanted: Preprocess) -> tuple[int, int]:
    """As torchvision.transforms.functional._compute_resized_output_size puts it."""
    if wanted.resize == "warp":
        return wanted.size, wanted.size
    short, long = sorted((height, width))
    new_long = int(wanted.size * long / short)
    return (wanted.size, new_long) if height <= width else (new_long, wanted.size)


def centre(image: Image.Image, crop: int) -> Pixels:
    left, top = (image.width - crop) // 2, (image.height - crop) // 2
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


def two_passes(pixels: Pixels, wanted: Preprocess) -> Pixels:
    height, width = target_shape(*pixels.shape[:2], wanted)
    kernel = _KERNELS[wanted.interpolation]
    rows = Image.fromarray(pixels).resize((width, pixels.shape[0]), kernel)
    return centre(rows.resize((width, height), kernel), wanted.crop)


def one_call(pixels: Pixels, wanted: Preprocess) -> Pixels:
    height, width = target_shape(*pixels.shape[:2], wanted)
    return centre(Image.fromarray(pixels).resize((width, height), _KERNELS[wanted.interpolation]), wanted.crop)


@st.composite
def cases(draw: st.DrawFn, landscape: bool = False) -> tuple[int, int, Preprocess]:
    """Height, width and a rule whose resized picture is small enough to be made whole."""
    height, width = draw(st.integers(1, 700)), draw(st.integers(1, 700))
    if landscape:
        height, width = sorted((height, width))
    resize, kernel = draw(st.sampled_from(_EVERY_RULE))
    ratio = max(height, width) / min(height, width)
    affordable = [pair for pair in _PAIRS if resize == "warp" or pair[0] ** 2 * ratio <= _PIXELS]
    return height, width, rule(*draw(st.sampled_from(affordable)), resize, kernel)


@settings(max_examples=300, deadline=None, database=None)
@given(cases(), st.integers(0, 3))
@example((700, 3, rule(256, 224)), 0)
@example((3, 700, rule(256, 224)), 0)
@example((500, 375, rule(256, 224)), 0)
@example((700, 100, rule(224, 224, "warp", "bilinear")), 0)
def test_square_is_that_of_rows_then_columns_then_crop(case: tuple[int, int, Preprocess], seed: int) -> None:
    height, width, wanted = case
    pixels = noise(height, width, seed)
    got = prepare(pixels, wanted)
    assert got.shape == (wanted.crop, wanted.crop, 3)
    assert got.dtype == np.uint8
    assert np.array_equal(got, two_passes(pixels, wanted))


@settings(max_examples=200, deadline=None, database=None)
@given(cases(landscape=True))
def test_landscape_is_that_of_one_resize_call(case: tuple[int, int, Preprocess]) -> None:
    height, width, wanted = case
    assert np.array_equal(prepare(noise(height, width), wanted), one_call(noise(height, width), wanted))


# Under short-side, Pillow 13 resizes columns first where a picture shrinks that is taller than twice its width.
@settings(max_examples=100, deadline=None, database=None)
@given(st.integers(16, 400), st.floats(1, 1.9), st.sampled_from(_PAIRS[:5]), st.sampled_from(sorted(_KERNELS)))
def test_moderate_portrait_is_that_of_one_resize_call(
    width: int, ratio: float, pair: tuple[int, int], kernel: str
) -> None:
    pixels, wanted = noise(int(width * ratio), width), rule(*pair, interpolation=kernel)
    assert np.array_equal(prepare(pixels, wanted), one_call(pixels, wanted))


@pytest.fixture(scope="module")
def photographs(real_data: Path) -> list[Pixels]:
    paths = sorted((real_data / "imagenet_sample").iterdir())
    assert len(paths) == 100
    return [decode(read_file(str(path))[0]) for path in paths]


@pytest.mark.parametrize("pair", [(256, 224), (224, 224)])
@pytest.mark.parametrize(("resize", "kernel"), _EVERY_RULE)
def test_photographs_are_those_of_rows_then_columns_then_crop(
    photographs: list[Pixels], resize: str, kernel: str, pair: tuple[int, int]
) -> None:
    wanted = rule(*pair, resize, kernel)
    assert all(np.array_equal(prepare(pixels, wanted), two_passes(pixels, wanted)) for pixels in photographs)


@pytest.mark.parametrize("resize", _RESIZES)
def test_photographs_are_those_of_one_resize_call(photographs: list[Pixels], resize: str) -> None:
    tallest = 1.0 if resize == "warp" else 1.9  # height over width, up to where every Pillow resizes rows first
    wanted = rule(256, 224, resize)
    suitable = [pixels for pixels in photographs if pixels.shape[0] <= tallest * pixels.shape[1]]
    assert len(suitable) > 70
    assert all(np.array_equal(prepare(pixels, wanted), one_call(pixels, wanted)) for pixels in suitable)


def weights(old: int, new: int, kernel: str) -> np.ndarray[Any, Any]:
    """(new, old) fixed-point weights as in Pillow's Resample.c: 22 bits, halves rounded away from zero."""
    scale = old / new
    wide = max(scale, 1.0)
    support = wide * {"bicubic": 2.0, "bilinear": 1.0}[kernel]
    matrix = np.zeros((new, old), np.int64)
    for row in range(new):
        middle = (row + 0.5) * scale
        first, last = max(int(middle - support + 0.5), 0), min(int(middle + support + 0.5), old)
        values = [_kernel(abs((index - middle + 0.5) / wide), kernel) for index in range(first, last)]
        matrix[row, first:last] = [
            int(math.copysign(0.5, value) + value / math.fsum(values) * 2**22) for value in values
        ]  # fmt: skip
    return matrix


def _kernel(x: float, kernel: str) -> float:
    if kernel == "bilinear":
        return max(1 - x, 0)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def reference(pixels: Pixels, wanted: Preprocess) -> Pixels:
    """The whole preparation in whole numbers, without Pillow."""
    height, width = target_shape(*pixels.shape[:2], wanted)
    rows = weights(pixels.shape[1], width, wanted.interpolation) @ pixels.astype(np.int64)
    rows = np.clip((rows + 2**21) >> 22, 0, 255)
    columns = np.einsum("yh,hxc->yxc", weights(pixels.shape[0], height, wanted.interpolation), rows)
    whole = np.clip((columns + 2**21) >> 22, 0, 255).astype(np.uint8)
    top, left = (height - wanted.crop) // 2, (width - wanted.crop) // 2
    return whole[top : top + wanted.crop, left : left + wanted.crop]


@pytest.mark.parametrize("shape", [(90, 120), (120, 90), (130, 33), (20, 31), (64, 64)])
@pytest.mark.parametrize(("resize", "kernel"), _EVERY_RULE)
def test_square_is_that_of_the_formula(shape: tuple[int, int], resize: str, kernel: str) -> None:
    wanted = rule(64, 56, resize, kernel)
    assert np.array_equal(prepare(noise(*shape), wanted), reference(noise(*shape), wanted))


@pytest.mark.parametrize("crop", [224, 1])
def test_picture_of_the_wanted_size_is_only_cropped(crop: int) -> None:
    pixels, start = noise(224, 301), (224 - crop) // 2
    left = (301 - crop) // 2
    assert np.array_equal(
        prepare(pixels, rule(224, crop)), pixels[start : start + crop, left : left + crop]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "resize", "expected"),
    [
        ((375, 500), "short-side", (256, 341)),
        ((500, 375), "short-side", (341, 256)),
        ((256, 256), "short-side", (256, 256)),
        ((1, 7), "short-side", (256, 1792)),
        ((300, 301), "short-side", (256, 256)),
        ((375, 500), "warp", (256, 256)),
        ((1, 7), "warp", (256, 256)),
    ],
)
def test_resized_shape_of_known_pictures(shape: tuple[int, int], resize: str, expected: tuple[int, int]) -> None:
    assert resized_shape(*shape, rule(256, 224, resize)) == expected


@settings(max_examples=300, deadline=None, database=None)
@given(st.integers(1, 70_000), st.integers(1, 70_000), st.integers(1, 4096), st.sampled_from(_RESIZES))
def test_resized_shape_is_torchvisions(height: int, width: int, size: int, resize: str) -> None:
    assert resized_shape(height, width, rule(size, 1, resize)) == target_shape(height, width, rule(size, 1, resize))


@pytest.mark.parametrize(("resize", "kernel"), _EVERY_RULE)
@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (224, 224), (256, 256), (2, 3)])
def test_input_is_left_alone_and_not_shared(shape: tuple[int, int], resize: str, kernel: str) -> None:
    pixels = noise(*shape).copy()
    before = pixels.copy()
    for wanted in (rule(256, 224, resize, kernel), rule(224, 224, resize, kernel)):
        got = prepare(pixels, wanted)
        assert not np.shares_memory(got, pixels)
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::-1], np.s_[::2, ::3], np.s_[:, :, ::-1]])
def test_view_is_as_good_as_its_copy(view: Any) -> None:
    seen = noise(300, 400)[view]
    assert not seen.flags.c_contiguous
    assert np.array_equal(prepare(seen, rule(64, 56)), prepare(np.ascontiguousarray(seen), rule(64, 56)))


@pytest.fixture
def no_large_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails instead of filling the memory when Pillow is asked for more than `_MOST` pixels."""
    resize, new = Image.Image.resize, Image.new

    def checked_resize(image: Image.Image, size: tuple[int, int], *rest: Any) -> Image.Image:
        assert math.prod(size) <= _MOST, f"resize of {image.size} to {size}"
        return resize(image, size, *rest)

    def checked_new(mode: str, size: tuple[int, int], *rest: Any) -> Image.Image:
        assert math.prod(size) <= _MOST, f"new picture of {size}"
        return new(mode, size, *rest)

    monkeypatch.setattr(Image.Image, "resize", checked_resize)
    monkeypatch.setattr(Image, "new", checked_new)


# The longest side of a JPEG is 65,500 px; a PNG may be longer.
@pytest.mark.usefixtures("no_large_pictures")
@pytest.mark.parametrize("shape", [(1, 300_000), (2, 300_000), (300_000, 1), (262_144, 1), (65_500, 1), (20_000, 1)])
def test_extreme_shapes_are_refused_quickly(shape: tuple[int, int]) -> None:
    pixels = np.zeros((*shape, 3), np.uint8)
    started = time.perf_counter()
    with pytest.raises(ImageError, match=f"{shape[1]} x {shape[0]} pixels.*elongated"):
        prepare(pixels, rule(256, 224))
    assert time.perf_counter() - started < 1


@pytest.mark.usefixtures("no_large_pictures")
@pytest.mark.parametrize("shape", [(1, 1), (1, 1000), (700, 1), (1, 20_000), (500, 20_000), (20_000, 500)])
def test_elongated_shapes_that_fit_are_prepared(shape: tuple[int, int]) -> None:
    assert prepare(noise(*shape), rule(256, 224)).shape == (224, 224, 3)


def test_warp_takes_wide_strips() -> None:
    """What is made on the way has 256 columns and two rows, so there is nothing to refuse."""
    wanted = rule(256, 224, "warp")
    assert np.array_equal(prepare(noise(2, 300_000), wanted), two_passes(noise(2, 300_000), wanted))


@pytest.mark.usefixtures("no_large_pictures")
def test_remedy_is_another_than_what_was_asked_for() -> None:
    with pytest.raises(ImageError) as caught:
        prepare(np.zeros((300_000, 2, 3), np.uint8), rule(256, 224, "warp"))
    assert "use --resize warp" not in str(caught.value)


def test_load_reads_decodes_and_prepares(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    Image.fromarray(noise(90, 120)).save(path)
    assert np.array_equal(load(str(path), rule(64, 56)), prepare(noise(90, 120), rule(64, 56)))


def test_load_gives_the_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match="empty file"):
        load(str(tmp_path / "empty.jpg"), rule(64, 56))
    with pytest.raises(ImageError, match="No such file"):
        load(str(tmp_path / "missing.jpg"), rule(64, 56))
