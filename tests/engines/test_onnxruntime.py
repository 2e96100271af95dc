"""The second engine: the same numbers to rounding, the same promises."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import decaf
from decaf.engines import base, make_engine
from decaf.errors import NetError, SettingsDiffer, UnknownName
from decaf.nets.net import Net

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def pictures_224() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)


def test_it_agrees_with_openvino(lite0: Net, pictures_224: NDArray[np.uint8]) -> None:
    layers = ["stem", "block7", "head", "pool", "prob"]
    ours, theirs = (make_engine(lite0, layers, engine=name).run(pictures_224) for name in base.ENGINES)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and not np.array_equal(a, np.zeros_like(a))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(a).max())


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_picture_has_the_same_bits_in_any_company(
    lite0: Net, pictures_224: NDArray[np.uint8], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone,) = make_engine(lite0, ["pool"], engine="onnxruntime").run(pictures_224[:1])
    monkeypatch.setattr("decaf.engines.onnxruntime.batch_size", lambda net: batch)
    (together,) = make_engine(lite0, ["pool"], engine="onnxruntime", threads=1).run(pictures_224[:batch])
    assert together[0].tobytes() == alone[0].tobytes()


def test_bf16_runs_f32_and_says_so(lite0: Net) -> None:
    runtime = make_engine(lite0, ["pool"], "bf16", "onnxruntime").runtime
    assert runtime.precision == "f32" and "f32" in runtime.note


def test_extract_runs_on_it_and_does_not_mix_engines(pictures: Path, lite0: Net, tmp_path: Path) -> None:
    features = decaf.extract(pictures, lite0, out=tmp_path / "out", engine="onnxruntime")
    np.testing.assert_allclose(features.valid.X(), decaf.extract(pictures, lite0).valid.X(), atol=1e-4)
    assert features.meta["runtime"]["engine"] == "onnxruntime"
    with pytest.raises(SettingsDiffer, match=r"engine onnxruntime .* this run has openvino .* --allow-mixed"):
        decaf.extract(pictures, lite0, out=tmp_path / "out")


def test_what_is_not_to_be_had_is_said(lite0: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="no cuda: pip install onnxruntime-gpu"):
        make_engine(lite0, ["pool"], engine="onnxruntime", device="cuda")
    with pytest.raises(UnknownName, match="use --engine onnxruntime for cuda"):
        make_engine(lite0, ["pool"], device="cuda")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NetError, match="pip install"):
        make_engine(lite0, ["pool"], engine="onnxruntime")
