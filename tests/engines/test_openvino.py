"""The OpenVINO engine: right at every layer, the same bits in any company, silent."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from decaf.engines import Engine, make_engine
from decaf.engines.base import available_cores, batch_size
from decaf.errors import NetError, UnknownName
from decaf.nets.net import Net
from decaf.nets.preprocess import Preprocess

Pictures = NDArray[np.uint8]
Array = NDArray[np.float32]

LIGHT_FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
LAYERS = ["block5", "pool", "prob"]
PRECISIONS = ["f32", "bf16"]


def pictures(count: int, side: int = 224, seed: int = 0) -> Pictures:
    """Random in coarse squares with a little noise, which reaches every layer better than noise alone."""
    random = np.random.default_rng(seed)
    squares = random.integers(0, 200, (count, 8, 8, 3))
    large = squares.repeat(-(-side // 8), 1).repeat(-(-side // 8), 2)[:, :side, :side]
    return (large + random.integers(0, 56, large.shape)).astype(np.uint8)


def scaled(batch: Pictures, net: Net) -> Array:
    """What the graph takes: (n, 3, side, side)."""
    how = net.preprocess
    ordered = batch if how.channels == "RGB" else batch[..., ::-1]
    values = (ordered.astype(np.float64) - how.mean) / how.std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)


def by_onnxruntime(net: Net, layers: Sequence[str], batch: Pictures) -> list[Array]:
    """Each layer of pictures computed one by one, from the same ONNX file with the layers added to its outputs."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = onnx.ModelProto()
    model.CopyFrom(net.model)
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=layer) for layer in layers if layer not in present)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = [session.run(list(layers), {name: one[None]}) for one in scaled(batch, net)]
    return [np.concatenate(values) for values in zip(*rows, strict=True)]


def run_all(engine: Engine, batch: Pictures) -> list[Array]:
    """The layers of any number of pictures, in as many calls as the engine's batch asks for."""
    size = engine.runtime.batch
    parts = [engine.run(batch[start : start + size]) for start in range(0, len(batch), size)]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def difference(one: Array, other: Array) -> float:
    """Largest difference by largest value."""
    assert one.size == other.size
    return float(np.abs(one.ravel() - other.ravel()).max() / np.abs(other).max())


def bits(arrays: Sequence[Array]) -> list[str]:
    return [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays]


def of_row(arrays: Sequence[Array], row: int) -> list[str]:
    return bits([array[row] for array in arrays])


def engine_of(net: Net, precision: str, layers: Sequence[str] = LAYERS, threads: int = 1) -> Engine:
    engine = make_engine(net, layers, precision, threads=threads)
    if engine.runtime.precision != precision:
        assert engine.runtime.note
        pytest.skip(engine.runtime.note)
    return engine


Batches = Callable[[int], None]


@pytest.fixture
def batch_of(monkeypatch: pytest.MonkeyPatch) -> Batches:
    """Sets how many pictures engines made from now on take at a time."""

    def choose(size: int) -> None:
        monkeypatch.setattr("decaf.engines.openvino.batch_size", lambda _: size)

    return choose


