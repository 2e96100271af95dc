"""EfficientNet-lite as it is written to ONNX equals an independent forward pass in NumPy."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from decaf.engines import make_engine
from decaf.errors import NetError
from decaf.images.prepare import load
from decaf.nets.families.efficientnet_lite import VARIANTS, Variant, aliases, build, preprocess
from decaf.nets.fill import stored
from decaf.nets.net import Net
from decaf.nets.readers.torch_pickle import read_legacy_checkpoint
from decaf.nets.registry import REGISTRY, load_net

Array = NDArray[np.float64]
Parameters = dict[str, NDArray[Any]]

STRIDES = {
    "efficientnet-lite0": (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1),
    "efficientnet-lite1": (1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1),
    "efficientnet-lite2": (1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1),
}


# The network once more, from the names and shapes of the checkpoint alone: x is (channels, height, width)


def same(x: Array, kernel: int, stride: int) -> Array:
    """TensorFlow's SAME padding: the odd zero goes right and below."""
    pads = []
    for side in x.shape[1:]:
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, ((0, 0), *pads))


def patches(x: Array, kernel: int, stride: int) -> Array:
    return sliding_window_view(same(x, kernel, stride), (kernel, kernel), (1, 2))[:, ::stride, ::stride]


def convolve(x: Array, weight: NDArray[Any], stride: int = 1) -> Array:
    if weight.shape[1] == 1 < len(x):
        return np.einsum("chwij,cij->chw", patches(x, weight.shape[2], stride), weight[:, 0], optimize=True)
    if weight.shape[2] == 1:
        return np.tensordot(weight[:, :, 0, 0].astype(np.float64), x, 1)
    return np.einsum("chwij,ocij->ohw", patches(x, weight.shape[2], stride), weight, optimize=True)


def normalise(x: Array, parameters: Parameters, name: str) -> Array:
    scale, offset, mean, var = (
        parameters[f"{name}.{part}"].astype(np.float64)[:, None, None]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(var + 1e-3) * scale + offset


def forward(pixels: NDArray[np.uint8], parameters: Parameters, strides: tuple[int, ...]) -> dict[str, Array]:
    def unit(x: Array, convolution: str, norm: str, stride: int = 1) -> Array:
        return normalise(convolve(x, parameters[f"{convolution}.weight"], stride), parameters, norm)

    x = ((pixels.astype(np.float64) - 127) / 128).transpose(2, 0, 1)
    layers = {"stem": unit(x, "_conv_stem", "_bn0", 2).clip(0, 6)}
    x = layers["stem"]
    for index, stride in enumerate(strides):
        start, name = x, f"_blocks.{index}"
        if f"{name}._expand_conv.weight" in parameters:
            x = unit(x, f"{name}._expand_conv", f"{name}._bn0").clip(0, 6)
        x = unit(x, f"{name}._depthwise_conv", f"{name}._bn1", stride).clip(0, 6)
        x = unit(x, f"{name}._project_conv", f"{name}._bn2")
        x = x + start if x.shape == start.shape else x
        layers[f"block{index + 1}"] = x
    layers["head"] = unit(x, "_conv_head", "_bn1").clip(0, 6)
    layers["pool"] = layers["head"].mean((1, 2))
    layers["fc"] = parameters["_fc.weight"].astype(np.float64) @ layers["pool"] + parameters["_fc.bias"]
    exponentials = np.exp(layers["fc"] - layers["fc"].max())
    return layers | {"prob": exponentials / exponentials.sum()}


def photograph(name: str) -> str:
    spec = importlib.util.find_spec("sklearn")
    assert spec is not None and spec.origin is not None
    return str(Path(spec.origin).parent / "datasets" / "images" / name)


def published(name: str) -> Parameters:
    path = REGISTRY[name].parameter_file
    if path is None:
        pytest.skip(f"the parameters of {name} are not here")
    return read_legacy_checkpoint(path.read_bytes())


def difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


@pytest.mark.parametrize("name", STRIDES)
def test_the_engine_equals_a_forward_pass_in_numpy(name: str) -> None:
    parameters = published(name)
    net = load_net(name)
    pixels = load(photograph("china.jpg"), net.preprocess)
    wanted = forward(pixels, parameters, STRIDES[name])
    engine = make_engine(net, list(wanted))
    for layer, values in zip(wanted, engine.run([pixels]), strict=True):
        assert net.layer(layer).shape == wanted[layer].shape
        assert difference(values[0], wanted[layer].ravel()) < 1e-4, layer


def test_a_flower_is_recognised(lite0: Net) -> None:
    pixels = load(photograph("flower.jpg"), lite0.preprocess)
    (probabilities,) = make_engine(lite0, ["prob"]).run([pixels])
    assert abs(probabilities.sum() - 1) < 1e-5
    best = [lite0.labels[index] for index in probabilities[0].argsort()[::-1][:5]]
    assert "daisy" in best


# The builder


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return published("efficientnet-lite0")


@pytest.fixture(scope="module")
def written(parameters: Parameters) -> onnx.ModelProto:
    return build(VARIANTS[0], stored(parameters), {"key": "value"})


def test_the_file_passes_the_full_check_of_onnx(written: onnx.ModelProto) -> None:
    onnx.checker.check_model(written, full_check=True)
    assert {prop.key: prop.value for prop in written.metadata_props} == {"key": "value"}


def test_the_file_holds_the_parameters_bit_for_bit_and_no_others(
    written: onnx.ModelProto, parameters: Parameters
) -> None:
    kept = [onnx.numpy_helper.to_array(tensor) for tensor in written.graph.initializer]
    used = [value for name, value in parameters.items() if not name.endswith("num_batches_tracked")]
    assert sorted(value.tobytes() for value in kept if value.ndim) == sorted(value.tobytes() for value in used)


def test_the_picture_may_come_in_any_number(written: onnx.ModelProto) -> None:
    (given,) = written.graph.input
    assert [side.dim_param or side.dim_value for side in given.type.tensor_type.shape.dim] == ["N", 3, 224, 224]


@pytest.mark.parametrize("missing", ["_conv_stem.weight", "_blocks.3._bn1.running_var", "_fc.bias"])
def test_a_missing_parameter_is_named(missing: str, parameters: Parameters) -> None:
    with pytest.raises(NetError, match=missing):
        build(VARIANTS[0], stored({name: value for name, value in parameters.items() if name != missing}), {})


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_the_blocks_of_a_variant_are_those_of_its_checkpoint(variant: Variant) -> None:
    names = published(variant.name)
    assert len({name.split(".")[1] for name in names if name.startswith("_blocks.")}) == len(STRIDES[variant.name])
    layers = {layer.name for layer in load_net(variant.name).layers}
    assert f"block{len(STRIDES[variant.name])}" in layers
    assert f"block{len(STRIDES[variant.name]) + 1}" not in layers


def test_every_alias_leads_from_a_projection_to_its_block() -> None:
    assert aliases(VARIANTS[0]) == {f"block{n}.project": f"block{n}" for n in (1, 2, 4, 6, 9, 12, 16)}


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_pixels_are_prepared_as_the_networks_were_evaluated(variant: Variant) -> None:
    how = preprocess(variant)
    assert (how.size, how.crop, how.mean, how.std) == (variant.side + 32, variant.side, (127.0,) * 3, (128.0,) * 3)
