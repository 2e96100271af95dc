"""cuda-convnet's pickles become networks that compute what the pickled numbers say."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import onnx
import pytest
from tests.nets.caffe_files import run
from tests.nets.cuda_files import Array, cuda_layers, evaluate, random_parameters, saved

from decaf.errors import NetError
from decaf.nets.readers.cuda_convnet import read_cuda_convnet, read_meta

LAYERS = cuda_layers(random_parameters())
# Layer of the file -> layer of the network; dropout is the layer before it.
NAMES = {
    **{name: name for name in ("conv1", "pool1", "conv2", "conv3", "conv4", "conv5", "pool5", "fc6", "fc7", "fc8")},
    **{f"conv{number}_neuron": f"relu{number}" for number in range(1, 6)},
    **{"rnorm1": "norm1", "rnorm2": "norm2", "fc6_neuron": "relu6", "fc7_neuron": "relu7", "probs": "prob"},
}


def picture(side: int = 227, channels: int = 3) -> Array:
    return (np.random.default_rng(1).normal(size=(channels, side, side)) * 50).astype(np.float32)


def said(model: onnx.ModelProto) -> dict[str, Any]:
    return {prop.key.removeprefix("decaf."): json.loads(prop.value) for prop in model.metadata_props}


def assert_near(computed: Array, wanted: Array) -> None:
    assert computed.shape == wanted.shape
    assert np.linalg.norm(computed - wanted) <= 1e-5 * np.linalg.norm(wanted)


def test_every_layer_computes_what_its_numbers_say() -> None:
    x = picture()
    wanted = evaluate(LAYERS, x)
    computed = run(read_cuda_convnet(saved(LAYERS)), x[None], *NAMES.values())
    for theirs, values in zip(NAMES, computed, strict=True):
        assert_near(values[0].reshape(wanted[theirs].shape), wanted[theirs])


def test_the_names_of_the_file_and_of_the_original_decaf_are_aliases() -> None:
    told = said(read_cuda_convnet(saved(LAYERS)))
    aliases = told["aliases"]
    assert {aliases.get(theirs, theirs) for theirs in NAMES} == set(NAMES.values())
    assert all(aliases[f"{theirs}_cudanet_out"] == ours for theirs, ours in NAMES.items())
    assert (aliases["fc6dropout"], aliases["fc7dropout_cudanet_out"]) == ("relu6", "relu7")
    assert (aliases["DeCAF5"], aliases["DeCAF6"], aliases["DeCAF7"]) == ("pool5", "relu6", "relu7")
    assert told["default_layer"] == "relu6"


def test_the_parameters_are_named_and_laid_out_as_those_of_caffenet() -> None:
    parameters = random_parameters()
    model = read_cuda_convnet(saved(cuda_layers(parameters)))
    read = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert list(read) == list(parameters)
    assert all(np.array_equal(read[name], parameters[name]) for name in parameters)


@pytest.mark.parametrize("side", [224, 227])
def test_the_input_is_as_large_as_its_windows_reach(side: int) -> None:
    model = read_cuda_convnet(saved(cuda_layers(random_parameters(), image_side=side)))
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:] == [3, 227, 227]


def test_a_whole_checkpoint_of_plain_values_is_read() -> None:
    inside = saved({"model_state": {"layers": LAYERS, "epoch": 90}, "op": None})
    assert read_cuda_convnet(inside).graph == read_cuda_convnet(saved(LAYERS)).graph


CIFAR: list[dict[str, Any]] = [
    {"name": "data", "type": "data", "inputs": []},
    {
        **{"name": "a", "type": "conv", "inputs": [0], "filters": 4, "channels": 3, "filterSize": 5, "stride": 1},
        **{"padding": -2, "imgSize": 9, "biases": np.ones((4, 1), "f4")},
        "weights": [np.random.default_rng(0).normal(0, 0.01, (75, 4)).astype("f4")],
        "groups": 1,
    },
    {
        **{"name": "b", "type": "pool", "inputs": [1], "pool": "avg", "sizeX": 3, "stride": 2, "start": 0},
        "outputsX": 4,
    },
    {"name": "c", "type": "neuron", "inputs": [2], "neuron": {"type": "logistic", "params": {}}},
]


def test_numbers_outside_of_lists_mean_pooling_and_sigmoids_are_read() -> None:
    x = picture(9)
    as_lists = copy.deepcopy(CIFAR)
    as_lists[1] |= {key: [CIFAR[1][key]] for key in ("channels", "filterSize", "stride", "padding", "groups")}
    wanted = evaluate(as_lists, x)
    computed = run(read_cuda_convnet(saved(CIFAR)), x[None], "a", "b", "c")
    for name, values in zip("abc", computed, strict=True):
        assert_near(values[0], wanted[name])


CHANGES: dict[str, tuple[int, dict[str, Any], str]] = {
    "unknown type": (2, {"type": "local"}, "'b' .* type 'local', which decaf does not know"),
    "unknown neuron": (3, {"neuron": {"type": "tanh[1,2]"}}, "'c' .* neurons of the type"),
    "no neuron": (3, {"neuron": None}, "'c' .* does not tell its neurons"),
    "two inputs": (3, {"inputs": [1, 2]}, "'c' .* does not have 1 input"),
    "an input after it": (1, {"inputs": [3]}, "'a' .* takes layer 3, which is not before it"),
    "an input that is no number": (1, {"inputs": ["0"]}, "'a' .* does not have 1 input"),
    "another matrix": (1, {"weights": [np.ones((75, 5), "f4")]}, r"'a' .* needs one matrix of weights, \(75, 4\)"),
    "two matrices": (1, {"weights": CIFAR[1]["weights"] * 2}, "'a' .* needs one matrix"),
    "no matrix": (1, {"weights": [[1.0]]}, "'a' .* needs one matrix"),
    "no biases": (1, {"biases": None}, "'a' .* has no biases"),
    "other biases": (1, {"biases": np.ones(5, "f4")}, r"'a.bias' has shape \(5,\)"),
    "weights that are not finite": (1, {"weights": [np.full((75, 4), np.nan, "f4")]}, "'a.weight' .* not finite"),
    "no stride": (1, {"stride": None}, "'a' .* no usable stride"),
    "stride of zero": (1, {"stride": 0}, "'a' .* no usable stride"),
    "stride of true": (1, {"stride": True}, "'a' .* no usable stride"),
    "endless kernels": (1, {"filterSize": 2**40}, "'a' .* no usable filterSize"),
    "padding that cuts": (1, {"padding": 2}, "'a' .* no usable padding"),
    "padding beyond the kernel": (1, {"padding": -5}, "'a' .* pads by more"),
    "biases per position": (1, {"sharedBiases": 0}, "'a' .* a bias per position"),
    "huge groups": (1, {"groups": 2**30}, "'a'"),
    "another side": (2, {"outputsX": 5}, "'b' .* makes maps of 4 px here, its file says 5"),
    "pooling from outside": (2, {"start": -1}, "'b' .* pools in a way"),
    "pooling of another kind": (2, {"pool": "rand"}, "'b' .* pools in a way"),
    "windows larger than the picture": (2, {"sizeX": 100}, "'b'"),
    "even normalisation": (2, {"type": "cmrnorm", "size": 4, "scale": 1.0, "pow": 0.75}, "odd number"),
    "normalisation in blocks": (2, {"type": "cmrnorm", "blocked": 1}, "'b' .* in blocks"),
    "power that is not a number": (2, {"type": "cmrnorm", "size": 5, "scale": 1.0, "pow": "1"}, "no usable pow"),
    "scale that is not finite": (2, {"type": "cmrnorm", "size": 5, "scale": float("nan"), "pow": 1}, "usable scale"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_layer_that_does_not_fit_is_refused_by_name(change: str) -> None:
    index, values, message = CHANGES[change]
    layers = copy.deepcopy(CIFAR)
    layers[index] |= values
    with pytest.raises(NetError, match=message) as caught:
        read_cuda_convnet(saved(layers))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [[], {}, 7, [7], [{}], [{"name": "a"}], [{"name": "", "type": "conv"}], {"layers": "a"}, CIFAR[:1]],
    ids=repr,
)
def test_what_is_no_network_is_refused(value: Any) -> None:
    with pytest.raises(NetError, match="no cuda-convnet network"):
        read_cuda_convnet(saved(value))


def test_two_layers_of_one_name_are_refused() -> None:
    with pytest.raises(NetError):
        read_cuda_convnet(saved([*CIFAR[:3], CIFAR[3] | {"name": "b"}]))


def test_a_meta_file_tells_labels_and_the_mean_image() -> None:
    mean = np.random.default_rng(0).uniform(0, 255, (3, 4, 4)).astype(np.float32)
    for stored in (mean.reshape(-1, 1), mean.reshape(-1), mean.astype(np.float64)):
        meta = read_meta(saved({"label_names": ["owl", "gull"], "data_mean": stored, "num_vis": 48}))
        assert meta.labels == ("owl", "gull")
        assert np.array_equal(meta.mean, mean)


def test_a_meta_file_may_tell_either() -> None:
    assert read_meta(saved({"label_names": ["owl"]})) == (("owl",), None)
    assert read_meta(saved({"data_mean": np.zeros(12)})).labels == ()


@pytest.mark.parametrize(
    "value",
    [
        *([], {"labels": []}, {"label_names": "owl"}, {"label_names": [1]}, {"data_mean": [1.0]}),
        *({"data_mean": np.zeros(13)}, {"data_mean": np.zeros(0)}, {"data_mean": np.full(12, np.inf)}),
    ],
    ids=repr,
)
def test_another_meta_file_is_refused(value: Any) -> None:
    with pytest.raises(NetError, match="meta file"):
        read_meta(saved(value))
