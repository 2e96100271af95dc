"""Published graphs keep what they compute, take any number of pictures, and name a layer to start with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests.light_graphs import published_file

from decaf.engines import make_engine
from decaf.errors import NetError
from decaf.nets.catalogue import image_input
from decaf.nets.net import Net
from decaf.nets.preprocess import Preprocess
from decaf.nets.zoo import caffe2_parameters, features_layer, read_graph

onnxruntime = pytest.importorskip("onnxruntime")

Array = NDArray[np.float32]
HOW = Preprocess(size=224, crop=224, mean=(103.939, 116.779, 123.68), std=(60.0,) * 3, channels="BGR")

# What the zoo's own list gives as features of these networks, an eighth as wide.
FEATURES = {
    "bvlc_alexnet": (512,),
    "densenet121": (128, 1, 1),
    "inception_v1": (128, 1, 1),
    "resnet50": (256, 1, 1),
    "squeezenet": (125, 1, 1),
    "vgg19": (512,),
    "zfnet512": (128,),
}


def pictures(count: int) -> NDArray[np.uint8]:
    """Coarse squares with a little noise."""
    random = np.random.default_rng(0)
    large = random.integers(0, 200, (count, 8, 8, 3)).repeat(28, 1).repeat(28, 2)
    return (large + random.integers(0, 56, large.shape)).astype(np.uint8)


def scaled(batch: NDArray[np.uint8]) -> Array:
    values = (batch[..., ::-1].astype(np.float64) - HOW.mean) / HOW.std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)


def by_onnxruntime(model: onnx.ModelProto, name: str, layers: Sequence[str], batch: Array) -> list[Array]:
    """Layers of pictures computed one by one, from the file as it is published."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    whole.graph.output.extend(onnx.ValueInfoProto(name=layer) for layer in layers if layer not in present)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(whole.SerializeToString(), options, ["CPUExecutionProvider"])
    rows = [session.run(list(layers), {name: one[None]}) for one in batch]
    return [np.concatenate(values) for values in zip(*rows, strict=True)]


def difference(one: Array, other: Array) -> float:
    """Largest difference by largest value."""
    assert one.size == other.size
    return float(np.abs(one.ravel() - other.ravel()).max() / np.abs(other).max())


def net_of(model: onnx.ModelProto) -> Net:
    return Net("light", model.SerializeToString(), HOW, features_layer(model))


def batch_axis(value: onnx.ValueInfoProto) -> str | int:
    first = value.type.tensor_type.shape.dim[0]
    return first.dim_param or first.dim_value


@cache
def published(name: str) -> onnx.ModelProto:
    return published_file(name)


@cache
def adapted(name: str) -> onnx.ModelProto:
    return read_graph(published(name).SerializeToString(), name)


@pytest.mark.parametrize("name", FEATURES)
def test_any_number_of_pictures_gives_what_the_published_file_gives_one_by_one(name: str) -> None:
    torch = pytest.importorskip("torch")
    from decaf.nets.torch_module import OnnxModule

    net = net_of(adapted(name))
    layers = [net.default_layer, net.model.graph.output[0].name]
    batch = pictures(3)
    wanted = by_onnxruntime(published(name), image_input(net.model).name, layers, scaled(batch))
    assert all(difference(values[:1], values[1:2]) > 1e-4 for values in wanted)  # it tells pictures apart
    with torch.no_grad():
        by_torch = OnnxModule(net.model, layers)(torch.from_numpy(scaled(batch)))
    engines = {name: make_engine(net, layers, engine=name, threads=1) for name in ("openvino", "onnxruntime")}
    for index, layer in enumerate(layers):
        assert difference(by_torch[layer].numpy(), wanted[index]) < 1e-4
        for engine in engines.values():
            assert engine.runtime.batch >= 3
            assert difference(engine.run(batch)[index], wanted[index]) < 1e-4


@pytest.mark.parametrize("name", FEATURES)
def test_a_published_graph_is_open_and_starts_with_its_features(name: str) -> None:
    assert batch_axis(image_input(published(name))) == 1
    net = net_of(adapted(name))
    assert batch_axis(image_input(net.model)) == "N"
    assert [batch_axis(value) for value in net.model.graph.output] == ["N"]
    assert net.layer(net.default_layer).shape == FEATURES[name]
    assert all(layer.shape is not None for layer in net.layers)


@pytest.mark.parametrize("name", FEATURES)
def test_names_and_parameters_stay(name: str) -> None:
    before, after = published(name).graph, adapted(name).graph
    assert [list(node.output) for node in after.node] == [list(node.output) for node in before.node]
    kept = {tensor.name: tensor for tensor in after.initializer}
    assert all(kept[tensor.name] == tensor for tensor in before.initializer)
    assert [value.name for value in after.input] == [image_input(published(name)).name]


# Smaller graphs


def graph_file(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str] = (1, 3, 4, 4),
    constants: dict[str, NDArray[np.generic]] | None = None,
    output: Sequence[int] = (1, 48),
) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)
    return bytes(model.SerializeToString())


