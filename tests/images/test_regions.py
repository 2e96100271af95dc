"""Ten views are crops of one resized picture, as Pillow would make them; a box is the set of pixels it touches."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from decaf.errors import ImageError
from decaf.images.decode import Pixels
from decaf.images.prepare import cut_box, prepare, prepare_ten
from decaf.nets.preprocess import Preprocess
from decaf.nets.views import VIEWS

_KERNELS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_PAIRS = ((256, 227), (64, 56), (33, 8), (17, 16), (8, 8), (9, 4), (1, 1))  # size, crop

Box = tuple[float, float, float, float]


def rule(size: int, crop: int, resize: str = "short-side", interpolation: str = "bicubic") -> Preprocess:
    return Preprocess(
        size, crop, (0, 0, 0), (1, 1, 1), resize=resize, interpolation=interpolation  # type: ignore[arg-type]
    )  # fmt: skip


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


# Ten views


def ten_by_pillow(pixels: Pixels, wanted: Preprocess) -> dict[str, Pixels]:
    """Every view cropped and mirrored by Pillow from a picture that Pillow resized, rows first."""
    height, width = pixels.shape[:2]
    short, crop = min(height, width), wanted.crop
    shape = [side * wanted.size // short if wanted.resize == "short-side" else wanted.size for side in (width, height)]
    kernel = _KERNELS[wanted.interpolation]
    whole = Image.fromarray(pixels).resize((shape[0], height), kernel).resize((shape[0], shape[1]), kernel)
    right, bottom = whole.width - crop, whole.height - crop
    places = {
        "tl": (0, 0),
        "tr": (right, 0),
        "bl": (0, bottom),
        "br": (right, bottom),
        "center": (int(right / 2), int(bottom / 2)),
    }
    views = {name: whole.crop((left, top, left + crop, top + crop)) for name, (left, top) in places.items()}
    views |= {f"{name}-mirror": ImageOps.mirror(view) for name, view in views.items()}
    return {name: np.asarray(view) for name, view in views.items()}


@settings(max_examples=60, deadline=None, database=None)
@given(
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.sampled_from(_PAIRS[1:]),
    st.sampled_from(["warp", "short-side"]),
    st.sampled_from(sorted(_KERNELS)),
)
@example((375, 500), (256, 227), "warp", "bicubic")
@example((500, 375), (256, 227), "short-side", "bicubic")
@example((3, 5000), (8, 8), "short-side", "bilinear")
@example((5000, 3), (64, 56), "warp", "bilinear")
def test_ten_views_are_those_pillow_crops(
    shape: tuple[int, int], pair: tuple[int, int], resize: str, kernel: str
) -> None:
    if max(shape) * pair[0] > 300_000 * min(shape):
        pair = (8, 8)
    wanted, pixels = rule(*pair, resize, kernel), noise(*shape)
    expected = ten_by_pillow(pixels, wanted)
    views = prepare_ten(pixels, wanted)
    assert len(views) == 10 and list(expected) == list(VIEWS)
    for name, view in zip(VIEWS, views, strict=True):
        assert view.shape == (wanted.crop, wanted.crop, 3) and view.dtype == np.uint8 and view.flags.c_contiguous
        assert np.array_equal(view, expected[name]), name
    assert np.array_equal(views[VIEWS.index("center")], prepare(pixels, wanted))


def test_order_is_the_originals() -> None:
    places = ("tl", "tr", "bl", "br", "center")
    assert (*places, *(f"{place}-mirror" for place in places)) == VIEWS


def test_views_of_a_picture_that_is_not_resized_are_its_corners() -> None:
    """256 to 227 as in DeCAF: corners at 0 and 29, the centre at 14."""
    pixels = noise(256, 256)
    views = dict(zip(VIEWS, prepare_ten(pixels, rule(256, 227)), strict=True))
    for name, top, left in (("tl", 0, 0), ("tr", 0, 29), ("bl", 29, 0), ("br", 29, 29), ("center", 14, 14)):
        crop = pixels[top : top + 227, left : left + 227]
        assert np.array_equal(views[name], crop)
        assert np.array_equal(views[f"{name}-mirror"], np.flip(crop, axis=1))


def test_mirrors_keep_upright_pictures_upright() -> None:
    """The original turned rows round where it meant columns."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = 255  # the sky
    for view in prepare_ten(pixels, rule(64, 60)):
        assert view[0].min() == 255 and view[-1].max() == 0


def test_views_do_not_share_memory_with_the_picture() -> None:
    pixels = noise(64, 80)
    before = pixels.copy()
    assert not any(np.shares_memory(view, pixels) for view in prepare_ten(pixels, rule(64, 56)))
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("shape", [(1, 300_000), (300_000, 1), (65_500, 1)])
def test_too_elongated_pictures_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"{shape[1]} x {shape[0]} pixels is too elongated"):
        prepare_ten(np.zeros((*shape, 3), np.uint8), rule(256, 224))


def test_warp_refuses_what_does_not_fit_halfway() -> None:
    with pytest.raises(ImageError, match="too elongated"):
        prepare_ten(np.zeros((300_000, 2, 3), np.uint8), rule(256, 224, "warp"))


# Boxes


