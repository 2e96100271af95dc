"""CaffeNet and AlexNet: every shape known of DeCAF's network, and activations of the original parameters."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from decaf.engines import make_engine
from decaf.engines.openvino import _quiet_openvino
from decaf.nets.families.alexnet import ALEXNET, CAFFENET
from decaf.nets.fill import stored, zeros
from decaf.nets.net import Net, net_of
from decaf.nets.preprocess import preset
from decaf.nets.registry import load_net

Array = NDArray[np.float32]

# Layer: shape, parameters, multiply-adds in millions
KNOWN: dict[str, tuple[tuple[int, ...], int, float]] = {
    "conv1": ((96, 55, 55), 34_944, 105.4),
    "relu1": ((96, 55, 55), 0, 0),
    "pool1": ((96, 27, 27), 0, 0),
    "norm1": ((96, 27, 27), 0, 0),
    "conv2": ((256, 27, 27), 307_456, 223.9),
    "relu2": ((256, 27, 27), 0, 0),
    "pool2": ((256, 13, 13), 0, 0),
    "norm2": ((256, 13, 13), 0, 0),
    "conv3": ((384, 13, 13), 885_120, 149.5),
    "relu3": ((384, 13, 13), 0, 0),
    "conv4": ((384, 13, 13), 663_936, 112.1),
    "relu4": ((384, 13, 13), 0, 0),
    "conv5": ((256, 13, 13), 442_624, 74.8),
    "relu5": ((256, 13, 13), 0, 0),
    "pool5": ((256, 6, 6), 0, 0),
    "fc6.flatten": ((9216,), 0, 0),
    "fc6": ((4096,), 37_752_832, 37.7),
    "relu6": ((4096,), 0, 0),
    "fc7": ((4096,), 16_781_312, 16.8),
    "relu7": ((4096,), 0, 0),
    "fc8": ((1000,), 4_097_000, 4.1),
    "prob": ((1000,), 0, 0),
}


@pytest.fixture(scope="module")
def untrained() -> Net:
    return load_net("caffenet", random_weights=0)


def test_caffenet_has_the_layers_of_decafs_network(untrained: Net) -> None:
    found = {layer.name: layer for layer in untrained.layers}
    assert list(found) == list(KNOWN)
    for name, (shape, parameters, millions) in KNOWN.items():
        assert (found[name].shape, found[name].parameters) == (shape, parameters), name
        assert round(found[name].multiply_adds / 1e6, 1) == millions, name


def test_caffenet_has_60965224_parameters_and_724_million_multiply_adds(untrained: Net) -> None:
    assert sum(layer.parameters for layer in untrained.layers) == 60_965_224
    assert round(sum(layer.multiply_adds for layer in untrained.layers) / 1e6, 1) == 724.4


def test_alexnet_normalises_before_it_pools() -> None:
    net = net_of(ALEXNET.write("alexnet", zeros, {}), "alexnet", "alexnet")
    names = [layer.name for layer in net.layers]
    moved = [name for name in KNOWN if name not in ("pool1", "pool2")]
    for number in ("1", "2"):
        moved.insert(moved.index(f"norm{number}") + 1, f"pool{number}")
    assert names == moved
    assert net.layer("norm1").shape == (96, 55, 55) and net.layer("pool1").shape == (96, 27, 27)
    assert sum(layer.parameters for layer in net.layers) == 60_965_224


@pytest.mark.parametrize(
    ("alias", "layer"),
    [
        ("DeCAF5", "pool5"),
        ("DeCAF6", "relu6"),
        ("DeCAF7", "relu7"),
        ("fc6_cudanet_out", "fc6"),
        ("fc6_neuron_cudanet_out", "relu6"),
        ("fc7dropout_cudanet_out", "relu7"),
        ("conv3_cudanet_out", "conv3"),
        ("conv3_neuron_cudanet_out", "relu3"),
        ("rnorm2_cudanet_out", "norm2"),
        ("pool5_cudanet_out", "pool5"),
        ("_decaf_fc6_flatten_out", "fc6.flatten"),
        ("fc8_cudanet_out", "fc8"),
        ("probs_cudanet_out", "prob"),
    ],
)
def test_layers_answer_to_the_names_of_the_release(alias: str, layer: str, untrained: Net) -> None:
    assert untrained.layer(alias).name == layer


def test_every_layer_of_the_release_has_its_name(untrained: Net) -> None:
    released = [alias for layer in untrained.layers for alias in layer.aliases if "_out" in alias]
    assert len(released) == len(set(released)) == 24  # with `data`, 25 blobs


def test_the_default_layer_is_decaf6_and_pictures_are_prepared_as_caffe_does(untrained: Net) -> None:
    assert untrained.layer(untrained.default_layer).aliases[0] == "DeCAF6"
    assert untrained.preprocess == preset("caffe", 227)
    assert len(untrained.labels) == 1000


# Random parameters


def of(net: Net, name: str) -> Array:
    (tensor,) = (tensor for tensor in net.model.graph.initializer if tensor.name == name)
    return onnx.numpy_helper.to_array(tensor)


def test_parameters_are_drawn_as_caffenets_authors_draw_them(untrained: Net) -> None:
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"):
        weight, bias = of(untrained, f"{layer}.weight"), of(untrained, f"{layer}.bias")
        std = 0.005 if layer in ("fc6", "fc7") else 0.01
        assert abs(weight.std() / std - 1) < 4 / math.sqrt(2 * weight.size)
        assert abs(weight.mean()) < 4 * std / math.sqrt(weight.size)
        assert set(bias) == {np.float32(layer in ("conv2", "conv4", "conv5", "fc6", "fc7"))}
    assert ALEXNET.filler("fc7.bias", (4096,)).mean == 0.1


def test_a_seed_means_the_same_network_on_every_machine(untrained: Net) -> None:
    values = b"".join(of(untrained, f"{layer}.weight").tobytes() for layer in ("conv1", "conv5", "fc8"))
    assert hashlib.sha256(values).hexdigest()[:16] == "238d2b8215051cc9"


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_engines_and_torch_agree_on_every_layer(engine: str, untrained: Net) -> None:
    import torch

    from decaf.nets.torch_module import OnnxModule

    pictures = [np.random.default_rng(seed).integers(0, 256, (227, 227, 3), dtype=np.uint8) for seed in range(2)]
    layers = ["norm1", "norm2", "conv5", "pool5", "fc6", "relu7", "fc8", "prob"]
    computed = make_engine(untrained, layers, engine=engine).run(pictures)
    scaled = np.stack(pictures)[..., ::-1].astype(np.float32) - np.float32([104.007, 116.669, 122.679])
    with torch.no_grad():
        wanted = OnnxModule(untrained.model, layers)(torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy()))
    for layer, values in zip(layers, computed, strict=True):
        reference = wanted[layer].flatten(1).numpy()
        assert np.linalg.norm(values - reference) <= 2e-6 * np.linalg.norm(reference), layer


# The original parameters


@pytest.fixture(scope="module")
def reference(real_data: Path) -> dict[str, Array]:
    with np.load(real_data / "fixtures" / "caffenet_reference_activations.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def first_layers(reference: Mapping[str, Array]) -> onnx.ModelProto:
    """CaffeNet with the published parameters of conv1 and conv2; the rest is 0."""
    words = {"w": "weight", "b": "bias"}
    known = {f"{layer}.{words[part]}": reference[f"{layer}_{part}"] for layer in ("conv1", "conv2") for part in words}
    given = stored(known)
    data = CAFFENET.write("caffenet", lambda name, shape: (given if name in known else zeros)(name, shape), {})
    return onnx.load_from_string(data)


def part(model: onnx.ModelProto, start: str, shape: tuple[int, ...], ends: list[str]) -> bytes:
    """The graph between tensors, as a model of its own."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(bare)
    cut: Any = onnx.utils.Extractor(inferred).extract_model([start], ends)
    cut.graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info(start, onnx.TensorProto.FLOAT, ["N", *shape]))
    return bytes(cut.SerializeToString())


