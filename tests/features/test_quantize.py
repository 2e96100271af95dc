"""`quantize`: eight bits that keep every layer, measured on pictures held out, refused where they are no gain."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import decaf
from decaf.engines import make_engine
from decaf.errors import ImageError, NetError, UnknownName
from decaf.features import quantize as module
from decaf.features.quantize import Gate, Quantised, quantize
from decaf.features.rows import Rows
from decaf.images.find import find_images
from decaf.nets.mean_image import mean_image
from decaf.nets.net import Net, read_net
from tests.features.small_nets import KNOWN, PREPROCESS, SIDE, draw_pictures, narrow_caffenet, net_with_a_harmful_layer

FASTER = {"int8": [4.0, 3.0, 5.0], "bf16": [2.0, 2.0, 2.0], "f32": [1.0, 1.0, 1.0]}
LAYERS = ("norm1", "pool2", "relu6", "prob")


@pytest.fixture(scope="module")
def net() -> Net:
    return narrow_caffenet()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures and a broken one."""
    folder = draw_pictures(tmp_path_factory.mktemp("photos"), 40)
    (folder / "020.png").write_bytes(b"no picture")
    return draw_pictures(folder, 1, first=40)


@pytest.fixture(scope="module", autouse=True)
def speed_is_told() -> Iterator[None]:
    """So small a network is not faster in eight bits, and this machine may be busy."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "race", lambda engines, _pictures: {name: FASTER[name] for name in engines})
        yield


@pytest.fixture(scope="module")
def made(net: Net, photos: Path) -> Quantised:
    return quantize(net, photos, gate=Gate(0.9, 0.9))


def features(net: Net, photos: Path, layer: str, engine: str = "openvino") -> NDArray[np.float32]:
    found: NDArray[np.float32] = decaf.extract(photos, net, layer, engine=engine).valid.X(layer)
    return found


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    a, b = (x.astype(np.float64) / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    found: NDArray[np.float64] = (a * b).sum(axis=1)
    return found


def test_every_layer_is_there_under_its_name_in_its_place(net: Net, made: Quantised) -> None:
    assert made.net.layers == net.layers
    assert made.net.layer("DeCAF6").name == "relu6"
    kinds = [node.op_type for node in made.net.model.graph.node]
    assert kinds.count("QuantizeLinear") == 4  # one for what each convolution and matrix product reads


def test_the_file_is_a_network_like_any_other(net: Net, made: Quantised, tmp_path: Path) -> None:
    made.save(tmp_path / "out.onnx")
    read = read_net(tmp_path / "out.onnx")
    assert (read.name, read.preprocess, read.labels) == ("narrow-int8", net.preprocess, net.labels)
    assert (read.default_layer, read.aliases, read.sha256) == (net.default_layer, net.aliases, made.net.sha256)
    stored = {tensor.data_type for tensor in read.model.graph.initializer if len(tensor.dims) > 1}
    assert stored == {onnx.TensorProto.INT8}


def test_provenance_says_of_what_and_how(net: Net, made: Quantised) -> None:
    provenance = dict(made.net.provenance or {})
    told = provenance.pop("quantised")
    assert provenance == KNOWN
    assert told["of"] == {"net": "narrow", "sha256": net.sha256}
    assert (told["calibration"], told["held_out"], told["method"], told["seed"]) == (27, 13, "minmax", 0)
    assert told["cosine"] == {near.layer: {"mean": near.mean, "worst": near.worst} for near in made.fidelity}
    assert told["by"].startswith("onnxruntime ")


@pytest.mark.parametrize("layer", LAYERS)
def test_features_are_near_but_not_those_of_f32(net: Net, made: Quantised, photos: Path, layer: str) -> None:
    near = cosines(features(net, photos, layer), features(made.net, photos, layer))
    assert 0.99 < near.min() < near.max() < 1 - 1e-8


@pytest.mark.parametrize("layer", LAYERS)
def test_both_engines_agree_on_eight_bits(made: Quantised, photos: Path, layer: str) -> None:
    ours, theirs = (features(made.net, photos, layer, engine) for engine in ("openvino", "onnxruntime"))
    assert cosines(ours, theirs).min() > 0.999


def test_a_picture_has_the_same_bits_whatever_its_neighbours(made: Quantised) -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(4)]
    engine = make_engine(made.net, ["relu6"])
    together = engine.run(pictures)[0]
    assert all((engine.run([picture])[0] == row).all() for picture, row in zip(pictures, together, strict=True))


def test_measured_is_what_extract_gives_on_pictures_held_out(net: Net, made: Quantised, photos: Path) -> None:
    told = {near.layer: near for near in made.fidelity}
    assert set(told) == {"relu6", "pool2"}
    pictures = module._read(Rows(find_images(photos)), net, 41, 0, lambda _done, _broken: None)
    engines = [make_engine(of, ["relu6"]) for of in (net, made.net)]
    held_out = [np.concatenate([engine.run([one])[0] for one in pictures.held_out]) for engine in engines]
    near = cosines(*held_out)
    assert told["relu6"].mean == pytest.approx(near.mean(), abs=2e-6)
    assert told["relu6"].worst == pytest.approx(near.min(), abs=2e-6)
    apart = cosines(held_out[0][1:], held_out[0][:-1])
    assert told["relu6"].apart == pytest.approx(apart.mean(), abs=2e-6)


def test_no_picture_is_both_calibrated_on_and_held_out(net: Net, photos: Path) -> None:
    pictures = module._read(Rows(find_images(photos)), net, 41, 0, lambda _done, _broken: None)
    assert (len(pictures.calibration), len(pictures.held_out)) == (27, 13)
    assert len({picture.tobytes() for picture in (*pictures.calibration, *pictures.held_out)}) == 40


def test_a_broken_picture_is_counted_and_another_takes_its_place(net: Net, photos: Path) -> None:
    told: list[tuple[int, int]] = []
    rows = Rows(find_images(photos))
    for seed in range(50):
        pictures = module._read(rows, net, 30, seed, lambda *now: told.append(now))
        assert len(pictures.calibration) + len(pictures.held_out) == 30
        if pictures.broken:
            break
    assert pictures.broken == 1 and sum(broken for _, broken in told) == 1


def test_too_few_pictures_are_refused(net: Net, tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path, 24)
    (folder / "003.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"^23 pictures can be read and 1 cannot: quantising needs 24 or more"):
        quantize(net, folder)


def test_the_seed_decides_the_file(net: Net, made: Quantised, photos: Path) -> None:
    again, other = (quantize(net, photos, gate=Gate(0.9, 0.9), seed=seed) for seed in (0, 1))
    assert again.net.data == made.net.data
    assert other.net.data != made.net.data


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_other_ranges_make_another_network_that_is_near_too(
    net: Net, made: Quantised, photos: Path, method: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    other = quantize(net, photos, ["relu6"], gate=Gate(0.9, 0.9), method=method)
    assert capsys.readouterr() == ("", "")  # the quantiser talks
    assert other.net.model.graph.initializer != made.net.model.graph.initializer
    assert other.fidelity[0].mean > 0.98


def test_layers_asked_for_are_those_of_the_gate(net: Net, photos: Path) -> None:
    made = quantize(net, photos, ["pool2", "DeCAF6"], gate=Gate(0.9, 0.9))
    assert made.gated == ("pool2", "relu6") == tuple(near.layer for near in made.fidelity)


def test_what_is_not_near_enough_is_not_written(net: Net, photos: Path, tmp_path: Path) -> None:
    made = quantize(net, photos, gate=Gate(mean=1.0))
    near = next(near for near in made.fidelity if near.layer == "relu6")
    with pytest.raises(NetError) as refused:
        made.save(tmp_path / "out.onnx")
    said = f"narrow-int8 is not near enough to f32 at relu6: cosine {near.mean:.5f} mean, {near.worst:.5f} worst of 13"
    assert str(refused.value).startswith(said)
    assert not list(tmp_path.iterdir())
    assert len(made.kept) == 1  # it was tried: no more than a quarter of four


def test_the_worst_counts_as_well(net: Net, photos: Path) -> None:
    assert "is not near enough" in quantize(net, photos, gate=Gate(mean=0.9, worst=1.0)).refusal


@pytest.mark.parametrize(("int8", "times"), [([1.9, 2.0, 2.1], "1.00"), ([1.0, 1.5, 9.0], "0.75")])
def test_what_is_not_faster_than_the_fastest_is_not_written(
    net: Net, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, int8: list[float], times: str
) -> None:
    monkeypatch.setattr(module, "race", lambda _engines, _pictures: FASTER | {"int8": int8})
    made = quantize(net, photos, gate=Gate(0.9, 0.9))
    with pytest.raises(NetError, match=rf"narrow-int8 is not faster: {times} times as fast as bf16 .* nothing is writ"):
        made.save(tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


def test_the_most_harmful_layer_is_left_in_floating_point(photos: Path) -> None:
    net = net_with_a_harmful_layer()
    made = quantize(net, photos)
    assert made.kept == ("conv2",)
    assert not made.refusal
    assert dict(made.net.provenance or {})["quantised"]["kept"] == ["conv2"]
    stored = {tensor.name: tensor.data_type for tensor in made.net.model.graph.initializer}
    assert stored["conv2.weight"] == onnx.TensorProto.FLOAT
    # and without it the gate would not have been passed
    everything = quantize(net, photos, gate=Gate(0.0, -1.0))
    assert everything.kept == () and everything.fidelity[-1].mean < 0.9


def test_a_mean_image_is_subtracted_in_calibration_too(photos: Path) -> None:
    values = np.random.default_rng(3).uniform(80, 160, (40, 40, 3)).astype(np.float32)
    prepared = replace(PREPROCESS, resize="warp", mean=(0.0,) * 3, mean_image=mean_image(values))
    net = narrow_caffenet().with_preprocess(prepared)
    made = quantize(net, photos, ["relu6"])
    assert made.fidelity[0].mean > 0.995
    assert made.net.preprocess == net.preprocess


def test_a_quantised_network_is_not_quantised_again(made: Quantised, photos: Path) -> None:
    with pytest.raises(NetError, match="narrow-int8 is quantised already: name the network it was made from"):
        quantize(made.net, photos)
    with pytest.raises(NetError, match="narrow-int8 is quantised: draw parameters for the network it was made from"):
        made.net.with_random_weights(0)


def test_without_onnxruntime_the_error_says_what_to_install(
    net: Net, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NetError, match=r'pip install "decaf-vision\[onnxruntime\]"'):
        quantize(net, photos)


def test_unknown_names_are_refused_first(net: Net, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no method 'guess'"):
        quantize(net, tmp_path, method="guess")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="narrow has no layer 'relu9'"):
        quantize(net, tmp_path, ["relu9"])


@pytest.mark.parametrize("place", ["missing/out.onnx", "."])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path: Path, place: str) -> None:
    with pytest.raises(NetError, match="name a file in"):
        module.check_place(tmp_path / place)
