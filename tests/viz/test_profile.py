"""The figure of a profile: whole or absent, for any names and any number of configurations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decaf.engines.machine import Machine
from decaf.engines.profile import LayerTime, Profile, Timing
from decaf.engines.steps import KINDS, Step
from decaf.viz import profile as viz
from decaf.viz.profile import save_profile


def step(name: str, kind: str, *merged: str) -> Step:
    return Step(name, kind, merged, "Convolution brgconv", "f32", 10**6, 100, 400, 4000)


def invented(
    names: list[str], batches: tuple[int, ...] = (1, 32), precisions: tuple[str, ...] = ("f32", "bf16")
) -> Profile:
    total = sum(range(1, len(names) + 1))
    layers = tuple(
        LayerTime(step(name, KINDS[place % len(KINDS)]), 1e-3 * (place + 1), (place + 1) / total, 50.0, 0.5, 1.0, 0.1)
        for place, name in enumerate(names)
    )
    timings = tuple(
        Timing(batch, precision, 1.02e-3 * total, layers, ("flat",), 10, 10, True)
        for batch in batches
        for precision in precisions
    )
    return Profile("invented", ("fc",), "openvino 1", "avx512", 2, Machine({"f32": 100.0}, 10.0), timings)


def colours(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as picture:
        values, counts = np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0, return_counts=True)
    return {tuple(map(int, value)) for value, count in zip(values, counts, strict=True) if count > 50}


def test_each_kind_has_its_colour_on_white(tmp_path: Path) -> None:
    save_profile(invented([f"layer{number}" for number in range(7)]), tmp_path / "profile.png")
    assert [path.name for path in tmp_path.iterdir()] == ["profile.png"]
    expected = {tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in viz.KIND_COLOURS.values()}
    assert len(expected) == len(KINDS) and set(viz.KIND_COLOURS) == set(KINDS)
    assert expected | {(255, 255, 255)} <= colours(tmp_path / "profile.png")


@pytest.mark.parametrize(("batches", "precisions"), [((1,), ("f32",)), ((1, 2, 4, 8), ("f32", "bf16"))])
def test_any_number_of_configurations(tmp_path: Path, batches: tuple[int, ...], precisions: tuple[str, ...]) -> None:
    save_profile(invented(["conv1", "fc6"], batches, precisions), tmp_path / "profile.png")
    with Image.open(tmp_path / "profile.png") as picture:
        assert picture.width > 900 and picture.height > 250 * len(batches)


def test_names_may_hold_anything(tmp_path: Path) -> None:
    names = ["$x", "a\nb", "層", "\x07", "_" * 300, "{}", "%", "\\frac"]
    save_profile(invented(names), tmp_path / "profile.png")
    assert (tmp_path / "profile.png").stat().st_size > 10_000


def test_the_largest_are_labelled_and_none_over_another() -> None:
    timing = invented([f"layer{number}" for number in range(60)]).timings[0]
    places = viz._largest(timing)
    assert places[0] == 59 and len(places) <= viz._LABELLED
    assert all(abs(a - b) >= 2 for a in places for b in places if a != b)
    assert viz._label(step("block2.expand.conv", "convolution", "block2.expand.bn", "block2.expand")) == "block2.expand"
    assert viz._label(step("conv1", "convolution", "relu1")) == "conv1"


def test_a_failed_drawing_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "profile.png"
    target.write_bytes(b"before")

    def fail(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="No space"):
        save_profile(invented(["conv1"]), target)
    assert target.read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1