def distance(computed: Array, wanted: Array) -> float:
    return float(np.linalg.norm(computed.astype(np.float64) - wanted) / np.linalg.norm(wanted.astype(np.float64)))


def test_the_first_layers_give_the_original_activations(
    first_layers: onnx.ModelProto, reference: Mapping[str, Array]
) -> None:
    names = {"relu1": "conv1_relu", "pool1": "pool1", "norm1": "norm1"}
    names |= {"relu2": "conv2_relu", "pool2": "pool2", "norm2": "norm2"}
    model = part(first_layers, "data", (3, 227, 227), list(names))
    computed = onnxruntime.InferenceSession(model).run(list(names), {"data": reference["input_bgr"][None]})
    for name, values in zip(names, computed, strict=True):
        assert distance(values[0], reference[names[name]]) <= 5e-6, name


def test_the_first_layers_give_the_original_activations_in_openvino(
    first_layers: onnx.ModelProto, reference: Mapping[str, Array]
) -> None:
    core = _quiet_openvino().Core()
    model = core.read_model(part(first_layers, "data", (3, 227, 227), ["norm2"]))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert distance(compiled([reference["input_bgr"][None]])[0][0], reference["norm2"]) <= 5e-6


def test_pool5_follows_from_the_original_conv5(first_layers: onnx.ModelProto, reference: Mapping[str, Array]) -> None:
    model = part(first_layers, "relu5", (256, 13, 13), ["pool5"])
    (computed,) = onnxruntime.InferenceSession(model).run(["pool5"], {"relu5": reference["conv5_relu"][None]})
    assert distance(computed[0], reference["pool5"]) <= 5e-6  # the file has six decimals