def numbered(height: int, width: int) -> Pixels:
    """Every pixel tells its row and its column."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 256, y % 256, x // 256], axis=-1).astype(np.uint8)


def touched(low: float, high: float, length: int, context: float) -> list[int]:
    """The pixels that the scaled side shares more than an edge with, in exact arithmetic."""
    middle, half = (Fraction(low) + Fraction(high)) / 2, (Fraction(high) - Fraction(low)) / 2 * Fraction(context)
    return [pixel for pixel in range(length) if middle - half < pixel + 1 and pixel < middle + half]


def cut_by_sets(pixels: Pixels, box: Box, context: float) -> Pixels | None:
    height, width = pixels.shape[:2]
    outside = not touched(box[0], box[2], width, 1) or not touched(box[1], box[3], height, 1)
    columns, rows = touched(box[0], box[2], width, context), touched(box[1], box[3], height, context)
    return None if outside or not rows or not columns else pixels[np.ix_(rows, columns)]


def cut_or_none(pixels: Pixels, box: Box, context: float) -> Pixels | None:
    try:
        return cut_box(pixels, box, context)
    except ImageError as error:
        assert "outside" in str(error) and len(str(error)) < 120
        return None


_EDGES = st.integers(-40 * 8, 90 * 8).map(lambda eighths: eighths / 8)
_SIDES = st.tuples(_EDGES, _EDGES).filter(lambda side: side[0] != side[1]).map(sorted)


@settings(max_examples=400, deadline=None, database=None)
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)), _SIDES, _SIDES,
    st.integers(2, 160).map(lambda sixteenths: sixteenths / 16),
)  # fmt: skip
@example((40, 60), [-10.0, 1.0], [0.0, 1.0], 0.125)  # what is left of it lies outside
@example((40, 60), [0.0, 1.0], [-10.0, -1.0], 10.0)  # its surroundings reach inside
def test_box_is_the_set_of_pixels_it_touches(
    shape: tuple[int, int], columns: list[float], rows: list[float], context: float
) -> None:
    box = (columns[0], rows[0], columns[1], rows[1])
    got, expected = cut_or_none(numbered(*shape), box, context), cut_by_sets(numbered(*shape), box, context)
    assert (got is None) == (expected is None)
    if got is not None:
        assert got.dtype == np.uint8 and np.array_equal(got, expected)


@settings(max_examples=400, deadline=None, database=None)
@given(
    st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 4),
    st.floats(1e-300, 1e300),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
@example((0.0, 0.0, 60.0, 40.0), 1e-300, (40, 60))
@example((5.0, 5.0, math.nextafter(5.0, 6), math.nextafter(5.0, 6)), 0.1, (40, 60))
@example((math.nextafter(60.0, 0), 0.0, 60.0, 40.0), 1.0, (40, 60))
@example((-1.7e308, -1.7e308, 1.7e308, 1.7e308), 1.0, (40, 60))
def test_any_numbers_give_at_least_one_pixel_or_an_error(box: Box, context: float, shape: tuple[int, int]) -> None:
    pixels = numbered(*shape)
    try:
        got = cut_box(pixels, box, context)
    except ImageError as error:
        assert len(str(error)) < 120
    else:
        assert got.size > 0 and got.shape[0] <= shape[0] and got.shape[1] <= shape[1]


@pytest.mark.parametrize("context", [1.0, 1.1, 1.3, 1.5, 1.7, 2.0, 3.3])
@pytest.mark.parametrize("side", [10, 20, 30, 100])
def test_rounding_errors_add_no_pixels(context: float, side: int) -> None:
    grown = side * round(10 * context) // 10
    grown += grown % 2  # half a pixel on either side becomes a whole one
    first = (grown - side) // 2 + 1  # one pixel is left beside the box: a place where floats are fine
    assert cut_box(numbered(400, 400), (first, first, first + side, first + side), context).shape == (grown, grown, 3)


def test_a_thousandth_of_a_pixel_counts_and_a_millionth_of_it_does_not() -> None:
    pixels = numbered(40, 60)
    assert np.array_equal(cut_box(pixels, (4.999, 3, 6, 4.001)), pixels[3:5, 4:6])
    assert np.array_equal(cut_box(pixels, (5 - 1e-9, 3, 6, 4 + 1e-9)), pixels[3:4, 5:6])


def test_the_birds_context() -> None:
    """Section 4.3: 1.5 times the width and the height of the box, about its centre."""
    pixels = numbered(100, 200)
    assert np.array_equal(cut_box(pixels, (40, 20, 80, 60), 1.5), pixels[10:70, 30:90])
    assert np.array_equal(cut_box(pixels, (0, 0, 40, 20), 1.5), pixels[:25, :50])


def test_the_whole_picture_is_a_box() -> None:
    pixels = numbered(40, 300)
    assert np.array_equal(cut_box(pixels, (0, 0, 300, 40)), pixels)
    assert np.array_equal(cut_box(pixels, (0, 0, 300, 40), 5.0), pixels)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((math.nan, 0, 1, 1), "not finite"),
        ((0, 0, math.inf, 1), "not finite"),
        ((0, -math.inf, 1, 1), "not finite"),
        ((3, 0, 3, 1), "no area"),
        ((3, 0, 2, 1), "no area"),
        ((0, 3, 1, 3), "no area"),
        ((0, 3, 1, 2), "no area"),
        ((60, 0, 61, 1), r"60 0 61 1 is outside of the picture \(60 x 40\)"),
        ((-1, 0, 0, 1), "outside"),
        ((0, 40, 1, 41), "outside"),
        ((0, -1, 1, 0), "outside"),
    ],
)
def test_boxes_without_pixels_are_refused(box: Box, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        cut_box(numbered(40, 60), box)
    with pytest.raises(ImageError, match=reason):
        cut_box(numbered(40, 60), box, 10.0)


def test_a_cut_is_prepared_like_its_copy() -> None:
    cut = cut_box(noise(300, 400), (50.5, 20, 250, 219.25))
    assert cut.shape == (200, 200, 3) and not cut.flags.c_contiguous
    for make in (prepare, prepare_ten):
        assert np.array_equal(make(cut, rule(64, 56)), make(cut.copy(), rule(64, 56)))
