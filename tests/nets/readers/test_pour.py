"""Parameters poured into a network arrive where they belong, and nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from tests.nets.caffe_files import random, run
from tests.nets.cuda_files import Array

from decaf.errors import NetError
from decaf.nets.fill import stored, zeros
from decaf.nets.graph import GraphBuilder
from decaf.nets.readers.pour import parameters_of, pour_all


def network(parameters: Mapping[str, Array] | None = None, twins: bool = False) -> onnx.ModelProto:
    """Two convolutions, of one shape where `twins`, a normalisation and a linear layer."""
    graph = GraphBuilder("net", zeros if parameters is None else stored(parameters), (4, 9, 9))
    x = graph.relu6(graph.batch_norm(graph.conv(graph.input, "conv1", 4, 3, pads=1), "bn1", 1e-5), "relu1")
    x = graph.conv(x, "conv2", 4, 3 if twins else 1)
    return graph.finish(graph.linear(x, "fc", 5), {})


def values(twins: bool = False) -> dict[str, Array]:
    """In torch's names and order."""
    kernel, side = (3, 7) if twins else (1, 9)
    shapes = {
        "conv1.weight": (4, 4, 3, 3),
        "conv1.bias": (4,),
        **{f"bn1.{part}": (4,) for part in ("weight", "bias", "running_mean", "running_var")},
        "conv2.weight": (4, 4, kernel, kernel),
        "conv2.bias": (4,),
        "fc.weight": (5, 4 * side * side),
        "fc.bias": (5,),
    }
    return {name: np.abs(random(*shape, seed=seed)) for seed, (name, shape) in enumerate(shapes.items())}


def assert_poured(model: onnx.ModelProto, twins: bool = False) -> None:
    """The network computes what one does that was built with the parameters."""
    x = random(1, 4, 9, 9)
    (computed,), (wanted,) = run(model, x), run(network(values(twins), twins), x)
    assert np.abs(wanted).max() > 0
    assert np.array_equal(computed, wanted)


def test_equal_names_are_poured_by_name() -> None:
    ours = {"bn1.scale": "bn1.weight", "bn1.mean": "bn1.running_mean", "bn1.var": "bn1.running_var"}
    named = {name: values()[ours.get(name, name)] for name in (t.name for t in parameters_of(network()))}
    poured = pour_all(network(), named)
    assert poured.how == "name"
    assert_poured(poured.model)


@pytest.mark.parametrize("prefix", ["", "module.", "model.backbone."])
def test_names_that_differ_in_spelling_are_told(prefix: str) -> None:
    counted = values() | {"bn1.num_batches_tracked": np.array(7)}
    poured = pour_all(network(), {prefix + name: value for name, value in counted.items()})
    assert poured.how == "spelling"
    assert poured.names["bn1.var"] == f"{prefix}bn1.running_var"
    assert_poured(poured.model)


def zoo(name: str) -> str:
    return name.replace(".weight", "_w_0").replace(".bias", "_b_0")


def test_the_names_of_the_model_zoos_conversions_are_known() -> None:
    def small(parameters: Mapping[str, Array] | None = None) -> onnx.ModelProto:
        graph = GraphBuilder("net", zeros if parameters is None else stored(parameters), (4, 9, 9))
        return graph.finish(graph.linear(graph.conv(graph.input, "conv1", 4, 3), "fc6", 5), {})

    parts = {"conv1.weight": (4, 4, 3, 3), "conv1.bias": (4,), "fc6.weight": (5, 196), "fc6.bias": (5,)}
    wanted = {name: random(*shape) for name, shape in parts.items()}
    poured = pour_all(small(), {zoo(name): value for name, value in wanted.items()})
    assert poured.how == "spelling"
    assert poured.model.graph == small(wanted).graph


NUMBERS = {"conv1": "0", "bn1": "1", "conv2": "4", "fc": "6"}


def renamed(twins: bool = False) -> dict[str, Array]:
    """As a torch.nn.Sequential names its parts."""
    return {NUMBERS[name.split(".")[0]] + "." + name.split(".")[1]: value for name, value in values(twins).items()}


def test_layers_that_only_one_shape_fits_are_told_in_any_order() -> None:
    poured = pour_all(network(), dict(reversed(renamed().items())))
    assert poured.how == "shape"
    assert_poured(poured.model)


def test_layers_of_one_shape_are_not_guessed() -> None:
    with pytest.raises(NetError, match=r"'conv1.weight', .*'0.weight'.*in order their shapes fit") as caught:
        pour_all(network(twins=True), renamed(twins=True))
    assert "\n" not in str(caught.value)


def test_layers_of_one_shape_are_taken_in_order_when_told_so() -> None:
    poured = pour_all(network(twins=True), renamed(twins=True), by_order=True)
    assert poured.how == "order"
    assert_poured(poured.model, twins=True)


def test_the_order_is_of_no_use_where_shapes_do_not_follow_it() -> None:
    with pytest.raises(NetError, match=r"another network$"):
        pour_all(network(twins=True), dict(reversed(renamed(twins=True).items())), by_order=True)


def test_given_names_are_followed() -> None:
    names = dict(zip(renamed(twins=True), values(twins=True), strict=True))
    ours = {"bn1.weight": "bn1.scale", "bn1.running_mean": "bn1.mean", "bn1.running_var": "bn1.var"}
    poured = pour_all(
        network(twins=True), renamed(twins=True), names={theirs: ours.get(name, name) for theirs, name in names.items()}
    )
    assert poured.how == "given names"
    assert_poured(poured.model, twins=True)


def test_given_names_must_be_those_of_the_network_and_each_for_one() -> None:
    with pytest.raises(NetError, match="call two parameters alike"):
        pour_all(network(), renamed(), names={"0.weight": "fc.weight", "6.weight": "fc.weight"})
    names = {name: name for name in values()} | {"fc.bias": "zork"}
    with pytest.raises(NetError, match=r"the network has no .*'zork'"):
        pour_all(network(), {name: values()[name] for name in ("conv1.weight", "fc.bias")}, names=names)


def test_missing_and_unknown_parameters_are_named() -> None:
    wrong = {name: value for name, value in values().items() if name != "fc.bias"} | {"head.bias": random(5)}
    with pytest.raises(NetError, match=r"the file has no 'fc.bias' and the network has no 'head_b_0': they are"):
        pour_all(network(), {zoo(name): value for name, value in wrong.items()})


def test_another_shape_is_named() -> None:
    with pytest.raises(NetError, match=r"'fc.weight' has shape \(4, 324\), the network needs \(5, 324\)"):
        pour_all(network(), values() | {"fc.weight": random(4, 324)})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_by_name(value: float) -> None:
    with pytest.raises(NetError, match=r"'fc.bias' .* not finite"):
        pour_all(network(), values() | {"fc.bias": np.full(5, value, np.float32)})


def test_the_network_given_is_not_changed() -> None:
    model = network()
    before = model.SerializeToString()
    pour_all(model, values())
    assert model.SerializeToString() == before
