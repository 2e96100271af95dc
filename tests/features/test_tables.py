"""One line makes a table of pandas, Polars, DuckDB, PyArrow or `datasets` from a feature set, with equal values."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import decaf
from decaf.errors import UnknownName
from tests.features.helpers import tiny_net, write_pictures

COUNT, BROKEN = 5, (0, 2, 4)
TEXTS = ["path", "label", "error", "region", "view"]
Rows = dict[str, list[Any]]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> decaf.FeatureSet:
    """Five pictures, the first, third and last of them broken, and a box and ten views of each: 50 rows."""
    folder = tmp_path_factory.mktemp("tables")
    paths = write_pictures(folder / 'odd "name",\n', COUNT)
    for index in BROKEN:
        Path(paths[index]).write_bytes(b"broken")
    boxes = folder / "boxes.csv"
    lines = ["path,x0,y0,x1,y1,id,label"]
    lines += [
        f'{Path(path).name},0,{index},9,9,"{index}, ""ä""",{"bird" if index % 2 else ""}'
        for index, path in enumerate(paths)
    ]
    boxes.write_text("\n".join(lines))
    source = [str(Path(paths[0]).parent)]
    return decaf.extract(source, tiny_net(), ["pool", "prob"], boxes=str(boxes), views="ten", shard_size=7)


def by_pandas(features: decaf.FeatureSet) -> Rows:
    frame = features.to_arrow().to_pandas()
    return {name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame}


def by_polars(features: decaf.FeatureSet) -> Rows:
    frame = pl.DataFrame(features)
    assert frame.schema["pool"] == pl.Array(pl.Float32, 6)
    return frame.to_dict(as_series=False)


def by_duckdb(features: decaf.FeatureSet) -> Rows:
    relation = duckdb.sql("select * from features")
    assert str(dict(zip(relation.columns, relation.types, strict=True))["pool"]) == "FLOAT[6]"
    rows = relation.fetchall()
    return {name: [row[index] for row in rows] for index, name in enumerate(relation.columns)}


def by_pyarrow(features: decaf.FeatureSet) -> Rows:
    table = pa.table(features)
    table.validate(full=True)
    return dict(table.to_pydict())


def by_datasets(features: decaf.FeatureSet) -> Rows:
    import datasets

    return dict(datasets.Dataset(features.to_arrow()).to_dict())


TOOLS = [by_pandas, by_polars, by_duckdb, by_pyarrow]


def assert_equal(rows: Rows, features: decaf.FeatureSet) -> None:
    assert list(rows) == [*TEXTS, "pool", "prob"]
    for name, texts in features.texts.items():
        assert rows[name] == texts.tolist()
    for layer in ("pool", "prob"):
        assert [vector is None for vector in rows[layer]] == features.broken.tolist()
        intact = np.array([vector for vector in rows[layer] if vector is not None], np.float32)
        np.testing.assert_array_equal(intact.reshape(-1, features.shape(layer)[0]), features.valid.X(layer))


@pytest.fixture(scope="module")
def quiet_datasets(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`datasets` with a home of its own and no network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf")))
        patch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("it asks the network"))
        import datasets

        yield datasets


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "part",
    [slice(10, 20), slice(9, 21), slice(0, 10), slice(19, None), slice(None, None, -1), slice(0, 0)],
    ids=str,
)
def test_tables_equal_the_set_with_nulls_anywhere(
    features: decaf.FeatureSet, tool: Callable[[decaf.FeatureSet], Rows], part: slice
) -> None:
    assert_equal(tool(features[part]), features[part])


@given(data=st.data())
@settings(max_examples=30, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("tool", TOOLS)
def test_tables_equal_any_selection(
    features: decaf.FeatureSet, tool: Callable[[decaf.FeatureSet], Rows], data: st.DataObject
) -> None:
    masks = st.lists(st.booleans(), min_size=10 * COUNT, max_size=10 * COUNT)
    numbers = st.lists(st.integers(-10 * COUNT, 10 * COUNT - 1), max_size=30)
    part = features[data.draw(st.one_of(st.slices(10 * COUNT), masks, numbers))]
    assert_equal(tool(part), part)


@pytest.mark.parametrize("part", [slice(None), slice(9, 21), slice(0, 10)], ids=str)
def test_datasets_equal_the_set_and_ask_no_network(
    quiet_datasets: Any, features: decaf.FeatureSet, part: slice
) -> None:
    assert_equal(by_datasets(features[part]), features[part])
    vectors = quiet_datasets.Dataset(features.valid.to_arrow()).with_format("numpy")["pool"][:]
    np.testing.assert_array_equal(vectors, features.valid.X("pool"))
    assert not any(Path(os.environ["HF_HOME"]).rglob("*"))


def test_a_table_holds_the_layers_asked_for(features: decaf.FeatureSet) -> None:
    assert features.to_arrow(["prob"]).column_names == [*TEXTS, "prob"]
    assert features.to_arrow("prob").column_names == [*TEXTS, "prob"]
    assert features.to_arrow([]).column_names == TEXTS
    with pytest.raises(UnknownName, match="no layer 'fc'"):
        features.to_arrow(["fc"])


def test_a_stream_takes_the_types_it_is_asked_for(features: decaf.FeatureSet) -> None:
    wanted = pa.schema(
        [(name, pa.large_string()) for name in TEXTS]
        + [(n, pa.list_(pa.float32(), k)) for n, k in (("pool", 6), ("prob", 5))]
    )
    assert pa.table(features, schema=wanted).schema.field("path").type == pa.large_string()
