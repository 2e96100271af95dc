"""`decaf reproduce office` from folders to a report."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decaf
from decaf.adapt.prepare import PREPARATIONS as OF_ADAPT
from decaf.cli.main import main
from decaf.cli.reproduce_office import KINDS, PREPARATIONS
from decaf.errors import TaskError
from decaf.tasks.office import domain as domains
from decaf.tasks.office import report
from decaf.tasks.office import run as module
from decaf.tasks.office.gather import Request
from decaf.tasks.office.prepare import in_words, prepared
from decaf.tasks.office.run import reproduce_office
from decaf.viz.panels import Mark
from tests.features.helpers import tiny_net
from tests.tasks.office.worlds import features, write_mat, write_original_splits, write_pictures, write_surf

PLAIN = ["--method", "NN", "--method", "S", "--method", "T", "--method", "ST"]
FAST = ["--method", "ST", "--method", "T"]  # T is compared with ST


@pytest.fixture
def net(tmp_path: Path) -> Path:
    tiny_net().save(tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def run(*arguments: object, error: bool = False) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", "office", *map(str, arguments)])
    assert ended.value.code == (1 if error else None) or (not error and ended.value.code == 0)


def two(folder: Path, count: int = 6, suffix: str = ".png") -> Path:
    counts = {name: {"back_pack": count, "mug": count + 1, "bike": count} for name in ("amazon", "webcam")}
    return write_pictures(folder, counts, images=True, suffix=suffix)


# -- pictures -----------------------------------------------------------------------------------------------------


def test_pictures_to_a_report_and_again(tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = two(tmp_path / "data"), tmp_path / "report"
    broken = data / "webcam" / "images" / "mug" / "frame_0002.png"
    broken.write_bytes(broken.read_bytes()[:100])
    arguments = ["--data", data, "--net", net, "--layer", "pool", "--layer", "fc", "-o", out, "--splits", 2, *PLAIN]
    run(*arguments)
    shown = capsys.readouterr()
    assert "38 pictures, 38 to compute, tiny: pool, fc" in shown.err
    assert "Amazon → Webcam, fc, SVM (ST): " in shown.err and "Table 1 has 31 classes, here are 3" in shown.err
    assert "ours: pool" in shown.out and "paper*: DeCAF6" in shown.out and "80.66 ± 2.3" in shown.out
    assert {path.name for path in out.iterdir()} == {
        "features", "pictures.txt", "splits.json", "report.json", "report.md", "report.html", "accuracies.png",
        "differences.png",
    }  # fmt: skip
    about = json.loads((out / "report.json").read_text())
    assert about["broken"][0]["path"].endswith("webcam/images/mug/frame_0002.png")
    assert [one["method"] for one in about["results"] if one["features"] == "pool"] == [
        "1-NN (S)", "LogReg (S)", "SVM (S)", "LogReg (T)", "SVM (T)", "LogReg (ST)", "SVM (ST)",
    ]  # fmt: skip
    assert all(len(one["accuracies"]) == 2 for one in about["results"])
    split = json.loads((out / "splits.json").read_text())["pairs"][0]["splits"][0]
    assert [len(split[part]) for part in ("train_source", "train_target", "test")] == [19, 9, 9]
    assert "webcam/mug/frame_0002.png" not in split["test"] and "amazon/bike/frame_0001.png" in split["train_source"]
    page = (out / "report.html").read_text()
    assert "frame_0002.png" in page and "(S) has seen" not in page and "Chopra et al. 2013" in page
    assert "Table 1: 31 classes" in (out / "report.md").read_text()
    run(*arguments, "--json")
    again = json.loads(capsys.readouterr().out)
    assert again["results"][-1]["accuracies"] == about["results"][-1]["accuracies"]
    assert "The features were there already" in (out / "report.md").read_text()


def test_features_made_before_in_two_folders(tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = two(tmp_path / "data")
    folders = []
    for name in ("amazon", "webcam"):
        decaf.extract(data / name, net, ["pool", "fc"], tmp_path / name, resize="warp")
        folders += ["--features", tmp_path / name]
    out = tmp_path / "report"
    run(*folders, "-o", out, "--splits", 2, "--layer", "fc", "--json", *FAST)
    of_two = json.loads(capsys.readouterr().out)
    assert {one["features"] for one in of_two["results"]} == {"fc"} and not (out / "features").exists()
    run("--data", data, "--net", net, "--layer", "fc", "-o", tmp_path / "one", "--splits", 2, "--json", *FAST)
    of_one = json.loads(capsys.readouterr().out)
    assert [one["accuracies"] for one in of_one["results"]] == [one["accuracies"] for one in of_two["results"]]
    run("--features", tmp_path / "amazon", "-o", out, error=True)
    assert "has one domain, amazon: name a second one" in capsys.readouterr().err
    run("--features", tmp_path / "amazon", *folders, "-o", out, error=True)
    assert "is there twice: name each folder" in capsys.readouterr().err


def test_only_the_ten_classes_are_extracted(tmp_path: Path, net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {name: {"backpack": 5, "mug": 5, "stapler": 5} for name in ("amazon", "dslr", "webcam")}
    counts["webcam"].pop("stapler")
    data, out = write_pictures(tmp_path / "data", counts), tmp_path / "report"
    options = ["--data", data, "--net", net, "--splits", 1, "--method", "T", "--pair", "A-W", "-o", out]
    run(*options, error=True)
    assert "class 'stapler' is in amazon and not in webcam: add it" in capsys.readouterr().err
    run(*options[:-1], tmp_path / "ten", "--classes", "10", "--json")
    about = json.loads(capsys.readouterr().out)
    assert about["features"][0]["domains"].keys() == {"amazon", "webcam"}  # the pair's alone
    assert (tmp_path / "ten" / "pictures.txt").read_text().count("\n") == 20
    assert about["settings"]["pairs"] == "A → W" and about["differences"][0]["verdict"] == "unclear"


def test_published_marks_are_drawn_only_where_they_compare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    drawn: list[list[Mark]] = []
    write_surf(tmp_path / "surf", classes=3)
    request = Request([tmp_path], tmp_path, methods=["ST"], n_splits=1)
    found = reproduce_office(request, lambda *_: nullcontext(), lambda result: None)
    for classes in (31, 3):
        monkeypatch.setattr(module, "CLASSES", classes)
        drawn.append(report._accuracies(found))
    assert [sum(mark.hollow for mark in marks) for marks in drawn] == [0, 2 * 2 * 3]
    assert {(mark.panel, mark.row, mark.series, mark.value) for mark in drawn[1] if mark.hollow} >= {
        ("Amazon → Webcam", "SVM (ST)", "paper*: DeCAF6", 80.66),
        ("Dslr → Webcam", "LogReg (ST)", "paper*: SURF", 36.55),
    }


# -- released vectors ---------------------------------------------------------------------------------------------


def test_several_kinds_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_surf(tmp_path / "data" / "surf", classes=3)
    for name in ("dslr", "webcam"):
        write_mat(tmp_path / "data" / "decaf6" / f"{name}.mat", name, [9] * 3, ("feas", "labels"))
    write_mat(tmp_path / "data" / "decaf6" / "dslr_other.mat", "dslr", [9] * 3)
    out = tmp_path / "report"
    run("--data", tmp_path / "data", "-o", out, "--splits", 3, "--prepare", "none", "--prepare", "l2", *FAST)
    shown = capsys.readouterr()
    assert "note: other is of one domain, dslr, and was left out." in shown.err
    assert "note: DeCAF6 has webcam, dslr only: no Amazon → Webcam." in shown.err
    about = json.loads((out / "report.json").read_text())
    assert {(one["features"], one["source"]) for one in about["results"]} == {
        ("SURF, none", "amazon"), ("SURF, l2", "amazon"), ("SURF, none", "dslr"), ("SURF, l2", "dslr"),
        ("DeCAF6, none", "dslr"), ("DeCAF6, l2", "dslr"),
    }  # fmt: skip
    assert len(about["differences"]) == 6 * 2  # T against ST, of two losses
    wider = [one["corrected_interval"][0] - one["interval"][0] for one in about["differences"]]
    assert max(wider) <= 0 and min(wider) < 0
    run("--data", tmp_path / "data", "-o", out, "--kind", "decaf", "--splits", 1, "--json", *FAST)
    assert {one["features"] for one in json.loads(capsys.readouterr().out)["results"]} == {"DeCAF6"}


def test_without_labels_of_the_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_surf(tmp_path / "surf", ("amazon", "webcam", "dslr", "caltech10"))
    out = tmp_path / "report"
    run("--data", tmp_path / "surf", "-o", out, "--protocol", "unsupervised", "--method", "NN", "--method", "GFK")
    shown = capsys.readouterr()
    header = next(line for line in shown.out.splitlines() if "C → A" in line)
    assert header.split()[:3] == ["C", "→", "A"] and header.split()[-1] == "mean"
    assert "* SURF: 1-NN (S)" in shown.out and "23.70" in shown.out and "31.37" in shown.out
    assert "Gong et al. 2012 (GFK) against 1-NN (S) with SURF: higher on" in shown.out
    about = json.loads((out / "report.json").read_text())
    assert len(about["results"]) == 24 and {one["preparation"] for one in about["results"]} == {"l1-zscore"}
    assert all(one["interval"] is None for one in about["differences"])
    assert "(S) has seen the target's pictures" in (out / "report.md").read_text()
    run("--data", tmp_path / "surf", "-o", out, "--protocol", "unsupervised", "--method", "NN", "--pair", "D-W",
        "--prepare", "none", "--prepare", "l2")  # fmt: skip
    shown = capsys.readouterr().out
    assert "SURF, l2: 1-NN (S)" in shown and re.search(r"\* SURF: 1-NN \(S\) +63.39", shown)
    gfk = [one for one in about["results"] if "GFK" in one["method"]]
    assert all(one["dimension"][0] >= 1 for one in gfk)


def test_accuracy_is_of_classes_or_of_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By Saenko's protocol every class counts the same; in the other tables every picture."""
    counts = [4, 30]
    for name in ("amazon", "webcam"):
        write_mat(tmp_path / "clouds" / f"{name}.mat", name, counts)
    fixed = ["--data", tmp_path, "-o", tmp_path / "out", "--pair", "A-W", "--json"]
    run(*fixed, "--protocol", "unsupervised", "--method", "NN")
    one = json.loads(capsys.readouterr().out)["results"][0]
    assert (one["accuracy"] * sum(counts)) % 1 == pytest.approx(0, abs=1e-9)
    run(*fixed, "--method", "T", "--splits", 1)
    first = json.loads(capsys.readouterr().out)["results"][0]
    steps = first["accuracy"] * 2 - np.array([0, 1])  # of the class with one test picture
    assert any((27 * step) % 1 == pytest.approx(0, abs=1e-6) for step in steps)


