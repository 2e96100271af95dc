"""`decaf reproduce` from a folder of pictures to a report."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import decaf
from decaf.cli.main import main
from decaf.errors import SettingsDiffer, TaskError
from decaf.nets.net import Net
from decaf.probe import read_splits
from decaf.tasks import paper_report
from decaf.tasks.caltech101 import TASK
from decaf.tasks.reproduce import Request, reproduce
from decaf.tasks.task import Protocol
from decaf.tasks.warped import default_layers, refuse_other_preparation
from tests.features.helpers import tiny_net
from tests.tasks.benchmarks import caltech, sun


@pytest.fixture
def net(tmp_path: Path) -> Path:
    tiny_net().save(tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def run(*arguments: object, error: str = "") -> None:
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", *map(str, arguments)])
    assert ended.value.code == (1 if error else 0) or (not error and ended.value.code is None)


def small(data: Path, net: Path, out: Path) -> list[object]:
    return ["caltech101", "--data", data, "--net", net, "-o", out, "--train-per-class", 6, "--splits", 2]


def test_caltech_from_pictures_to_a_report(tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = caltech(tmp_path / "data"), tmp_path / "report"
    broken = data / "101_ObjectCategories" / "ant" / "sun_ant000.png"
    broken.write_bytes(broken.read_bytes()[:200])
    run(*small(data, net, out), "--layer", "pool", "--layer", "fc")
    shown = capsys.readouterr()
    assert "26 pictures, 26 to compute, tiny: pool, fc" in shown.err
    assert "SVM with dropout on fc: " in shown.err and "The paper has 102 classes, here are 3" in shown.err
    first = next(line for line in shown.out.splitlines() if "ours: pool" in line)
    assert re.split(r"\s{2,}", first.strip()) == [
        "ours: pool", "ours: fc", "paper*: DeCAF5", "paper*: DeCAF6", "paper*: DeCAF7", "paper*: others",
    ]  # fmt: skip
    masked = next(line for line in shown.out.splitlines() if line.startswith("SVM with dropout "))
    assert re.search(r" 86.91 ± 0.7 +85.51 ± 0.9 *$", masked)
    about = json.loads((out / "report.json").read_text())
    assert about["broken"][0]["path"].endswith("ant/sun_ant000.png") and about["pictures"] == 25
    assert {path.name for path in out.iterdir()} == {
        "features", "splits.json", "report.json", "report.md", "report.html", "settings.png", "curve.png",
    }  # fmt: skip
    features = decaf.FeatureSet.open(out / "features").valid
    assert features.preprocess.resize == "warp"
    splits = read_splits(out / "splits.json", features.paths.tolist())
    assert [len(part) for part in vars(splits[0]).values()] == [15, 3, 7]
    page = (out / "report.html").read_text()
    assert "Broken, left out" in page and "sun_ant000.png" in page and "<b>" not in page
    assert (out / "report.md").read_text().count("77.12 ± 1.1 ") == 1  # on the features as they are
    assert "paper, another network" in page and "--train" not in page
    assert len(about["results"]) == 2 * (4 + 2) and len(about["curves"]) == 2
    assert [point["train_per_class"] for point in about["curves"][0]["points"]] == [1, 3, 5, 6]
    assert set(about["seconds"]) == {"features", "classifiers", "learning curve"}
    assert not [warning for warning in about["warnings"] if "unique classes" in warning]


def test_a_second_run_extracts_nothing_and_says_the_same(
    tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = caltech(tmp_path / "data"), tmp_path / "report"
    options = ["--transform", "sqrt", "--dropout", 0, "--json"]
    run(*small(data, net, out), *options)
    first = json.loads(capsys.readouterr().out)
    shards = {path.name: path.stat().st_mtime_ns for path in (out / "features").glob("*.parquet")}
    run(*small(data, net, out), *options)
    second = json.loads(capsys.readouterr().out)
    assert shards == {path.name: path.stat().st_mtime_ns for path in (out / "features").glob("*.parquet")}
    assert "The features were there already" in (out / "report.md").read_text()

    def numbers(about: dict[str, Any]) -> list[Any]:
        return [{key: value for key, value in one.items() if key != "seconds"} for one in about["results"]]

    assert numbers(first) == numbers(second) and first["curves"] == second["curves"]
    assert [(one["loss"], one["dropout"], one["transform"]) for one in first["results"]] == [
        ("logistic", 0.0, "sqrt"),
        ("svm", 0.0, "sqrt"),
    ]
    chosen = max(first["results"], key=lambda one: one["validation"])
    assert first["chosen"]["accuracy"] == chosen["accuracy"] and first["chosen"]["loss"] == chosen["loss"]
    assert first["dropout"] == [] and "It was left out." in (out / "report.md").read_text()
    run(*small(data, net, out), "--seed", 1, *options)
    assert json.loads(capsys.readouterr().out)["settings"]["splits"] == "2, seed 1, written to splits.json"


def test_features_made_before_are_used_and_refused_when_made_otherwise(
    tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = caltech(tmp_path / "data")
    for name, options in {
        "warp": {"resize": "warp"},
        "short": {},
        "ten": {"resize": "warp", "views": "ten-mean"},
        "reduced": {"resize": "warp", "fast_decode": True},
    }.items():
        decaf.extract(data, net, ["pool", "fc"], tmp_path / name, **options)
    out = tmp_path / "report"
    with_features = [*small(data, net, out), "--features", tmp_path / "warp", "--layer", "fc", "--dropout", 0, "--json"]
    run(*with_features)
    about = json.loads(capsys.readouterr().out)
    assert {one["layer"] for one in about["results"]} == {"fc"} and not (out / "features").exists()
    with_features[1:3] = []  # the features know their pictures
    run(*with_features)
    assert json.loads(capsys.readouterr().out)["chosen"] == about["chosen"]
    for name, message in {
        "short": "was made with resize short-side, the paper has warp: leave out --features, or",
        "ten": "was made with views ten-mean, the paper has center",
        "reduced": "was made with decoding reduced, the paper has full",
    }.items():
        with pytest.raises(SettingsDiffer, match=message):
            refuse_other_preparation(decaf.FeatureSet.open(tmp_path / name))
    run(*small(data, net, out), "--features", tmp_path / "short", error="yes")
    assert re.fullmatch(r"decaf: .*short was made with resize short-side.*\n", capsys.readouterr().err)


def test_sun_extracts_only_the_pictures_of_the_lists(
    tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    run("sun397", "--data", sun(tmp_path / "data"), "--net", net, "-o", out, "--splits", 1, "--copies", 1, "--json")
    about = json.loads(capsys.readouterr().out)
    assert about["features"]["source"]["pictures"] == about["pictures"] == 21
    assert len((out / "pictures.txt").read_text().splitlines()) == 21
    assert about["curves"] == [] and not (out / "curve.png").exists()
    assert "SVM on DeCAF7 gave 40.94" in (out / "report.html").read_text()
    assert {effect["verdict"] for effect in about["dropout"]} == {"unclear"}  # one split
    run(
        "sun397",
        "--data",
        tmp_path / "data",
        "--net",
        net,
        "-o",
        tmp_path / "two",
        "--partitions",
        "random",
        "--dropout",
        0,
    )
    assert "Random splits, not the official ones" in capsys.readouterr().err


def test_features_of_more_pictures_than_the_lists_have_are_cut_to_them(
    tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decaf.extract(sun(tmp_path / "data"), net, "pool", tmp_path / "features", resize="warp")
    out = tmp_path / "report"
    run("sun397", "--features", tmp_path / "features", "-o", out, "--splits", 1, "--dropout", 0, "--json")
    about = json.loads(capsys.readouterr().out)
    assert about["features"]["source"]["pictures"] == 27 and about["pictures"] == 21
    training = (tmp_path / "data" / "Partitions" / "Training_01.txt").read_text().split()
    split = json.loads((out / "splits.json").read_text())["splits"][0]
    used = {f"/{Path(path).relative_to(tmp_path / 'data' / 'SUN397')}" for path in split["train"] + split["validation"]}
    assert used == {line for line in training if "nothere" not in line}


def test_lines_of_published_numbers_are_drawn_only_where_they_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []
    monkeypatch.setattr(paper_report, "save_dots", lambda dots, lines, out: drawn.append([one.name for one in lines]))
    monkeypatch.setattr(
        paper_report, "save_curves", lambda curves, lines, out: drawn.append([one.name for one in lines])
    )
    decaf.extract(caltech(tmp_path / "data"), tiny_net(), "pool", tmp_path / "features", resize="warp")
    protocol = Protocol(1, 0, 6)
    request = Request(None, tmp_path, features=str(tmp_path / "features"), protocol=protocol, dropout=0)
    found = reproduce(TASK, request, lambda job, work: nullcontext(lambda *_: None), lambda result: None)
    for comparable in (False, True):
        paper_report._draw(replace(found, sample=replace(found.sample, comparable=comparable)), tmp_path)
    lines = ["Yang et al. 2009 *", "Jarrett et al. 2009 *", "paper's best *"]
    assert drawn == [[], [], lines, [*lines, "paper, one picture *"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["caltech101", "--data", "nowhere"], "nowhere is not a folder: name the one that holds 101_ObjectCategories"),
        (["caltech101"], "no pictures: name the folder of Caltech-101 with --data, or features with --features"),
        (["caltech101", "--data", "."], "class '<b>&bass' has 10 rows, the split needs 31 (3 classes are as small)"),
        (["caltech101", "--data", ".", "--train-per-class", "8"], "'BACKGROUND_Google' has 8 rows, the split needs 9"),
        (["sun397", "--data", "."], "no Training_01.txt in"),
        (["caltech101", "--data", ".", "--train-per-class", "1"], "Invalid value for '--train-per-class'"),
    ],
)
def test_bad_input_ends_in_one_line_before_anything_is_computed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(caltech(tmp_path / "data"))
    run(*arguments, "-o", tmp_path / "report", error="yes")
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and not said.out
    assert not (tmp_path / "report" / "features").exists()


def test_a_report_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report").write_text("mine")
    run("caltech101", "--data", caltech(tmp_path / "data"), "-o", tmp_path / "report", error="yes")
    assert "report is a file: name a folder" in capsys.readouterr().err


def test_default_layers_are_like_the_papers(lite0: Net) -> None:
    assert default_layers(lite0) == (["block11", "block16", "pool"], "avg")
    assert default_layers(tiny_net()) == (["pool"], "avg")
    model = tiny_net()
    paper = Net("paper", model.data, model.preprocess, "fc", (), {"DeCAF5": "conv", "DeCAF6": "pool", "DeCAF7": "fc"})
    assert default_layers(paper) == (["DeCAF5", "DeCAF6", "DeCAF7"], "none")


def test_layers_may_be_named_as_in_the_paper(tmp_path: Path) -> None:
    model = tiny_net()
    paper = Net("paper", model.data, model.preprocess, "fc", (), {"DeCAF5": "conv", "DeCAF6": "pool", "DeCAF7": "fc"})
    out = tmp_path / "report"
    out.mkdir()
    request = Request(
        caltech(tmp_path / "data"), out, paper, protocol=Protocol(1, 0, 6), transforms=("none",), dropout=0
    )
    found = reproduce(TASK, request, lambda job, work: nullcontext(lambda rows, broken: None), lambda result: None)
    assert found.layers == ["conv", "pool", "fc"] and found.meta["settings"]["layers"]["conv"] == [6, 10, 10]
    with pytest.raises(TaskError, match="no pictures"):
        reproduce(TASK, Request(None, out), lambda job, work: nullcontext(lambda *_: None), lambda result: None)
