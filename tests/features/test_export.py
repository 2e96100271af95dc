"""Exports hold what the set holds, in the formats' own readers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from scipy.io import loadmat

import decaf
from decaf.errors import FeatureSetError, UnknownName
from decaf.features import export as module
from decaf.nets.net import Net


@pytest.fixture
def features(pictures: Path, lite0: Net) -> decaf.FeatureSet:
    return decaf.extract(pictures, lite0, ["pool", "prob"], shard_size=3)


def test_npy_is_the_matrix(features: decaf.FeatureSet, tmp_path: Path) -> None:
    decaf.export(features, tmp_path / "x.npy", "pool")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), features.X("pool"))


def test_npz_holds_names_and_needs_no_pickle(features: decaf.FeatureSet, tmp_path: Path) -> None:
    decaf.export(features, tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert set(file) == {"paths", "labels", "errors", "pool", "prob"}
        assert file["paths"].tolist() == features.paths.tolist() and file["labels"].tolist() == features.labels.tolist()
        assert [error == "" for error in file["errors"]] == [True, True, False, True, True, True, True]
        np.testing.assert_array_equal(file["prob"], features.X("prob"))


def test_csv_round_trips_exactly(features: decaf.FeatureSet, tmp_path: Path) -> None:
    decaf.export(features, tmp_path / "x.csv", "prob")
    with (tmp_path / "x.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header[:5] == ["path", "label", "error", "prob_0", "prob_1"] and len(header) == 1003
    assert [row[0] for row in rows] == features.paths.tolist()
    numbers = [[float(cell or "nan") for cell in row[3:]] for row in rows]
    np.testing.assert_array_equal(np.array(numbers, np.float32), features.X("prob"))


def test_parquet_is_one_file_of_the_same_rows(features: decaf.FeatureSet, tmp_path: Path) -> None:
    decaf.export(features, tmp_path / "x.parquet")
    frame = pd.read_parquet(tmp_path / "x.parquet")
    assert frame.columns.tolist() == ["path", "label", "error", "pool", "prob"]
    assert frame["pool"].isna().tolist() == [error is not None for error in features.errors]
    intact = frame["error"].isna().to_numpy()
    np.testing.assert_array_equal(np.stack(frame["pool"][intact]), features.valid.X("pool"))


def test_h5_holds_what_npz_holds(features: decaf.FeatureSet, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    decaf.export(features, tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert set(file) == {"paths", "labels", "errors", "pool", "prob"}
        assert file["paths"].asstr()[:].tolist() == features.paths.tolist()
        assert tuple(file["pool"].attrs["shape"]) == (1280,)
        np.testing.assert_array_equal(file["prob"][:], features.X("prob"))


def test_mat_holds_what_npz_holds(features: decaf.FeatureSet, tmp_path: Path) -> None:
    decaf.export(features, tmp_path / "x.mat")
    file = loadmat(tmp_path / "x.mat", simplify_cells=True)
    assert file["paths"].tolist() == features.paths.tolist()
    assert [len(error) > 0 for error in file["errors"]] == features.broken.tolist()
    np.testing.assert_array_equal(file["pool"], features.X("pool"))


def test_mat_refuses_what_it_cannot_hold(
    features: decaf.FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST_IN_MAT", 4 * 7 * 1280)
    with pytest.raises(FeatureSetError, match=r"layer 'pool' has 4 GB or more.*export \.h5"):
        decaf.export(features, tmp_path / "x.mat")
    assert not list(tmp_path.glob("*.mat*"))
    decaf.export(features, tmp_path / "x.mat", "prob")


def test_layers_with_dots_have_names_in_matlab(pictures: Path, lite0: Net, tmp_path: Path) -> None:
    features = decaf.extract(pictures, lite0, "block9.depthwise", pool="avg")
    decaf.export(features, tmp_path / "x.mat")
    np.testing.assert_array_equal(loadmat(tmp_path / "x.mat")["block9_depthwise"], features.X())


def test_a_slice_can_be_exported(features: decaf.FeatureSet, tmp_path: Path) -> None:
    decaf.export(features[4:], tmp_path / "x.npy", "pool")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), features.X("pool")[4:])


@pytest.mark.parametrize(("name", "layer"), [("x.xlsx", None), ("x", None), ("x.npy", None), ("x.csv", "fc")])
def test_what_cannot_be_exported_is_said_before_anything_is_written(
    features: decaf.FeatureSet, tmp_path: Path, name: str, layer: str | None
) -> None:
    (tmp_path / name).write_text("old")
    with pytest.raises(UnknownName):
        decaf.export(features, tmp_path / name, layer)
    assert (tmp_path / name).read_text() == "old"


def test_an_export_never_lands_in_the_set_itself(features: decaf.FeatureSet) -> None:
    shard = features.folder / "shard-00000.parquet"
    before = shard.read_bytes()
    for name in ("shard-00000.parquet", "all.parquet"):
        with pytest.raises(FeatureSetError, match="lies in the feature folder"):
            decaf.export(features, features.folder / name)
    assert shard.read_bytes() == before and not (features.folder / "all.parquet").exists()


@pytest.mark.parametrize("layer", ["labels", "paths", "file", "error"])
@pytest.mark.parametrize("suffix", ["npz", "h5", "mat", "parquet", "csv"])
def test_a_layer_may_be_called_like_a_column(
    tmp_path: Path, pictures: Path, lite0: Net, layer: str, suffix: str
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(lite0.model)
    for node in model.graph.node:
        node.output[:] = [layer if name == "pool" else name for name in node.output]
        node.input[:] = [layer if name == "pool" else name for name in node.input]
    onnx.save(model, tmp_path / "odd.onnx")
    features = decaf.extract(pictures, tmp_path / "odd.onnx", layer)
    out = tmp_path / f"x.{suffix}"
    decaf.export(features, out)
    if suffix == "npz":
        with np.load(out) as file:
            assert file["labels"].tolist() == features.labels.tolist()
            np.testing.assert_array_equal(file[f"{layer}_" if layer != "error" else layer], features.X())


def test_an_unwritable_place_is_one_line(features: decaf.FeatureSet, tmp_path: Path) -> None:
    with pytest.raises(FeatureSetError, match="cannot write"):
        decaf.export(features, tmp_path / "missing" / "x.npz")
