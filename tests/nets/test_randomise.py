"""Random parameters for any ONNX file: weights are drawn, what is no weight stays."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import decaf
from decaf.errors import NetError
from decaf.nets.net import Net, net_of
from decaf.nets.randomise import randomised
from decaf.nets.registry import load_net

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
HOW = "size=224,mean=127,std=64"


def values(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def small() -> onnx.ModelProto:
    """One of each: convolution, normalisation, factor, transposed convolution, both kinds of matrix."""
    random = np.random.default_rng(0)
    given = {
        "c.w": random.normal(size=(6, 3, 3, 3)),
        "c.b": random.normal(size=6),
        "n.scale": random.normal(size=6),
        "n.bias": random.normal(size=6),
        "n.mean": random.normal(size=6),
        "n.var": random.uniform(1, 2, 6),
        "factor": np.array([0.125]),
        "t.w": random.normal(size=(6, 2, 2, 2)),
        "g.w": random.normal(size=(50, 4 * 16 * 16)),
        "g.b": random.normal(size=50),
        "m.w": random.normal(size=(50, 40)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "c.w", "c.b"], ["c"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["c", "n.scale", "n.bias", "n.mean", "n.var"], ["n"]),
        helper.make_node("Mul", ["n", "factor"], ["f"]),
        helper.make_node("ConvTranspose", ["f", "t.w"], ["t"], strides=[2, 2], group=2),
        helper.make_node("Flatten", ["t"], ["flat"]),
        helper.make_node("Gemm", ["flat", "g.w", "g.b"], ["g"], transB=1),
        helper.make_node("MatMul", ["g", "m.w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 40])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in given.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_each_weight_is_drawn_by_its_fan_in_and_normalisation_is_the_identity() -> None:
    before, after = values(small()), values(randomised(small(), 3))
    assert list(before) == sorted(after, key=list(before).index)
    fans = {"c.w": 27, "t.w": 12, "g.w": 1024, "m.w": 50}
    for name, fan in fans.items():
        assert after[name].shape == before[name].shape and not np.array_equal(after[name], before[name])
        spread = after[name].std() / math.sqrt(2 / fan)
        assert abs(spread - 1) < 4 / math.sqrt(2 * after[name].size), name
    for name in ("n.scale", "n.var"):
        assert np.array_equal(after[name], np.ones(6))
    for name in ("c.b", "n.bias", "n.mean", "g.b"):
        assert not after[name].any()
    assert np.array_equal(after["factor"], before["factor"])


def test_it_depends_on_the_seed_alone() -> None:
    one, again, other = (randomised(small(), seed).SerializeToString(deterministic=True) for seed in (3, 3, 4))
    assert one == again != other


def test_half_precision_stays_half() -> None:
    model = small()
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    assert {value.dtype for value in values(randomised(model, 0)).values()} == {np.dtype(np.float16)}


@pytest.mark.parametrize("name", ["squeezenet", "resnet50"])
def test_networks_that_make_their_own_constants_get_stored_parameters(name: str) -> None:
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    made = {node.output[0] for node in model.graph.node if node.op_type == "ConstantOfShape"}
    assert {node.input[1] for node in model.graph.node if node.op_type == "Conv"} & made
    net = net_of(model.SerializeToString(), name, name, HOW).with_random_weights(1)
    onnx.checker.check_model(net.model, full_check=True)
    start = net.model.graph.input[0].name if name == "resnet50" else "data_0"
    session = onnxruntime.InferenceSession(net.data)
    picture = np.random.default_rng(0).normal(size=session.get_inputs()[0].shape).astype(np.float32)
    (out,) = session.run(None, {start: picture})
    assert np.isfinite(out).all() and out.std() > 0  # with the file's own parameters all 1000 are equal


def test_name_and_provenance_tell(tmp_path: Path) -> None:
    (tmp_path / "small.onnx").write_bytes(small().SerializeToString())
    net = load_net(tmp_path / "small.onnx", "size=8,mean=0,std=1", random_weights=5)
    assert (net.name, net.provenance) == ("small-random-5", {"parameters": "random parameters, seed 5"})
    net.save(tmp_path / "saved.onnx")
    assert load_net(tmp_path / "saved.onnx") == load_net(tmp_path / "saved.onnx")
    assert load_net(tmp_path / "saved.onnx").name == "small-random-5"


def test_a_registered_network_needs_no_parameter_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from decaf.nets.registry import Entry

    monkeypatch.setattr(Entry, "parameter_file", property(lambda _: None))
    net = load_net("efficientnet-lite0", random_weights=0)
    assert net.name == "efficientnet-lite0-random-0"
    drawn = values(net.model)
    assert np.array_equal(drawn["stem.bn.var"], np.ones(32)) and np.array_equal(drawn["stem.bn.scale"], np.ones(32))
    assert abs(drawn["fc.weight"].std() / math.sqrt(2 / 1280) - 1) < 0.01
    with pytest.raises(NetError, match="--random-weights 0"):
        load_net("caffenet")


def test_a_loaded_network_is_randomised_by_extract(pictures: Path, lite0: Net) -> None:
    features = decaf.extract(pictures, net=lite0, layers="stem", pool="avg", random_weights=2)
    assert features.meta["settings"]["net"] == "efficientnet-lite0-random-2"
    assert features.meta["provenance"] == {"parameters": "random parameters, seed 2"}
    assert features.meta["settings"]["net_sha256"] == lite0.with_random_weights(2).sha256
