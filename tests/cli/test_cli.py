"""The command surface: help with examples, JSON, one-line errors."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from PIL import Image
from tests.cli.running import run, run_json

import decaf
from decaf.cli.main import decaf as group
from decaf.cli.main import main


def commands(command: click.Command, path: str = "decaf") -> dict[str, click.Command]:
    found = {path: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None
            found |= commands(sub, f"{path} {name}")
    return found


@pytest.mark.parametrize("path", commands(group))
def test_help_shows_two_examples_that_the_command_line_accepts(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *path.split()[1:], "--help")
    assert code == 0
    examples = [line.split("   ")[0].split() for line in out.splitlines() if line.startswith("  decaf ")]
    assert len(examples) == 2
    for example in examples:
        words = example[1:]
        command: click.Command | None = group
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(click.Context(command), words)
        assert command is not None
        command.make_context(name, words)


def test_every_command_has_json() -> None:
    leaves = [command for command in commands(group).values() if not isinstance(command, click.Group)]
    assert len(leaves) >= 7
    for command in leaves:
        assert any("--json" in option.opts for option in command.params), command.name


def test_extract_prints_what_ran_and_where_the_features_are(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    code, out, err = run(capsys, "extract", pictures, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    for part in ("7 pictures", "efficientnet-lite0: pool", "openvino 20", "f32", "1 broken", "7 rows, pool 1280"):
        assert part in out
    code, out, _ = run(capsys, "extract", pictures, "-o", tmp_path / "out")
    assert code == 0 and "7 rows are there already" in out


def test_extract_json(capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path) -> None:
    done = run_json(capsys, "extract", pictures, "-o", tmp_path / "out", "--layer", "pool", "--layer", "fc")
    assert done["rows"] == done["computed"] == 7 and done["broken"] == 1
    assert done["layers"] == {"pool": [1280], "fc": [1000]}
    assert done["runtime"]["precision"] == "f32" and done["images_per_second"] > 0
    assert (
        run_json(capsys, "extract", pictures, "-o", tmp_path / "out", "--layer", "pool", "--layer", "fc")["computed"]
        == 0
    )


def test_info_lists_broken_pictures(capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path) -> None:
    run(capsys, "extract", pictures, "-o", tmp_path / "out")
    about = run_json(capsys, "info", tmp_path / "out")
    assert about["rows"] == 7 and about["labels"] == 2
    (broken,) = about["broken"]
    assert broken["row"] == 2 and broken["path"].endswith("cat/2.jpg") and broken["error"]
    code, out, _ = run(capsys, "info", tmp_path / "out")
    assert code == 0 and "cat/2.jpg" in out and "precision: f32" in out


def test_export(capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path) -> None:
    run(capsys, "extract", pictures, "-o", tmp_path / "out")
    done = run_json(capsys, "export", tmp_path / "out", tmp_path / "x.npy")
    assert done["rows"] == 7 and done["bytes"] == (tmp_path / "x.npy").stat().st_size
    assert np.load(tmp_path / "x.npy").shape == (7, 1280)


def test_layers_json(capsys: pytest.CaptureFixture[str]) -> None:
    listed = run_json(capsys, "layers", "efficientnet-lite0")
    assert listed["net"] == "efficientnet-lite0"
    pool = next(layer for layer in listed["layers"] if layer["name"] == "pool")
    assert pool == {
        "name": "pool",
        "kind": "Flatten",
        "shape": [1280],
        "parameters": 0,
        "multiply_adds": 0,
        "aliases": [],
    }
    code, out, _ = run(capsys, "layers", "efficientnet-lite0")
    assert code == 0 and "4,652,008 parameters" in out


def test_nets(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {net["net"]: net for net in run_json(capsys, "nets", "list")}
    assert listed["efficientnet-lite0"]["installed"] and listed["efficientnet-lite0"]["published_top1"] == 75.1
    shown = run_json(capsys, "nets", "show", "efficientnet-lite0")
    assert shown["parameters"] == 4_652_008 and shown["classes"] == 1000
    assert run(capsys, "nets", "list")[0] == 0


def test_demo_knows_a_daisy_and_an_uniform(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = run_json(capsys, "demo", "-o", tmp_path / "demo")
    top = {Path(picture["path"]).name: picture["top5"] for picture in done["pictures"]}
    assert top["flower.jpg"][0]["class"] == "daisy"
    assert "military uniform" in [guess["class"] for guess in top["grace_hopper.jpg"]]
    assert len(decaf.FeatureSet.open(tmp_path / "demo" / "features")) == 3
    with Image.open(done["figure"]) as figure:
        assert figure.format == "PNG" and min(figure.size) > 500
    code, out, _ = run(capsys, "demo", "-o", tmp_path / "demo")
    assert code == 0 and "daisy" in out and str(tmp_path / "demo") in out


def test_a_file_of_any_origin_runs_once_its_preprocessing_is_told(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path, lite0: decaf.Net
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(lite0.model)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    command = ["extract", pictures, "-o", tmp_path / "out", "--net", tmp_path / "bare.onnx", "--layer", "pool"]
    code, _, err = run(capsys, *command)
    assert code == 1 and "does not say how its pixels are prepared: pass --preprocess" in err
    done = run_json(capsys, *command, "--preprocess", "size=256,mean=127,std=128")
    assert done["net"] == "bare" and done["broken"] == 1
    same = decaf.extract(pictures, lite0).X("pool")
    np.testing.assert_array_equal(decaf.FeatureSet.open(tmp_path / "out").X("pool"), same)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("extract", "Missing argument 'SRC...'.; see `decaf extract --help`"),
        ("extract photos", "Missing option '-o'"),
        ("extract /nowhere -o OUT", "/nowhere is not there"),
        ("extract . -o OUT --layer", "requires an argument"),
        ("extract /usr/bin/env -o OUT --net nope", "no net 'nope'"),
        ("extract /usr/bin/env -o OUT --layer nope", "no layer 'nope'"),
        ("info /nowhere", "no net '/nowhere'"),
        ("info OUT", "not a feature folder"),
        ("export OUT x.npy", "not a feature folder"),
        ("layers nope", "no net 'nope'"),
        ("frobnicate", "No such command 'frobnicate'"),
    ],
)
def test_an_error_is_one_line_and_exit_code_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, says: str
) -> None:
    (tmp_path / "OUT").mkdir()
    code, out, err = run(capsys, *(word.replace("OUT", str(tmp_path / "OUT")) for word in shlex.split(line)))
    assert code == 1 and out == "" and says in err
    assert err.startswith("decaf: ") and err.count("\n") == 1


def test_info_tells_how_far_an_unfinished_folder_is(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    run(capsys, "extract", pictures, "-o", tmp_path / "out", "--shard-size", "2")
    (tmp_path / "out" / "shard-00002.parquet").unlink()
    about = run_json(capsys, "info", tmp_path / "out")
    assert about["finished"] is False and about["shards"] == "3 of 4" and about["source"]["given"] == [str(pictures)]


def test_where_nothing_can_be_read_the_list_is_suspected(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "pictures.lst").write_text("a.jpg\nb.jpg\n")
    code, out, err = run(capsys, "extract", tmp_path / "pictures.lst", "-o", tmp_path / "out")
    assert code == 0 and "1 broken" in out and "must be named .txt" in err


def test_a_log_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decaf.cli.common.SECONDS_BETWEEN_LINES", 0)
    code, _, err = run(capsys, "extract", pictures, "-o", tmp_path / "out")
    assert code == 0 and "7/7, " in err and "images/s" in err and "1 broken" in err


def test_a_fault_of_ours_is_one_line_without_debug_and_raises_with_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("decaf.nets.registry.load_net", fault)
    code, _, err = run(capsys, "layers", "efficientnet-lite0")
    assert code == 1 and "fault of decaf" in err and err.count("\n") == 1
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "layers", "efficientnet-lite0"])
    with pytest.raises(ZeroDivisionError):
        main(["layers", "efficientnet-lite0", "--debug"])


def test_random_weights_serve_every_command_that_loads_a_net(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    untrained = ("--random-weights", 3)
    about = run_json(capsys, "nets", "show", "squeezenet1.1", *untrained)
    assert about["net"] == "squeezenet1.1-random-3" and about["provenance"]["parameters"].endswith("seed 3")
    assert run_json(capsys, "layers", "squeezenet1.1", *untrained)["net"] == "squeezenet1.1-random-3"
    words = ("--net", "squeezenet1.1", *untrained)
    summary = run_json(capsys, "extract", pictures, "-o", tmp_path / "f", *words)
    assert summary["net"] == "squeezenet1.1-random-3" and list(summary["layers"]) == ["features"]
    model = tmp_path / "model.safetensors"
    code, _, err = run(capsys, "fit", tmp_path / "f", "-o", model)
    assert code == 0, err
    code, _, err = run(capsys, "predict", model, pictures / "dog")
    assert (code, "--random-weights 3" in err) == (1, True)
    assert len(run_json(capsys, "predict", model, pictures / "dog", *words)["rows"]) == 3


def test_a_model_of_a_mean_image_is_used_with_that_image(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "mean.npy", np.random.default_rng(0).uniform(90, 130, (3, 256, 256)))
    words = ("--net", "squeezenet1.1", "--preprocess", f"caffe,mean={tmp_path / 'mean.npy'}")
    summary = run_json(capsys, "extract", pictures, "-o", tmp_path / "f", *words)
    assert summary["broken"] == 1
    model = tmp_path / "model.safetensors"
    assert run(capsys, "fit", tmp_path / "f", "-o", model)[0] == 0
    code, _, err = run(capsys, "predict", model, pictures / "dog")
    assert (code, err.count("\n")) == (1, 1) and "--preprocess" in err
    assert len(run_json(capsys, "predict", model, pictures / "dog", *words)["rows"]) == 3
    code, _, err = run(capsys, "predict", model, pictures / "dog", "--preprocess", "caffe")
    assert code == 1 and "features with preprocess.mean [0.0, 0.0, 0.0]" in err


def test_a_preset_that_lacks_its_mean_image_is_noted(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    words = ("--net", "squeezenet1.1", "--preprocess", "paper")
    code, _, err = run(capsys, "extract", pictures, "-o", tmp_path / "f", *words)
    assert code == 0 and "note: paper without a mean image subtracts the mean pixel 122.679/116.669/104.007" in err
