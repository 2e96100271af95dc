"""`decaf compare`, `decaf units` and the figures of `decaf layers`, as they are typed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.running import run, run_json
from tests.features.helpers import tiny_net, write_pictures
from tests.tasks.folders import write_features

import decaf

N = 16
X = np.random.default_rng(0).normal(size=(N, 5))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three layers, one of them dead; the last row is torn."""
    more = {"deep": X @ np.random.default_rng(1).normal(size=(5, 7)), "dead": np.ones((N, 2))}
    errors = [None] * (N - 1) + ["torn"]
    return write_features(tmp_path / "f", X, ["<b>"] * N, more=more, errors=errors).folder


@pytest.fixture
def net(tmp_path: Path) -> Path:
    tiny_net().save(tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def test_compare_says_what_was_compared(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out, err = run(capsys, "compare", folder)
    assert code == 0 and "15 pictures; debiased linear CKA" in out
    assert f"note: {folder}: 1 broken rows are left out" in err
    assert f"note: {folder} dead is left out: all pictures have the same vector" in err
    assert "vector" in out and "1.000" in out and "dead" not in out


def test_compare_with_intervals_and_files(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("h.png", "h.svg", "h.pdf", "h.csv")]
    arguments = ("--measure", "rsa", "--intervals", "--resamples", 20, "--pictures", 12, "--theme", "dark")
    code, out, _ = run(capsys, "compare", folder, *arguments, *(part for file in outs for part in ("-o", file)))
    assert code == 0 and "12 pictures of 15, drawn with seed 0; RSA: Spearman's rho of correlation" in out
    assert "20 bootstrap samples; p one-sided, of 20 permutations, not corrected for 1 comparisons; seed 0" in out
    assert "[" in out and " p 0.048" in out
    for file in outs:
        assert file.stat().st_size > 100 and f"{file}: written" in out
    with outs[3].open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 4 and set(rows[0]) >= {"row_layer", "column_layer", "value", "low", "high", "p"}
    assert [row["value"] for row in rows if row["row_layer"] == row["column_layer"]] == ["1", "1"]


def test_compare_json(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    other = write_features(tmp_path / "g", X[:10], ["<b>"] * 10).folder
    about = run_json(capsys, "compare", folder, other)
    assert (about["pictures"], about["matched_by"]) == (10, "path") and about["settings"]["seed"] == 0
    assert [source["not_shared"] for source in about["sources"]] == [5, 0]
    assert about["values"][0][0] == pytest.approx(1) and len(about["values"]) == 2
    assert about["rows"][1] == {"source": str(folder), "layer": "deep"} and len(about["left_out"]) == 1


def test_compare_with_measurements(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    subjects = [tmp_path / f"s{i}.npy" for i in range(3)]
    for seed, file in enumerate(subjects):
        np.save(file, X + np.random.default_rng(seed).normal(size=X.shape))
    options = [part for file in subjects for part in ("--with", file)]
    code, out, _ = run(capsys, "compare", folder, *options, "--measure", "rsa", "-o", tmp_path / "c.png")
    assert code == 0 and f"{subjects[0]}: responses, 5 per picture" in out and "noise ceiling 0." in out
    assert "s0" in out and "mean" in out
    with Image.open(tmp_path / "c.png") as figure:
        assert figure.width > 400


def test_many_layers_are_told_by_their_nearest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    more = {f"layer{i:03}": X @ np.random.default_rng(i).normal(size=(5, 3)) for i in range(60)}
    many = write_features(tmp_path / "m", X, ["a"] * N, more=more).folder
    code, out, _ = run(capsys, "compare", many, "-o", tmp_path / "m.png")
    assert code == 0 and "most like" in out and "61 x 61 values: --json or -o FILE.csv has them all" in out
    assert max(map(len, out.splitlines())) < 120


def test_units_and_their_sheet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_pictures(tmp_path / "cat", 5)
    (tmp_path / "cat" / "9.png").write_bytes(b"torn")
    features = decaf.extract(tmp_path / "cat", tiny_net(), ["conv", "pool"], tmp_path / "out")
    arguments = ("units", features.folder, "--layer", "conv", "--unit", 2, "--unit", 0, "-k", 3)
    code, out, err = run(capsys, *arguments, "-o", tmp_path / "s.png")
    assert code == 0 and "1 broken rows" in err and "row, column" in out and "unit 2: above 0 in" in out
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.height > 300
    about = run_json(capsys, *arguments)
    assert [unit["unit"] for unit in about["units"]] == [2, 0] and about["grid"] == [10, 10]
    first = about["units"][0]["pictures"][0]
    assert first["label"] == "cat" and len(first["place"]) == 2
    whole = features.valid.X("conv").reshape(5, 6, 100)[:, 2].max(axis=1)
    assert first["value"] == pytest.approx(float(whole.max()))
    (tmp_path / "cat" / "0000.png").unlink()
    (tmp_path / "cat" / "0001.png").unlink()
    _, _, err = run(capsys, *arguments[:-2], "-k", 5, "-o", tmp_path / "s.svg")
    assert "4 pictures could not be shown" in err


def test_figures_of_a_network(capsys: pytest.CaptureFixture[str], net: Path, tmp_path: Path) -> None:
    (picture,) = write_pictures(tmp_path / "p", 1)
    for name, options, key in (
        ("f", ["--filters"], "filters"),
        ("d", ["--draw"], "rows"),
        ("a", ["--image", picture, "--layer", "conv"], "units"),
        ("v", ["--image", picture, "--layer", "prob"], "units"),
    ):
        about = run_json(capsys, "layers", net, *options, "-o", tmp_path / f"{name}.png")
        assert about["net"] == "tiny" and key in about
        code, out, _ = run(capsys, "layers", net, *options, "-o", tmp_path / f"{name}.svg")
        assert code == 0 and f"figure: {tmp_path / name}.svg" in out
        assert (tmp_path / f"{name}.png").stat().st_size > 1000


def test_activations_are_those_of_the_features(capsys: pytest.CaptureFixture[str], net: Path, tmp_path: Path) -> None:
    (picture,) = write_pictures(tmp_path / "p", 1)
    about = run_json(capsys, "layers", net, "--image", picture, "--layer", "fc", "-o", tmp_path / "a.png")
    values = decaf.extract(picture, decaf.load_net(net), "fc").X("fc")[0]
    assert about["units"][0] == {"unit": int(values.argmax()), "value": pytest.approx(float(values.max()))}
    assert (about["lowest"], about["shape"]) == (pytest.approx(float(values.min())), [5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "{f}", "-o", "h.gif"), "a figure ends in .png, .svg, .pdf"),
        (("compare", "{f}", "-o", "no/h.png"), "there is no folder no"),
        (("compare", "{f}", "--layer", "fc9"), "no set has a layer 'fc9'"),
        (("compare", "nothing"), "nothing is not a feature folder"),
        (("compare", "{f}", "--with", "x.npy"), "cannot read x.npy"),
        (("compare", "{f}", "--measure", "cca"), "Invalid value for '--measure'"),
        (("compare",), "Missing argument 'DIR...'"),
        (("units", "{f}", "--layer", "deep", "--unit", 99), "no unit 99: name one from 0 to 6"),
        (("units", "{f}", "--unit", 0), "several layers"),
        (("units", "{f}"), "Missing option '--unit'"),
        (("units", "{f}", "--layer", "deep", "--unit", 0, "-o", "s.txt"), "a figure ends in"),
        (("layers", "{n}", "--filters"), "name the file of the figure with -o"),
        (("layers", "{n}", "-o", "x.png"), "name --filters, --draw, or --image with --layer"),
        (("layers", "{n}", "--filters", "--draw", "-o", "x.png"), "draws one figure"),
        (("layers", "{n}", "--image", "cat.jpg", "-o", "x.png"), "go together"),
        (("layers", "{n}", "--image", "no.jpg", "--layer", "fc", "-o", "x.png"), "no.jpg is not a file"),
        (("layers", "{n}", "--image", "{n}", "--layer", "fc", "-o", "x.png"), "name another picture"),
        (("layers", "{n}", "--image", "{n}", "--layer", "fc9", "-o", "x.png"), "has no layer 'fc9'"),
        (("layers", "{n}", "--draw", "-o", "x.bmp"), "a figure ends in"),
    ],
)
def test_one_line_for_what_cannot_be(
    arguments: tuple[object, ...], message: str, capsys: pytest.CaptureFixture[str], folder: Path, net: Path
) -> None:
    code, out, err = run(capsys, *(str(part).format(f=folder, n=net) for part in arguments))
    assert (code, out) == (1, "") and len(err.splitlines()) == 1 and message in err
    assert "fault of decaf" not in err
