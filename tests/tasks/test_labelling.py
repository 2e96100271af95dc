"""New pictures are labelled with features made as the model's were."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import decaf
from decaf.errors import DecafError, ModelError, SettingsDiffer, UnknownName
from decaf.features.extract import run
from decaf.features.folder import held
from decaf.tasks.fitting import fit_model
from decaf.tasks.labelling import as_feature_folder, plan_extraction, records, table, write_csv
from decaf.tasks.model import Model
from decaf.tasks.targets import read_targets
from tests.features.helpers import tiny_net, write_pictures
from tests.tasks.folders import blobs, write_blobs, write_features


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two classes, the net as a file, and a model fitted on bf16-free, warped, ten-view features."""
    home = tmp_path_factory.mktemp("labelling")
    for label in ("cat", "dog"):
        write_pictures(home / "photos" / label, 4 if label == "cat" else 5)
    tiny_net().save(home / "tiny.onnx")
    tiny_net(2.0).save(home / "other.onnx")
    features = decaf.extract(home / "photos", home / "tiny.onnx", "fc", home / "features", resize="warp", views="ten")
    fit_model(features, read_targets(features), loss="logistic").save(home / "model")
    (home / "photos" / "torn.png").write_bytes(b"torn")
    return home


def label(home: Path, net: str | None = "tiny.onnx", out: str = "out") -> decaf.FeatureSet:
    model = Model.load(home / "model")
    job = plan_extraction(model, [str(home / "photos")], net and str(home / net), home / out)
    with held(job.out, job.meta, job.rows, job.options) as work:
        run(job, work)
    return decaf.FeatureSet.open(home / out)


def test_pictures_are_prepared_as_the_models_were(home: Path) -> None:
    features, model = label(home), Model.load(home / "model")
    assert features.preprocess == model.preprocess and features.preprocess.resize == "warp"
    assert features.layers == ("fc",) and len(features) == 10 and features.broken.sum() == 1
    expected = decaf.extract(home / "photos", home / "tiny.onnx", "fc", resize="warp")
    np.testing.assert_array_equal(features.X(), expected.X())
    (note,) = model.check_features(features)
    assert note.endswith("views ten, these have center")
    found = model.predict(features)
    assert [label is None for label in found.labels] == features.broken.tolist()
    assert ((found.scores[~features.broken, 0] >= 0.5) & (found.scores[~features.broken, 0] <= 1)).all()


def test_another_network_is_refused_before_anything_is_computed(home: Path) -> None:
    with pytest.raises(SettingsDiffer, match=r"other\.onnx is another network \(sha256 .*name that one with --net"):
        label(home, "other.onnx", "refused")
    with pytest.raises(UnknownName, match="features of tiny, which is a file: name it with --net"):
        label(home, None, "refused")
    assert not (home / "refused").exists()


def test_a_model_cannot_name_a_file_to_be_opened(home: Path) -> None:
    model = Model.load(home / "model")
    model.settings["net"] = str(home / "tiny.onnx")  # type: ignore[index]
    with pytest.raises(UnknownName, match="name it with --net"):
        plan_extraction(model, [str(home / "photos")], None, home / "refused")


@pytest.mark.parametrize("name", ["precision", "pool"])
def test_a_setting_nobody_knows_is_an_error_of_one_line(home: Path, name: str) -> None:
    model = Model.load(home / "model")
    model.settings[name] = "x; rm -r"  # type: ignore[index]
    with pytest.raises(DecafError, match="x; rm -r") as refusal:
        plan_extraction(model, [str(home / "photos")], str(home / "tiny.onnx"), home / "refused")
    assert "\n" not in str(refusal.value)


def test_feature_folders_are_told_from_pictures(home: Path) -> None:
    assert as_feature_folder([str(home / "photos"), str(home / "photos")]) is None
    found = as_feature_folder([str(home / "features")])
    assert found is not None and len(found) == 90
    with pytest.raises(UnknownName, match="features is a feature folder: name it alone"):
        as_feature_folder([str(home / "photos"), str(home / "features")])


@pytest.fixture
def model(tmp_path: Path) -> Model:
    features = write_blobs(tmp_path / "f", ["a", "b\n<i>", "c"] * 6)
    return fit_model(features, read_targets(features), Cs=[1.0])


def test_tables_and_records_say_the_same(tmp_path: Path, model: Model) -> None:
    X = blobs(["a", "b\n<i>", "c"])
    features = write_features(
        tmp_path / "g", X, [None] * 3, ['p/"1",\n.png', "p/2", "p/3"], [None, None, "torn, or so"], region=list("xyz"),
        regions="boxes x 1.0",
    )  # fmt: skip
    said = model.predict(features, top=2)
    write_csv(said, str(tmp_path / "out.csv"))
    with (tmp_path / "out.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    columns = ["path", "region", "label", "margin", "label_2", "margin_2", "error"]
    assert list(lines[0]) == columns == table(said)[0]
    for line, record in zip(lines, records(said), strict=True):
        assert (line["path"], line["region"], line["label"]) == (
            record["path"], record["region"], record["label"] or "",
        )  # fmt: skip
        assert line["error"] == (record["error"] or "")
    first, _, broken = records(said)
    assert first["label"] == "a" and first["best"][0]["label"] == "a" and len(first["best"]) == 2
    assert float(lines[0]["margin_2"]) == pytest.approx(first["best"][1]["confidence"], rel=1e-5)
    assert (broken["label"], broken["confidence"], broken["best"], broken["error"]) == (None, None, [], "torn, or so")
    assert lines[1]["label"] == "b\n<i>" and lines[2]["margin"] == ""


def test_more_classes_than_there_are_cannot_be_had(tmp_path: Path, model: Model) -> None:
    features = write_blobs(tmp_path / "g", ["a", "c"])
    assert model.predict(features, top=99).best.shape == (2, 3)


@pytest.mark.parametrize(
    ("kind", "columns"),
    [("multilabel", ["path", "u", "u_margin", "v", "v_margin", "error"]), ("regression", ["path", "u", "v", "error"])],
)
def test_columns_have_names(tmp_path: Path, kind: str, columns: list[str]) -> None:
    X = np.random.default_rng(0).normal(0, 1, (20, 6))
    features = write_features(tmp_path / "f", X, [None] * 20, [f"photos/{row}" for row in range(20)])
    (tmp_path / "t.csv").write_text("path,u,v\n" + "".join(f"{n},{int(X[n, 0] > 0)},{n % 2}\n" for n in range(20)))
    model = fit_model(features, read_targets(features, str(tmp_path / "t.csv"), ["u", "v"], kind))
    said = model.predict(features)
    names, lines = table(said)
    assert names == columns
    first = next(lines)
    record = next(records(said))
    if kind == "multilabel":
        assert first[1] in (0, 1) and record["targets"]["u"]["label"] == first[1]
        assert first[1] == int(record["targets"]["u"]["confidence"] > 0)
    else:
        assert float(first[1]) == pytest.approx(record["numbers"]["u"], rel=1e-4)


def test_a_table_that_cannot_be_written_is_said(tmp_path: Path, model: Model) -> None:
    said = model.predict(write_blobs(tmp_path / "g", ["a", "c"]))
    with pytest.raises(ModelError, match=r"cannot write .*nowhere"):
        write_csv(said, str(tmp_path / "nowhere" / "x.csv"))
