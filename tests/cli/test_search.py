"""`decaf search` and `decaf groups` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import run, run_json
from tests.features.helpers import tiny_net, write_pictures
from tests.tasks.folders import blobs, write_features

import decaf


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of 12 pictures by a small network, and its file."""
    place = tmp_path_factory.mktemp("made")
    tiny_net().save(place / "tiny.onnx")
    tiny_net(2.0).save(place / "other.onnx")
    write_pictures(place / "photos" / "a", 7)
    write_pictures(place / "photos" / "b", 5)
    decaf.extract([place / "photos"], str(place / "tiny.onnx"), ["pool"], place / "f")
    return place


def new_picture(path: Path, like: Path) -> Path:
    """Nearly the same as another."""
    with Image.open(like) as opened:
        pixels = np.asarray(opened).astype(int)
    pixels[0, 0] = 255 - pixels[0, 0]
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def test_a_new_picture_finds_what_it_is_like(capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path) -> None:
    query = new_picture(tmp_path / "new.png", made / "photos" / "b" / "0003.png")
    net = ("--net", made / "tiny.onnx")
    about = run_json(capsys, "search", made / "f", query, "-k", 3, *net, "-o", tmp_path / "s.png")
    ((first, *others),) = (found["found"] for found in about["queries"])
    assert first["path"].endswith("b/0003.png") and first["label"] == "b" and len(others) == 2
    vector = decaf.extract([query], str(made / "tiny.onnx"), ["pool"]).X()[0].astype(float)
    stored = decaf.FeatureSet.open(made / "f").X()[first["row"]].astype(float)
    cosine = vector @ stored / np.linalg.norm(vector) / np.linalg.norm(stored)
    assert first["similarity"] == pytest.approx(cosine, abs=1e-9)
    assert about["sheet"] == {"file": str(tmp_path / "s.png"), "not_shown": 0} and about["recall"] == 1
    far = run_json(capsys, "search", made / "f", query, "-k", 1, *net, "--metric", "l2")
    assert far["queries"][0]["found"][0]["distance"] == pytest.approx(np.linalg.norm(vector - stored), rel=1e-6)
    code, out, _ = run(capsys, "search", made / "f", query, "#0", "-k", 50, *net)
    assert code == 0 and "12 rows, layer pool, cosine; exact" in out and out.count("b/0003.png") == 2
    assert "similarity" in out and "new.png" in out


def test_boxes_are_queries(capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path) -> None:
    picture = made / "photos" / "a" / "0001.png"
    csv = tmp_path / "boxes.csv"
    csv.write_text(f"path,x0,y0,x1,y1,id\n{picture},0,0,20,16,all\n{picture},5,5,20,16,part\n")
    about = run_json(capsys, "search", made / "f", picture, "--boxes", csv, "-k", 1, "--net", made / "tiny.onnx")
    whole, part = about["queries"]
    assert whole["found"][0]["path"] == str(picture) and whole["found"][0]["similarity"] == pytest.approx(1)
    assert part["found"][0]["similarity"] < 0.9999
    assert "features with regions whole, the query is of boxes" in " ".join(about["notes"]).replace("holds ", "")