def test_original_splits_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = features("dslr", "webcam", classes=10)
    for name, domain in world.domains.items():
        write_mat(tmp_path / "data" / f"{name}_SURF_L10.mat", name, [sum(domain.y == c) for c in sorted(set(domain.y))])
    splits = tmp_path / "splits"
    write_original_splits(splits, ("dslr", "webcam"), *world.of(("dslr", "webcam")))
    out = tmp_path / "report"
    fixed = ["--data", tmp_path / "data", "-o", out, "--splits-from", splits, *FAST]
    run(*fixed, "--splits", 3, "--json")
    about = json.loads(capsys.readouterr().out)
    assert about["settings"]["splits"].startswith(f"3, read from {splits}")
    written = json.loads((out / "splits.json").read_text())["pairs"][0]["splits"]
    assert len(written) == 3 and all(len(one["train_source"]) == 80 for one in written)
    run(*fixed, error=True)
    assert "has 3 splits of every part: pass --splits 3 or fewer" in capsys.readouterr().err


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no folder: no features of two domains are there; pass --data"),
        (["--data", "nowhere"], "nowhere is not a folder"),
        (["--data", "one"], "pictures is of one domain, amazon, and was left out."),
        (["--data", "."], "class 'mug' of webcam has 3 pictures, 3 to train on and one to test on are needed"),
        (["--data", ".", "--pair", "A-D"], "no features have both amazon and dslr: add them or name another --pair"),
        (["--data", ".", "--pair", "A-A"], "'A-A' is no pair of amazon, webcam, dslr and caltech10"),
        (["--data", ".", "--pair", "amazon"], "'amazon' is no pair"),
        (["--data", ".", "--method", "boosting"], "'boosting' is no method of the saenko protocol: use one of NN, S"),
        (["--data", ".", "--protocol", "unsupervised", "--method", "st"], "'st' is no method of the unsupervised"),
        (["--data", ".", "--kind", "surf"], "no features of two domains are there"),
        (["--data", "nan"], "1 of 8 vectors of nan/amazon.mat hold NaN or inf, the first is row 3: repair it"),
        (["--data", "lengths"], "vectors of lengths differ in length (amazon 12, webcam 2): give features of one kind"),
        (["--data", "damaged"], "damaged/amazon.mat is no whole MATLAB 5 file"),
    ],
)
def test_bad_input_ends_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    from scipy.io import savemat

    monkeypatch.chdir(tmp_path)
    if "." in arguments:
        write_pictures(Path(), {"amazon": {"mug": 4, "bike": 4}, "webcam": {"mug": 3, "bike": 4}})
    write_pictures(Path("one"), {"amazon": {"mug": 4}}) if "one" in arguments else None
    for name in ("amazon", "webcam"):
        for folder in ("nan", "lengths", "damaged"):
            if folder in arguments:
                write_mat(Path(folder) / f"{name}.mat", name, [4, 4])
    if "nan" in arguments:
        X = np.ones((8, 3))
        X[2, 1] = np.nan
        savemat("nan/amazon.mat", {"fts": X, "labels": np.repeat([1, 2], 4)})
    if "lengths" in arguments:
        savemat("lengths/webcam.mat", {"fts": np.ones((8, 2)), "labels": np.repeat([1, 2], 4)})
    if "damaged" in arguments:
        Path("damaged/amazon.mat").write_bytes(Path("damaged/amazon.mat").read_bytes()[:300])
    net = tmp_path / "tiny.onnx"
    tiny_net().save(net)
    run(*arguments, "--net", net, "-o", tmp_path / "out", error=True)
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1 and not said.out  # before anything is computed


