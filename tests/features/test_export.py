"""Exports hold what the set holds, in the formats' own readers."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

import decaf
from decaf.errors import FeatureSetError, UnknownName
from decaf.features import export as module
from decaf.nets.net import Net
from tests.features.helpers import tiny_net, write_pictures


@pytest.fixture
def features(pictures: Path) -> decaf.FeatureSet:
    return decaf.extract(pictures, tiny_net(), ["pool", "prob"], shard_size=3)


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


def test_csv_round_trips_exactly(pictures: Path, lite0: Net, tmp_path: Path) -> None:
    features = decaf.extract(pictures, lite0, ["pool", "prob"], shard_size=3)
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
    decaf.export(features, tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert set(file) == {"paths", "labels", "errors", "pool", "prob"}
        assert file["paths"].asstr()[:].tolist() == features.paths.tolist()
        assert tuple(file["pool"].attrs["shape"]) == (6,)
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
    monkeypatch.setattr(module, "_LARGEST_IN_MAT", 4 * 7 * 6)
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


@pytest.mark.parametrize("layer", ["labels", "paths", "file", "error", "views"])
@pytest.mark.parametrize("suffix", ["npz", "h5", "mat", "parquet", "csv"])
def test_a_layer_may_be_called_like_a_column(tmp_path: Path, pictures: Path, layer: str, suffix: str) -> None:
    net, model = tiny_net(), onnx.ModelProto()
    model.CopyFrom(net.model)
    for node in model.graph.node:
        node.output[:] = [layer if name == "pool" else name for name in node.output]
        node.input[:] = [layer if name == "pool" else name for name in node.input]
    features = decaf.extract(pictures, replace(net, data=model.SerializeToString()), layer)
    out = tmp_path / f"x.{suffix}"
    decaf.export(features, out)
    if suffix == "npz":
        with np.load(out) as file:
            assert file["labels"].tolist() == features.labels.tolist()
            np.testing.assert_array_equal(file[f"{layer}_" if layer != "error" else layer], features.X())


def test_an_unwritable_place_is_one_line(features: decaf.FeatureSet, tmp_path: Path) -> None:
    with pytest.raises(FeatureSetError, match="cannot write"):
        decaf.export(features, tmp_path / "missing" / "x.npz")


# Several rows per picture, in every format

COUNT, BROKEN = 4, (0, 3)
ROWS = 10 * (COUNT + 1)
Read = Callable[[Path], dict[str, Any]]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[bool, str], decaf.FeatureSet]:
    """(with boxes, views) -> features of four pictures, the first and the last broken; two boxes of the second."""
    folder = tmp_path_factory.mktemp("sets")
    paths = write_pictures(folder / 'odd "na,me" ', COUNT)
    for index in BROKEN:
        Path(paths[index]).write_bytes(b"broken")
    lines = [f"{Path(path).name},0,0,9,{9 + index},,b{index}" for index, path in enumerate(paths)]
    boxes = folder / "boxes.csv"
    boxes.write_text("\n".join(["path,x0,y0,x1,y1,id,label", *lines, '0001.png,1,1,5,5,"a, ""b""\nä",']))
    source, net = Path(paths[0]).parent, tiny_net()
    return {
        (with_boxes, views): decaf.extract(
            source, net, ["pool", "prob"], boxes=str(boxes) if with_boxes else "", views=views, shard_size=7
        )
        for with_boxes in (False, True)
        for views in ("center", "ten", "ten-mean")
    }


def from_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] if file[name].dtype.kind == "f" else file[name].tolist() for name in file}


def from_h5(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {
            name: values[:] if values.dtype.kind == "f" else values.asstr()[:].tolist() for name, values in file.items()
        }


def from_mat(path: Path) -> dict[str, Any]:
    variables = {name: values for name, values in loadmat(path).items() if not name.startswith("__")}
    return {
        name: [str(cell[0]) if cell.size else "" for cell in values.ravel()] if values.dtype == object else values
        for name, values in variables.items()
    }


def from_csv(path: Path) -> dict[str, Any]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    read: dict[str, Any] = {}
    for index, name in enumerate(header):
        layer, _, number = name.partition("_")
        cells = [row[index] for row in rows]
        assert "nan" not in cells
        if number:
            read.setdefault(layer, []).append([float(cell or "nan") for cell in cells])
        else:
            read[f"{name}s"] = cells
    return {name: np.array(v, np.float32).T if name in ("pool", "prob") else v for name, v in read.items()}


def from_parquet(path: Path) -> dict[str, Any]:
    table = pq.read_table(path)
    read: dict[str, Any] = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        if name in ("pool", "prob"):
            size = table.schema.field(name).type.list_size
            read[name] = np.array([v or [np.nan] * size for v in values], np.float32).reshape(len(values), size)
        else:
            read[f"{name}s"] = [text or "" for text in values]
    return read


READERS = {".npz": from_npz, ".h5": from_h5, ".mat": from_mat, ".csv": from_csv, ".parquet": from_parquet}


def assert_equal(read: dict[str, Any], features: decaf.FeatureSet) -> None:
    assert set(read) == {*(f"{name}s" for name in features.texts), "pool", "prob"}
    for name, texts in features.texts.items():
        assert read[f"{name}s"] == [text or "" for text in texts]
    for layer in ("pool", "prob"):
        assert read[layer].dtype == np.float32
        np.testing.assert_array_equal(read[layer], features.X(layer))


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("with_boxes", [False, True])
@pytest.mark.parametrize("views", ["center", "ten", "ten-mean"])
def test_regions_and_views_are_told_only_where_pictures_have_several_rows(
    sets: dict[tuple[bool, str], decaf.FeatureSet], tmp_path: Path, suffix: str, with_boxes: bool, views: str
) -> None:
    features = sets[with_boxes, views]
    decaf.export(features, tmp_path / f"x{suffix}")
    read = READERS[suffix](tmp_path / f"x{suffix}")
    told = {name for name, is_told in {"regions": with_boxes, "views": views == "ten"}.items() if is_told}
    assert set(read) == {"paths", "labels", "errors", "pool", "prob"} | told
    assert_equal(read, features)


@given(data=st.data())
@settings(max_examples=15, deadline=None, database=None)
@pytest.mark.parametrize("suffix", READERS)
def test_any_selection_keeps_order_and_alignment_in_every_format(
    sets: dict[tuple[bool, str], decaf.FeatureSet],
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    data: st.DataObject,
) -> None:
    masks = st.lists(st.booleans(), min_size=ROWS, max_size=ROWS)
    numbers = st.lists(st.integers(-ROWS, ROWS - 1), max_size=30)
    part = sets[True, "ten"][data.draw(st.one_of(st.slices(ROWS), masks, numbers))]
    out = tmp_path_factory.getbasetemp() / f"any{suffix}"
    decaf.export(part, out)
    assert_equal(READERS[suffix](out), part)


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize(
    "part", [slice(0, 10), slice(9, 31), slice(39, 50), slice(None, None, -1), slice(0, 0)], ids=str
)
def test_nulls_at_the_edges_of_a_slice_stay_where_they_are(
    sets: dict[tuple[bool, str], decaf.FeatureSet], tmp_path: Path, suffix: str, part: slice
) -> None:
    features = sets[True, "ten"][part]
    decaf.export(features, tmp_path / f"x{suffix}")
    assert_equal(READERS[suffix](tmp_path / f"x{suffix}"), features)


def test_npy_of_any_rows_is_their_matrix(sets: dict[tuple[bool, str], decaf.FeatureSet], tmp_path: Path) -> None:
    for part in (slice(None), slice(9, 31), slice(None, None, -3), slice(0, 0)):
        features = sets[True, "ten"][part]
        decaf.export(features, tmp_path / "x.npy", "prob")
        np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), features.X("prob"))
