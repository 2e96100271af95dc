"""`decaf profile`: a table for people, JSON for programs, a figure, one line for what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from decaf.cli.main import main
from decaf.engines import counted, machine


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_PRODUCTS", {128: 1})
    monkeypatch.setattr(machine, "_ARRAY", 2**18)
    monkeypatch.setattr(counted, "_EXTRA_SECONDS", 0.2)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["profile", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_a_table_per_configuration_and_the_kinds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    figure = tmp_path / "profile.png"
    some = ("--batch", 1, "--batch", 2, "--precision", "f32", "--runs", 2, "--layer", "block2", "-o", figure)
    code, out, err = run(capsys, "efficientnet-lite0", *some)
    assert (code, err) == (0, "")
    assert out.count("layers add up to") == 2 and "batch 2, f32: " in out
    assert "block2.expand.conv (with block2.expand.bn, block2.expand)" in out
    assert "convolution" in out and "a large matrix product reaches" in out and str(figure) in out
    with Image.open(figure) as picture:
        assert picture.format == "PNG"


def test_json_has_what_programs_ask_for(capsys: pytest.CaptureFixture[str]) -> None:
    some = ("--layer", "pool1", "--batch", 1, "--precision", "f32", "--runs", 1)
    code, out, err = run(capsys, "caffenet", "--random-weights", 1, *some, "--json")
    assert (code, err) == (0, "")
    values = json.loads(out)
    (configuration,) = values["configurations"]
    assert values["net"] == "caffenet-random-1" and configuration["total_seconds"] > 0
    assert {"conv1": ["relu1"]}.items() <= {layer["name"]: layer["merged"] for layer in configuration["layers"]}.items()
    for layer in configuration["layers"]:
        assert {"seconds", "gflops", "share", "kind", "merged", "multiply_adds", "parameter_bytes"} <= set(layer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("efficientnet-lite9",), "no net 'efficientnet-lite9'"),
        (("efficientnet-lite0", "--layer", "fc9"), "no layer 'fc9'"),
        (("efficientnet-lite0", "--batch", 0), "a batch of 0: use 1 to 1024"),
        (("efficientnet-lite0", "--precision", "int8"), "no precision 'int8'"),
        (("efficientnet-lite0", "--engine", "onnxruntime"), "profile with --engine openvino"),
        (("efficientnet-lite0", "-o", "no/folder/x.png"), "there is no folder no/folder"),
    ],
)
def test_one_line_for_what_cannot_be(
    arguments: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "") and len(err.splitlines()) == 1 and message in err
