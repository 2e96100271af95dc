"""Reduced-scale decoding: never below the target, exact where it does not apply, close where it does."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import decaf
from decaf.cli.demo import sample_pictures
from decaf.errors import ImageError, SettingsDiffer
from decaf.images.decode import decode
from decaf.images.prepare import load, prepare, resized_shape
from decaf.nets.net import Net
from decaf.nets.preprocess import Preprocess

RULE = Preprocess(size=64, crop=48, mean=(0, 0, 0), std=(1, 1, 1))


def jpeg(height: int, width: int, orientation: int = 1) -> bytes:
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = np.stack([np.sin(9 * x + 2), np.cos(7 * y), np.sin(5 * x + 6 * y)], axis=-1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray((120 * waves + 128).astype(np.uint8)).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


@given(height=st.integers(8, 700), width=st.integers(8, 700), resize=st.sampled_from(["warp", "short-side"]))
@settings(max_examples=60, deadline=None)
def test_the_decoded_picture_is_never_smaller_than_the_resized_one(height: int, width: int, resize: str) -> None:
    rule = RULE.with_resize(resize)
    least = resized_shape(height, width, rule)
    pixels = decode(jpeg(height, width), at_least=lambda h, w: resized_shape(h, w, rule))
    if (height + 1) // 2 >= least[0] and (width + 1) // 2 >= least[1]:
        assert pixels.shape[0] <= (height + 1) // 2 and pixels.shape[1] <= (width + 1) // 2
        assert pixels.shape[0] >= least[0] and pixels.shape[1] >= least[1]
    else:
        assert pixels.shape == (height, width, 3)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_reduced_picture_looks_like_the_whole_one(orientation: int, tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(jpeg(900, 1300, orientation))
    whole, fast = (load(str(tmp_path / "large.jpg"), RULE, fast_decode=fast) for fast in (False, True))
    difference = np.abs(whole.astype(int) - fast)
    assert whole.shape == fast.shape and 0 < difference.max() < 24 and difference.mean() < 3


def test_small_pictures_and_other_formats_are_exact(tmp_path: Path) -> None:
    (tmp_path / "small.jpg").write_bytes(jpeg(100, 120))
    pixels = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    for name in ("small.jpg", "large.png"):
        path = str(tmp_path / name)
        np.testing.assert_array_equal(load(path, RULE, fast_decode=True), load(path, RULE))
    np.testing.assert_array_equal(load(str(tmp_path / "large.png"), RULE, fast_decode=True), prepare(pixels, RULE))


def test_a_large_picture_cut_short_is_refused() -> None:
    data = jpeg(900, 1300)
    with pytest.raises(ImageError):
        decode(data[: len(data) // 2], at_least=lambda h, w: (64, 64))


def test_it_is_a_setting_that_is_stored_and_not_mixed(lite0: Net, tmp_path: Path) -> None:
    with Image.open(sample_pictures()[0]) as photograph:
        photograph.resize((2560, 1708), Image.Resampling.BICUBIC).save(tmp_path / "large.jpg", quality=90)
    fast = decaf.extract(tmp_path / "large.jpg", lite0, out=tmp_path / "out", fast_decode=True)
    assert fast.meta["settings"]["decoding"] == "reduced"
    with pytest.raises(SettingsDiffer, match="decoding reduced, this run has full"):
        decaf.extract(tmp_path / "large.jpg", lite0, out=tmp_path / "out")
    whole = decaf.extract(tmp_path / "large.jpg", lite0)
    a, b = fast.X()[0].astype(float), whole.X()[0].astype(float)
    assert not np.array_equal(a, b) and a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.98