def reshape(*shape: int) -> bytes:
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Reshape", ["r", "shape"], ["y"])]
    return graph_file(nodes, constants={"shape": np.array(shape)})


@pytest.mark.parametrize("shape", [(1, 48), (1, -1), (-1, 48), (0, -1)])
def test_a_reshape_for_one_picture_serves_several(shape: tuple[int, ...]) -> None:
    model = read_graph(reshape(*shape), "small")
    assert batch_axis(image_input(model)) == "N"
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    batch = np.random.default_rng(0).normal(size=(3, 3, 4, 4)).astype(np.float32)
    (flat,) = session.run(None, {"x": batch})
    assert np.array_equal(flat, np.maximum(batch, 0).reshape(3, 48))


def test_a_shape_written_in_the_graph_is_opened_too() -> None:
    constant = helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(np.array([1, 48])))
    nodes = [constant, helper.make_node("Reshape", ["x", "shape"], ["y"])]
    assert batch_axis(image_input(read_graph(graph_file(nodes), "small"))) == "N"


@pytest.mark.parametrize("nodes", ["mixed", "across"])
def test_a_graph_that_mixes_its_pictures_stays_for_one(nodes: str) -> None:
    if nodes == "mixed":  # 2 rows from 1 picture
        made = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
        data = graph_file(made, constants={"shape": np.array([2, 24])}, output=(2, 24))
    else:  # the mean over all pictures
        data = graph_file([helper.make_node("ReduceMean", ["x"], ["y"], axes=[0])], output=(1, 3, 4, 4))
    model = read_graph(data, "small")
    assert batch_axis(image_input(model)) == 1
    assert [list(node.input) for node in model.graph.node] == [
        list(n.input) for n in onnx.load_from_string(data).graph.node
    ]


def test_a_network_that_wants_its_channels_last_is_given_them_last() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Relu", ["first"], ["r"]),
        helper.make_node("Reshape", ["r", "shape"], ["y"]),
    ]
    model = read_graph(graph_file(nodes, (1, 4, 4, 3), {"shape": np.array([1, 48])}), "small")
    picture = image_input(model)
    assert [batch_axis(picture), *(d.dim_value for d in picture.type.tensor_type.shape.dim[1:])] == ["N", 3, 4, 4]
    batch = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    how = Preprocess(size=4, crop=4, mean=(128.0,) * 3, std=(2.0,) * 3)
    wanted = np.maximum((batch.astype(np.float32) - 128) / 2, 0).transpose(0, 3, 1, 2).reshape(2, 48)
    net = Net("small", model.SerializeToString(), how, "y")
    for engine in ("openvino", "onnxruntime"):
        assert np.array_equal(make_engine(net, ["y"], engine=engine).run(batch)[0], wanted)


@pytest.mark.parametrize("shape", [(1, 3, 3, 3), (1, 3, 4, 5), (1, 1, 4, 4)])
def test_other_inputs_are_left_to_the_catalogue(shape: tuple[int, ...]) -> None:
    data = graph_file([helper.make_node("Relu", ["x"], ["y"])], shape, output=shape)
    if shape == (1, 3, 3, 3):
        assert [node.op_type for node in read_graph(data, "small").graph.node] == ["Relu"]
    else:
        with pytest.raises(NetError, match="the network's input is"):
            read_graph(data, "small")


def test_a_quantised_graph_starts_with_its_output_and_runs_one_picture_at_a_time(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    folder = tmp_path_factory.mktemp("int8")
    onnx.save(onnx.version_converter.convert_version(adapted("bvlc_alexnet"), 13), folder / "f32.onnx")

    class Samples(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = list(scaled(pictures(2)))

        def get_next(self) -> dict[str, Array] | None:
            return {"data_0": self.left.pop()[None]} if self.left else None

    quantization.quantize_static(
        folder / "f32.onnx", folder / "int8.onnx", Samples(), quant_format=quantization.QuantFormat.QOperator
    )
    fixed = onnx.load(folder / "int8.onnx")
    for value in [*fixed.graph.input, *fixed.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    model = read_graph(fixed.SerializeToString(), "int8")
    assert {"QLinearConv", "QGemm"} <= {node.op_type for node in model.graph.node}
    assert features_layer(model) == "prob_1"
    engine = make_engine(net_of(model), ["prob_1"], engine="onnxruntime", threads=1)
    assert engine.runtime.batch == 1
    batch = pictures(1)
    (wanted,) = by_onnxruntime(adapted("bvlc_alexnet"), "data_0", ["prob_1"], scaled(batch))
    assert np.abs(engine.run(batch)[0] - wanted).max() < 0.02


def test_parameters_from_caffe2_get_our_names() -> None:
    file = published("bvlc_alexnet")
    read = caffe2_parameters(file.SerializeToString())
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
    layers = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    assert sorted(read) == sorted(f"{layer}.{part}" for layer in layers for part in ("weight", "bias"))
    assert all(np.array_equal(read[f"{layer}.weight"], stored[f"{layer}_w_0"]) for layer in layers)
    assert all(np.array_equal(read[f"{layer}.bias"], stored[f"{layer}_b_0"]) for layer in layers)
