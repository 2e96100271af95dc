"""`decaf map` and `decaf reproduce tsne` as they are typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import run, run_json
from tests.features.helpers import tiny_net
from tests.tasks.folders import blobs, write_blobs, write_features

import decaf
from decaf.maps import tsne as tsne_module
from decaf.tasks.tsne import early_and_late

LABELS = ["cat", "dog", "owl"] * 7


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "") and err.count("\n") == 1
    return err


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsne_module, "EARLY", 40)
    monkeypatch.setattr(tsne_module, "LATER", 40)
    monkeypatch.setattr(tsne_module, "PLACED", 20)
    monkeypatch.setattr(tsne_module, "available_cores", lambda: 1)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Three classes of seven rows, one of them torn, and a row without a label."""
    write_blobs(tmp_path / "f", [*LABELS, None], noise=0.2, errors=[None] * 20 + ["torn", None])
    return tmp_path / "f"


def test_it_says_what_it_drew_and_the_numbers(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    out_file = features.parent / "map.png"
    code, out, err = run(capsys, "map", features, "-o", out_file)
    assert code == 0 and "22 rows, 3 classes; coloured by label; tsne, seed 0, maps made now" in out
    assert "purity: features" in out and f"figure: {out_file}" in out
    assert "note: 1 of 22 rows have no features and no place." in err and "note: Perplexity" in err
    with Image.open(out_file) as picture:
        assert picture.width > 800
    assert "maps 1 of 1 kept" in run(capsys, "map", features, "-o", out_file)[1]


def test_json_holds_all_numbers(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    said = run_json(capsys, "map", features, "-o", features.parent / "map.svg", "--seed", 3, "--perplexity", 4)
    (one,) = said["maps"]
    assert said["rows"] == 22 and said["broken"] == 1 and said["unlabelled"] == 1 and said["colour"] == "label"
    assert one["settings"]["seed"] == 3 and one["settings"]["perplexity"] == 4 and one["made"]
    assert one["features"]["label"]["purity"] > one["features"]["label"]["chance"] > 0.2
    assert set(one["map"]["label"]["of_class"]) == {"cat", "dog", "owl"} and Path(one["file"]).exists()
    assert one["landmarks"] == 21 and -1 <= one["map"]["label"]["silhouette"] <= 1
    assert 0 <= one["trustworthiness"] <= 1


@pytest.mark.parametrize("n", [1, 2, 3])
def test_hardly_any_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path, n: int) -> None:
    write_blobs(tmp_path / "f", ["<b>cat</b>\n"] * n)
    code, _, err = run(capsys, "map", tmp_path / "f", "-o", tmp_path / "map.pdf", "--dark")
    assert code == 0 and (tmp_path / "map.pdf").read_bytes()[:4] == b"%PDF" and "note: " in err


def test_all_alike_and_none_labelled(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_features(tmp_path / "f", np.ones((12, 5)), [None] * 12)
    code, out, err = run(capsys, "map", tmp_path / "f", "-o", tmp_path / "map.png", "--method", "pca")
    assert code == 0 and "12 rows, 0 classes" in out
    code, _, err = run(capsys, "map", tmp_path / "f", "-o", tmp_path / "map.png")
    assert code == 0 and "All 12 rows have the same features" in err


def test_three_hundred_classes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_blobs(tmp_path / "f", [f"class <{number}>" for number in range(300)] * 2)
    said = run_json(capsys, "map", tmp_path / "f", "-o", tmp_path / "map.png", "--method", "pca")
    assert said["classes"] == 300 and 0 < said["unnamed"] < 300


def test_colours_by_group_and_prediction(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    folder = features.parent
    (folder / "g.csv").write_text("label,group\ncat,tame\ndog,tame\nowl,wild\n")
    common = ("map", features, "-o", folder / "map.png", "--method", "pca")
    said = run_json(capsys, *common, "--groups", folder / "g.csv")
    assert said["colour"] == "group" and said["maps"][0]["map"]["group"]["chance"] > 0.5
    assert run_json(capsys, *common, "--groups", folder / "g.csv", "--color", "label")["colour"] == "label"
    run(capsys, "fit", features, "-o", folder / "m.safetensors")
    assert run_json(capsys, *common, "--model", folder / "m.safetensors")["colour"] == "prediction"
    assert "name a model with --model" in refused(capsys, *common, "--color", "prediction")
    assert "name a table with --groups" in refused(capsys, *common, "--color", "group")
    assert "no group for any label, such as 'cat'" in refused(capsys, *common, "--groups", "caltech101")


def test_labels_from_a_file(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    (features.parent / "l.csv").write_text("path,label\ncat/0.bmp,one\ndog/1.bmp,two\ncat/3.bmp,one\n")
    common = ("map", features, "-o", features.parent / "map.png", "--method", "pca")
    said = run_json(capsys, *common, "--labels", features.parent / "l.csv")
    assert said["classes"] == 2 and said["unlabelled"] == 19


def write_pictures_of(features: Path) -> None:
    for path in decaf.FeatureSet.open(features).paths[:20]:
        target = features.parent / path
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 12), (200, 10, 10)).save(target)


def test_pictures_of_a_class(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    common = ("map", features, "-o", features.parent / "map.png", "--method", "pca", "--thumbnails")
    said = run_json(capsys, *common, "owl")
    assert said["pictures_not_shown"] == 6  # the files are not there; the seventh is torn
    write_pictures_of(features)
    assert run_json(capsys, *common, "owl")["pictures_not_shown"] == 0
    with Image.open(features.parent / "map.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert (pixels == (200, 10, 10)).all(axis=1).sum() > 1000
    assert "no class 'cow' to enlarge: name one of cat, dog, owl" in refused(capsys, *common, "cow")


def test_two_folders_on_one_map(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    other = features.parent / "webcam"
    write_features(other, blobs(LABELS[:12], seed=1) + 0.3, LABELS[:12])
    common = ("map", features, other, "-o", features.parent / "map.png", "--method", "pca")
    said = run_json(capsys, *common)
    assert said["colour"] == "domain" and said["rows"] == 34
    assert set(said["maps"][0]["map"]) == {"label", "domain", "across"}
    assert run_json(capsys, *common, "--color", "label")["colour"] == "label"
    placed = run_json(capsys, *common, "--place")["maps"][0]
    assert placed["landmarks"] == 21 and "placed into the map" in placed["notes"][-1]
    assert run_json(capsys, *common, "--place")["maps"][0]["made"] is False


def test_folders_that_do_not_go_together(capsys: pytest.CaptureFixture[str], features: Path, tmp_path: Path) -> None:
    X = blobs(LABELS)
    write_features(tmp_path / "net", X, LABELS, net_sha256="1" * 64)
    write_features(tmp_path / "long", np.tile(X, 2), LABELS)
    common = ("-o", tmp_path / "map.png", "--method", "pca")
    assert "was made with net_sha256" in refused(capsys, "map", features, tmp_path / "net", *common)
    assert "another shape" in refused(capsys, "map", features, tmp_path / "long", *common)
    assert "no layer 'fc'" in refused(capsys, "map", features, "--layer", "fc", *common)
    assert "--place needs a second folder" in refused(capsys, "map", features, "--place", *common)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (".", "name a new one for the page"),
        ("map.jpg", "is no figure decaf can write: name one that ends in .png, .svg, .pdf"),
        ("nowhere/map.png", "there is no folder"),
    ],
)
def test_figures_that_cannot_be(
    capsys: pytest.CaptureFixture[str], features: Path, monkeypatch: pytest.MonkeyPatch, out: str, said: str
) -> None:
    monkeypatch.chdir(features.parent)
    assert said in refused(capsys, "map", features, "-o", out)
    assert not (features / "derived").exists()


def test_impossible_settings(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    common = ("map", features, "-o", features.parent / "map.png")
    assert "perplexity 0.0 is not a setting" in refused(capsys, *common, "--perplexity", 0)
    assert "landmarks 1 is not a setting" in refused(capsys, *common, "--landmarks", 1)


# -- decaf reproduce tsne -----------------------------------------------------------------------------------------


def draw_domains(folder: Path) -> Path:
    """Two domains of two classes: bright and dark pictures, those of one domain bluish."""
    random = np.random.default_rng(0)
    for domain in ("amazon", "webcam"):
        for label, level in (("bright", 200), ("dark", 40)):
            (folder / domain / label).mkdir(parents=True)
            for number in range(6):
                pixels = random.normal(level, 12, (30, 40, 3)) + np.array([0, 0, 25 * (domain == "webcam")])
                target = folder / domain / label / f"{number}.png"
                Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(target)
    return folder


def test_a_report_from_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = draw_domains(tmp_path / "data")
    tiny_net().save(tmp_path / "net.onnx")
    arguments = ("reproduce", "tsne", "--data", data, "-o", tmp_path / "report", "--net", tmp_path / "net.onnx")
    preprocessed = ("--layer", "conv", "--layer", "fc")
    said = run_json(capsys, *arguments, *preprocessed)
    assert said["computed"] == 24 and [one["layer"] for one in said["maps"]] == ["conv", "fc"]
    assert set(said["maps"][1]["features"]) == {"label", "domain", "across"}
    assert [claim["claim"][:11] for claim in said["claims"]] == ["Section 3.2", "Section 4.2", "Section 4.2"]
    for claim in said["claims"]:
        assert isinstance(claim["holds"], bool) and "%" in claim["here"]
    for name in ("report.html", "report.md", "report.json", "layers.png", *said["files"]):
        assert (tmp_path / "report" / name).is_file()
    again = run_json(capsys, *arguments, *preprocessed)
    assert again["computed"] == 0 and not any(one["made"] for one in again["maps"])
    assert again["maps"][0]["map"] == said["maps"][0]["map"]


def test_a_report_from_features(capsys: pytest.CaptureFixture[str], features: Path) -> None:
    out = features.parent / "report"
    (features.parent / "g.csv").write_text("label,group\ncat,tame\ndog,tame\nowl,wild\n")
    code, said, _ = run(
        capsys, "reproduce", "tsne", "--features", features, "-o", out, "--groups", features.parent / "g.csv",
        "--thumbnails", "cat",
    )  # fmt: skip
    assert code == 0 and "enlarged.png: the pictures of cat, as Figure 5" in said
    page = (out / "report.md").read_text()
    for part in ("one layer: nothing to compare", "torn", "7 pictures could not be shown", "| tame |", "no numbers"):
        assert part in page


def test_pictures_that_make_no_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no pictures: name a folder" in refused(capsys, "reproduce", "tsne", "-o", tmp_path / "r")
    write_blobs(tmp_path / "f", ["cat"] * 9)
    assert "fewer than two classes" in refused(
        capsys, "reproduce", "tsne", "--features", tmp_path / "f", "-o", tmp_path / "r"
    )


def test_an_early_and_a_late_layer() -> None:
    from decaf.nets.registry import load_net

    assert early_and_late(tiny_net()) == ["conv", "pool"]
    assert early_and_late(load_net("efficientnet-lite0")) == ["block4", "pool"]
    assert early_and_late(load_net("caffenet", random_weights=0)) == ["pool1", "DeCAF6"]
