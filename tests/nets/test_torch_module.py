"""An ONNX graph as a torch module computes what the graph says, operator by operator."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from decaf.engines import make_engine
from decaf.errors import DecafError, NetError
from decaf.nets.net import Net
from decaf.nets.registry import REGISTRY, load_net

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx.reference import ReferenceEvaluator  # noqa: E402

from decaf.nets.torch_module import OPERATORS, OnnxModule  # noqa: E402

Array = NDArray[Any]
onnxruntime.set_default_logger_severity(4)


@dataclass
class Case:
    """A graph from `x` (n, 3, side, side) to `y`."""

    nodes: Sequence[onnx.NodeProto]
    weights: dict[str, Any] = field(default_factory=dict)
    side: int = 8
    opset: int = 17
    rows: int = 2

    def model(self) -> onnx.ModelProto:
        weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in self.weights.items()]
        picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, self.side, self.side])
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "case", [picture], [output], weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)

    def pictures(self) -> Array:
        return some(self.rows, 3, self.side, self.side)

    def wanted(self) -> Array:
        """By ONNX Runtime, or by ONNX's own slow evaluator for what ONNX Runtime does not take."""
        try:
            session = onnxruntime.InferenceSession(self.model().SerializeToString())
            result: Array = session.run(None, {"x": self.pictures()})[0]
        except Exception:
            result = ReferenceEvaluator(self.model()).run(None, {"x": self.pictures()})[0]
        return result

    def computed(self) -> Array:
        with torch.no_grad():
            result: Array = OnnxModule(self.model())(torch.from_numpy(self.pictures()))["y"].numpy()
        return result


