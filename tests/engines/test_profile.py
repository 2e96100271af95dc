"""Where the time goes: times that add up, of calls that were left alone, beside limits that were measured."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest

import decaf
from decaf.engines import counted, machine
from decaf.engines.counted import Call, CountedNet, Sample, take_turns
from decaf.engines.machine import Meter
from decaf.engines.openvino import has_bf16
from decaf.engines.profile import Profile, profile
from decaf.errors import NetError, UnknownName
from decaf.nets.fill import he, seeded
from decaf.nets.graph import GraphBuilder
from decaf.nets.mean_image import mean_image
from decaf.nets.net import Net, net_of
from decaf.nets.preprocess import Preprocess

needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="this processor has no bf16 instructions")


@pytest.fixture(autouse=True, scope="module")
def _small_limits() -> Iterator[None]:
    """Measure the machine in little time, and wait little for quiet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "_PRODUCTS", {128: 1})
        patch.setattr(machine, "_ARRAY", 2**18)
        patch.setattr(counted, "_EXTRA_SECONDS", 0.5)
        yield


def little_net(batch: int = 0) -> Net:
    """Two convolutions, the second with 16 times the multiply-adds of the first, and a linear layer."""
    graph = GraphBuilder("little", seeded(0, he), (3, 64, 64))
    x = graph.relu(graph.conv(graph.input, "small", 48, 3, pads=1), "small.relu")
    x = graph.relu(graph.conv(x, "large", 48, 3, pads=1), "large.relu")
    x = graph.linear(graph.flatten(graph.max_pool(x, "pool", 4, stride=4), "flat"), "fc", 10)
    model = graph.finish(x, {})
    if batch:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    return net_of(model.SerializeToString(), "little", "little", "size=64,mean=0,std=1")


@pytest.fixture(scope="module")
def measured() -> Profile:
    return profile(little_net(), [1, 8], ["f32"], runs=10, threads=1)


@pytest.mark.parametrize(("batch", "tolerance"), [(1, 0.30), (8, 0.15)])
def test_layers_add_up_to_the_whole(lite0: Net, batch: int, tolerance: float) -> None:
    seen = []
    for _ in range(3):  # other processes may take the time between two layers
        timings = profile(lite0, [batch]).timings
        seen += [(timing.precision, timing.layer_seconds, timing.total_seconds) for timing in timings]
        if all(abs(timing.layer_seconds / timing.total_seconds - 1) <= tolerance for timing in timings):
            return
    pytest.fail(f"layers do not add up to the whole: {seen}")


def test_the_whole_is_what_a_clock_outside_says(lite0: Net) -> None:
    net = CountedNet(lite0, [lite0.layer("pool")], 1, "f32", threads=1)
    inside, outside = [], []
    for _ in range(2 * counted._COUNTED):  # compiled anew in between
        start = time.perf_counter()
        call = net.run()
        outside.append(time.perf_counter() - start)
        whole, steps = call.whole, call.steps
        assert steps.shape == (len(net.steps),) and whole <= outside[-1]
        inside.append(whole)
        assert abs(steps.sum() - whole) < 0.5 * whole + counted._COUNTED * 1e-6 * len(steps)
    assert min(inside) > 0.5 * min(outside)


def test_rates_follow_from_time(measured: Profile) -> None:
    for timing in measured.timings:
        assert sum(layer.share for layer in timing.layers) == pytest.approx(1)
        assert sum(timing.kinds.values()) == pytest.approx(1)
        for layer in timing.layers:
            operations = 2 * layer.step.multiply_adds * timing.batch
            assert layer.gflops * layer.seconds == pytest.approx(1e-9 * operations)
            assert layer.gigabytes * layer.seconds == pytest.approx(1e-9 * layer.step.bytes)
            assert layer.peak_share == pytest.approx(layer.gflops / measured.machine.gflops["f32"])
            assert layer.memory_share == pytest.approx(layer.gigabytes / measured.machine.gigabytes)


