"""A report has its tables and figures, whatever the classes are called and however many there are."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import decaf
from decaf.errors import ImageError, ProbeError
from decaf.tasks.pictures import Pictures
from decaf.tasks.probe_report import report_folder, write_report
from decaf.tasks.probing import Probed, Settings, plan_probe, run_probe
from decaf.tasks.targets import read_targets
from decaf.viz.confusion import save_confusion
from decaf.viz.sheet import Shown, save_sheet
from decaf.viz.text import one_line
from tests.tasks.folders import blobs, write_blobs, write_features

ODD = ["plain", "$\\nosuch{$", "new\nline", "<b>&amp;</b>", "日本語 🐦", "a" * 200]


def probed(features: decaf.FeatureSet, **settings: Any) -> Probed:
    return run_probe(plan_probe(features, read_targets(features), None, Settings(**settings)))


def report(tmp_path: Path, features: decaf.FeatureSet, **settings: Any) -> tuple[dict[str, str], dict[str, Any]]:
    found = probed(features, **settings)
    about = found.to_dict()
    return write_report(found, features, about, report_folder(str(tmp_path / "report"))), about


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_report_is_complete_and_its_numbers_agree(tmp_path: Path) -> None:
    features = write_blobs(tmp_path / "f", ODD * 8, noise=1.0)
    files, about = report(tmp_path, features, n_splits=3, curve=(2, 4))
    folder = tmp_path / "report"
    assert set(files) | {"learning_curve.csv"} == {path.name for path in folder.iterdir()}
    assert json.loads((folder / "probe.json").read_text()) == about
    lines = rows(folder / "per_class.csv")
    assert {line["name"] for line in lines} == set(ODD)
    mean = np.mean([float(line["accuracy"]) for line in lines])
    assert mean == pytest.approx(about["mean_accuracy"], abs=1e-4)
    assert about["mean_accuracy"] == pytest.approx(np.mean(about["splits"]))
    assert about["std"] == pytest.approx(np.std(about["splits"], ddof=1))
    counts = rows(folder / "confusion.csv")
    assert sum(int(line[name]) for line in counts for name in ODD) == sum(about["test_rows"]) == 3 * 24
    curve = rows(folder / "learning_curve.csv")
    assert [float(point["accuracy"]) for point in curve] == pytest.approx(
        [point["mean_accuracy"] for point in about["learning_curve"]], rel=1e-4
    )
    assert [point["train_per_class"] for point in curve] == ["2", "4"]
    for name in ("confusion.png", "mistakes.png", "learning_curve.png"):
        with Image.open(folder / name) as figure:
            assert figure.format == "PNG" and min(figure.size) > 300


def test_splits_of_a_report_give_its_numbers_again(tmp_path: Path) -> None:
    features = write_blobs(tmp_path / "f", ["a", "b", "c"] * 8, noise=1.5)
    _, about = report(tmp_path, features, n_splits=2, seed=4)
    again = probed(features, splits_file=str(tmp_path / "report" / "splits.json"), seed=4).to_dict()
    assert again["splits"] == about["splits"] and again["C"] == about["C"]


def test_one_split_has_no_deviation_and_json_knows_no_nan(tmp_path: Path) -> None:
    _, about = report(tmp_path, write_blobs(tmp_path / "f", ["a", "b"] * 4), n_splits=1)
    assert about["std"] is None
    json.loads((tmp_path / "report" / "probe.json").read_text(), parse_constant=pytest.fail)
    assert [line["std"] for line in rows(tmp_path / "report" / "per_class.csv")] == ["", ""]


def test_three_hundred_classes_fit_into_a_figure(tmp_path: Path) -> None:
    names = [f"class {number:03d}" for number in range(300)]
    shares = np.eye(300)
    save_confusion(names, shares, [("class 000", "class 001", 0.5)], tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as figure:
        assert 1000 < max(figure.size) < 6000


@pytest.mark.parametrize("k", [2, 20, 21, 102])
def test_every_class_up_to_a_hundred_and_fifty_is_named(
    tmp_path: Path, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("decaf.viz.confusion.save_png", lambda figure, out: seen.append(figure))
    names = [f"class {number}" for number in range(k)]
    save_confusion(names, np.eye(k), [], tmp_path / "c.png")
    matrix = seen[0].axes[0]
    for axis in (matrix.xaxis, matrix.yaxis):
        assert [text.get_text() for text in axis.get_ticklabels()] == names
    height = seen[0].get_figheight() * matrix.get_position().height / k * 72  # points for one name
    assert height >= matrix.yaxis.get_ticklabels()[0].get_fontsize()


def test_classes_of_one_picture_are_left_out_and_named(tmp_path: Path) -> None:
    features = write_blobs(tmp_path / "f", ["a", "b"] * 4 + ["lonely"])
    about = probed(features, n_splits=1).to_dict()
    assert about["excluded"]["classes_left_out"] == {"lonely": 1} and about["classes"] == 2 and about["rows"] == 8
    with pytest.raises(ProbeError, match="class 'lonely' has 1 rows, the split needs 2"):
        probed(features, n_train=1)
    with pytest.raises(ProbeError, match="2 classes have one picture, 'a' first"):
        probed(write_blobs(tmp_path / "g", ["a", "b"]))


def test_a_curve_that_cannot_be_is_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    features = write_blobs(tmp_path / "f", ["a", "b"] * 4)
    with pytest.raises(ProbeError, match="asks for 3 of each class, 'a' has 2"):
        plan_probe(features, read_targets(features), None, Settings(curve=(1, 3)))
    (tmp_path / "t.csv").write_text("path,n\nphotos/a/0.bmp,1\nphotos/b/1.bmp,2\n")
    numbers = read_targets(features, str(tmp_path / "t.csv"), ["n"], "regression")
    with pytest.raises(ProbeError, match="leave out --curve"):
        plan_probe(features, numbers, None, Settings(curve=(1,)))


def test_steps_are_as_many_as_were_announced(tmp_path: Path) -> None:
    features = write_blobs(tmp_path / "f", ["a", "b"] * 6)
    plan = plan_probe(features, read_targets(features), None, Settings(n_splits=2, curve=(2, 3)))
    steps: list[int] = []
    run_probe(plan, lambda: steps.append(1))
    assert len(steps) == plan.steps == 6


# Pictures


def draw(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (30, 20)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return str(path)


def shown(load: Any, **words: str) -> Shown:
    return Shown(load, **{"is_a": "cat", "taken_for": "dog", "note": "", **words})


def test_pictures_that_are_gone_are_shown_as_such(tmp_path: Path) -> None:
    def gone() -> Any:
        raise ImageError("the file is not there\n$")

    red = np.full((20, 30, 3), (255, 0, 0), np.uint8)
    assert save_sheet("Mistakes", [shown(lambda: red), shown(gone, is_a="日本\n$x$")], tmp_path / "s.png") == 1
    with Image.open(tmp_path / "s.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
    assert ((pixels == (255, 0, 0)).all(axis=1)).sum() > 10_000
    assert ((pixels == (238, 238, 238)).all(axis=1)).sum() > 10_000
    assert save_sheet("No mistakes", [], tmp_path / "none.png") == 0


def make(tmp_path: Path, paths: Sequence[str], **options: Any) -> decaf.FeatureSet:
    labels = ["a"] * len(paths)
    return write_features(tmp_path / "f", blobs(labels), labels, paths, **options)


def test_pictures_are_found_from_where_they_were_extracted(tmp_path: Path) -> None:
    draw(tmp_path / "photos" / "a" / "0.png", (0, 255, 0))
    pictures = Pictures(make(tmp_path, ["photos/a/0.png", "photos/a/gone.png"]))
    assert pictures.load(0).shape == (20, 30, 3) and pictures.load(0)[0, 0].tolist() == [0, 255, 0]
    with pytest.raises(ImageError, match="not there"):
        pictures.load(1)


def test_a_region_is_shown_cut_out(tmp_path: Path) -> None:
    path = draw(tmp_path / "p.png", (0, 255, 0))
    features = make(tmp_path, [path], boxes=[[10, 5, 20, 15]], region=["x"], regions="boxes x 1.5")
    assert Pictures(features).load(0).shape == (16, 16, 3)  # 10 x 1.5, and pixels covered in part


def test_members_of_archives_are_shown(tmp_path: Path) -> None:
    import tarfile

    draw(tmp_path / "in" / "a.png", (0, 0, 255))
    with tarfile.open(tmp_path / "p.tar", "w") as tar:
        tar.add(tmp_path / "in" / "a.png", "x/a.png")
    archive = str(tmp_path / "p.tar")
    features = make(tmp_path, [f"{archive}/x/a.png", f"{archive}/x/b.png"])
    features.meta["source"]["given"] = [archive]
    assert Pictures(features).load(0)[0, 0].tolist() == [0, 0, 255]
    with pytest.raises(ImageError, match="archive does not hold it"):
        Pictures(features).load(1)


@pytest.mark.parametrize(
    ("text", "length", "line"),
    [
        ("a\nb\x1b[31m", 0, "a\\nb\\x1b[31m"),
        ("日本語 é", 0, "日本語 é"),
        ("\udce9", 0, "\\udce9"),
        ("abcdefghij", 7, "abcd…ij"),
        ("abcdefg", 7, "abcdefg"),
    ],
)
def test_names_become_one_short_line(text: str, length: int, line: str) -> None:
    assert one_line(text, length) == line and (not length or len(line) <= length)


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ProbeError, match="file is a file: name a folder"):
        report_folder(str(tmp_path / "file"))
    with pytest.raises(ProbeError, match=r"cannot write .*file/x"):
        report_folder(str(tmp_path / "file" / "x"))
