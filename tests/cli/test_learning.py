"""`decaf probe`, `fit` and `predict` as they are typed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from tests.cli.running import run, run_json
from tests.features.helpers import tiny_net, write_pictures
from tests.tasks.folders import blobs, write_blobs, write_features

import decaf
from decaf.cli.main import main
from decaf.probe import compare
from decaf.tasks.model import Model


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Three classes of eight rows, one torn, one without a label, one class of a single picture."""
    labels = ["cat", "dog", "<b>\n"] * 8 + [None, "cat", "lonely"]
    errors = [None] * 25 + ["torn", None]
    write_blobs(tmp_path / "f", labels, noise=1.2, errors=errors)
    return tmp_path / "f"


def test_probe_says_what_was_taken_and_how_it_went(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    code, out, err = run(capsys, "probe", features, "--splits", 3)
    assert code == 0
    assert "24 pictures, 3 classes; 3 splits, half of each class, at most 30:" in out
    assert "12 pictures to train on, 12 to test on" in out
    table = re.findall(r"^ +([123]) +[\d.e-]+ +([\d.]{6})$", out, re.M)
    (mean, std) = re.search(r"mean accuracy over the classes: ([\d.]+) \+- ([\d.]+)", out).groups()  # type: ignore[union-attr]
    scores = [float(accuracy) for _, accuracy in table]
    assert len(table) == 3 and np.mean(scores) == pytest.approx(float(mean), abs=1e-4)
    assert np.std(scores, ddof=1) == pytest.approx(float(std), abs=1e-4)
    for said in ("1 broken rows", "1 rows without a label", "classes with one picture are left out: lonely"):
        assert said in err
    assert "<b>\\n" in out


def test_probe_json(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    about = run_json(capsys, "probe", features, "--splits", 3, "--loss", "logistic", "--transform", "l2",
                     "--transform", "sqrt", "--dropout", 0.1, "--curve", "1,2")  # fmt: skip
    assert len(about["splits"]) == len(about["C"]) == 3 and about["seconds"] > 0
    assert about["mean_accuracy"] == pytest.approx(np.mean(about["splits"])) and about["std"] > 0
    assert set(about["transforms"]) <= {"l2", "sqrt"} and about["layer"] == "vector"
    assert [point["train_per_class"] for point in about["learning_curve"]] == [1, 2]
    assert "nothing to validate on" in about["notes"][0]
    assert about["excluded"] == {
        "broken": 1, "unlabelled": 1, "labels_without_picture": 0, "classes_left_out": {"lonely": 1},
    }  # fmt: skip
    again = run_json(capsys, "probe", features, "--splits", 3, "--seed", 0)
    assert again["splits"] == run_json(capsys, "probe", features, "--splits", 3)["splits"]
    assert again["splits"] != run_json(capsys, "probe", features, "--splits", 3, "--seed", 1)["splits"]


def test_one_class_is_refused_before_anything_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_blobs(tmp_path / "f", ["cat"] * 8)
    for command in (("probe", tmp_path / "f"), ("fit", tmp_path / "f", "-o", tmp_path / "m")):
        code, out, err = run(capsys, *command)
        assert (code, out) == (1, "") and "all labels are of one class, 'cat'" in err


def test_rows_of_one_picture_are_counted_as_such(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    labels = ["cat", "dog"] * 12
    paths = [f"p/{row % 8}" for row in range(24)]
    write_features(tmp_path / "f", blobs(labels), labels, paths, region=[str(row) for row in range(24)])
    code, out, _ = run(capsys, "probe", tmp_path / "f", "--splits", 1)
    assert code == 0 and "24 rows of 8 pictures, 2 classes; 1 split, " in out and "12 rows to train on" in out


def test_a_split_file_is_written_and_then_read(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    file = features.parent / "splits.csv"
    options = ("--train-per-class", 2, "--splits-file", file)
    labels = features.parent / "all.csv"
    stored = decaf.FeatureSet.open(features)
    with labels.open("w", newline="") as opened:
        csv.writer(opened).writerows([("path", "label"), *zip(stored.paths[:24], stored.labels[:24], strict=True)])
    code, out, _ = run(capsys, "probe", features, "--labels", labels, *options, "--splits", 2)
    assert code == 0 and "2 splits, 2 of each class" in out
    code, again, _ = run(capsys, "probe", features, "--labels", labels, *options)
    assert code == 0 and f"2 splits, read from {file}" in again
    assert re.search("classes: .*", again)[0] == re.search("classes: .*", out)[0]  # type: ignore[index]


def test_probe_leaves_a_report(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    out = features.parent / "report"
    about = run_json(capsys, "probe", features, "--splits", 2, "-o", out)
    assert about["report"]["folder"] == str(out)
    assert set(about["report"]["files"]) == {path.name for path in out.iterdir()}
    assert json.loads((out / "probe.json").read_text())["splits"] == about["splits"]
    assert "24 pictures could not be shown" not in about["report"]["files"]["mistakes.png"]
    assert "could not be shown" in about["report"]["files"]["mistakes.png"]


@pytest.fixture
def numbers(tmp_path: Path) -> tuple[Path, Path]:
    X = np.random.default_rng(0).normal(0, 1, (40, 4))
    write_features(tmp_path / "f", X, [None] * 40, [f"photos/{row}" for row in range(40)])
    lines = [f"{row},{int(X[row, 0] > 0)},{int(X[row, 1] > 0)},{float(X[row, 2]) * 7!r}" for row in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["path,red,big,size", *lines, "gone,1,1,1"]))
    return tmp_path / "f", tmp_path / "t.csv"


def test_several_columns_and_numbers(capsys: pytest.CaptureFixture[str], numbers: tuple[Path, Path]) -> None:
    features, labels = numbers
    many = ("--labels", labels, "--kind", "multilabel", "--target", "red", "--target", "big")
    about = run_json(capsys, "probe", features, *many, "--splits", 2)
    assert about["mean_average_precision"] > 0.9 and [target["name"] for target in about["targets"]] == ["red", "big"]
    assert about["mean_average_precision"] == pytest.approx(np.mean(about["splits"]))
    code, out, err = run(capsys, "probe", features, *many, "--splits", 2, "-o", features.parent / "report")
    assert code == 0 and "average precision" in out and "1 labels are of no picture here, first gone" in err
    assert {path.name for path in (features.parent / "report").iterdir()} == {
        "probe.json", "splits.json", "per_target.csv", "mistakes.png", "average_precision.png", "precision_recall.png",
    }  # fmt: skip
    size = ("--labels", labels, "--kind", "regression", "--target", "size")
    about = run_json(capsys, "probe", features, *size, "-o", features.parent / "sizes")
    assert set(about["report"]["files"]) == {path.name for path in (features.parent / "sizes").iterdir()}
    assert {"predicted.png", "mistakes.png"} <= set(about["report"]["files"])
    target = about["targets"][0]
    assert target["mean_absolute_error"] < target["root_mean_squared_error"] < 1.5
    assert about["mean_r2"] > 0.95 and about["targets"][0]["mean_absolute_error"] < 1 and len(about["alpha"]) == 5
    code, out, _ = run(capsys, "probe", features, *size)
    assert code == 0 and "R squared" in out and "20 pictures to train on, 20 to test on" in out


def test_a_second_probe_is_compared_with_the_first_on_its_splits(
    capsys: pytest.CaptureFixture[str], features: Path
) -> None:
    first, second = features.parent / "first", features.parent / "second"
    before = run_json(capsys, "probe", features, "--splits", 4, "--seed", 3, "-o", first)
    about = run_json(capsys, "probe", features, "--compare", first, "--transform", "l2", "-o", second)
    found = about["comparison"]
    assert found["splits"] == before["splits"] and found["measure"] == "mean_accuracy"
    assert found["difference"] == pytest.approx(about["mean_accuracy"] - before["mean_accuracy"])
    reference = compare(about["splits"], before["splits"], test_share=12 / 12)
    assert [found["p"], *found["interval"]] == pytest.approx([reference.p_value, *reference.interval])
    assert (first / "splits.json").read_text() == (second / "splits.json").read_text()
    assert json.loads((second / "probe.json").read_text())["comparison"] == found
    code, out, _ = run(capsys, "probe", features, "--compare", first, "--seed", 3)
    assert code == 0 and f"against {first}, on its splits: {before['mean_accuracy']:.4f} there" in out
    assert "difference +0.0000, 95 % interval +0.0000 to +0.0000, p 1" in out  # the same again


def test_numbers_are_compared_too_and_other_targets_refused(
    capsys: pytest.CaptureFixture[str], numbers: tuple[Path, Path]
) -> None:
    features, labels = numbers
    size = ("--labels", labels, "--kind", "regression", "--target", "size")
    run_json(capsys, "probe", features, *size, "-o", features.parent / "first")
    about = run_json(capsys, "probe", features, *size, "--compare", features.parent / "first")
    assert about["comparison"]["measure"] == "mean_r2" and about["comparison"]["difference"] == 0
    big = ("--labels", labels, "--kind", "multilabel", "--target", "big")
    code, out, err = run(capsys, "probe", features, *big, "--compare", features.parent / "first")
    assert (code, out) == (1, "") and "learned regression size, this is multilabel big" in err


def test_fit_and_predict_columns(capsys: pytest.CaptureFixture[str], numbers: tuple[Path, Path]) -> None:
    features, labels = numbers
    for kind, targets in (("multilabel", ("red", "big")), ("regression", ("size",))):
        model = features.parent / kind
        chosen = [part for target in targets for part in ("--target", target)]
        about = run_json(capsys, "fit", features, "-o", model, "--labels", labels, "--kind", kind, *chosen)
        assert about["targets"] == list(targets) and about["rows"] == 40
        assert run(capsys, "fit", features, "-o", model, "--labels", labels, "--kind", kind, *chosen)[0] == 0
        said = run_json(capsys, "predict", model, features)
        assert len(said["rows"]) == 40 and said["kind"] == kind
        code, out, _ = run(capsys, "predict", model, features)
        assert code == 0 and out.split("\n")[0].split()[:2] == ["path", targets[0]]


def test_fit_tells_what_it_did_and_predict_labels_features(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    model = features.parent / "m.safetensors"
    code, out, err = run(capsys, "fit", features, "-o", model)
    assert code == 0 and "fitted on 25 rows of made-up vector: 4 classes" in out and "1 broken rows" in err
    assert f"next: decaf predict {model} PICTURES" in out
    about = run_json(capsys, "fit", features, "-o", model, "--loss", "logistic", "--C", 0.1, "--C", 1)
    assert about["C"] in (0.1, 1) and about["classes"] == ["<b>\n", "cat", "dog", "lonely"]
    assert about["bytes"] == model.stat().st_size and 0 < about["validation_accuracy"] <= 1
    said = run_json(capsys, "predict", model, features, "--top", 2)
    assert said["confidence"] == "probability" and said["broken"] == 1 and len(said["rows"]) == 27
    expected = Model.load(model).predict(decaf.FeatureSet.open(features))
    assert [row["label"] for row in said["rows"]] == expected.labels.tolist()
    assert said["rows"][25] == {
        "path": "photos/cat/25.bmp", "label": None, "confidence": None, "best": [], "error": "torn",
    }  # fmt: skip
    code, out, _ = run(capsys, "predict", model, features, "-o", features.parent / "out.csv")
    assert code == 0 and "1 of 27 could not be read" in out and "27 lines" in out
    assert "path" in out and "probability" in out and "torn" in out


def test_info_tells_what_a_model_is_and_how_it_was_made(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    model = features.parent / "birds"  # no suffix says what it is
    fitted = run_json(capsys, "fit", features, "-o", model, "--loss", "logistic", "--transform", "standardize")
    about = run_json(capsys, "info", model)
    assert about["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest() and about["bytes"] == fitted["bytes"]
    assert (about["kind"], about["loss"], about["classes"]) == ("classes", "logistic", fitted["classes"])
    assert (about["net"], about["net_sha256"], about["layer"]) == ("made-up", "0" * 64, "vector")
    assert about["settings"]["preprocess"] == decaf.FeatureSet.open(features).meta["settings"]["preprocess"]
    assert about["fit"]["C"] == fitted["C"] and about["fit"]["validation_accuracy"] == fitted["validation_accuracy"]
    assert about["transforms"] == ["standardize"] and len(about["digest"]) == 16
    code, out, _ = run(capsys, "info", model)
    assert code == 0 and "classes: <b>\\n, cat, dog, lonely" in out and "  rows: 25" in out
    model.write_bytes(model.read_bytes()[:-1])
    code, out, err = run(capsys, "info", model)
    assert (code, out) == (1, "") and "birds is damaged" in err and err.count("\n") == 1


def test_of_many_classes_info_names_the_first(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    labels = [f"class {number:02d}" for number in range(30)] * 2
    write_features(tmp_path / "f", blobs(labels), labels)
    run_json(capsys, "fit", tmp_path / "f", "-o", tmp_path / "m", "--C", 0.1)
    code, out, _ = run(capsys, "info", tmp_path / "m")
    assert code == 0 and "class 19 and 10 more" in out and "class 20" not in out


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("as_json", [False, True])
def test_fit_shows_its_steps_on_a_terminal_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, features: Path, as_json: bool
) -> None:
    shown = _Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(SystemExit):
        main(["fit", str(features), "-o", str(features.parent / "m"), *(["--json"] if as_json else [])])
    assert ("choosing C and fitting, 25 rows, 4 classes" in shown.getvalue()) != as_json
    assert ("0:00:0" in shown.getvalue()) != as_json


def test_fit_is_quiet_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_blobs(tmp_path / "f", ["cat", "dog"] * 8)
    code, _, err = run(capsys, "fit", tmp_path / "f", "-o", tmp_path / "m")
    assert (code, err) == (0, "")


def test_pictures_are_labelled_straight_from_disk(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    for label in ("cat", "dog"):
        write_pictures(tmp_path / "photos" / label, 5)
    tiny_net().save(tmp_path / "tiny.onnx")
    run_json(capsys, "extract", tmp_path / "photos", "-o", tmp_path / "f", "--net", tmp_path / "tiny.onnx")
    run_json(capsys, "fit", tmp_path / "f", "-o", tmp_path / "m")
    (tmp_path / "photos" / "torn.png").write_bytes(b"torn")
    command = ("predict", tmp_path / "m", tmp_path / "photos", "--net", tmp_path / "tiny.onnx")
    said = run_json(capsys, *command)
    assert len(said["rows"]) == 11 and said["broken"] == 1 and said["rows"][-1]["error"]
    stored = run_json(capsys, "predict", tmp_path / "m", tmp_path / "f")
    assert [row["label"] for row in said["rows"][:10]] == [row["label"] for row in stored["rows"]]
    assert os.listdir(tmp_path / "temporary") == []  # the features are gone again
    code, _, err = run(capsys, *command[:3])
    assert code == 1 and "features of tiny, which is a file: name it with --net" in err


def test_what_differs_is_told_or_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    labels = ["cat", "dog"] * 5
    for name, settings in (("f", {}), ("mean", {"views": "ten-mean"}), ("pooled", {"pool": "avg"})):
        write_features(tmp_path / name, blobs(labels), labels, **settings)
    run_json(capsys, "fit", tmp_path / "f", "-o", tmp_path / "m", "--C", 0.1)
    assert (
        "views center, these have ten-mean"
        in run_json(capsys, "predict", tmp_path / "m", tmp_path / "mean")["notes"][0]
    )
    assert "views center, these have ten-mean" in run(capsys, "predict", tmp_path / "m", tmp_path / "mean")[2]
    code, _, err = run(capsys, "predict", tmp_path / "m", tmp_path / "pooled")
    assert code == 1 and "pool none" in err


def test_the_first_of_many_are_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    labels = ["cat", "dog"] * 30
    write_features(tmp_path / "f", blobs(labels), labels)
    run_json(capsys, "fit", tmp_path / "f", "-o", tmp_path / "m", "--C", 0.1)
    code, out, _ = run(capsys, "predict", tmp_path / "m", tmp_path / "f")
    assert code == 0 and "and 10 more: -o OUT.csv writes them all" in out and out.count("photos/") == 50


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("probe NOWHERE", "not a feature folder"),
        ("probe F --layer nope", "no layer 'nope'"),
        ("probe F --labels NOWHERE", "cannot read NOWHERE"),
        ("probe F --target x", "--target needs a CSV file"),
        ("probe F --curve 1,x", "give numbers such as 1,3,5"),
        ("probe F --curve 0", "give numbers from 1"),
        ("probe F --train-per-class 4", "class 'lonely' has 1 rows"),
        ("probe F --transform cube", "'cube' is not one of"),
        ("probe F --dropout 1", "0<=x<1"),
        ("probe F -o F/decaf.json", "is a file: name a folder"),
        ("fit F", "Missing option '-o'"),
        ("fit F -o F", "F is a folder: name a file in it"),
        ("fit F -o NOWHERE/m", "there is no folder NOWHERE"),
        ("fit F -o F/m --C 0", "x>0"),
        ("predict F/decaf.json F", "decaf.json is no model file"),
        ("predict NOWHERE F", "cannot read NOWHERE"),
        ("predict F/m F -o NOWHERE/x.csv", "there is no folder NOWHERE"),
        ("predict F/m", "Missing argument 'SRC...'"),
        ("probe F --compare NOWHERE", "cannot read NOWHERE/probe.json (No such file"),
        ("probe F --compare F --splits-file F/s.json", "leave out --splits-file"),
        ("info F/shard-00000.parquet", "not an ONNX file"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    capsys: pytest.CaptureFixture[str], features: Path, line: str, says: str
) -> None:
    words = line.replace("NOWHERE", str(features.parent / "nowhere")).replace("F", str(features)).split()
    says = says.replace("NOWHERE", str(features.parent / "nowhere")).replace("F is", f"{features} is")
    code, out, err = run(capsys, *words)
    assert code == 1 and out == "" and says in err, err
    assert err.startswith("decaf: ") and err.count("\n") == 1
