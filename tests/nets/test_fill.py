"""Parameters poured in by name are checked; random ones depend on seed, name and shape alone."""

from __future__ import annotations

import hashlib
from statistics import NormalDist

import numpy as np
import onnx
import pytest

from decaf.errors import NetError
from decaf.nets.fill import Draw, he, seeded, stored, zeros
from decaf.nets.graph import GraphBuilder
from decaf.nets.readers.pour import pour_all


def test_random_parameters_are_the_same_on_every_machine() -> None:
    drawn = seeded(7, lambda name, shape: Draw(std=0.01))("conv1.weight", (96, 3, 11, 11))
    assert drawn.dtype == np.float32
    assert hashlib.sha256(drawn.astype("<f4").tobytes()).hexdigest()[:16] == "ef90dcf86534d55b"


def test_random_parameters_are_normally_distributed() -> None:
    drawn = np.sort(seeded(0, lambda name, shape: Draw(std=2.0, mean=1.0))("w", (100_000,)))
    distribution = np.array([NormalDist(1, 2).cdf(value) for value in drawn])
    furthest = np.abs(distribution - (np.arange(len(drawn)) + 0.5) / len(drawn)).max()
    assert furthest < 1.63 / np.sqrt(len(drawn))  # Kolmogorov and Smirnov's test, 1 %
    assert abs(drawn.mean() - 1) < 0.02
    assert abs(drawn.std() - 2) < 0.02


def test_random_parameters_differ_by_seed_and_name_and_not_by_order() -> None:
    first, second = seeded(0, he), seeded(0, he)
    a, b = first("a.weight", (4, 5)), first("b.weight", (4, 5))
    assert np.array_equal(second("b.weight", (4, 5)), b)
    assert np.array_equal(second("a.weight", (4, 5)), a)
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, seeded(1, he)("a.weight", (4, 5)))


def test_statistics_and_biases_start_as_identity() -> None:
    draw = seeded(0, he)
    for name, value in [("bn.weight", 1), ("bn.bias", 0), ("bn.running_mean", 0), ("bn.running_var", 1)]:
        assert np.array_equal(draw(name, (3,)), np.full(3, value, np.float32))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "no 'fc.weight'"),
        ({"fc.weight": np.zeros((2, 3))}, r"'fc.weight' has shape \(2, 3\), the network needs \(2, 12\)"),
        ({"fc.weight": np.full((2, 12), np.nan)}, "'fc.weight' has values that are not finite"),
    ],
)
def test_parameters_that_do_not_fit_are_named(values: dict[str, np.ndarray], said: str) -> None:
    graph = GraphBuilder("test", stored(values), (3, 2, 2))
    with pytest.raises(NetError, match=said):
        graph.linear(graph.input, "fc", 2)


def test_a_graph_of_zeros_takes_its_parameters_later() -> None:
    def written(parameters: object) -> bytes:
        graph = GraphBuilder("test", parameters, (3, 2, 2))  # type: ignore[arg-type]
        return graph.finish(graph.linear(graph.input, "fc", 2), {}).SerializeToString(deterministic=True)

    values = {"fc.weight": seeded(0, he)("fc.weight", (2, 12)), "fc.bias": np.ones(2, np.float32)}
    empty = onnx.load_from_string(written(zeros))
    assert pour_all(empty, values).model.SerializeToString(deterministic=True) == written(stored(values))
