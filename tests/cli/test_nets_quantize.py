"""`decaf nets quantize`: what is measured is printed; a file is written, or one line says why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.running import run
from tests.features.small_nets import draw_pictures, narrow_caffenet

import decaf
from decaf.features import quantize as module

FASTER = {"int8": [30.0], "bf16": [20.0], "f32": [10.0]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty pictures and a broken one, a network, and nothing else."""
    photos = draw_pictures(tmp_path / "photos", 30)
    (photos / "broken.jpg").write_bytes(b"no picture")
    narrow_caffenet().save(tmp_path / "narrow.onnx")
    return tmp_path


@pytest.fixture(autouse=True)
def speed_is_told(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "race", lambda engines, _pictures: {name: FASTER[name] for name in engines})
    yield


def test_it_prints_what_it_measured_and_every_command_takes_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out.onnx"
    asked = ("nets", "quantize", folder / "narrow.onnx", "--images", folder / "photos", "-o", out)
    code, said, err = run(capsys, *asked, "--min-mean", ".9", "--min-worst", ".9")
    assert (code, err) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "calibrated on 20 pictures, measured on 10 others; 1 broken"
    assert lines[1].split() == ["cosine", "to", "f32", "mean", "worst", "two", "pictures"]
    assert [line.split()[0] for line in lines[2:4]] == ["pool2", "relu6"] and " * " in lines[3]
    assert lines[5].startswith("pictures/s to relu6: int8 30")
    assert "3.00 times as fast as f32" in lines[5]
    assert lines[6].startswith(f"wrote {out}: narrow-int8, {out.stat().st_size:,} bytes")
    for command in (["layers", out], ["info", out], ["extract", folder / "photos", "-o", folder / "f", "--net", out]):
        code, _, err = run(capsys, *command)
        assert (code, err) == (0, "")
    assert decaf.FeatureSet.open(folder / "f").valid.X("relu6").shape == (30, 64)


def test_json_has_every_number(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("nets", "quantize", folder / "narrow.onnx", "--images", folder / "photos", "-o", folder / "o.onnx")
    code, said, err = run(capsys, *asked, "--layer", "pool2", "--min-mean", ".9", "--min-worst", ".9", "--json")
    told = json.loads(said)
    assert (code, err) == (0, "")
    assert told["sha256"] == decaf.load_net(folder / "o.onnx").sha256
    assert [near["layer"] for near in told["layers"]] == ["pool2"] == told["gate"]["layers"]
    assert set(told["layers"][0]) == {"layer", "mean", "worst", "apart"}
    assert (told["calibration"], told["held_out"], told["broken"]) == (20, 10, 1)
    assert told["pictures_per_second"]["int8"] == 30 and told["times_as_fast"]["f32"] == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--min-worst", "1"), "decaf: narrow-int8 is not near enough to f32 at relu6: cosine "),
        (("-o", "missing/o.onnx"), "decaf: missing is no folder: name a file in one that is there"),
        (("--layer", "fc9"), "decaf: narrow has no layer 'fc9'"),
    ],
)
def test_what_is_refused_leaves_one_line_and_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], reason: str
) -> None:
    asked = ("nets", "quantize", folder / "narrow.onnx", "--images", folder / "photos", "-o", folder / "o.onnx")
    code, _, err = run(capsys, *asked, *options, "--json")
    assert code == 1
    assert err.startswith(reason) and err.count("\n") == 1
    assert not (folder / "o.onnx").exists()
