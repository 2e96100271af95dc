"""The linear classifier of a network: what its own graph computes from the layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper, numpy_helper

from decaf.nets.classifier import linear_classifier
from decaf.nets.net import Net
from decaf.nets.preprocess import Preprocess
from decaf.nets.registry import load_net

W = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
B = np.random.default_rng(1).normal(size=4).astype(np.float32)
CONV = np.random.default_rng(2).normal(size=(6, 3, 8, 8)).astype(np.float32)


def made(*last: onnx.NodeProto, labels: int = 4) -> Net:
    nodes = [helper.make_node("Conv", ["x", "k"], ["conv"]), helper.make_node("Flatten", ["conv"], ["flat"]), *last]
    values = {"k": CONV, "w": W, "wt": np.ascontiguousarray(W.T), "b": B}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    prepared = Preprocess(8, 8, (0, 0, 0), (1, 1, 1))
    return Net("g", model.SerializeToString(), prepared, "flat", tuple(f"class {k}" for k in range(labels)))


FORMS = {
    "Gemm": [helper.make_node("Gemm", ["flat", "w", "b"], ["out"], transB=1)],
    "Gemm, not transposed": [helper.make_node("Gemm", ["flat", "wt", "b"], ["out"])],
    "Gemm without bias": [helper.make_node("Gemm", ["flat", "wt"], ["out"])],
    "MatMul": [helper.make_node("MatMul", ["flat", "wt"], ["out"])],
    "MatMul and Add": [helper.make_node("MatMul", ["flat", "wt"], ["m"]), helper.make_node("Add", ["b", "m"], ["out"])],
    "through Dropout": [
        helper.make_node("Dropout", ["flat"], ["d"]),
        helper.make_node("Gemm", ["d", "w", "b"], ["out"], transB=1),
    ],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layer", ["flat", "conv"])
def test_it_computes_what_the_graph_computes(form: str, layer: str) -> None:
    net = made(*FORMS[form])
    found = linear_classifier(net, layer)
    assert found is not None
    pictures = np.random.default_rng(3).normal(size=(5, 3, 8, 8)).astype(np.float32)
    (scores,) = onnx.reference.ReferenceEvaluator(net.model).run(["out"], {"x": pictures})
    (flat,) = onnx.reference.ReferenceEvaluator(net.model).run(["flat"], {"x": pictures})
    assert flat @ found[0].T + found[1] == pytest.approx(scores, rel=1e-4, abs=1e-4)


def test_where_there_is_none() -> None:
    other = [helper.make_node("Relu", ["flat"], ["r"]), helper.make_node("Gemm", ["r", "w", "b"], ["out"], transB=1)]
    assert linear_classifier(made(*other), "flat") is None, "not linear"
    assert linear_classifier(made(*other), "r") is not None
    assert linear_classifier(made(*FORMS["Gemm"], labels=3), "flat") is None, "another number of classes"
    scaled = helper.make_node("Gemm", ["flat", "w", "b"], ["out"], transB=1, alpha=2.0)
    assert linear_classifier(made(scaled), "flat") is None
    assert linear_classifier(made(*FORMS["Gemm"]), "out") is None, "nothing follows"


def test_the_default_network_has_one_where_its_features_are_taken() -> None:
    net = load_net("efficientnet-lite0")
    found = linear_classifier(net, net.default_layer)
    assert found is not None and found[0].shape == (1000, 1280)
    assert linear_classifier(replace(net, labels=()), "pool") is None
    assert linear_classifier(net, "block16") is None
