"""Graphs on their way to eight bits: any file becomes what a quantiser takes, and keeps its layers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from decaf.engines.quantiser import calibrate, quantisable
from decaf.errors import NetError
from decaf.nets.net import Net, net_of
from decaf.nets.quantised import in_order_of, is_quantised, ready, weighing_nodes

PREPROCESS = "size=8,mean=127,std=128"


def old_file(opset: int, ir_version: int) -> Net:
    """As exporters wrote it: nodes without names, a parameter made by a node, others inputs as well."""
    random = np.random.default_rng(0)
    kernels, matrix = random.normal(0, 0.3, (4, 3, 3, 3)), random.normal(0, 0.3, (4, 5))
    made = numpy_helper.from_array(kernels.astype(np.float32), "inner")
    nodes = [
        helper.make_node("Constant", [], ["kernels"], value=made),
        helper.make_node("Conv", ["pixels", "kernels"], ["conv"]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["vector"]),
        helper.make_node("MatMul", ["vector", "matrix"], ["scores"]),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])
    declared = helper.make_tensor_value_info("matrix", TensorProto.FLOAT, [4, 5])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 5])
    stored = [numpy_helper.from_array(matrix.astype(np.float32), "matrix")]
    graph = helper.make_graph(nodes, "old", [pixels, declared], [scores], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)
    return net_of(model.SerializeToString(), "old.onnx", "old", PREPROCESS)


def quantised(net: Net) -> Net:
    random = np.random.default_rng(1)
    pictures = [random.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(4)]
    model = calibrate(net, quantisable(net), pictures, "minmax").quantised()
    return net.with_model(model, "made", {})


@pytest.mark.parametrize(("opset", "ir_version"), [(9, 3), (12, 6), (17, 8)])
def test_a_file_of_any_age_keeps_its_layers(opset: int, ir_version: int) -> None:
    net = old_file(opset, ir_version)
    made = quantised(net)
    assert [layer.name for layer in made.layers] == [layer.name for layer in net.layers]
    assert [layer.shape for layer in made.layers] == [layer.shape for layer in net.layers]
    assert not is_quantised(net.model) and is_quantised(made.model)
    onnx.checker.check_model(made.data, full_check=True)


def test_the_networks_own_model_stays_what_it_was() -> None:
    net = old_file(9, 3)
    before = net.model.SerializeToString()
    quantised(net)
    assert net.model.SerializeToString() == before


def test_parameters_and_multiply_adds_are_counted_in_eight_bits_too() -> None:
    net = old_file(17, 8)
    layers = {layer.name: layer for layer in quantised(net).layers}
    assert (layers["conv"].parameters, layers["scores"].parameters) == (108, 20)
    assert (layers["conv"].multiply_adds, layers["scores"].multiply_adds) == (4 * 36 * 27, 20)


def test_layers_whose_parameters_are_computed_are_left_alone() -> None:
    model = ready(old_file(17, 8).model, "old")
    assert [node.output[0] for node in weighing_nodes(model)] == ["conv", "scores"]
    model.graph.node.insert(0, helper.make_node("Neg", ["matrix"], ["negative"]))
    model.graph.node[-1].input[1] = "negative"
    assert [node.output[0] for node in weighing_nodes(model)] == ["conv"]


def test_a_network_without_parameters_has_nothing_to_quantise() -> None:
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, 8, 8])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 1, 1])
    graph = helper.make_graph([helper.make_node("GlobalAveragePool", ["pixels"], ["out"])], "g", [pixels], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    net = net_of(model.SerializeToString(), "bare.onnx", "bare", PREPROCESS)
    with pytest.raises(NetError, match="bare has no convolution or matrix product with stored parameters"):
        quantisable(net)


def test_nodes_come_in_the_order_of_the_first_graph() -> None:
    def graph(*nodes: onnx.NodeProto) -> onnx.ModelProto:
        return helper.make_model(helper.make_graph(list(nodes), "g", [], []))

    first = graph(*(helper.make_node("Relu", [x], [y]) for x, y in ("ab", "bc", "bd", "ce")))
    made = graph(
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Relu", ["b"], ["d"]),
        helper.make_node("Relu", ["n2"], ["e"]),
        helper.make_node("Relu", ["n1"], ["n2"]),
        helper.make_node("Relu", ["c"], ["n1"]),
        helper.make_node("Relu", ["b"], ["c"]),
    )
    in_order_of(first, made)
    assert [node.output[0] for node in made.graph.node] == ["b", "c", "d", "n1", "n2", "e"]


def test_eight_bits_that_end_a_graph_are_a_layer() -> None:
    """Other quantisers round the output as well, and in ONNX Runtime's own operators only the way back is a float."""
    net = quantised(old_file(17, 8))
    model = onnx.ModelProto()
    model.CopyFrom(net.model)
    scale = [name for node in model.graph.node if node.op_type == "QuantizeLinear" for name in node.input[1:]][:2]
    model.graph.node.append(helper.make_node("QuantizeLinear", ["scores", *scale], ["rounded"]))
    model.graph.node.append(helper.make_node("DequantizeLinear", ["rounded", *scale], ["out"]))
    model.graph.output[0].name = "out"
    assert [layer.name for layer in net.with_model(model, "made", {}).layers][-2:] == ["scores", "out"]