def test_pictures_outside_of_any_domain_are_refused(tmp_path: Path, net: Path) -> None:
    data = write_pictures(tmp_path / "photos", {"somewhere": {"mug": 2, "bike": 2}})
    decaf.extract(data, net, "fc", tmp_path / "features", resize="warp")
    request = Request([], tmp_path, features=[str(tmp_path / "features")])
    with pytest.raises(TaskError, match="lies in no folder of a domain: pictures lie in amazon/CLASS or webcam"):
        reproduce_office(request, lambda *_: nullcontext(), lambda result: None)


# -- preparation --------------------------------------------------------------------------------------------------


def test_options_are_those_of_the_rooms_below() -> None:
    assert KINDS == domains.KINDS and tuple(PREPARATIONS) == OF_ADAPT
    assert in_words("l1-zscore").startswith("magnitudes of each vector summing to 1, then each number to mean 0")


@pytest.mark.parametrize("name", PREPARATIONS)
def test_preparations_are_of_each_domain_by_itself(name: str) -> None:
    world = features("amazon", "webcam")
    for one, other in zip(prepared(*world.of(("amazon", "webcam")), name), world.of(("amazon", "webcam")), strict=True):
        X: Any = other.X.astype(float)
        X = X / np.abs(X).sum(axis=1, keepdims=True) if "l1" in name else X
        X = X / np.linalg.norm(X, axis=1, keepdims=True) if "l2" in name else X
        X = (X - X.mean(axis=0)) / X.std(axis=0, ddof=1) if "zscore" in name else X
        np.testing.assert_allclose(one.X, X, rtol=2e-4, atol=2e-4)
        assert one.X.dtype == np.float32 and one.names == other.names