def test_more_work_takes_more_time(measured: Profile) -> None:
    for timing in measured.timings:
        layers = {layer.step.name: layer for layer in timing.layers}
        assert layers["large"].step.multiply_adds == 16 * layers["small"].step.multiply_adds == 16 * 48 * 27 * 64 * 64
        assert layers["large"].seconds > 2 * layers["small"].seconds > 0
        assert layers["large"].share > 0.4 and timing.kinds["convolution"] > 0.5
    one, eight = measured.timings
    assert eight.total_seconds > 3 * one.total_seconds


def test_plain_values_for_json(measured: Profile) -> None:
    values = measured.to_dict()
    assert values["net"] == "little" and values["outputs"] == ["fc"] and values["threads"] == 1
    assert set(values["machine"]) == {"gflops", "gigabytes"}
    first = values["configurations"][0]
    assert (first["batch"], first["precision"], first["free"]) == (1, "f32", ["flat"])
    assert first["total_seconds"] > 0 and first["runs"] == 10 <= first["rounds"]
    wanted = {"name", "kind", "merged", "seconds", "gflops", "share", "multiply_adds", "parameter_bytes", "peak_share"}
    assert all(wanted <= set(layer) for layer in first["layers"])
    assert sum(layer["seconds"] for layer in first["layers"]) == pytest.approx(first["layer_seconds"])


def test_it_runs_up_to_the_layer_asked_for() -> None:
    timing = profile(little_net(), [1], ["f32"], ["small.relu"], runs=1).timings[0]
    assert [layer.step.name for layer in timing.layers if layer.step.multiply_adds] == ["small"]
    assert decaf.profile is profile


@needs_bf16
def test_both_precisions_by_default_where_the_processor_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    timings = profile(little_net(), [2], runs=1).timings
    assert [timing.precision for timing in timings] == ["f32", "bf16"]
    assert {layer.step.precision for layer in timings[1].layers if layer.step.multiply_adds} == {"bf16"}
    monkeypatch.setattr("decaf.engines.profile.has_bf16", lambda: False)
    assert [timing.precision for timing in profile(little_net(), [2], runs=1).timings] == ["f32"]
    with pytest.raises(UnknownName, match="no bf16 instructions: use --precision f32"):
        profile(little_net(), [2], ["bf16"], runs=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batches": [0]}, "a batch of 0: use 1 to 1024"),
        ({"batches": [1, -3]}, "a batch of -3"),
        ({"batches": [10**9]}, "a batch of 1000000000"),
        ({"precisions": ["f16"]}, "no precision 'f16': use one of f32, bf16"),
        ({"layers": ["lage"]}, "no layer 'lage': did you mean large"),
        ({"runs": 0}, "0 runs"),
        ({"threads": -2}, "-2 threads"),
        ({"engine": "onnxruntime"}, "profile with --engine openvino"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        profile(little_net(), **arguments)


def test_an_unknown_net_is_refused() -> None:
    with pytest.raises(UnknownName, match="no net 'efficientnet-lite9'"):
        profile("efficientnet-lite9")


def test_a_graph_of_fixed_batch_is_run_at_it() -> None:
    assert [timing.batch for timing in profile(little_net(batch=3), precisions=["f32"], runs=1).timings] == [3]
    with pytest.raises(UnknownName, match="takes 3 at a time, not 1: use --batch 3"):
        profile(little_net(batch=3), [1])


def test_a_graph_that_mixes_pictures_is_refused() -> None:
    net = little_net()
    flat = next(node for node in net.model.graph.node if node.op_type == "Flatten")
    flat.op_type, flat.input[:] = "Reshape", [flat.input[0], "one"]
    del flat.attribute[:]
    net.model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, -1], np.int64), "one"))
    with pytest.raises(NetError, match="pictures"):
        profile(net, [2], ["f32"], ["flat"], runs=1)


