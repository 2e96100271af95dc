"""A model file gives back what was fitted, to the bit, and nothing a hostile one says is believed."""

from __future__ import annotations

import json
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

import decaf
from decaf.errors import ModelError, SettingsDiffer
from decaf.nets.preprocess import digest
from decaf.probe import LinearProbe
from decaf.tasks.fitting import fit_model
from decaf.tasks.model import Model
from decaf.tasks.model_file import checksum
from decaf.tasks.targets import read_targets
from tests.tasks.folders import SETTINGS, blobs, write_blobs, write_features

LABELS = ["cat", "dog", "日本\n<b>"] * 8


@pytest.fixture
def features(tmp_path: Path) -> decaf.FeatureSet:
    return write_blobs(tmp_path / "f", LABELS, noise=0.8)


@pytest.fixture
def saved(features: decaf.FeatureSet, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    fit_model(features, read_targets(features), transforms=["standardize"]).save(path)
    return path


@pytest.mark.parametrize("loss", ["svm", "logistic"])
@pytest.mark.parametrize("transform", ["none", "sqrt", "l2", "standardize"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_loaded_model_says_what_the_fitted_probe_says(
    tmp_path: Path, loss: str, transform: str, classes: int
) -> None:
    labels = LABELS[:classes] * 8
    features = write_blobs(tmp_path / "f", labels, noise=0.8)
    fit_model(features, read_targets(features), loss=loss, transforms=[transform], Cs=[0.1]).save(tmp_path / "m")
    model = Model.load(tmp_path / "m")
    X = features.X()
    probe = LinearProbe(loss=loss, C=0.1, transform=transform).fit(X, np.array(labels, object))
    expected = probe.predict_proba(X) if loss == "logistic" else probe.decision_function(X)
    if expected.ndim == 1:
        expected = np.stack([-expected, expected], axis=1)
    np.testing.assert_allclose(model.scores(X), expected, rtol=2e-2, atol=2e-2)  # refits stop within tol
    found = model.predict(features, top=classes)
    assert found.labels.tolist() == probe.predict(X).tolist()
    np.testing.assert_array_equal(np.take_along_axis(model.scores(X), found.best, axis=1), found.scores)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert found.confidence == model.confidence == ("probability" if loss == "logistic" else "margin")


def test_saving_loses_nothing_and_says_how_it_was_made(features: decaf.FeatureSet, tmp_path: Path) -> None:
    targets = read_targets(features)
    model = fit_model(features, targets, loss="logistic", dropout=0.3, transforms=["none", "standardize"], seed=3)
    model.save(tmp_path / "m")
    again = Model.load(tmp_path / "m")
    np.testing.assert_array_equal(model.scores(features.X()), again.scores(features.X()))
    assert again.names == tuple(sorted(set(LABELS))) and again.keep == pytest.approx(0.7)
    assert again.settings == features.meta["settings"] and again.about == model.about
    assert again.about["rows"] == 24 and 0.5 < again.about["validation_accuracy"] <= 1 and again.about["folds"] == 5


def test_after_dropout_features_count_for_as_much_as_was_kept(features: decaf.FeatureSet) -> None:
    model = fit_model(features, read_targets(features), dropout=0.3)
    expected = 0.7 * features.X() @ model.coef.T + model.intercept
    np.testing.assert_allclose(model.scores(features.X()), expected, rtol=1e-4, atol=1e-5)


def test_equal_fits_are_equal_files(features: decaf.FeatureSet, tmp_path: Path) -> None:
    for name in ("one", "two"):
        fit_model(features, read_targets(features), transforms=["standardize"]).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_other_tools_read_the_file(saved: Path) -> None:
    with safe_open(str(saved), framework="numpy") as file:
        assert sorted(file.keys()) == ["coef", "intercept", "mean.0", "scale.0"]
        about = json.loads(file.metadata()["decaf"])
    assert about["layer"] == "vector" and about["net"] == "made-up" and about["digest"] == digest(about["settings"])


def test_broken_rows_stay_with_their_reason(features: decaf.FeatureSet, saved: Path, tmp_path: Path) -> None:
    X = blobs(LABELS[:3])
    other = write_features(tmp_path / "g", X, [None] * 3, ["a", "b", "c"], [None, "torn", None])
    found = Model.load(saved).predict(other, top=2)
    assert found.errors.tolist() == [None, "torn", None] and found.paths.tolist() == ["a", "b", "c"]
    assert found.labels[1] is None and np.isnan(found.scores[1]).all() and (found.best[1] == -1).all()
    assert found.labels[[0, 2]].tolist() == ["cat", LABELS[2]]


def test_many_rows_are_labelled_part_by_part(saved: Path, features: decaf.FeatureSet, monkeypatch: Any) -> None:
    model = Model.load(saved)
    whole = model.predict(features)
    monkeypatch.setattr("decaf.tasks.model._ROWS_AT_ONCE", 5)
    parts = model.predict(features)
    np.testing.assert_allclose(parts.scores, whole.scores, rtol=1e-5)
    assert parts.labels.tolist() == whole.labels.tolist()


# Features that were made otherwise


def with_settings(features: decaf.FeatureSet, settings: dict[str, Any]) -> decaf.FeatureSet:
    said = json.loads(json.dumps({**features.meta["settings"], **settings}))
    return replace(features, meta={**features.meta, "settings": said})


OTHER = [
    (
        {"net_sha256": "1" * 64, "net": "other", "layers": {"fc": [6]}},
        r"net made-up \(sha256 0{12}\), .* has other \(sha256 1{12}\)",
    ),
    ({"preprocess": {**SETTINGS["preprocess"], "resize": "warp"}}, "preprocess.resize short-side, .* has warp"),
    ({"preprocess": {**SETTINGS["preprocess"], "mean": [1, 0, 0]}}, "preprocess.mean"),
    ({"decoding": "reduced"}, "decoding full, .* has reduced"),
    ({"pool": "avg"}, "pool none, .* has avg"),
    ({"layers": {"fc": [6]}}, "layer vector, .* has fc:"),
]


@pytest.mark.parametrize(("settings", "says"), OTHER)
def test_features_made_otherwise_are_refused_by_name(
    saved: Path, tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    other = with_settings(write_blobs(tmp_path / "g", LABELS), settings)
    with pytest.raises(SettingsDiffer, match=says) as refusal:
        Model.load(saved).predict(other)
    assert "\n" not in str(refusal.value)


def test_a_layer_of_another_shape_is_refused(saved: Path, tmp_path: Path) -> None:
    other = write_features(tmp_path / "g", blobs(LABELS, d=7), LABELS)
    with pytest.raises(SettingsDiffer, match=r"shape of vector \[6\], .* has \[7\]"):
        Model.load(saved).predict(other)


@pytest.mark.parametrize(
    "setting", [{"precision": "bf16"}, {"store": "f16"}, {"views": "ten-mean"}, {"regions": "boxes x 1.5"}]
)
def test_what_only_rounds_or_frames_otherwise_is_told(saved: Path, tmp_path: Path, setting: dict[str, str]) -> None:
    other = with_settings(write_blobs(tmp_path / "g", LABELS), setting)
    (note,) = Model.load(saved).check_features(other)
    ((name, value),) = setting.items()
    assert note == f"the model was fitted on features with {name} {SETTINGS[name]}, these have {value}"


def test_caps_and_names_make_no_difference(saved: Path, tmp_path: Path) -> None:
    assert (
        Model.load(saved).check_features(write_blobs(tmp_path / "g", LABELS, net="x", max_bytes=1, max_pixels=1)) == []
    )


def test_features_that_are_not_finite_are_refused(saved: Path, tmp_path: Path) -> None:
    X = blobs(LABELS)
    X[4, 1] = np.nan
    with pytest.raises(ModelError, match=r"features of photos/dog/4\.bmp .* are NaN or infinite"):
        Model.load(saved).predict(write_features(tmp_path / "g", X, LABELS))


# Columns


def columns(tmp_path: Path, kind: str) -> tuple[decaf.FeatureSet, Model]:
    X = np.random.default_rng(0).normal(0, 1, (40, 6)).astype(np.float32)
    features = write_features(tmp_path / "f", X, [None] * 40, [f"photos/{row}" for row in range(40)])
    values = X[:, :2] > 0 if kind == "multilabel" else X[:, :2] * [1, 1000]
    lines = ["path,a,b", *(f"{row},{float(a)!r},{float(b)!r}" for row, (a, b) in enumerate(values))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    targets = read_targets(features, str(tmp_path / "t.csv"), ["a", "b"], kind)
    fit_model(features, targets, transforms=["standardize", "none"]).save(tmp_path / "m")
    return features, Model.load(tmp_path / "m")


def test_columns_of_yes_and_no_are_predicted_each(tmp_path: Path) -> None:
    features, model = columns(tmp_path, "multilabel")
    found = model.predict(features)
    assert (found.labels.astype(int) == (features.X()[:, :2] > 0)).mean() > 0.9
    assert found.names == ("a", "b") and found.confidence == "margin" and len(model.about["C"]) == 2


def test_numbers_are_predicted_at_their_scale(tmp_path: Path) -> None:
    features, model = columns(tmp_path, "regression")
    found = model.predict(features)
    np.testing.assert_allclose(found.scores, features.X()[:, :2] * [1, 1000], atol=0.05 * 1000)
    assert np.abs(found.scores[:, 0] - features.X()[:, 0]).max() < 0.05
    assert found.confidence == "number" and model.about["validation_r2"] > 0.99


# Hostile files

Change = Callable[[dict[str, np.ndarray], dict[str, Any]], None]


def rewritten(saved: Path, change: Change) -> Path:
    """The file, its tensors and its description changed, its digest made right again."""
    with safe_open(str(saved), framework="numpy") as file:
        tensors = {key: file.get_tensor(key) for key in list(file.keys())}
        about = json.loads(file.metadata()["decaf"])
    right = about["digest"]
    del about["sha256"]
    change(tensors, about)
    if about.get("digest") == right and isinstance(about.get("settings"), dict):
        about["digest"] = digest(about["settings"])
    about["sha256"] = checksum(tensors, about)
    saved.write_bytes(save(tensors, {"decaf": json.dumps(about)}))
    return saved


def put(part: str, value: Any) -> Change:
    return lambda tensors, about: (tensors if part in tensors else about).__setitem__(part, value)


def drop(part: str) -> Change:
    return lambda tensors, about: (tensors if part in tensors else about).pop(part)


def nan(part: str) -> Change:
    return lambda tensors, about: tensors[part].__setitem__(..., np.nan)


CHANGES: dict[str, Change] = {
    "no coef": drop("coef"),
    "no mean": drop("mean.0"),
    "no names": drop("names"),
    "no settings": drop("settings"),
    "no layer": put("layer", "other"),
    "layer is a list": put("layer", []),
    "nan": nan("coef"),
    "scale of zero": put("scale.0", np.zeros(6)),
    "wrong shape": put("coef", np.zeros((3, 7), np.float32)),
    "turned": put("coef", np.zeros((6, 3), np.float32)),
    "flat": put("intercept", np.zeros((3, 1), np.float32)),
    "whole numbers": put("coef", np.zeros((3, 6), np.int32)),
    "half": put("coef", np.zeros((3, 6), np.float16)),
    "one tensor more": lambda tensors, about: tensors.__setitem__("more", np.zeros(3, np.float32)),
    "two classes": put("names", ["a", "b"]),
    "twins": put("names", ["a", "a", "b"]),
    "names are numbers": put("names", [1, 2, 3]),
    "names is text": put("names", "abc"),
    "kind": put("kind", "exec"),
    "loss": put("loss", "hinge"),
    "keep": put("keep", 0),
    "keep is text": put("keep", "1"),
    "keep is endless": put("keep", 1e400),
    "transform": put("transforms", ["cube"]),
    "no transform": put("transforms", []),
    "transforms": put("transforms", ["none", "none"]),
    "format": put("format", 2),
    "digest": put("digest", "0" * 16),
    "another net": put("net_sha256", "1" * 64),
    "sides": lambda tensors, about: about["settings"]["layers"].__setitem__("vector", [2**40, 2**40]),
    "sides are text": lambda tensors, about: about["settings"]["layers"].__setitem__("vector", "6"),
    "no side": lambda tensors, about: about["settings"]["layers"].__setitem__("vector", []),
    "preprocess": lambda tensors, about: about["settings"].__setitem__("preprocess", {"size": 1}),
    "preprocess is text": lambda tensors, about: about["settings"].__setitem__("preprocess", "x"),
    "no pool": lambda tensors, about: about["settings"].pop("pool"),
    "pool is a list": lambda tensors, about: about["settings"].__setitem__("pool", ["none"]),
    "precision is a number": lambda tensors, about: about["settings"].__setitem__("precision", 32),
    "settings is a list": put("settings", [1]),
    "fit": put("fit", 3),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_contradicts_itself_is_refused_in_one_line(saved: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged") as refusal:
        Model.load(rewritten(saved, CHANGES[name]))
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 400 + len(str(saved))


def header(text: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + data


BYTES: dict[str, bytes] = {
    "empty": b"",
    "short": b"\1\0\0",
    "text": b"path,label\na.png,cat\n",
    "huge header": header(b"{}", 2**63),
    "long header": header(b"{}", 2**20),
    "no header": header(b"{}", 0),
    "no json": header(b"{" * 1000),
    "deep json": header(b'{"a":' * 200_000 + b"1" + b"}" * 200_000),
    "no metadata": save({"coef": np.zeros(3, np.float32)}),
    "foreign": save({"coef": np.zeros(3, np.float32)}, {"format": "pt"}),
    "metadata is no json": save({}, {"decaf": "{"}),
    "metadata is deep": save({}, {"decaf": "[" * 100_000}),
    "metadata is a list": save({}, {"decaf": "[]"}),
    "metadata is nan": save({}, {"decaf": '{"format": NaN}'}),
    "tensor out of the file": header(b'{"coef":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}'),
    "overlapping": header(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        data=bytes(4),
    ),
    "wrapped shape": header(
        b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]},"__metadata__":{"decaf":"{}"}}'
    ),
    "pickle": b"\x80\x04\x95" + bytes(40),
}


@pytest.mark.parametrize("name", BYTES)
def test_a_file_of_another_kind_is_refused_in_one_line_and_little_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(BYTES[name])
    tracemalloc.start()
    with pytest.raises(ModelError, match=r"hostile (is|was)") as refusal:
        Model.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(refusal.value) and peak < 20 * 2**20


def test_a_header_out_of_proportion_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "hostile").write_bytes(header(b"{}" + b" " * 17 * 2**20))
    with pytest.raises(ModelError, match="hostile is no model file"):
        Model.load(tmp_path / "hostile")


def test_every_truncation_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in range(0, len(whole), 97):
        saved.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            Model.load(saved)


def test_a_flipped_bit_is_noticed(saved: Path) -> None:
    whole, random = saved.read_bytes(), np.random.default_rng(0)
    for place in random.integers(0, len(whole), 300):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(random.integers(8))
        saved.write_bytes(changed)
        with pytest.raises(ModelError) as refusal:
            Model.load(saved)
        assert "\n" not in str(refusal.value)


def test_numbers_that_overflow_are_refused(saved: Path, features: decaf.FeatureSet) -> None:
    model = Model.load(rewritten(saved, put("scale.0", np.full(6, 1e-300))))
    with pytest.raises(ModelError, match="too large for these features"):
        model.predict(features)


def test_what_is_not_there_or_cannot_be_written_is_said(tmp_path: Path, features: decaf.FeatureSet) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*none \(No such file"):
        Model.load(tmp_path / "none")
    with pytest.raises(ModelError, match=r"cannot read .* \(Is a directory"):
        Model.load(tmp_path)
    model = fit_model(features, read_targets(features), Cs=[0.1])
    with pytest.raises(ModelError, match=r"cannot write .*nowhere"):
        model.save(tmp_path / "nowhere" / "m")
