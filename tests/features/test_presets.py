"""What the network is fed, number for number: every preset and every view against Pillow and NumPy.

The network here gives back its input, so that the features are what was fed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import decaf
from decaf.engines import make_engine
from decaf.errors import NetError
from decaf.features.transformer import DeCAF
from decaf.nets.fill import stored
from decaf.nets.graph import GraphBuilder
from decaf.nets.net import Net, net_of, read_net
from decaf.nets.preprocess import PRESETS, mean_note, parse_preprocess, preset
from decaf.nets.views import VIEWS

Array = NDArray[Any]

CROP = 20
SIZE = 24  # in place of 256: as many rules, fewer numbers
PIXEL = np.array([122.679, 116.669, 104.007])  # RGB
MEAN = np.random.default_rng(5).uniform(80, 150, (3, SIZE, SIZE)).astype(np.float32)  # in the network's channels
SHAPES = [(37, 61), (61, 37), (24, 24), (25, 24), (9, 31)]


def echo() -> Net:
    """A network whose only layer is its input."""
    graph = GraphBuilder("echo", stored({}), (3, CROP, CROP))
    model = graph.finish(graph.node("Identity", "echo", [graph.input]), {})
    return net_of(model.SerializeToString(), "echo", "echo", f"size={CROP},mean=0,std=1")


def pictures(folder: Path) -> list[Array]:
    """Smooth ones, kept without loss."""
    random, made = np.random.default_rng(2), []
    for number, (height, width) in enumerate(SHAPES):
        coarse = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.png")
        made.append(np.asarray(image))
    return made


def resized(pixels: Array, rule: str, kernel: Image.Resampling) -> Array:
    """Rows first, as every Pillow did that the networks' authors had."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    new = (SIZE, SIZE) if rule == "warp" else (SIZE * height // short, SIZE * width // short)
    rows = Image.fromarray(pixels).resize((new[1], height), kernel)
    whole = np.asarray(rows.resize((new[1], new[0]), kernel))
    if rule == "square":
        top, left = int((new[0] - SIZE) / 2), int((new[1] - SIZE) / 2)
        whole = whole[top : top + SIZE, left : left + SIZE]
    return whole


def ten(whole: Array) -> list[Array]:
    """In the order of DeCAF's `oversample` and of Caffe's: corners, centre, and the mirrors of these five."""
    bottom, right = whole.shape[0] - CROP, whole.shape[1] - CROP
    views = [
        whole[y : y + CROP, x : x + CROP]
        for y, x in [(0, 0), (0, right), (bottom, 0), (bottom, right), (int(bottom / 2), int(right / 2))]
    ]
    return views + [view[:, ::-1] for view in views]


