"""What OpenVINO made of a network, in our names: every layer is accounted for once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from decaf.engines.counted import CountedNet
from decaf.engines.openvino import has_bf16
from decaf.engines.steps import KINDS
from decaf.nets.fill import he, seeded
from decaf.nets.graph import GraphBuilder
from decaf.nets.net import Net, net_of
from decaf.nets.registry import load_net

LIGHT_FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LIGHT = ("resnet50", "squeezenet", "inception_v1", "shufflenet", "zfnet512")
needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16 instructions")


@pytest.fixture(scope="module")
def caffenet() -> Net:
    return load_net("caffenet", random_weights=0)


def counted(net: Net, *layers: str, batch: int = 1, precision: str = "f32") -> CountedNet:
    outputs = layers or (net.layers[-1].name,)
    return CountedNet(net, [net.layer(name) for name in outputs], batch, precision, threads=2)


def assert_every_layer_is_there_once(net: Net, run: CountedNet, expected: set[str]) -> None:
    named = [name for step in run.steps for name in (step.name, *step.merged)]
    seen = Counter(name for name in (*named, *run.free) if name in {layer.name for layer in net.layers})
    assert set(seen) == expected and set(seen.values()) == {1}
    layers = [layer for layer in net.layers if layer.name in expected]
    assert sum(step.multiply_adds for step in run.steps) == sum(layer.multiply_adds for layer in layers)
    assert sum(step.parameters for step in run.steps) == sum(layer.parameters for layer in layers)


@pytest.mark.parametrize("precision", ["f32", pytest.param("bf16", marks=needs_bf16)])
def test_every_layer_of_the_default_network_is_there_once(lite0: Net, precision: str) -> None:
    run = counted(lite0, precision=precision)
    assert_every_layer_is_there_once(lite0, run, {layer.name for layer in lite0.layers})
    assert run.free == ("pool",)  # a flattening, of which nothing is left to do


@pytest.mark.parametrize("name", LIGHT)
def test_every_layer_of_published_graphs_is_there_once(name: str) -> None:
    net = load_net(LIGHT_FOLDER / f"light_{name}.onnx", "torchvision")
    run = counted(net)
    assert_every_layer_is_there_once(net, run, {layer.name for layer in net.layers})
    known = {layer.name for layer in net.layers} | {"pixels"}
    assert {step.name for step in run.steps if step.kind != "reorder"} <= known
    work = {
        layer.name for layer in net.layers if layer.kind in ("Conv", "Gemm", "MaxPool", "Softmax", "BatchNormalization")
    }
    assert not work & set(run.free)


def test_only_what_is_asked_for_is_there(lite0: Net) -> None:
    run = counted(lite0, "block2", "block1.depthwise")
    first = next(place for place, layer in enumerate(lite0.layers) if layer.name == "block2")
    assert_every_layer_is_there_once(lite0, run, {layer.name for layer in lite0.layers[: first + 1]})


def test_what_fusion_merged_is_named(lite0: Net, caffenet: Net) -> None:
    steps = {step.name: step for step in counted(caffenet).steps}
    for number in (1, 2, 3, 4, 5):
        assert steps[f"conv{number}"].merged == (f"relu{number}",)
    assert steps["fc6"].merged == ("relu6",) and steps["fc8"].merged == ()
    steps = {step.name: step for step in counted(lite0).steps}
    assert steps["block2.expand.conv"].merged == ("block2.expand.bn", "block2.expand")
    assert set(steps["block3.project.conv"].merged) == {"block3.project", "block3"}  # and the sum with the input


def test_kinds_are_those_of_the_paper(caffenet: Net) -> None:
    kinds = {step.name: step.kind for step in counted(caffenet).steps}
    assert {kinds[f"conv{number}"] for number in (1, 2, 3, 4, 5)} == {"convolution"}
    assert {kinds[f"fc{number}"] for number in (6, 7, 8)} == {"fully connected"}
    assert {kinds[f"pool{number}"] for number in (1, 2, 5)} == {"pooling"}
    assert {kinds[f"norm{number}"] for number in (1, 2)} == {"normalisation"}
    assert (kinds["prob"], kinds["pixels"]) == ("activation", "other")
    reorders = [name for name, kind in kinds.items() if kind == "reorder"]
    assert reorders and all(" → " in name for name in reorders)
    assert set(kinds.values()) <= set(KINDS)


@pytest.mark.parametrize(("precision", "width"), [("f32", 4), pytest.param("bf16", 2, marks=needs_bf16)])
def test_bytes_are_parameters_and_activations(caffenet: Net, precision: str, width: int) -> None:
    steps = {step.name: step for step in counted(caffenet, batch=2, precision=precision).steps}
    assert steps["pool1"].bytes == 2 * width * (96 * 55 * 55 + 96 * 27 * 27) and steps["pool1"].parameter_bytes == 0
    assert steps["fc6"].parameter_bytes == width * 37_752_832
    assert steps["fc6"].bytes == width * (37_752_832 + 2 * (9216 + 4096))
    assert steps["fc6"].precision == precision and steps["fc6"].multiply_adds == 37_748_736


def test_names_may_hold_anything() -> None:
    graph = GraphBuilder("odd", seeded(0, he), (3, 16, 16))
    names = ["a,b", "decaf.layer.7", "$x$/y", "lay\ner", "ü → ö"]
    x = graph.relu(graph.conv(graph.input, names[0], 8, 3), names[1])
    x = graph.relu(graph.conv(x, names[2], 8, 3), names[3])
    x = graph.linear(graph.flatten(x, names[4]), "out,put", 5)
    net = net_of(graph.finish(x, {}).SerializeToString(), "odd", "odd", "size=16,mean=0,std=1")
    run = counted(net)
    assert_every_layer_is_there_once(net, run, {*names, "out,put"})
    assert {step.name: step.merged for step in run.steps}["a,b"] == ("decaf.layer.7",)


def test_layers_of_a_quantised_file_keep_their_names(tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    graph = GraphBuilder("little", seeded(0, he), (3, 32, 32))
    x = graph.relu(graph.conv(graph.input, "conv", 16, 3), "relu")
    x = graph.linear(graph.flatten(graph.max_pool(x, "pool", 2, stride=2), "flat"), "fc", 10)
    onnx.save(graph.finish(x, {}), tmp_path / "whole.onnx")
    picture = {"data": np.ones((1, 3, 32, 32), np.float32)}

    class Pictures(quantization.CalibrationDataReader):  # type: ignore[misc]
        left = [picture]

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return self.left.pop() if self.left else None

    quantization.quantize_static(tmp_path / "whole.onnx", tmp_path / "int8.onnx", Pictures(), per_channel=True)
    net = load_net(tmp_path / "int8.onnx", "size=32,mean=0,std=1")
    run = counted(net)
    assert_every_layer_is_there_once(net, run, {layer.name for layer in net.layers})
    kinds = {step.name: (step.kind, step.precision) for step in run.steps}
    assert {kinds["relu"], kinds["pool"]} <= {(kind, width) for kind in KINDS[:3] for width in ("i8", "u8")}
    assert (kinds["relu"][0], kinds["pool"][0]) == ("convolution", "pooling")
    assert "pixels" in kinds and "fully connected" in {kind for kind, _ in kinds.values()}
