"""Vectors stored as float16: half the size, rounded once, refused where they do not fit, read by other tools."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import decaf
from decaf.errors import FeatureSetError, SettingsDiffer
from decaf.features.shards import vectors
from decaf.nets.net import Net
from tests.features.helpers import shard_bytes, tiny_net, write_pictures

COUNT, BROKEN = 23, (0, 7, 22)


@pytest.fixture(scope="module")
def net() -> Net:
    return tiny_net()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """23 pictures; the first, the last and number 7 are broken."""
    paths = write_pictures(tmp_path_factory.mktemp("photos"), COUNT)
    for index in BROKEN:
        Path(paths[index]).write_bytes(b"broken")
    return paths


@pytest.fixture(scope="module")
def halves(paths: list[str], net: Net, tmp_path_factory: pytest.TempPathFactory) -> decaf.FeatureSet:
    out = tmp_path_factory.mktemp("halves")
    return decaf.extract(paths, net, ["conv", "prob"], out, store="f16", shard_size=9)


@pytest.fixture(scope="module")
def singles(paths: list[str], net: Net, tmp_path_factory: pytest.TempPathFactory) -> decaf.FeatureSet:
    return decaf.extract(paths, net, ["conv", "prob"], tmp_path_factory.mktemp("singles"), shard_size=9)


def test_vectors_take_half_the_size(halves: decaf.FeatureSet, singles: decaf.FeatureSet) -> None:
    sizes = [sum(map(len, shard_bytes(features.folder).values())) for features in (halves, singles)]
    assert sizes[1] - sizes[0] == pytest.approx(2 * (COUNT - len(BROKEN)) * (600 + 5), rel=0.05)


def test_what_is_read_is_float32_rounded_to_float16_once(halves: decaf.FeatureSet, singles: decaf.FeatureSet) -> None:
    for layer in ("conv", "prob"):
        X = halves.X(layer)
        assert X.dtype == np.float32 and np.isnan(X).all(axis=1).nonzero()[0].tolist() == [*BROKEN]
        np.testing.assert_array_equal(X, singles.X(layer).astype(np.float16).astype(np.float32))
        np.testing.assert_allclose(X, singles.X(layer), rtol=2**-11, atol=2**-25)
        assert not np.array_equal(X, singles.X(layer), equal_nan=True)
    assert halves.errors.tolist() == singles.errors.tolist() and halves.meta["settings"]["store"] == "f16"


def test_tables_and_exports_of_it_are_float32(halves: decaf.FeatureSet, tmp_path: Path) -> None:
    assert str(halves.to_arrow().schema.field("prob").type) == "fixed_size_list<element: float>[5]"
    decaf.export(halves, tmp_path / "x.npy", "prob")
    assert np.load(tmp_path / "x.npy").dtype == np.float32


@pytest.mark.parametrize(("before", "after"), [("f16", "f32"), ("f32", "f16")])
def test_a_rerun_with_another_store_is_refused(
    paths: list[str], net: Net, tmp_path: Path, before: str, after: str
) -> None:
    decaf.extract(paths, net, out=tmp_path / "out", store=before)
    written = shard_bytes(tmp_path / "out")
    with pytest.raises(SettingsDiffer, match=f"store {before}, this run has {after}"):
        decaf.extract(paths, net, out=tmp_path / "out", store=after)
    assert shard_bytes(tmp_path / "out") == written


def test_values_too_large_are_refused_by_layer_and_leave_nothing_half_written(paths: list[str], tmp_path: Path) -> None:
    net, out = tiny_net(scale=1e6), tmp_path / "out"
    for _ in range(2):  # the second run meets what the first left
        with pytest.raises(FeatureSetError, match=r"layer fc reaches \S+, float16 only 65504: use --store f32") as no:
            decaf.extract(paths, net, ["pool", "fc"], out, store="f16", shard_size=9)
        assert "\n" not in str(no.value) and {path.name for path in out.iterdir()} <= {"decaf.json", ".lock"}
    assert np.abs(decaf.extract(paths, net, ["pool", "fc"]).valid.X("fc")).max() > 65504


@given(
    values=arrays.arrays(np.float32, (3, 2), elements=st.floats(width=32, allow_nan=True)),
    broken=st.lists(st.booleans(), min_size=3, max_size=3),
)
@settings(max_examples=150, deadline=None, database=None)
def test_finite_values_are_rounded_or_refused_never_made_infinite(values: np.ndarray, broken: list[bool]) -> None:
    finite = np.isfinite(values)
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16)
    if (finite & ~np.isfinite(rounded)).any():
        with pytest.raises(FeatureSetError, match="layer fc reaches"):
            vectors(values, np.array(broken), "f16", "fc")
        return
    stored = vectors(values, np.array(broken), "f16", "fc")
    assert stored.is_null().to_pylist() == broken
    np.testing.assert_array_equal(stored.values.to_numpy(zero_copy_only=False).reshape(3, 2), rounded)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (65504, True),
        (65519, True),
        (65520, False),
        (-65520, False),
    ],
)
def test_the_greatest_float16_fits(value: float, fits: bool) -> None:
    values = np.array([[value, 1]], np.float32)
    if not fits:
        with pytest.raises(FeatureSetError, match="layer fc reaches 65520, float16 only 65504"):
            vectors(values, np.array([False]), "f16", "fc")
    else:
        assert vectors(values, np.array([False]), "f16", "fc").to_pylist() == [[65504, 1]]


def test_pandas_polars_and_duckdb_read_shards_of_float16(halves: decaf.FeatureSet) -> None:
    shards = [str(path) for path in sorted(halves.folder.glob("shard-*.parquet"))]
    frame = pd.concat(map(pd.read_parquet, shards))
    assert {vector.dtype for vector in frame["prob"].dropna()} == {np.dtype(np.float16)}
    polars = pl.read_parquet(shards)["prob"]
    assert polars.dtype == pl.Array(pl.Float16, 5)
    rows = duckdb.sql(f"select prob from read_parquet({shards}) order by path").fetchall()
    for prob in (frame["prob"].tolist(), polars.to_list(), [row[0] for row in rows]):
        assert [index for index, vector in enumerate(prob) if vector is None] == [*BROKEN]
        read = np.array([vector for vector in prob if vector is not None], np.float32)
        np.testing.assert_array_equal(read, halves.valid.X("prob"))


def test_shards_of_float16_are_plain_parquet_halves(halves: decaf.FeatureSet) -> None:
    column = pq.ParquetFile(halves.folder / "shard-00000.parquet").schema.column(9)
    assert column.path == "conv.list.element" and str(column.logical_type) == "Float16" and column.length == 2