def node(kind: str, inputs: str = "x", outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    """Names of tensors separated by spaces; `-` for an input left out."""
    return helper.make_node(kind, [name.strip("-") for name in inputs.split()], outputs.split(), **attributes)


def some(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> Array:
    return np.abs(some(*shape)) + np.float32(0.5)


def assert_equal(computed: Array, wanted: Array) -> None:
    assert computed.shape == wanted.shape
    assert np.all(np.isfinite(wanted))
    assert np.abs(computed - wanted).max() <= 1e-5 * max(np.abs(wanted).max(), 1)


FLAT = node("Flatten", "x", "flat")
STATISTICS = {"s": some(3), "b": some(3), "m": some(3), "v": positive(3)}
CASES: dict[str, Case] = {
    "relu": Case([node("Relu")]),
    "pad": Case([node("Pad", "x pads")], {"pads": np.array([0, 0, 1, 2, 0, 1, 3, 4])}),
    "pad with a value": Case([node("Pad", "x pads v")], {"pads": np.array([0] * 6 + [3, 4]), "v": np.float32(2.5)}),
    "sigmoid": Case([node("Sigmoid")]),
    "identity": Case([node("Identity")]),
    "global average": Case([node("GlobalAveragePool")]),
    "concat one": Case([node("Concat", "x", axis=1)]),
    "concat batch": Case([node("Relu", "x", "r"), node("Concat", "x r x", axis=0)]),
    "concat channels": Case([node("Relu", "x", "r"), node("Concat", "x r x", axis=1)]),
    "concat last": Case([node("Relu", "x", "r"), node("Concat", "x r x", axis=-1)]),
    "sum of one": Case([node("Sum")]),
    "sum of three": Case([node("Sum", "x c x")], {"c": some(3, 1, 1)}),
    "matmul right": Case([node("MatMul", "x w")], {"w": some(8, 5)}),
    "matmul left": Case([node("MatMul", "w x")], {"w": some(5, 8)}),
    "matmul of layers": Case([node("MatMul", "x x")]),
    "batch norm": Case([node("BatchNormalization", "x s b m v", epsilon=0.1)], STATISTICS),
    "batch norm of old": Case([node("BatchNormalization", "x s b m v")], STATISTICS, opset=9),
    "dropout": Case([node("Dropout", "x ratio training")], {"ratio": np.float32(0.5), "training": np.array(False)}),
    "dropout without ratio": Case([node("Dropout", "x", "y mask")]),
    "dropout of old": Case([node("Dropout", ratio=0.3)], opset=9),
    "clip": Case([node("Clip", "x low high")], {"low": np.float32(-0.5), "high": np.float32(0.25)}),
    "clip below": Case([node("Clip", "x low")], {"low": np.float32(-0.5)}),
    "clip above": Case([node("Clip", "x - high")], {"high": np.float32(0.25)}),
    "clip to crossed bounds": Case([node("Clip", "x low high")], {"low": np.float32(1), "high": np.float32(-1)}),
    "clip without bounds": Case([node("Clip")]),
    "clip of old": Case([node("Clip", min=-0.5, max=0.25)], opset=6),
    "clip below of old": Case([node("Clip", min=0.0)], opset=6),
    "clip above of old": Case([node("Clip", max=0.0)], opset=6),
    "flatten": Case([node("Flatten")]),
    "flatten from 0": Case([node("Flatten", axis=0)]),
    "flatten from 2": Case([node("Flatten", axis=2)]),
    "flatten from -1": Case([node("Flatten", axis=-1)]),
    "flatten from 4": Case([node("Flatten", axis=4)]),
    "transpose": Case([node("Transpose", perm=[0, 2, 3, 1])]),
    "transpose without order": Case([node("Transpose")]),
    "softmax": Case([node("Softmax")]),
    "softmax channels": Case([node("Softmax", axis=1)]),
    "softmax last": Case([node("Softmax", axis=-1)]),
    "softmax of two axes": Case([FLAT, node("Softmax", "flat")]),
    "softmax of old": Case([node("Softmax")], opset=11),
    "softmax channels of old": Case([node("Softmax", axis=1)], opset=9),
    "softmax last of old": Case([node("Softmax", axis=-1)], opset=11),
    "softmax of two axes of old": Case([FLAT, node("Softmax", "flat")], opset=9),
    "softmax of one position of old": Case([node("GlobalAveragePool", "x", "g"), node("Softmax", "g")], opset=9),
    "constant": Case([node("Constant", "", "c", value=numpy_helper.from_array(some(8))), node("Add", "x c")]),
    "constant number": Case([node("Constant", "", "c", value_float=0.5), node("Add", "x c")]),
    "constant numbers": Case([node("Constant", "", "c", value_floats=[0.5] * 8), node("Add", "x c")]),
    "constant shape": Case([node("Constant", "", "c", value_ints=[0, -1]), node("Reshape", "x c")]),
}
CASES |= {
    f"{kind} {order} {shape}": Case([node(kind.title(), order)], {"c": positive(*shape)})
    for kind in ("add", "sub", "mul", "div")
    for order in ("x c", "c x", "x x")
    for shape in ((), (1,), (8,), (3, 1, 1), (1, 3, 1, 1), (2, 3, 8, 8))
}
CASES |= {f"lrn of {size}": Case([node("LRN", size=size, alpha=0.5, beta=0.7, bias=2.0)]) for size in (1, 3, 5)} | {
    "lrn with usual values": Case([node("LRN", size=3)])
}
CASES |= {
    f"unsqueeze {axes} opset {opset}": Case([made], {"axes": np.array(axes)}, opset=opset)
    for axes in ([0], [-1], [4], [1, 3], [3, 1], [0, -1], [-1, -2], [-3, 5])
    for opset, made in ((13, node("Unsqueeze", "x axes")), (11, node("Unsqueeze", axes=axes)))
}
CASES |= {
    f"mean over {axes} keep {keep} opset {opset}": Case([made], {"axes": np.array(axes)}, opset=opset)
    for axes, keep in itertools.product(([2, 3], [1], [-1], [1, 2, 3], [-2, -1]), (0, 1))
    for opset, made in (
        (18, node("ReduceMean", "x axes", keepdims=keep)),
        (13, node("ReduceMean", axes=axes, keepdims=keep)),
    )
}
CASES |= {"mean over all": Case([node("ReduceMean")])}
CASES |= {
    f"reshape {shape}": Case([node("Reshape", "x shape")], {"shape": np.array(shape)})
    for shape in ([0, -1], [-1, 192], [2, 192], [2, -1], [0, 3, 64], [0, 0, -1], [-1, 4, 6, 8])
} | {
    f"reshape {shape} of one": Case([node("Reshape", "x shape")], {"shape": np.array(shape)}, rows=1)
    for shape in ([1, 192], [1, -1], [1, 3, 64])
}
CASES |= {
    f"reshape of weights to {shape}": Case(
        [node("Reshape", "w shape", "r"), node("Mul", "x r")], {"w": some(3), "shape": np.array(shape)}
    )
    for shape in ([1, 3, 1, 1], [1, -1, 1, 1], [-1, 1, 1], [3, 1, 1])
}
CASES |= {
    f"gemm {order} A{a} B{b} alpha {alpha} beta {beta}": Case(
        [FLAT, node("Transpose", "flat", "in", perm=[1, 0]) if a else node("Identity", "flat", "in"),
         node("Gemm", order, transA=a, transB=b, alpha=alpha, beta=beta)],
        {"w": some(5, 192) if b else some(192, 5), "c": some(5), "row": some(1, 5), "all": some(2, 5),
         "one": np.float32(0.25)},
    )
    for order in ("in w", "in w c", "in w row", "in w all", "in w one")
    for a, b in itertools.product((0, 1), (0, 1))
    for alpha, beta in ((1.0, 1.0), (0.5, 2.0))
}  # fmt: skip
PADS: dict[str, dict[str, Any]] = {
    "none": {},
    "even": {"pads": [1, 1, 1, 1]},
    "odd": {"pads": [0, 1, 2, 1]},
    "right": {"pads": [0, 0, 1, 1]},
    "upper": {"auto_pad": "SAME_UPPER"},
    "lower": {"auto_pad": "SAME_LOWER"},
    "valid": {"auto_pad": "VALID"},
}
CASES |= {
    f"conv groups {group} strides {strides} dilations {dilations} pads {pads} side {side}": Case(
        [node("Conv", "x w b", group=group, strides=strides, dilations=dilations, **PADS[pads])],
        {"w": some(6, 3 // group, 3, 2), "b": some(6)},
        side,
    )
    for group, strides, dilations in itertools.product((1, 3), ([1, 1], [2, 2], [2, 1]), ([1, 1], [2, 2]))
    for pads, side in itertools.product(PADS, (7, 8))
} | {"conv without bias": Case([node("Conv", "x w")], {"w": some(4, 3, 2, 2)})}
CASES |= {
    f"{kind} strides {stride} pads {pads} side {side}": Case(
        [node(kind, kernel_shape=[3, 2], strides=[stride, stride], **PADS[pads])], side=side
    )
    for kind, stride, side in itertools.product(("MaxPool", "AveragePool"), (1, 2, 3), (7, 8))
    for pads in ("none", "upper", "lower", "valid")
}
CASES |= {
    "MaxPool without strides": Case([node("MaxPool", kernel_shape=[2, 3])]),
    "AveragePool without strides": Case([node("AveragePool", kernel_shape=[2, 3])]),
    "MaxPool with holes": Case([node("MaxPool", kernel_shape=[2, 2], dilations=[2, 3])]),
    "MaxPool with places": Case([node("MaxPool", "x", "y places", kernel_shape=[2, 2])]),
}


@pytest.mark.parametrize("case", CASES)
def test_an_operator_equals_the_reference(case: str) -> None:
    assert_equal(CASES[case].computed(), CASES[case].wanted())


POOLS = {
    "MaxPool": [{}],
    "AveragePool": [{"count_include_pad": 0}, {"count_include_pad": 1}],
}


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 0, 0, 1]], ids=str)
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("kind", POOLS)
def test_pooling_equals_the_reference_for_every_side_kernel_and_stride(
    kind: str, ceil_mode: int, pads: list[int]
) -> None:
    wrong = []
    for side, kernel, stride, options in itertools.product((5, 6, 7, 8), (2, 3), (1, 2, 3), POOLS[kind]):
        geometry = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": pads, "ceil_mode": ceil_mode}
        case = Case([node(kind, **geometry, **options)], side=side)
        computed, wanted = case.computed(), case.wanted()
        if computed.shape != wanted.shape or np.abs(computed - wanted).max() > 1e-5:
            wrong.append(f"side {side}, {geometry}, {options}: {computed.shape} for {wanted.shape}")
    assert not wrong


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
def test_local_response_normalisation_follows_its_definition(size: int) -> None:
    alpha, beta, bias = 0.5, 0.7, 2.0
    x = Case([]).pictures()
    squares = np.zeros_like(x)
    for channel in range(3):
        first, last = max(0, channel - (size - 1) // 2), min(2, channel + size // 2)
        squares[:, channel] = (x[:, first : last + 1] ** 2).sum(1)
    wanted = x / (bias + alpha / size * squares) ** beta
    case = Case([node("LRN", size=size, alpha=alpha, beta=beta, bias=bias)])
    assert_equal(case.computed(), wanted)


def test_every_operator_is_compared() -> None:
    assert set(OPERATORS) <= {made.op_type for case in CASES.values() for made in case.nodes}


@pytest.mark.parametrize("shape", [[1, 192], [1, 3, 64], [1, -1]], ids=str)
def test_a_reshape_written_for_one_picture_serves_several(shape: list[int]) -> None:
    several = Case([node("Reshape", "x shape")], {"shape": np.array(shape)}).computed()
    assert_equal(several, Case([]).pictures().reshape(2, *several.shape[1:]))


# The module


def test_parameters_go_by_their_onnx_names_with_slashes(lite0: Net) -> None:
    module = OnnxModule(lite0.model)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in lite0.model.graph.initializer if tensor.dims}
    trained = {name.replace("/", "."): value for name, value in module.named_parameters()}
    statistics = {name.replace("/", "."): value for name, value in module.named_buffers()}
    assert all(name.endswith((".mean", ".var")) for name in statistics)
    assert trained.keys() | statistics.keys() == stored.keys()
    assert all(np.array_equal(value.detach().numpy(), stored[name]) for name, value in (trained | statistics).items())
    assert sum(value.numel() for value in trained.values()) == 4_652_008


def test_only_what_the_layers_need_is_kept(lite0: Net) -> None:
    names = [name for name, _ in OnnxModule(lite0.model, ["block1"]).named_parameters()]
    assert len(names) == 9
    assert all(name.startswith(("stem/", "block1/")) for name in names)


def test_every_parameter_can_be_trained(lite0: Net) -> None:
    module = OnnxModule(lite0.model, ["block3"])
    module(torch.ones(1, 3, 224, 224))["block3"].sum().backward()
    assert len(list(module.parameters())) == 27
    assert all(value.grad is not None and value.grad.shape == value.shape for value in module.parameters())
    assert module.state_dict().keys() > dict(module.named_parameters()).keys()


def test_training_does_not_change_the_model_it_came_from(lite0: Net) -> None:
    before = lite0.model.SerializeToString()
    module = OnnxModule(lite0.model)
    with torch.no_grad():
        for value in module.parameters():
            value.zero_()
    assert lite0.model.SerializeToString() == before


def test_a_batch_gives_the_rows_of_its_pictures(lite0: Net) -> None:
    module = OnnxModule(lite0.model, ["block3", "prob"])
    x = torch.from_numpy(some(2, 3, 224, 224))
    with torch.no_grad():
        together, alone = module(x), [module(row[None]) for row in x]
    assert list(together) == ["block3", "prob"]
    for layer, values in together.items():
        assert_equal(values.numpy(), np.concatenate([row[layer].numpy() for row in alone]))


@pytest.mark.parametrize("name", REGISTRY)
def test_the_module_equals_the_engine(name: str) -> None:
    if REGISTRY[name].parameter_file is None:
        pytest.skip(f"the parameters of {name} are not here")
    net = load_net(name)
    side = net.input_side
    coarse = np.random.default_rng(1).integers(0, 256, (2, side // 20, side // 20, 3), dtype=np.uint8)
    pictures = coarse.repeat(20, 1).repeat(20, 2)
    pictures = np.pad(pictures, ((0, 0), (0, side - pictures.shape[1]), (0, side - pictures.shape[2]), (0, 0)))
    ordered = pictures if net.preprocess.channels == "RGB" else pictures[..., ::-1]
    scaled = (ordered.astype(np.float32) - np.float32(net.preprocess.mean)) / np.float32(net.preprocess.std)
    layers = [net.default_layer, "prob"]
    with torch.no_grad():
        wanted = OnnxModule(net.model, layers)(torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy()))
    for values, tensor in zip(make_engine(net, layers).run(list(pictures)), wanted.values(), strict=True):
        assert np.abs(values - tensor.numpy()).max() <= 1e-5 * tensor.abs().max()


def test_an_operator_that_is_not_known_is_named_with_those_that_are() -> None:
    with pytest.raises(NetError, match=r"cannot run Erf, Tanh here: it knows Add, AveragePool, .*Unsqueeze"):
        OnnxModule(Case([node("Tanh", "x", "t"), node("Erf", "t")]).model())


def test_an_unknown_operator_that_is_not_needed_does_no_harm() -> None:
    model = Case([node("Relu", "x", "r"), node("Erf", "r")]).model()
    assert OnnxModule(model, ["r"])(torch.ones(1, 3, 8, 8))["r"].sum() == 192


def test_an_unknown_layer_is_refused_when_the_module_is_made() -> None:
    with pytest.raises(DecafError, match="nothing"):
        OnnxModule(Case([node("Relu")]).model(), ["nothing"])


RARE = {
    **{
        f"weight called {name}": Case([node("Add", f"x {name}")], {name: some(8)})
        for name in ("layers", "type", "x.y/z")
    },
    "weights whose names differ by a dot": Case(
        [node("Add", "x a.b", "t"), node("Mul", "t a/b")], {"a.b": some(8), "a/b": some(3, 1, 1)}
    ),
    "mean over nothing": Case([node("ReduceMean", noop_with_empty_axes=1)], opset=18),
    "average pool with holes": Case([node("AveragePool", kernel_shape=[2, 2], dilations=[2, 3])], opset=19),
}


@pytest.mark.parametrize("case", RARE)
def test_what_is_rare_is_computed_rightly_or_refused(case: str) -> None:
    try:
        computed = RARE[case].computed()
    except NetError:
        return
    assert_equal(computed, RARE[case].wanted())