def wanted(name: str, pixels: Array, mean: Array | None) -> list[Array]:
    """The ten inputs, (3, crop, crop), worked out from what each system does."""
    kernel = Image.Resampling.BILINEAR if name == "torchvision" else Image.Resampling.BICUBIC
    rule = {"paper": "warp", "caffe": "warp", "decaf-release": "square", "torchvision": "short-side"}[name]
    values = resized(pixels, rule, kernel).astype(np.float64)
    if name == "torchvision":
        values = (values / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    if name == "decaf-release":
        values = values[::-1]
    if name == "caffe":
        values = values[:, :, ::-1]
    if name != "torchvision":
        pixel = PIXEL[::-1] if name == "caffe" else PIXEL
        values = values - (pixel if mean is None else mean.transpose(1, 2, 0))
    return [view.transpose(2, 0, 1) for view in ten(values)]


CASES = [(name, False) for name in PRESETS] + [(name, True) for name in PRESETS if name != "torchvision"]
IDS = [f"{name}{'-mean-image' if image else ''}" for name, image in CASES]


def text_of(name: str, image: bool, folder: Path) -> str:
    np.save(folder / "mean.npy", MEAN)
    return f"{name},size={SIZE}" + (f",mean={folder / 'mean.npy'}" if image else "")


@pytest.mark.parametrize(("name", "image"), CASES, ids=IDS)
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_the_network_is_fed_what_the_preset_says(name: str, image: bool, engine: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    made = pictures(photos)
    options: dict[str, Any] = {"net": echo(), "preprocess": text_of(name, image, tmp_path), "engine": engine}
    one = decaf.extract(photos, **options).X("echo")
    each = decaf.extract(photos, views="ten", **options).X("echo")
    mean = decaf.extract(photos, views="ten-mean", **options).X("echo")
    for number, pixels in enumerate(made):
        views = np.stack([view.ravel() for view in wanted(name, pixels, MEAN if image else None)])
        np.testing.assert_allclose(each[10 * number : 10 * number + 10], views, rtol=0, atol=1e-4)
        np.testing.assert_allclose(one[number], views[VIEWS.index("center")], rtol=0, atol=1e-4)
        np.testing.assert_allclose(mean[number], views.mean(0), rtol=0, atol=1e-4)
        assert np.array_equal(one[number], each[10 * number + VIEWS.index("center")])


def test_the_presets_of_227_px_begin_their_centre_at_14() -> None:
    """int((256 - 227) / 2), whichever way the picture stands."""
    row = np.arange(256, dtype=np.uint8)
    pixels = np.broadcast_to(row[:, None, None], (256, 256, 3))
    from decaf.images.prepare import prepare

    assert prepare(pixels, preset("paper", 227))[:, 0, 0].tolist() == list(range(14, 241))
    assert prepare(pixels, preset("decaf-release", 227))[:, 0, 0].tolist() == list(range(255 - 14, 255 - 241, -1))


def test_a_mean_image_is_subtracted_in_a_scikit_learn_step_too(tmp_path: Path) -> None:
    net = echo().with_preprocess(text_of("caffe", True, tmp_path))
    photos = tmp_path / "photos"
    photos.mkdir()
    made = pictures(photos)
    computed = DeCAF(net, "echo").transform(made)
    for row, pixels in zip(computed, made, strict=True):
        np.testing.assert_allclose(row, wanted("caffe", pixels, MEAN)[4].ravel(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_views_of_one_call_do_not_stay_for_the_next(engine: str, tmp_path: Path) -> None:
    runner = make_engine(echo().with_preprocess(text_of("caffe", True, tmp_path)), ["echo"], engine=engine, threads=1)
    grey = [np.full((CROP, CROP, 3), 128, np.uint8)] * 3
    (before,), (views,), (after,) = runner.run(grey), runner.run(grey, [0, 4, 9]), runner.run(grey)
    assert np.array_equal(before, after)
    assert np.array_equal(views[1], before[0]) and not np.array_equal(views[0], before[0])
    assert np.array_equal(views[2].reshape(3, CROP, CROP)[:, :, ::-1], before[0].reshape(3, CROP, CROP))


def test_caffes_own_mean_image_is_read_from_both_of_its_formats(real_data: Path) -> None:
    folder = real_data / "fixtures" / "caffe"
    npy, proto = folder / "ilsvrc_2012_mean_bgr_chw.npy", folder / "imagenet_mean.binaryproto"
    from_npy, from_proto = (parse_preprocess(f"caffe,mean={path}", 227) for path in (npy, proto))
    assert from_npy == from_proto and from_npy.mean_image is not None
    values = from_npy.mean_image.values
    assert values is not None and np.array_equal(values.transpose(2, 0, 1), np.load(npy))
    np.testing.assert_allclose(values.mean((0, 1), dtype=np.float64), preset("caffe", 227).mean, atol=1e-3)
    rgb = parse_preprocess(f"paper,mean={proto}", 227).mean_image  # the file is known to be BGR
    assert rgb is not None and rgb.values is not None and np.array_equal(rgb.values, values[:, :, ::-1])


# A mean image travels with the network


def test_a_saved_network_carries_its_mean_image(tmp_path: Path) -> None:
    net = echo().with_preprocess(text_of("decaf-release", True, tmp_path))
    net.save(tmp_path / "echo.onnx")
    again = read_net(tmp_path / "echo.onnx")
    assert again.preprocess == net.preprocess and again.preprocess.mean_image is not None
    values = again.preprocess.mean_image.values
    assert values is not None and np.array_equal(values, MEAN.transpose(1, 2, 0))


def test_features_keep_the_digest_of_the_mean_image(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    pictures(photos)
    text = text_of("caffe", True, tmp_path)
    features = decaf.extract(photos, net=echo(), preprocess=text)
    image = features.preprocess.mean_image
    assert image is not None and image.values is None
    assert features.preprocess == parse_preprocess(text, CROP)
    assert features.meta["settings"]["preprocess"]["mean_image"] == image.sha256
    with pytest.raises(NetError, match="mean image that is not in its file"):
        echo().with_preprocess(features.preprocess)
    carrying = echo().with_preprocess(text)
    assert carrying.with_preprocess(features.preprocess).preprocess.mean_image == image


def test_another_mean_image_is_another_setting(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    pictures(photos)
    text = text_of("caffe", True, tmp_path)
    decaf.extract(photos, net=echo(), preprocess=text, out=tmp_path / "out")
    np.save(tmp_path / "mean.npy", MEAN + 1)
    with pytest.raises(decaf.DecafError, match=r"mean_image"):
        decaf.extract(photos, net=echo(), preprocess=text, out=tmp_path / "out")


def test_a_preset_without_its_mean_image_says_so(tmp_path: Path) -> None:
    with_image = text_of("paper", True, tmp_path)
    assert mean_note(with_image, parse_preprocess(with_image, CROP)) == ""
    assert "mean pixel 104.007/116.669/122.679" in mean_note("caffe", preset("caffe", CROP))
    assert mean_note("torchvision", preset("torchvision", CROP)) == mean_note(None, preset("caffe", CROP)) == ""