def test_unreadable_queries(capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(b"no picture")
    net = ("--net", made / "tiny.onnx")
    code, out, err = run(capsys, "search", made / "f", torn, *net)
    assert (code, out) == (1, "") and "torn.jpg cannot be searched for" in err and err.count("\n") == 1
    about = run_json(capsys, "search", made / "f", torn, made / "photos" / "a" / "0000.png", "-k", 2, *net)
    stored, broken = about["queries"]
    assert stored["row"] == 0 and len(stored["found"]) == 2 and broken["found"] == [] and broken["error"]
    code, _, err = run(capsys, "search", made / "f", tmp_path / "none.jpg", *net)
    assert code == 1 and "none.jpg is not there" in err


def test_another_network_is_refused(capsys: pytest.CaptureFixture[str], made: Path, tmp_path: Path) -> None:
    query = new_picture(tmp_path / "new.png", made / "photos" / "b" / "0003.png")
    code, _, err = run(capsys, "search", made / "f", query, "--net", made / "other.onnx")
    assert code == 1 and "is another network" in err and "name that one with --net FILE.onnx" in err
    code, _, err = run(capsys, "search", made / "f", query)
    assert code == 1 and "holds features of tiny, which is a file: name it with --net FILE.onnx" in err


def test_what_goes_together(capsys: pytest.CaptureFixture[str], made: Path) -> None:
    for arguments, why in (
        ((), "name an IMAGE"),
        (("#0", "--duplicates"), "name an IMAGE"),
        (("#0", "--threshold", "0.5"), "goes with --duplicates"),
        (("#0", "-k", "0"), "0"),
        (("#0", "-o", made), "a folder"),
        (("#0", "-o", made / "s.jpg"), "PNG"),
        (("#99",), "no row 99"),
        (("#0", "--layer", "x"), "no layer"),
    ):
        code, _, err = run(capsys, "search", made / "f", *arguments)
        assert code == 1 and why in err and err.count("\n") == 1, (arguments, err)
    code, _, err = run(capsys, "search", made, "#0")
    assert code == 1 and "not a feature folder" in err


def test_approximate_says_its_recall(capsys: pytest.CaptureFixture[str], made: Path) -> None:
    about = run_json(capsys, "search", made / "f", "#0", "--approximate")
    assert about["approximate"] and about["recall"] == 1 and any("lists-pool" in file for file in about["files"])
    told = run_json(capsys, "info", made / "f")
    assert told["derived_bytes"] == sum(file.stat().st_size for file in (made / "f" / "derived").glob("[!.]*"))
    assert told["bytes"] == sum(path.stat().st_size for path in (made / "f").glob("[!.]*") if path.is_file())
    code, out, _ = run(capsys, "search", made / "f", "#0", "--approximate")
    assert code == 0 and "approximate, recall@10 1.00" in out


def test_duplicates(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    x = np.repeat(np.eye(6), 2, axis=0)[:11]
    write_features(tmp_path / "f", x, ["<b>\n"] * 11, errors=[None] * 10 + ["torn"])
    about = run_json(capsys, "search", tmp_path / "f", "--duplicates", "-o", tmp_path / "d.png")
    assert [[row["row"] for row in group] for group in about["groups"]] == [[2 * n, 2 * n + 1] for n in range(5)]
    assert about["sheet"]["not_shown"] == 10 and about["left_out"] == 1
    code, out, _ = run(capsys, "search", tmp_path / "f", "--duplicates", "--threshold", "0.99")
    assert code == 0 and "5 groups, 5 pictures more than one of each" in out and "<b>\\n" in out
    write_features(tmp_path / "g", np.eye(3), ["a"] * 3)
    code, out, _ = run(capsys, "search", tmp_path / "g", "--duplicates")
    assert code == 0 and "0 groups" in out


def test_groups(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    labels = ["cat"] * 12 + ["<b>\n"] * 9
    write_features(tmp_path / "f", blobs(labels, noise=0.05), labels)
    about = run_json(capsys, "groups", tmp_path / "f", "-o", tmp_path / "out")
    assert [group["rows"] for group in about["groups"]] == [12, 9] and about["agreement"]["ari"] == 1
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "overview.png", "groups.csv", "groups.json", "group-1.png", "group-2.png",
    }  # fmt: skip
    assert json.loads((tmp_path / "out" / "groups.json").read_text())["groups"] == about["groups"]
    code, out, err = run(capsys, "groups", tmp_path / "f", "--method", "hdbscan", "--least", 5)
    assert code == 0 and "purity 1.000" in out and "groups have no names: made-up" in err and "<b>\\n 9" in out
    code, _, err = run(capsys, "groups", tmp_path / "f", "--groups", 50)
    assert code == 1 and "50 groups of 21 rows" in err
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "groups", tmp_path / "f", "-o", tmp_path / "file")
    assert code == 1 and "is a file: name a folder" in err