def test_a_mean_image_is_a_part_of_the_pixels() -> None:
    image = mean_image(np.full((3, 64, 64), 9, np.float32))
    net = little_net().with_preprocess(Preprocess(64, 64, (0, 0, 0), (1, 1, 1), "warp", mean_image=image))
    layers = profile(net, [2], ["f32"], runs=1).timings[0].layers
    assert {"pixels", "small", "large", "fc"} <= {layer.step.name for layer in layers}


def test_parameters_that_are_no_numbers_take_their_time_all_the_same() -> None:
    net = little_net()
    weight = next(tensor for tensor in net.model.graph.initializer if tensor.name == "large.weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(np.full(tuple(weight.dims), np.nan, np.float32), weight.name))
    timing = profile(net, [1], ["f32"], runs=2).timings[0]
    assert np.isfinite(timing.total_seconds) and np.isfinite([layer.seconds for layer in timing.layers]).all()


class Scripted:
    """Stands for a network: each call takes what the script says for its steps."""

    def __init__(self, batch: int, script: Sequence[tuple[float, ...]], log: list[int], preemptions: int = 0) -> None:
        self.batch, self._script, self._log, self._calls = batch, script, log, count()
        self._preemptions = preemptions

    def run(self) -> Call:
        self._log.append(self.batch)
        steps = np.array(self._script[next(self._calls) % len(self._script)])
        return Call(float(steps.sum()), steps, self._preemptions)


def turns(nets: Sequence[Scripted], runs: int) -> list[Sample]:
    return take_turns(cast(Sequence[CountedNet], nets), runs, Meter(["f32"], 1))[1]


def test_configurations_take_turns() -> None:
    log: list[int] = []
    turns([Scripted(batch, [(1, 2)], log) for batch in (1, 8)], runs=4)
    assert log == [1, 8] * 4


def test_disturbed_calls_make_room_for_quiet_ones() -> None:
    log: list[int] = []
    noisy = [
        (9.0, 1.0, 1.0),
        (1.0, 9.0, 1.0),
        (1.0, 1.0, 9.0),
        (9.0, 1.0, 1.0),
        (1.0, 9.0, 1.0),
        *[(1.0, 1.0, 1.0)] * 5,
    ]
    busy, calm = turns([Scripted(1, noisy, log), Scripted(8, [(1.0, 1.0, 1.0)], log)], runs=5)
    assert busy.is_quiet() and calm.is_quiet()
    assert busy.total() == 3 and busy.seconds().tolist() == [1, 1, 1]
    assert log.count(8) == 5 < log.count(1) <= 10


def test_a_processor_that_is_shared_all_the_time_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "_EXTRA_SECONDS", 0.05)
    shared, own = (turns([Scripted(1, [(0.1, 0.1)], [], preemptions)], runs=5)[0] for preemptions in (30, 1))
    assert not shared.is_quiet() and own.is_quiet()


def test_what_stays_disturbed_adds_up_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "_EXTRA_SECONDS", 0.05)
    log: list[int] = []
    disturbed = [(9.0, 1.0, 1.0), (1.0, 9.0, 1.0), (1.0, 1.0, 9.0)]
    (sample,) = turns([Scripted(1, disturbed, log)], runs=6)
    assert not sample.is_quiet() and len(log) > 6
    assert sample.seconds().sum() == pytest.approx(sample.total())


def test_the_machine_reaches_what_its_layers_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PRODUCTS", {256: 2, 512: 1})
    monkeypatch.setattr(machine, "_ARRAY", 2**22)
    meter = Meter(["f32"], 1)
    for _ in range(3):
        meter.measure()
    found = meter.machine()
    assert 1 < found.gflops["f32"] < 1e5 and 0.5 < found.gigabytes < 1e4
    matrix = np.ones((512, 512), np.float32)
    matrix @ matrix
    start = time.perf_counter()
    matrix @ matrix
    by_numpy = 2e-9 * 512**3 / (time.perf_counter() - start)
    assert found.gflops["f32"] > 0.02 * by_numpy


def test_a_file_is_profiled_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "little.onnx"
    little_net().save(path)
    assert profile(path, [1], ["f32"], runs=1).timings[0].free == ("flat",)
