"""Caffe's files become the networks they describe; the real LeNet by a decoder and an evaluation of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.nets.caffe_files import (
    Array,
    blob,
    caffemodel,
    decoded_arrays,
    encoded_layer,
    field,
    layer,
    random,
    run,
    text,
)

from decaf.errors import NetError
from decaf.nets.catalogue import read_layers
from decaf.nets.families.alexnet import ALEXNET, CAFFENET
from decaf.nets.fill import he, seeded, zeros
from decaf.nets.preprocess import Preprocess, parse_preprocess
from decaf.nets.readers.caffe import caffe_parameters, read_binaryproto, read_caffe

CONVOLUTION = "convolution_param { num_output: 6 kernel_size: 3 }"
POINT = "convolution_param { num_output: 6 kernel_size: 1 }"
GLOBAL = "pooling_param { pool: AVE global_pooling: true }"
PRODUCT = "inner_product_param { num_output: 5 }"
IN_PLACE = (
    layer("conv1", "Convolution", CONVOLUTION),
    layer("relu1", "ReLU", bottom="conv1", top="conv1"),
    layer("fc6", "InnerProduct", PRODUCT, bottom="conv1"),
    layer("relu6", "ReLU", bottom="fc6", top="fc6"),
    layer("drop6", "Dropout", bottom="fc6", top="fc6"),
    layer("fc7", "InnerProduct", PRODUCT, bottom="fc6"),
)
PARAMETERS = {
    "conv1.weight": random(6, 4, 3, 3),
    "conv1.bias": random(6),
    "fc6.weight": random(5, 6 * 49),
    "fc6.bias": random(5),
    "fc7.weight": random(5, 5),
    "fc7.bias": random(5),
}


@pytest.fixture
def real_files(real_data: Path) -> Path:
    return real_data / "fixtures" / "caffe"


def said(model: onnx.ModelProto) -> dict[str, Any]:
    return {prop.key.removeprefix("decaf."): json.loads(prop.value) for prop in model.metadata_props}


def aliases(model: onnx.ModelProto) -> dict[str, str]:
    return dict(said(model)["aliases"])


def tensors(model: onnx.ModelProto) -> list[str]:
    return [node.output[0] for node in model.graph.node]


def test_the_real_lenet_agrees_with_an_evaluation_of_its_own(real_files: Path) -> None:
    data = (real_files / "lenet_iter_10000.caffemodel").read_bytes()
    arrays = decoded_arrays(data)
    x = np.random.default_rng(0).random((4, 1, 28, 28), dtype=np.float32)
    expected = x
    for name in ("conv1", "conv2"):
        weight, bias = arrays[name]
        windows = np.lib.stride_tricks.sliding_window_view(expected, weight.shape[2:], axis=(2, 3))
        made = np.einsum("ncijkl,fckl->nfij", windows, weight, optimize=True) + bias[:, None, None]
        n, filters, side, _ = made.shape
        expected = made.reshape(n, filters, side // 2, 2, side // 2, 2).max((3, 5))
    hidden = np.maximum(expected.reshape(4, -1) @ arrays["ip1"][0].T + arrays["ip1"][1], 0)
    powers = np.exp(hidden @ arrays["ip2"][0].T + arrays["ip2"][1])
    model = read_caffe((real_files / "lenet.prototxt").read_bytes(), data)
    relu1, prob = run(model, x, "relu1", "prob")
    np.testing.assert_allclose(relu1, hidden, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(prob, powers / powers.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)


def test_the_real_parameters_are_those_of_a_decoder_in_ten_lines(real_files: Path) -> None:
    data = (real_files / "lenet_iter_10000.caffemodel").read_bytes()
    found, decoded = caffe_parameters(data), decoded_arrays(data)
    assert sum(array.size for array in found.values()) == 431_080  # LeNet's, as published
    for name in ("conv1", "conv2", "ip1", "ip2"):
        np.testing.assert_array_equal(found[f"{name}.weight"], decoded[name][0])
        np.testing.assert_array_equal(found[f"{name}.bias"], decoded[name][1])


def test_the_real_mean_image_is_that_of_numpy(real_files: Path) -> None:
    mean = read_binaryproto((real_files / "imagenet_mean.binaryproto").read_bytes())
    np.testing.assert_array_equal(mean, np.load(real_files / "ilsvrc_2012_mean_bgr_chw.npy"))


ZOO = {"alexnet": ALEXNET, "reference_caffenet": CAFFENET}


@pytest.mark.parametrize("kind", ["deploy", "train_val"])
@pytest.mark.parametrize("net", ZOO)
def test_the_networks_of_the_zoo_are_those_decaf_writes_itself(net: str, kind: str, real_files: Path) -> None:
    prototxt = (real_files / f"models_bvlc_{net}_{kind}.prototxt").read_bytes()
    found, built = read_caffe(prototxt, parameters=zeros), ZOO[net].build(zeros, {})
    assert list(found.graph.node) == list(built.graph.node)
    assert found.graph.input == built.graph.input
    assert found.graph.output == built.graph.output
    shapes = [[(tensor.name, tuple(tensor.dims)) for tensor in model.graph.initializer] for model in (found, built)]
    assert shapes[0] == shapes[1]
    assert read_layers(found, {}) == read_layers(built, {})
    assert sum(layer.parameters for layer in read_layers(found, {})) == 60_965_224
    assert aliases(found) == {"drop6": "relu6", "drop7": "relu7"} | ({"loss": "prob"} if kind == "train_val" else {})


def test_a_caffenet_from_a_file_of_either_format_has_the_features_of_the_one_decaf_writes(real_files: Path) -> None:
    drawn: dict[str, Array] = {}
    numbers = random(99_991) / 64

    def source(name: str, shape: tuple[int, ...]) -> Array:
        drawn[name] = np.resize(np.roll(numbers, len(drawn)), shape)
        return drawn[name]

    x = 100 * random(1, 3, 227, 227)
    layers = ("pool5", "fc6", "relu7")
    expected = run(CAFFENET.build(source, {}), x, *layers)
    assert all(values.std() > 0 for values in expected)
    prototxt = (real_files / "models_bvlc_reference_caffenet_deploy.prototxt").read_bytes()
    model = read_caffe(prototxt, caffemodel(drawn, old=True))
    assert model == read_caffe(prototxt, caffemodel(drawn))
    for ours, theirs in zip(run(model, x, *layers), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_layers_that_overwrite_a_blob_keep_their_own_names() -> None:
    model = read_caffe(text(*IN_PLACE), caffemodel(PARAMETERS))
    assert tensors(model) == ["conv1", "relu1", "fc6.flatten", "fc6", "relu6", "fc7"]
    assert aliases(model) == {"drop6": "relu6"}
    fc6, relu6, fc7 = run(model, random(2, 4, 9, 9), "fc6", "relu6", "fc7")
    assert fc6.min() < 0
    np.testing.assert_array_equal(relu6, np.maximum(fc6, 0))
    np.testing.assert_allclose(fc7, relu6 @ PARAMETERS["fc7.weight"].T + PARAMETERS["fc7.bias"], rtol=1e-4, atol=1e-4)


def test_a_blob_that_is_not_called_as_its_layer_is_an_alias() -> None:
    split = 'layer { name: "s" type: "Split" bottom: "half" top: "a" top: "b" }'
    after = layer("end", "Sigmoid", bottom="b")
    model = read_caffe(text(layer("r", "ReLU", top="half"), split, after), parameters=zeros)
    assert tensors(model) == ["r", "end"]
    assert aliases(model) == {"half": "r", "s": "r", "a": "r", "b": "r"}


def test_of_several_losses_none_is_the_probability() -> None:
    losses = [layer(name, "SoftmaxWithLoss") for name in ("loss1", "loss2")]
    assert tensors(read_caffe(text(*losses), parameters=zeros)) == ["loss1", "loss2"]
    taken = layer("prob", "Sigmoid")
    assert tensors(read_caffe(text(taken, losses[0]), parameters=zeros)) == ["prob", "loss1"]


@pytest.mark.parametrize("old", [True, False], ids=["V1", "V2"])
def test_files_of_both_formats_hold_the_same_parameters(old: bool) -> None:
    found = caffe_parameters(caffemodel(PARAMETERS, old))
    assert found.keys() == PARAMETERS.keys()
    for name, array in PARAMETERS.items():
        np.testing.assert_array_equal(found[name], array)


def test_the_text_of_a_v1_network_is_that_of_a_v2_network() -> None:
    v1 = (
        'name: "small" input: "data" input_dim: 1 input_dim: 4 input_dim: 9 input_dim: 9'
        ' layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2'
        f" {CONVOLUTION} }}"
        ' layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }'
        f' layers {{ name: "fc6" type: INNER_PRODUCT bottom: "conv1" top: "fc6" {PRODUCT} }}'
        ' layers { name: "relu6" type: RELU bottom: "fc6" top: "fc6" }'
        ' layers { name: "drop6" type: DROPOUT bottom: "fc6" top: "fc6" dropout_param { dropout_ratio: 0.9 } }'
        f' layers {{ name: "fc7" type: INNER_PRODUCT bottom: "fc6" top: "fc7" {PRODUCT} }}'
    ).encode()
    new = read_caffe(text(*IN_PLACE), caffemodel(PARAMETERS))
    assert read_caffe(v1, caffemodel(PARAMETERS, old=True)) == new


def test_doubles_and_numbers_in_pieces_are_read() -> None:
    array = random(2, 3)
    shape = field(7, field(1, bytes(array.shape)))
    values = array.astype("<f4").tobytes()
    pieces = field(5, values[:8]) + field(5, values[8:]) + shape
    doubles = field(8, array.astype("<f8").tobytes()) + shape
    for data in (pieces, doubles):
        model = field(100, field(1, "x") + field(2, "InnerProduct") + field(7, data))
        np.testing.assert_array_equal(caffe_parameters(model)["x.weight"], array)


def test_a_caffemodel_alone_is_the_network_it_was_trained_in() -> None:
    data = field(1, "data") + field(2, "Data") + field(4, "data") + field(4, "label") + field(8, field(1, 0))
    data += field(100, field(3, 9))  # crop_size, in the phase TRAIN
    wired = field(3, "data") + field(4, "ip")
    loss = field(1, "loss") + field(2, "SoftmaxWithLoss") + field(3, "ip") + field(3, "label") + field(4, "loss")
    product = encoded_layer("ip", "InnerProduct", [random(5, 243), random(5)], wired + field(117, field(1, 5)))
    model = read_caffe(None, field(100, data) + product + field(100, loss))
    assert tensors(model) == ["ip.flatten", "ip", "prob"]
    (prob,) = run(model, random(2, 3, 9, 9))
    np.testing.assert_allclose(prob.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("rules", "there"),
    [
        ("include { phase: TEST }", True),
        ("include { phase: TRAIN }", False),
        ("include { phase: TRAIN } include { phase: TEST }", True),
        ("include { min_level: 1 }", False),
        ("include { max_level: 0 }", True),
        ("include { stage: 'deploy' }", False),
        ("include { not_stage: 'deploy' }", True),
        ("exclude { phase: TEST }", False),
        ("exclude { phase: TRAIN }", True),
        ("exclude { phase: TEST stage: 'deploy' }", True),
    ],
)
def test_rules_decide_which_layers_are_there_at_test_time(rules: str, there: bool) -> None:
    model = read_caffe(text(layer("first", "ReLU"), layer("second", "ReLU", rules)), parameters=zeros)
    assert tensors(model) == ["first", "second"][: 1 + there]


@pytest.mark.parametrize(
    "feed",
    [
        'input: "data" input_shape { dim: 1 dim: 3 dim: 5 dim: 5 }',
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 5 input_dim: 5',
        'layer { name: "d" type: "ImageData" top: "data" top: "label" transform_param { crop_size: 5 } }',
        'layers { name: "d" type: DATA top: "data" top: "label" data_param { crop_size: 5 } }',
        'layer { name: "d" type: "MemoryData" top: "data" memory_data_param { channels: 3 height: 5 width: 5 } }',
        'layer { name: "d" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 3 dim: 5 dim: 5 } } }',
        'layer { name: "d" type: "DummyData" top: "data" dummy_data_param { num: 1 channels: 3 height: 5 width: 5 } }',
    ],
)
def test_the_size_of_the_picture_is_found_wherever_it_stands(feed: str) -> None:
    rest = layer("r", "ReLU") if "layers" not in feed else 'layers { name: "r" type: RELU bottom: "data" top: "r" }'
    model = read_caffe(f"{feed} {rest}".encode(), parameters=zeros)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_value for side in shape][1:] == [3, 5, 5]


def test_random_parameters_and_any_other_source_can_be_poured_in() -> None:
    parameters = seeded(1, he)
    model = read_caffe(text(*IN_PLACE), parameters=parameters)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    np.testing.assert_array_equal(stored["fc7.weight"], parameters("fc7.weight", (5, 5)))


def without(name: str) -> dict[str, Array]:
    return {key: value for key, value in PARAMETERS.items() if not key.startswith(name)}


@pytest.mark.parametrize(
    ("prototxt", "model", "named"),
    [
        (text(*IN_PLACE), None, "name its caffemodel"),
        (text(*IN_PLACE), caffemodel(without("fc7")), "'fc7.weight'"),
        (text(*IN_PLACE), caffemodel(PARAMETERS | {"fc7.weight": random(4, 5)}), "(4, 5)"),
        (text(*IN_PLACE[:1], *IN_PLACE[2:4], *IN_PLACE[3:]), caffemodel(PARAMETERS), "two layers are called 'relu6'"),
        (text(layer("data", "ReLU")), b"", "the caffemodel holds no layers"),
        (text(layer("data", "ReLU")), caffemodel(PARAMETERS), "two layers are called 'data'"),
        (text(layer("r", "ReLU", bottom="nowhere")), caffemodel(PARAMETERS), "'nowhere'"),
        (text(), caffemodel(PARAMETERS), "computes nothing"),
        (b"", caffemodel(PARAMETERS), "holds no layers"),
        (b'net: "train_val.prototxt" base_lr: 0.01', caffemodel(PARAMETERS), "a solver"),
        (b"\xff\xfe\x00", caffemodel(PARAMETERS), "not a text"),
        (b"layer {", caffemodel(PARAMETERS), "cannot be read"),
        (b'layers { layer { name: "conv1" type: "conv" } }', caffemodel(PARAMETERS), "upgrade_net_proto_text"),
        (None, field(2, field(1, field(1, "conv1"))), "upgrade_net_proto_binary"),
        (b'layers { name: "a" type: RELU } layer { name: "b" type: "ReLU" }', caffemodel(PARAMETERS), "both"),
        (b'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }', caffemodel(PARAMETERS), "no input"),
        (b'layer { name: "d" type: "Data" top: "data" }', caffemodel(PARAMETERS), "how large"),
        (b'input: "data" input_dim: 3 layer { name: "r" type: "ReLU" }', caffemodel(PARAMETERS), "the shape (3,)"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(prototxt: bytes | None, model: bytes | None, named: str) -> None:
    with pytest.raises(NetError) as caught:
        read_caffe(prototxt, model)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def colour(transform: str, *layers: str) -> bytes:
    feed = f'layer {{ name: "d" type: "Data" top: "data" transform_param {{ crop_size: 9 {transform} }} }}'
    return "\n".join([feed, *layers]).encode()


@pytest.mark.parametrize(
    ("transform", "rule"),
    [
        ("", "caffe"),
        ("mirror: true mean_value: 104 mean_value: 117 mean_value: 123", "caffe,mean=104/117/123"),
        ("mean_value: 127 scale: 0.0078125", "caffe,mean=127,std=128"),
    ],
)
def test_pictures_are_prepared_as_the_data_layer_says(transform: str, rule: str) -> None:
    model = read_caffe(colour(transform, layer("r", "ReLU")), parameters=zeros)
    assert Preprocess.from_dict(said(model)["preprocess"]) == parse_preprocess(rule, 9)


def test_a_network_of_grey_pictures_says_nothing_of_colours() -> None:
    assert "preprocess" not in said(read_caffe(text(layer("r", "ReLU")), parameters=zeros))


@pytest.mark.parametrize("transform", ["scale: 0", "scale: nan", "mean_value: inf", "mean_value: 1 mean_value: 2"])
def test_a_preparation_that_makes_no_picture_is_refused(transform: str) -> None:
    with pytest.raises(NetError):
        read_caffe(colour(transform, layer("r", "ReLU")), parameters=zeros)


@pytest.mark.parametrize(
    ("layers", "default"),
    [
        ((layer("fc", "InnerProduct", PRODUCT),), "fc"),
        (
            (layer("r", "ReLU"), layer("fc", "InnerProduct", PRODUCT, bottom="r"), layer("p", "Softmax", bottom="fc")),
            "r",
        ),
        (IN_PLACE, "relu6"),
        ((layer("r", "ReLU"), layer("s", "Sigmoid", bottom="r")), "s"),
        ((layer("p", "Pooling", GLOBAL), layer("conv", "Convolution", POINT, bottom="p")), "p"),
        ((layer("conv", "Convolution", POINT), layer("p", "Pooling", GLOBAL, bottom="conv")), "p"),
    ],
)
def test_the_default_layer_is_what_the_classifier_reads(layers: tuple[str, ...], default: str) -> None:
    assert said(read_caffe(text(*layers), parameters=zeros))["default_layer"] == default


def test_a_mean_image_is_named_as_it_lies(tmp_path: Path) -> None:
    mean = random(3, 8, 8)
    (tmp_path / "mean.binaryproto").write_bytes(blob(mean, old=True))
    chosen = parse_preprocess(f"caffe,size=8,mean={tmp_path}/mean.binaryproto", 8)
    assert chosen.mean_image is not None
    np.testing.assert_array_equal(chosen.mean_image.values, mean.transpose(1, 2, 0))


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 3, 4, 4)])
def test_a_mean_image_loses_its_batch_axis(shape: tuple[int, ...]) -> None:
    mean = random(*shape)
    for old in (True, False):
        np.testing.assert_array_equal(read_binaryproto(blob(mean, old)), mean.reshape(3, 4, 4))


def test_a_mean_image_of_another_shape_is_refused() -> None:
    for array in (random(2, 3, 4, 4), random(5)):
        with pytest.raises(NetError, match="mean image"):
            read_binaryproto(blob(array))
