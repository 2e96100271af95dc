"""Eight bits on real pictures and parameters: near enough, as right as before, and faster."""

from __future__ import annotations

from pathlib import Path

import pytest

import decaf
from decaf.engines import make_engine
from decaf.features.quantize import quantize
from decaf.nets.net import Net

TABLE = Path(decaf.__file__).with_name("nets") / "ilsvrc2012.tsv"
WNIDS = [line.split("\t")[0] for line in TABLE.read_text(encoding="utf-8").splitlines()]


def right_answers(net: Net, pictures: Path) -> int:
    features = decaf.extract(pictures, net, "prob")
    truth = [WNIDS.index(Path(path).name.split("_")[0]) for path in features.paths]
    return int((features.X("prob").argmax(axis=1) == truth).sum())


@pytest.mark.slow
def test_squeezenet_passes_the_gate_and_loses_hardly_an_answer(real_data: Path) -> None:
    net = decaf.load_net("squeezenet1.1")
    made = quantize(net, real_data / "imagenet_sample")
    features = next(near for near in made.fidelity if near.layer == "features")
    assert made.gate.lets_through(features)
    assert features.apart < 0.5  # so a cosine of .995 says something
    before, now = (right_answers(one, real_data / "imagenet_sample") for one in (net, made.net))
    assert before - 4 <= now <= before + 4


@pytest.mark.slow
def test_lite0_passes_the_gate_though_some_layers_stay_in_floating_point(real_data: Path) -> None:
    made = quantize(decaf.load_net("efficientnet-lite0"), real_data / "caltech101" / "101_ObjectCategories")
    assert (made.calibration, made.held_out) == (128, 64)
    assert made.gate.lets_through(made.fidelity[-1]) and made.fidelity[-1].layer == "pool"
    assert 1 <= len(made.kept) <= 12


@pytest.mark.slow
def test_caffenet_gains(real_data: Path) -> None:
    made = quantize(decaf.load_net("caffenet", random_weights=0), real_data / "imagenet_sample")
    if "bf16" not in made.rates or "avx512" not in make_engine(made.net, ["relu6"]).runtime.instruction_set:
        pytest.skip("measured on processors with AVX-512 and bf16")
    assert made.times_as_fast["bf16"] > 1.1 and made.times_as_fast["f32"] > 1.8
    assert not made.refusal
