"""`decaf adapt` as it is typed."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from tests.adapt.domains import rotated
from tests.cli.running import run, run_json
from tests.tasks.folders import write_features

from decaf.cli.adapt import _METHODS
from decaf.tasks.adapt_methods import METHODS

NAMES = np.array(["cat", "dog", "<b>\n"], object)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def domains(tmp_path: Path) -> tuple[object, ...]:
    pair = rotated(seed=2, d=10, angle=1.1, source=12, target=9)
    labels = NAMES[pair.y]
    X = pair.X.astype(np.float32)
    write_features(tmp_path / "s", X[~pair.target], labels[~pair.target])
    write_features(tmp_path / "t", X[pair.target], labels[pair.target], errors=[None] * 26 + ["torn"])
    return ("adapt", "--source", tmp_path / "s", "--target", tmp_path / "t")


FAST = ("--method", "coral", "--method", "gfk")


def test_it_says_what_was_taken_how_it_went_and_what_was_written(
    capsys: pytest.CaptureFixture[str], domains: tuple[object, ...], tmp_path: Path
) -> None:
    files = ("-o", tmp_path / "labels.csv", "--report", tmp_path / "r")
    code, out, err = run(capsys, *domains, *FAST, *files)
    assert code == 0, err
    for said in (
        "36 rows, 3 classes", "26 rows; labels: none to learn from, 26 to test on",
        "made-up vector, 10 numbers; seed 0", "proxy A-distance", "against source-only",
        "chosen (◀) by there-and-back validation, without labels of the target: ",
        f"{tmp_path / 'labels.csv'}: 27 lines", "report.html",
    ):  # fmt: skip
        assert said in out, said
    assert "1 broken rows of the target are left out" in err
    assert re.search(r"^source-only (?:◀)? *none +[\d.e-]+ +(0\.\d{4}) ", out, re.M)
    lines = read(tmp_path / "labels.csv")
    assert len(lines) == 27 and lines[26]["error"] == "torn" and lines[26]["label"] == ""
    assert {line["label"] for line in lines[:26]} <= set(NAMES)
    assert {"path", "unadapted", "known", "used", "label", "error"} < set(lines[0])


def test_json_is_all_that_was_found(
    capsys: pytest.CaptureFixture[str], domains: tuple[object, ...], tmp_path: Path
) -> None:
    about = run_json(capsys, *domains, *FAST, "-o", tmp_path / "l.csv", "--report", tmp_path / "r")
    rows, methods = about["rows"], {method["method"]: method for method in about["methods"]}
    assert len(rows) == 27 and set(methods) == {"source-only", "coral", "gfk", "chosen"}
    right = [row["label"] == row["known"] for row in rows if row["used"] == "testing"]
    share = np.mean(
        [np.mean([r for r, row in zip(right, rows, strict=False) if row["known"] == name]) for name in NAMES]
    )
    assert methods["chosen"]["accuracy"] == pytest.approx(share)
    assert methods["chosen"]["accuracy"] == methods[about["chosen"][0]]["accuracy"]
    assert methods["coral"]["change"]["interval"][0] <= methods["coral"]["change"]["difference"]
    assert 0.5 <= about["domains"]["told_apart"] <= 1 and about["notes"] == ["1 broken rows of the target are left out"]
    assert set(about["report"]["files"]) == {path.name for path in (tmp_path / "r").iterdir()}
    again = run_json(capsys, *domains, *FAST)
    assert again["methods"] == about["methods"] and again["rows"] == rows
    csv_labels = [line["label"] for line in read(tmp_path / "l.csv")]
    assert csv_labels == [row["label"] or "" for row in rows]


def test_the_oracle_says_that_it_looked(capsys: pytest.CaptureFixture[str], domains: tuple[object, ...]) -> None:
    code, out, _ = run(capsys, *domains, *FAST, "--select", "oracle")
    assert code == 0 and "chosen (◀) by the labels that are tested on: its accuracy is too good: " in out


def test_importance_weights_say_how_many_rows_they_leave(
    capsys: pytest.CaptureFixture[str], domains: tuple[object, ...]
) -> None:
    code, out, _ = run(capsys, *domains, *FAST, "--select", "iw")
    (left,) = re.findall(r"importance weights leave ([\d.]+) of 36 source rows: of few, validation says little", out)
    assert code == 0 and 1 <= float(left) <= 36


def test_few_labels_several_times(capsys: pytest.CaptureFixture[str], domains: tuple[object, ...]) -> None:
    code, out, _ = run(capsys, *domains, "--method", "daume", "--target-train-per-class", 2, "--splits", 2)
    assert code == 0 and "6 to learn from, 20 to test on, 2 times" in out and "against source-and-target" in out
    for name in ("source-only", "target-only", "source-and-target", "daume"):
        assert re.search(rf"^{name} ", out, re.M)


def test_without_labels_nothing_is_said_to_be_right(
    capsys: pytest.CaptureFixture[str], domains: tuple[object, ...], tmp_path: Path
) -> None:
    code, out, _ = run(capsys, *domains, *FAST, "--no-target-labels", "-o", tmp_path / "l.csv")
    assert code == 0 and "accuracy" not in out and "none to test on" in out
    assert {line["known"] for line in read(tmp_path / "l.csv")} == {""}


def test_a_model_for_further_pictures(
    capsys: pytest.CaptureFixture[str], domains: tuple[object, ...], tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    about = run_json(capsys, *domains, "--method", "gfk-svm", "--method", "gfk", "--model", model)
    assert about["chosen"] == ["gfk-svm"]
    assert about["notes"][1] == "a model file cannot hold gfk: not among those to choose from"
    said = run_json(capsys, "predict", model, tmp_path / "t")
    assert [row["label"] for row in said["rows"]] == [row["label"] for row in about["rows"]]
    code, out, _ = run(capsys, "info", model)
    assert code == 0 and "gfk-svm" in out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--method", "dance"), "no method 'dance'"),
        (("--method", "gfk", "--model", "{}/m"), "a model file cannot hold gfk: name another"),
        (("--method", "coral", "--prepare", "l1", "--model", "{}/m"), "a model file knows no l1 norm"),
        (("-o", "{}"), "is a folder: name a file in it"),
        (("--layer", "fc9"), "no layer 'fc9': name one of vector"),
        (("--target-train-per-class", "60"), "the split needs 61"),
        (("--source-labels", "{}/none.csv"), "none.csv"),
        (("--dimension", "500", "--method", "gfk"), "dimension = 500: give 1 to 5"),
    ],
)
def test_errors_are_one_line(
    capsys: pytest.CaptureFixture[str], domains: tuple[object, ...], tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    code, _, err = run(capsys, *domains, *(word.format(tmp_path) for word in more))
    last = err.strip().splitlines()[-1]
    assert code == 1 and message in last and last.startswith("decaf: ") and "Traceback" not in err
    assert not (tmp_path / "m").exists()


def test_the_help_names_every_method() -> None:
    assert list(_METHODS) == list(METHODS)
