"""The layers of a graph: names, kinds, shapes, parameters, multiply-adds."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from decaf.errors import NetError
from decaf.nets.catalogue import Layer, image_input, input_side, read_layers
from decaf.nets.net import Net
from decaf.nets.readers.torch_pickle import read_legacy_checkpoint
from decaf.nets.registry import REGISTRY

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
CHANNELS = (16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320)


def graph(
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, Any] | None = None,
    inputs: Sequence[onnx.ValueInfoProto] | None = None,
) -> onnx.ModelProto:
    picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])
    last = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()]
    built = helper.make_graph(nodes, "graph", inputs or [picture], [last], initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("example.org", 1)]
    return helper.make_model(built, opset_imports=opsets, ir_version=9)


def ones(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


def only(model: onnx.ModelProto) -> Layer:
    (layer,) = read_layers(model, {})
    return layer


# The default network


def test_lite0_has_the_parameters_of_its_published_file(lite0: Net) -> None:
    assert sum(layer.parameters for layer in lite0.layers) == 4_652_008


def test_lite0_has_the_multiply_adds_that_a_count_from_its_file_gives(lite0: Net) -> None:
    path = REGISTRY["efficientnet-lite0"].parameter_file
    assert path is not None
    weights = {name: value.size for name, value in read_legacy_checkpoint(path.read_bytes()).items()}
    side = 112
    wanted = weights["_conv_stem.weight"] * side**2
    for block, stride in enumerate(STRIDES):
        wanted += weights.get(f"_blocks.{block}._expand_conv.weight", 0) * side**2
        side //= stride
        wanted += weights[f"_blocks.{block}._depthwise_conv.weight"] * side**2
        wanted += weights[f"_blocks.{block}._project_conv.weight"] * side**2
    wanted += weights["_conv_head.weight"] * side**2 + weights["_fc.weight"]
    assert side == 7
    assert sum(layer.multiply_adds for layer in lite0.layers) == wanted == 385_187_552


def test_lite0_has_the_layers_people_know(lite0: Net) -> None:
    names = [layer.name for layer in lite0.layers]
    known = ["stem", *(f"block{number}" for number in range(1, 17)), "head", "pool", "fc", "prob"]
    assert [name for name in names if name in known] == known
    assert len(names) == len(set(names)) == 144
    assert names[-1] == "prob"


def test_lite0_layers_have_the_known_shapes(lite0: Net) -> None:
    shapes = {layer.name: layer.shape for layer in lite0.layers}
    side = 112
    for number, (stride, channels) in enumerate(zip(STRIDES, CHANNELS, strict=True), start=1):
        side //= stride
        assert shapes[f"block{number}"] == (channels, side, side)
    assert shapes["stem"] == (32, 112, 112)
    assert shapes["head"] == (1280, 7, 7)
    assert shapes["pool"] == (1280,)
    assert shapes["fc"] == shapes["prob"] == (1000,)


@pytest.mark.parametrize("number", [1, 2, 4, 6, 9, 12, 16])
def test_the_projection_of_a_block_without_a_skip_is_another_name_of_the_block(lite0: Net, number: int) -> None:
    assert lite0.layer(f"block{number}.project") is lite0.layer(f"block{number}")
    assert lite0.layer(f"block{number}").kind == "BatchNormalization"


@pytest.mark.parametrize("number", [3, 5, 7, 8, 10, 11, 13, 14, 15])
def test_the_projection_of_a_block_with_a_skip_is_a_layer_of_its_own(lite0: Net, number: int) -> None:
    assert lite0.layer(f"block{number}.project").name == f"block{number}.project"
    assert lite0.layer(f"block{number}").kind == "Add"


def test_no_two_layers_share_a_name_or_an_alias(lite0: Net) -> None:
    names = [name for layer in lite0.layers for name in (layer.name, *layer.aliases)]
    assert len(names) == len(set(names))


def test_a_layer_becomes_plain_values(lite0: Net) -> None:
    values = json.loads(json.dumps(lite0.layer("block1").to_dict()))
    assert values == {
        "name": "block1",
        "kind": "BatchNormalization",
        "shape": [16, 112, 112],
        "parameters": 32,
        "multiply_adds": 0,
        "aliases": ["block1.project"],
    }


# Any graph


def test_parameters_of_a_normalisation_are_its_scale_and_offset() -> None:
    statistics = {name: ones(3) for name in "sbmv"}
    assert only(graph([helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y"])], statistics)).parameters == 6


def test_bounds_and_shapes_are_no_parameters() -> None:
    clip = helper.make_node("Clip", ["x", "low", "high"], ["y"])
    assert only(graph([clip], {"low": np.float32(0), "high": np.float32(6)})).parameters == 0
    reshape = helper.make_node("Reshape", ["x", "shape"], ["y"])
    assert only(graph([reshape], {"shape": np.array([0, -1])})).parameters == 0


@pytest.mark.parametrize(
    ("node", "weights", "shape", "parameters", "multiply_adds"),
    [
        (
            helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1] * 4),
            {"w": ones(5, 3, 3, 3), "b": ones(5)},
            (5, 8, 8), 140, 5 * 64 * 27,
        ),
        (
            helper.make_node("Conv", ["x", "w"], ["y"], group=3, strides=[2, 2]),
            {"w": ones(6, 1, 2, 4)},
            (6, 4, 3), 48, 6 * 12 * 8,
        ),
        (
            helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]),
            {"w": ones(3, 5, 2, 2)},
            (5, 16, 16), 60, 3 * 64 * 5 * 4,
        ),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": ones(8, 7)}, (3, 8, 7), 56, 3 * 8 * 7 * 8),
        (helper.make_node("Relu", ["x"], ["y"]), {}, (3, 8, 8), 0, 0),
    ],
    ids=["convolution", "grouped", "transposed", "product", "rectifier"],
)  # fmt: skip
def test_shape_parameters_and_multiply_adds_follow_their_definition(
    node: onnx.NodeProto, weights: dict[str, Any], shape: tuple[int, ...], parameters: int, multiply_adds: int
) -> None:
    layer = only(graph([node], weights))
    assert (layer.shape, layer.parameters, layer.multiply_adds) == (shape, parameters, multiply_adds)
    assert layer.size == math.prod(shape)


@pytest.mark.parametrize(("transposed", "shape"), [(0, (192, 10)), (1, (10, 192))])
def test_a_linear_layer_counts_the_same_however_its_weights_lie(transposed: int, shape: tuple[int, int]) -> None:
    flat = helper.make_node("Flatten", ["x"], ["flat"])
    linear = helper.make_node("Gemm", ["flat", "w", "b"], ["y"], transB=transposed)
    layer = read_layers(graph([flat, linear], {"w": ones(*shape), "b": ones(10)}), {})[-1]
    assert (layer.shape, layer.parameters, layer.multiply_adds) == ((10,), 1930, 1920)


def test_multiply_adds_of_large_weights_equal_those_of_small_ones() -> None:
    flat = helper.make_node("Flatten", ["x"], ["flat"])
    linear = helper.make_node("Gemm", ["flat", "w"], ["y"])
    counted = [read_layers(graph([flat, linear], {"w": ones(192, n)}), {})[-1].multiply_adds for n in (1, 1000)]
    assert counted == [192, 192_000]


def test_layers_are_what_depends_on_the_picture_and_holds_fractions() -> None:
    nodes = [
        helper.make_node("Relu", ["w"], ["aside"]),
        helper.make_node("Relu", ["x"], ["first"]),
        helper.make_node("Shape", ["first"], ["sides"]),
        helper.make_node("Add", ["first", "aside"], ["second"]),
        helper.make_node("Dropout", ["second"], ["third", "mask"]),
    ]
    layers = read_layers(graph(nodes, {"w": ones(8)}), {})
    assert [layer.name for layer in layers] == ["first", "second", "third"]


def test_weights_listed_among_the_inputs_are_no_inputs() -> None:
    inputs = [
        helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3, 1, 1]),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8]),
    ]
    model = graph([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": ones(4, 3, 1, 1)}, inputs)
    assert image_input(model).name == "x"
    assert input_side(model) == 8
    assert only(model).parameters == 12


def test_the_names_of_nodes_are_names_of_their_layers() -> None:
    model = graph([helper.make_node("Relu", ["x"], ["t1"], name="relu1"), helper.make_node("Relu", ["t1"], ["t2"])])
    assert [layer.aliases for layer in read_layers(model, {"last": "t2", "also": "t1"})] == [
        ("also", "relu1"),
        ("last",),
    ]


def test_an_alias_never_hides_a_layer() -> None:
    model = graph([helper.make_node("Relu", ["x"], ["a"], name="b"), helper.make_node("Relu", ["a"], ["b"], name="a")])
    assert [(layer.name, layer.aliases) for layer in read_layers(model, {"a": "b"})] == [("a", ()), ("b", ())]


def test_the_shape_of_a_layer_that_the_graph_leaves_open_is_unknown() -> None:
    model = graph([helper.make_node("Own", ["x"], ["y"], domain="example.org")])
    layer = only(model)
    assert layer.shape is None
    with pytest.raises(NetError, match="'y' is not fixed"):
        _ = layer.size


def test_a_side_that_depends_on_the_picture_is_unknown() -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["where"]), helper.make_node("Cast", ["where"], ["y"], to=1)]
    assert read_layers(graph(nodes), {})[-1].shape is None


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (TensorProto.FLOAT, ["N", 3, 8, 9]),
        (TensorProto.FLOAT, ["N", 3, "H", "W"]),
        (TensorProto.FLOAT, ["N", 1, 8, 8]),
        (TensorProto.FLOAT, ["N", 8, 8, 3]),
        (TensorProto.FLOAT, [3, 8, 8]),
        (TensorProto.FLOAT, ["N", 3, 0, 0]),
        (TensorProto.FLOAT, None),
        (TensorProto.INT64, ["N", 3, 8, 8]),
        (TensorProto.UINT8, ["N", 3, 8, 8]),
    ],
    ids=str,
)
def test_an_input_that_is_not_a_square_picture_of_fractions_is_refused(kind: int, shape: list[Any] | None) -> None:
    given = helper.make_tensor_value_info("x", kind, shape)
    with pytest.raises(NetError, match="input is x"):
        image_input(graph([helper.make_node("Identity", ["x"], ["y"])], inputs=[given]))


def test_a_graph_with_two_inputs_is_refused_by_their_names() -> None:
    both = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 8, 8]) for name in ("left", "right")]
    with pytest.raises(NetError, match=r"left .*right"):
        image_input(graph([helper.make_node("Add", ["left", "right"], ["y"])], inputs=both))
