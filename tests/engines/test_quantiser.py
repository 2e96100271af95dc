"""Published graphs in eight bits: the same layers, near f32, and the same in both engines."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.light_graphs import published_file

from decaf.engines import make_engine
from decaf.engines.quantiser import calibrate, quantisable
from decaf.errors import NetError
from decaf.nets.net import Net, net_of
from decaf.nets.preprocess import preset
from decaf.nets.zoo import adapted


def smooth_pictures(side: int, count: int) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    index = np.arange(side) * 8 // side
    return list(coarse[:, index][:, :, index])


def published(graph: str) -> Net:
    data = adapted(published_file(graph).SerializeToString(), graph, preset("torchvision", 224), [], {})
    return net_of(data, graph, graph)


def rows(net: Net, layer: str, pictures: list[NDArray[np.uint8]], engine: str = "openvino") -> NDArray[np.float64]:
    runner = make_engine(net, [layer], engine=engine)
    found = np.concatenate([runner.run([picture])[0] for picture in pictures]).astype(np.float64)
    unit: NDArray[np.float64] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


@pytest.mark.parametrize("graph", ["bvlc_alexnet", "resnet50", "squeezenet", "zfnet512"])
def test_a_published_graph_in_eight_bits(graph: str) -> None:
    net = published(graph)
    pictures = smooth_pictures(224, 6)
    model = calibrate(net, quantisable(net), pictures, "minmax").quantised()
    made = net.with_model(model, "made", {})
    shapes = {layer.name: layer.shape for layer in made.layers}
    assert {layer.name: shapes[layer.name] for layer in net.layers} == {layer.name: layer.shape for layer in net.layers}
    f32, ours = rows(net, net.default_layer, pictures), rows(made, net.default_layer, pictures)
    theirs = rows(made, net.default_layer, pictures, "onnxruntime")
    assert 0.98 < (f32 * ours).sum(axis=1).min() < 1 - 1e-7
    assert (ours * theirs).sum(axis=1).min() > 0.995


def test_the_quantiser_is_quiet_and_counts_pictures(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    net, told = published("bvlc_alexnet"), []
    with caplog.at_level(logging.WARNING):
        calibrate(net, quantisable(net), smooth_pictures(224, 3), "minmax", lambda *now: told.append(now)).quantised()
    assert told == [(1, 0)] * 3
    assert not caplog.records and capsys.readouterr() == ("", "")


def test_what_goes_wrong_inside_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    net = published("bvlc_alexnet")
    graph = quantisable(net)
    from onnxruntime import quantization

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel for this\nand a long story")

    monkeypatch.setattr(quantization, "create_calibrator", fail)
    with pytest.raises(NetError, match=r"^ONNX Runtime cannot quantise bvlc_alexnet \(no kernel for this\): export it"):
        calibrate(net, graph, [], "minmax")


def test_without_onnxruntime_there_is_no_quantiser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NetError, match=r'pip install "decaf-vision\[onnxruntime\]"'):
        quantisable(published("bvlc_alexnet"))