def tiny(
    nodes: Sequence[onnx.NodeProto] | None = None,
    how: Preprocess | None = None,
    weights: Sequence[TensorProto] = (),
    rank: int = 4,
) -> Net:
    """A network from 4 px pictures `x` to `y` of `rank` axes."""
    graph = helper.make_graph(
        nodes or [helper.make_node("Identity", ["x"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    how = how or Preprocess(size=4, crop=4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Net("tiny", model.SerializeToString(), how, "y")


# Right


@pytest.fixture(scope="module")
def every_layer(lite0: Net) -> dict[str, Array]:
    names = [layer.name for layer in lite0.layers]
    return dict(zip(names, by_onnxruntime(lite0, names, pictures(2)), strict=True))


@pytest.mark.parametrize("part", range(6))
def test_every_layer_of_the_default_network_agrees_with_onnxruntime(
    part: int, lite0: Net, every_layer: dict[str, Array]
) -> None:
    assert len(every_layer) == 144
    names = list(every_layer)[part::6]
    engine = make_engine(lite0, names)
    assert engine.sizes == tuple(lite0.layer(name).size for name in names)
    for name, values in zip(names, engine.run(pictures(2)), strict=True):
        wanted = every_layer[name]
        assert wanted.shape[1:] == lite0.layer(name).shape
        assert values.shape == (2, lite0.layer(name).size)
        assert values.dtype == np.float32
        assert difference(values, wanted) < 1e-4, name


def test_the_reference_tells_two_pictures_and_all_layers_apart(every_layer: dict[str, Array]) -> None:
    assert all(np.ptp(values) > 0 and not np.array_equal(values[0], values[1]) for values in every_layer.values())
    assert len(set(bits(list(every_layer.values())))) == 143  # the pool lies there once square and once flat


LIGHT = [
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "resnet50",
    "squeezenet",
    "vgg19",
    "zfnet512",
]
HOW_LIGHT = Preprocess(size=224, crop=224, mean=(127.0,) * 3, std=(64.0,) * 3)


def light_net(name: str) -> Net:
    """The graph of ONNX's own collection, its constant parameters replaced by random ones that keep signals alive.

    Fully connected layers of 4096 units get 256, which changes nothing but the time they take.
    """
    model = onnx.load(LIGHT_FOLDER / f"light_{name}.onnx")
    graph, random = model.graph, np.random.default_rng(7)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made = {node.output[0]: stored[node.input[0]] for node in graph.node if node.op_type == "ConstantOfShape"}
    shapes = {name: tuple(int(side) for side in shape) for name, shape in made.items()}
    shapes |= {name: value.shape for name, value in stored.items() if value.dtype == np.float32}
    factors = {name for node in graph.node if node.op_type == "Mul" for name in node.input}
    scales = {node.input[0] for node in graph.node if node.output[0] in factors and node.op_type == "Unsqueeze"}
    residual = any(node.op_type == "Sum" for node in graph.node)
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            scales |= {node.input[1], node.input[4]}

    def pour(name: str, shape: tuple[int, ...]) -> TensorProto:
        shape = tuple(256 if side == 4096 else side for side in shape)
        if name in scales:
            values = random.uniform(0.5, 1.1, shape)
        elif len(shape) > 1:
            values = random.standard_normal(shape, np.float32) * np.float32(np.sqrt(1.8 / np.prod(shape[1:])))
        else:
            values = random.standard_normal(shape) * 0.02
        if residual and 1000 in shape:  # sums let the signal grow: the last layer brings it back to where softmax lives
            values = values * 0.01
        return numpy_helper.from_array(values.astype(np.float32), name)

    poured = [pour(name, shape) for name, shape in shapes.items()]
    kept = [tensor for tensor in graph.initializer if stored[tensor.name].dtype != np.float32]
    nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    inputs = [value for value in graph.input if value.name not in stored]
    fresh = helper.make_graph(nodes, name, inputs, graph.output, [*kept, *poured])
    model = helper.make_model(fresh, opset_imports=model.opset_import, ir_version=8)
    return Net(name, model.SerializeToString(), HOW_LIGHT, graph.output[0].name)


@dataclass
class Light:
    net: Net
    layers: list[str]
    wanted: list[Array]


@pytest.fixture(scope="module", params=LIGHT)
def light(request: pytest.FixtureRequest) -> Light:
    net = light_net(request.param)
    names = [layer.name for layer in net.layers]
    layers = list(dict.fromkeys([names[len(names) // 2], names[-2], names[-1]]))
    return Light(net, layers, by_onnxruntime(net, layers, pictures(2)))


def test_the_parameters_of_a_known_architecture_keep_its_signals_alive(light: Light) -> None:
    for values in light.wanted:
        assert np.all(np.isfinite(values))
        assert np.std(values) > 1e-6
        assert difference(values[:1], values[1:]) > 1e-3
    assert light.wanted[-1].size == 2000
    assert light.net.layers[-1].kind != "Softmax" or light.wanted[-1].max() < 0.9


def test_a_known_architecture_agrees_with_onnxruntime(light: Light) -> None:
    computed = run_all(make_engine(light.net, light.layers), pictures(2))
    for layer, values, wanted in zip(light.layers, computed, light.wanted, strict=True):
        assert values.shape == (2, wanted[0].size)
        assert difference(values, wanted) < 1e-4, layer


def test_a_known_architecture_as_a_torch_module_agrees_with_onnxruntime(light: Light) -> None:
    torch = pytest.importorskip("torch")
    from decaf.nets.torch_module import OnnxModule

    module = OnnxModule(light.net.model, light.layers)
    with torch.no_grad():
        computed = module(torch.from_numpy(scaled(pictures(2), light.net)))
    for layer, wanted in zip(light.layers, light.wanted, strict=True):
        assert computed[layer].shape == wanted.shape
        assert difference(computed[layer].numpy(), wanted) < 1e-4, layer


def test_a_graph_for_one_picture_at_a_time_is_given_one_at_a_time() -> None:
    net = light_net("shufflenet")
    layers = [net.layers[-2].name, net.layers[-1].name]
    engine = make_engine(net, layers)
    assert engine.runtime.batch == 1
    for values, wanted in zip(run_all(engine, pictures(2)), by_onnxruntime(net, layers, pictures(2)), strict=True):
        assert difference(wanted[:1], wanted[1:]) > 1e-3
        assert difference(values, wanted) < 1e-4


HOW_BGR = Preprocess(size=4, crop=4, mean=(10.0, 100.0, 200.0), std=(2.0, 30.0, 400.0), channels="BGR")


@pytest.mark.parametrize("how", [HOW_BGR, replace(HOW_BGR, channels="RGB")], ids=["BGR", "RGB"])
def test_mean_and_std_go_with_the_channels_in_the_networks_order(how: Preprocess) -> None:
    net, batch = tiny(how=how), pictures(3, side=4)
    (values,) = make_engine(net, ["y"]).run(batch)
    assert np.ptp(batch, axis=-1).min() > 0
    assert difference(values, scaled(batch, net)) < 1e-6


def test_layers_come_channel_first() -> None:
    batch = pictures(2, side=4)
    (values,) = make_engine(tiny(), ["y"]).run(batch)
    assert np.array_equal(values, batch.transpose(0, 3, 1, 2).reshape(2, -1))


def test_layers_come_in_the_order_asked_for_by_any_of_their_names(lite0: Net) -> None:
    asked = ["prob", "block1.project", "pool", "block1", "prob"]
    engine = make_engine(lite0, asked)
    values = dict(
        zip(["prob", "block1", "pool"], make_engine(lite0, ["prob", "block1", "pool"]).run(pictures(1)), strict=True)
    )
    assert engine.sizes == (1000, 16 * 112 * 112, 1280, 16 * 112 * 112, 1000)
    wanted = [values[lite0.layer(name).name] for name in asked]
    assert bits(engine.run(pictures(1))) == bits(wanted)


def test_bf16_points_where_f32_does(lite0: Net) -> None:
    batch = pictures(4)
    exact = engine_of(lite0, "f32", ["pool"]).run(batch)[0]
    rounded = engine_of(lite0, "bf16", ["pool"]).run(batch)[0]
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    assert not np.array_equal(exact, rounded)
    assert ((exact * rounded).sum(1) / norms).min() > 0.99


# The same bits


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_picture_has_the_same_bits_among_any_neighbours(lite0: Net, precision: str, batch_of: Batches) -> None:
    batch_of(8)
    engine = engine_of(lite0, precision)
    one = pictures(1, seed=5)
    alone = of_row(engine.run(one), 0)
    assert len(set(alone)) == 3
    for place in range(8):
        crowd = pictures(8, seed=place)
        crowd[place] = one[0]
        computed = engine.run(crowd)
        assert of_row(computed, place) == alone
        assert of_row(computed, place - 1) != alone


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_picture_has_the_same_bits_in_batches_of_any_fill(lite0: Net, precision: str, batch_of: Batches) -> None:
    batch_of(6)
    engine = engine_of(lite0, precision)
    crowd = pictures(6)
    alone = [of_row(engine.run([picture]), 0) for picture in crowd]
    assert len({tuple(row) for row in alone}) == 6
    for fill in range(1, 7):
        computed = engine.run(crowd[:fill])
        assert [array.shape[0] for array in computed] == [fill] * 3
        assert [of_row(computed, row) for row in range(fill)] == alone[:fill]


@pytest.mark.parametrize("size", [1, 3, 8, 32])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_picture_has_the_same_bits_whatever_the_batch_size(
    lite0: Net, precision: str, size: int, batch_of: Batches
) -> None:
    one = pictures(1, seed=5)
    usual = of_row(engine_of(lite0, precision).run(one), 0)
    batch_of(size)
    engine = engine_of(lite0, precision)
    assert engine.runtime.batch == size
    crowd = np.concatenate([pictures(size - 1, seed=6), one]) if size > 1 else one
    assert of_row(engine.run(crowd), size - 1) == usual


@pytest.mark.parametrize("threads", [2, 4])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_picture_has_the_same_bits_whatever_the_number_of_threads(lite0: Net, precision: str, threads: int) -> None:
    crowd = pictures(4)
    engine = engine_of(lite0, precision, threads=threads)
    assert engine.runtime.threads == threads
    assert bits(engine.run(crowd)) == bits(engine_of(lite0, precision, threads=1).run(crowd))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_threads_that_run_at_the_same_time_do_not_disturb_one_another(lite0: Net, precision: str) -> None:
    engine = engine_of(lite0, precision, threads=2)
    batches = [pictures(1 + seed % 4, seed=seed) for seed in range(16)]
    wanted = [bits(engine.run(batch)) for batch in batches]
    assert len({tuple(row) for row in wanted}) == 16
    with ThreadPoolExecutor(4) as threads:
        computed = list(threads.map(engine.run, batches))
    assert [bits(arrays) for arrays in computed] == wanted


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_picture_has_the_same_bits_in_another_process(lite0: Net, precision: str, tmp_path: Path) -> None:
    crowd = pictures(3)
    np.save(tmp_path / "pictures.npy", crowd)
    wanted = bits(engine_of(lite0, precision).run(crowd))
    code = (
        "import hashlib, sys, numpy as np\n"
        "from decaf.engines import make_engine\n"
        "from decaf.nets.registry import load_net\n"
        f"engine = make_engine(load_net('efficientnet-lite0'), {LAYERS}, {precision!r}, threads=2)\n"
        "for array in engine.run(np.load(sys.argv[1])):\n"
        "    sys.stdout.write(hashlib.sha256(array.tobytes()).hexdigest() + ' ')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "pictures.npy")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() == wanted


COMPANY: dict[str, Callable[[Net], list[str]]] = {
    "the next layer": lambda net: ["fc"],
    "the last layer": lambda net: ["prob"],
    "a whole block": lambda net: ["block9"],
    "a layer inside a block": lambda net: ["block9.depthwise"],
    "every layer but bare convolutions": lambda net: [layer.name for layer in net.layers if layer.kind != "Conv"],
    "a bare convolution": lambda net: ["block2.expand.conv"],
    "every layer": lambda net: [layer.name for layer in net.layers],
}


@pytest.mark.parametrize("company", COMPANY)
def test_f32_depends_on_other_layers_only_where_they_split_what_runs_as_one(lite0: Net, company: str) -> None:
    asked = ["block5", *COMPANY[company](lite0), "pool"]
    alone = [engine_of(lite0, "f32", [layer]).run(pictures(2))[0] for layer in ("block5", "pool")]
    computed = engine_of(lite0, "f32", asked).run(pictures(2))
    assert len(computed) == len(asked)
    assert difference(computed[0], alone[0]) < 1e-5 and difference(computed[-1], alone[1]) < 1e-5
    # Asked for by itself, a convolution no longer runs together with its normalisation: last bits may change.
    if company not in ("a bare convolution", "every layer"):
        assert bits([computed[0], computed[-1]]) == bits(alone)


def test_results_are_arrays_of_their_own(lite0: Net) -> None:
    engine = make_engine(lite0, LAYERS, threads=1)
    first = engine.run(pictures(2, seed=1))
    before = bits(first)
    second = engine.run(pictures(2, seed=2))
    assert bits(first) == before != bits(second)
    assert all(array.flags.owndata or array.base.flags.owndata for array in first)
    assert all(array.flags.writeable and array.flags.c_contiguous for array in first)


# What it says of itself


def test_the_runtime_says_what_runs(lite0: Net) -> None:
    runtime = engine_of(lite0, "f32", threads=2).runtime
    assert runtime.engine == "openvino"
    assert runtime.version[:2] == "20"
    assert (runtime.precision, runtime.threads, runtime.note) == ("f32", 2, "")
    assert runtime.batch == batch_size(lite0)
    assert runtime.instruction_set
    assert str(runtime) == f"openvino {runtime.version}, f32, {runtime.instruction_set}, 2 threads"
    assert runtime.to_dict()["instruction_set"] == runtime.instruction_set


def test_without_a_number_there_is_one_thread_per_core_this_process_may_use(lite0: Net) -> None:
    assert make_engine(lite0, ["stem"]).runtime.threads == available_cores() >= 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_a_process_bound_to_one_core_has_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from decaf.engines.base import available_cores\n"
        "assert available_cores() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_processor_without_bf16_runs_f32_and_says_so(lite0: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = engine_of(lite0, "f32", ["pool"])
    openvino = pytest.importorskip("openvino")
    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32"])
    engine = make_engine(lite0, ["pool"], "bf16", threads=1)
    assert engine.runtime.precision == "f32"
    assert "bf16" in engine.runtime.note
    assert bits(engine.run(pictures(1))) == bits(exact.run(pictures(1)))


@pytest.mark.parametrize(("units", "batch"), [(8, 4), (32, 16), (256, 32)])
def test_the_batch_grows_with_the_weight_of_the_parameters(units: int, batch: int) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["average"]),
        helper.make_node("Flatten", ["average"], ["flat"]),
        helper.make_node("MatMul", ["flat", "first"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["y"]),
    ]
    shapes = {"first": (3, units), "second": (units, units)}
    weights = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()]
    assert batch_size(tiny(nodes, weights=weights, rank=2)) == batch


# What it refuses


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        ({"engine": "tensorrt"}, "openvino"),
        ({"precision": "int8"}, "f32, bf16"),
        ({"layers": ["poool"]}, "pool"),
    ],
    ids=["engine", "precision", "layer"],
)
def test_an_unknown_name_brings_the_known_ones(lite0: Net, arguments: dict[str, Any], listed: str) -> None:
    with pytest.raises(UnknownName, match=listed) as caught:
        make_engine(**{"net": lite0, "layers": ["pool"]} | arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "rank"), [("Zork", 4), ("Det", 2)])
def test_what_openvino_cannot_run_is_one_line_that_names_the_net(kind: str, rank: int) -> None:
    with pytest.raises(NetError, match="tiny") as caught:
        make_engine(tiny([helper.make_node(kind, ["x"], ["y"])], rank=rank), ["y"])
    assert "\n" not in str(caught.value)


def reshaped(*shape: int) -> Net:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    return tiny([node], weights=[numpy_helper.from_array(np.array(shape), "shape")], rank=len(shape))


FLAT = helper.make_node("Flatten", ["x"], ["flat"])
NO_ROW_PER_PICTURE = {
    "a reshape to one row": lambda: reshaped(1, 48),
    "a reshape to one open row": lambda: reshaped(1, -1),
    "a reshape to a line": lambda: reshaped(-1),
    "pictures as columns": lambda: tiny([FLAT, helper.make_node("Transpose", ["flat"], ["y"])], rank=2),
    "a mean over pictures": lambda: tiny([helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=0)], rank=3),
    "pictures one after another": lambda: tiny([helper.make_node("Concat", ["x", "x"], ["y"], axis=0)]),
}


@pytest.mark.parametrize("layer", NO_ROW_PER_PICTURE)
def test_a_layer_without_a_row_per_picture_is_computed_for_each_picture_or_refused(layer: str) -> None:
    batch = pictures(3, side=4)
    try:
        (values,) = run_all(make_engine(NO_ROW_PER_PICTURE[layer](), ["y"]), batch)
    except NetError as error:
        assert "\n" not in str(error)
    else:
        assert np.array_equal(values, batch.transpose(0, 3, 1, 2).reshape(3, -1))


# Silent


def in_a_home_of_its_own(code: str, home: Path) -> str:
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "XDG_CONFIG_HOME")}
    environment |= {"HOME": str(home), "USERPROFILE": str(home)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert list(home.iterdir()) == []
    return done.stdout


MAKE_AN_ENGINE = (
    "import sys\n"
    "from decaf.engines import make_engine\n"
    "from decaf.nets.registry import load_net\n"
    "engine = make_engine(load_net('efficientnet-lite0'), ['stem'], threads=1)\n"
    "assert 'openvino' in sys.modules\n"
)


def test_the_engine_leaves_the_telemetry_package_unimported_and_the_home_folder_empty(tmp_path: Path) -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    code = (
        f"{MAKE_AN_ENGINE}"
        "loaded = [name for name, module in sys.modules.items() if name.startswith('openvino_telemetry') and module]\n"
        "sys.stdout.write(repr(loaded))\n"
    )
    assert in_a_home_of_its_own(code, tmp_path / "home") == "[]"


def test_the_engine_starts_no_other_process(tmp_path: Path) -> None:
    code = (
        "import os, subprocess\n"
        "def refuse(*_, **__):\n    raise SystemExit('a process was started')\n"
        "os.fork = os.posix_spawn = subprocess.Popen.__init__ = refuse\n"
        f"{MAKE_AN_ENGINE}"
        "sys.stdout.write('done')\n"
    )
    assert in_a_home_of_its_own(code, tmp_path / "home") == "done"


def test_the_engine_does_not_import_torch(tmp_path: Path) -> None:
    code = f"{MAKE_AN_ENGINE}sys.stdout.write(repr({{'torch', 'onnxruntime'}} & set(sys.modules)))\n"
    assert in_a_home_of_its_own(code, tmp_path / "home") == "set()"
