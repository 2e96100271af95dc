"""Order files: what is written is read again; what is damaged or hostile is refused, and nothing else is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import decaf
from decaf.errors import FeatureSetError
from decaf.features.layout import Layout, in_order, read_layout, read_order, write_order
from decaf.nets.net import Net
from tests.features.folders import (
    content,
    draw,
    draw_all,
    edit_all_over,
    first_run,
    order_files,
    run,
)


@pytest.fixture(scope="module")
def updated(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an order file, not to be changed."""
    folder = tmp_path_factory.mktemp("updated")
    first_run(draw_all(folder / "photos"), net, folder / "out")
    edit_all_over(folder / "photos")
    run(folder / "photos", net, folder / "out", update=True)
    assert len(order_files(folder / "out")) == 1
    return folder / "out"


@pytest.fixture
def out(updated: Path, tmp_path: Path) -> Path:
    return shutil.copytree(updated, tmp_path / "inner" / "out")


@st.composite
def layouts(draw_: st.DrawFn) -> tuple[int, dict[int, int], list[int]]:
    """A shard size, the rows of some shards, and some of their places in any order."""
    size = draw_(st.integers(1, 5))
    shards = draw_(st.dictionaries(st.integers(0, 9), st.integers(1, size), min_size=1, max_size=5))
    stored = [shard * size + row for shard in shards for row in range(shards[shard])]
    places = draw_(st.permutations(stored))
    return size, shards, places[: draw_(st.integers(1, len(stored)))]


@settings(max_examples=60, deadline=None)
@given(case=layouts())
def test_an_order_is_read_as_it_was_written_and_named_for_its_content(
    case: tuple[int, dict[int, int], list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    size, shards, places = case
    folder = tmp_path_factory.mktemp("order")
    layout = Layout(np.array(places), shards)
    name = write_order(folder, layout, size)
    meta = {"order": name, "source": {"count": len(places)}, "shard_size": size}
    read = read_order(folder, meta)
    assert read.places.tolist() == places and read.shard_rows == shards
    assert read.removed == sum(shards.values()) - len(places)
    assert write_order(folder, Layout(np.array(places), dict(reversed(shards.items()))), size) == name
    assert (write_order(folder, Layout(np.array(places[::-1]), shards), size) == name) == (places == places[::-1])
    shutil.rmtree(folder)


@given(count=st.integers(1, 50), size=st.integers(1, 9))
def test_rows_in_order_fill_whole_shards(count: int, size: int) -> None:
    shards = in_order(count, size)
    assert sum(shards.values()) == count and list(shards) == list(range(len(shards)))
    assert set(list(shards.values())[:-1]) <= {size} and 1 <= shards[len(shards) - 1] <= size
    assert Layout(np.arange(count), shards).is_in_order()
    assert not Layout(np.arange(count), {**shards, len(shards): 1}).is_in_order()
    assert count == 1 or not Layout(np.arange(count)[::-1], shards).is_in_order()


def change_meta(out: Path, **changed: Any) -> None:
    meta = json.loads((out / "decaf.json").read_text())
    (out / "decaf.json").write_text(json.dumps(meta | changed))


def change_order(out: Path, change: Callable[[dict[str, list[Any]]], Any], **options: Any) -> None:
    """Change the columns of the order file as lists of numbers."""
    path = out / order_files(out)[0]
    table = pq.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    change(columns)
    arrays = {name: pa.array(values, table.schema.field(name).type) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), path, **({"compression": "none", "use_dictionary": False} | options))


def put(column: str, row: int, value: int | None) -> Callable[[dict[str, list[Any]]], None]:
    return lambda columns: columns[column].__setitem__(row, value)


def drop_last(columns: dict[str, list[Any]]) -> None:
    for values in columns.values():
        values.pop()


def backwards(columns: dict[str, list[Any]]) -> None:
    for values in columns.values():
        values.reverse()


def first_of_no_shard(columns: dict[str, list[Any]]) -> None:
    for name, value in {"shard": -1, "row": 0, "position": None}.items():
        columns[name].insert(0, value)


def mixed_shards(columns: dict[str, list[Any]]) -> None:
    columns["shard"][2:4], columns["row"][2:6] = [1, 0], [2, 1, 2, 3]


def twice(columns: dict[str, list[Any]]) -> None:
    for values in columns.values():
        values.append(values[-1])


DAMAGES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "a row too few": drop_last,
    "a row twice": twice,
    "rows backwards": backwards,
    "no rows": lambda columns: [values.clear() for values in columns.values()],
    "a position twice": lambda columns: put("position", columns["position"].index(6), 0)(columns),
    "a position too many": put("position", 1, 0),
    "a position lost": put("position", 0, None),
    "all positions lost": lambda columns: columns.update(position=[None] * len(columns["position"])),
    "position below zero": put("position", 0, -1),
    "position far below zero": put("position", 0, -(2**62)),
    "last position counted from the end": lambda columns: put("position", columns["position"].index(6), -1)(columns),
    "position too large": put("position", 0, 7),
    "position huge": put("position", 0, 2**62),
    "shard below zero": put("shard", 0, -1),
    "shards below zero": lambda columns: columns.update(shard=[shard - 4 for shard in columns["shard"]]),
    "a removed row of no shard": first_of_no_shard,
    "shards mixed": mixed_shards,
    "no shard": put("shard", 0, None),
    "row below zero": put("row", 0, -1),
    "row too large": put("row", 2, 3),
    "row huge": put("row", 2, 2**31 - 1),
    "no row": put("row", 0, None),
    "rows swapped": lambda columns: columns.update(row=[1, 0, *columns["row"][2:]]),
    "too many rows in a shard": lambda columns: columns.update(shard=[0] * 12, row=list(range(12))),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_order_file_is_refused_in_one_line(out: Path, name: str) -> None:
    change_order(out, DAMAGES[name])
    with pytest.raises(FeatureSetError, match=r"order file 'order-\w+.parquet' of .* damaged: .* --update") as refused:
        decaf.FeatureSet.open(out)
    assert "\n" not in str(refused.value)


def test_the_same_columns_written_anew_are_read(out: Path) -> None:
    before = content(decaf.FeatureSet.open(out))
    change_order(out, lambda columns: None)  # else the test above would prove nothing
    assert content(decaf.FeatureSet.open(out)) == before


def change_types(path: Path) -> None:
    table = pq.read_table(path)
    floats = table.cast(pa.schema([(name, pa.float64()) for name in table.column_names]))
    pq.write_table(floats, path, compression="none", use_dictionary=False)


def lose_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["row"]), path, compression="none", use_dictionary=False)


FILES: dict[str, Callable[[Path], Any]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "text": lambda path: path.write_text("shard,row,position\n0,0,0\n"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a shard": lambda path: shutil.copy(path.with_name("shard-00000.parquet"), path),
    "other types": change_types,
    "a column less": lose_column,
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_order_file_is_refused_in_one_line(out: Path, name: str) -> None:
    FILES[name](out / order_files(out)[0])
    with pytest.raises(FeatureSetError, match=r"is missing or damaged: .* --update") as refused:
        decaf.FeatureSet.open(out)
    assert "\n" not in str(refused.value)


ELSEWHERE = ("ABSOLUTE/outside/ORDER", "../outside/ORDER", "../ORDER", "./ORDER", "x\nORDER", "ORDER\n", "ORDER/")
NOWHERE = ("..", ".", "", "/", "order-0.parquet", "shard-00000.parquet", "x" * 9999, None, 7, ["order"], {"order": 1})


@pytest.mark.parametrize("name", [*ELSEWHERE, *NOWHERE], ids=lambda name: repr(name)[:20])
def test_an_order_file_elsewhere_is_never_read(out: Path, name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    order = order_files(out)[0]
    (out.parent / "outside").mkdir()
    for place in (out.parent, out.parent / "outside"):
        shutil.copy(out / order, place)
    if isinstance(name, str):
        name = name.replace("ABSOLUTE", str(out.parent)).replace("ORDER", order)
    change_meta(out, order=name)
    read: list[Path] = []
    for reader in ("ParquetFile", "read_table", "read_metadata", "read_schema"):
        monkeypatch.setattr(pq, reader, lambda path, *rest, **more: read.append(path))
    with pytest.raises(FeatureSetError, match=r"is missing or damaged: .* --update") as refused:
        decaf.FeatureSet.open(out)
    assert read == [] and "\n" not in str(refused.value) and len(str(refused.value)) < 500


@pytest.mark.parametrize("count", [1, 6, 8, 10**6, 10**15, 10**30])
def test_a_description_that_claims_another_count_is_refused(out: Path, count: int) -> None:
    meta = json.loads((out / "decaf.json").read_text())
    change_meta(out, source=meta["source"] | {"count": count})
    with pytest.raises(FeatureSetError, match="is missing or damaged"):
        decaf.FeatureSet.open(out)


@pytest.mark.parametrize("size", [1, 2, 2**61, 2**63, 10**30])
def test_a_description_that_claims_another_shard_size_is_refused(out: Path, size: int) -> None:
    change_meta(out, shard_size=size)
    with pytest.raises(FeatureSetError, match="is missing or damaged"):
        decaf.FeatureSet.open(out)


def test_a_small_file_that_claims_many_rows_takes_little_memory(out: Path) -> None:
    path = out / order_files(out)[0]
    many = 4_000_000
    columns = {"shard": pa.array(np.zeros(many, np.int32)), "row": pa.array(np.zeros(many, np.int32))}
    columns["position"] = pa.array(np.zeros(many, np.int64))
    for row_groups in (many, 1_000_000):
        pq.write_table(pa.table(columns), path, compression="zstd", row_group_size=row_groups)
        assert path.stat().st_size < 100_000
        change_meta(out, source=json.loads((out / "decaf.json").read_text())["source"] | {"count": many})
        pool = pa.proxy_memory_pool(pa.system_memory_pool())
        default = pa.default_memory_pool()
        pa.set_memory_pool(pool)
        try:
            with pytest.raises(FeatureSetError, match="is missing or damaged"):
                decaf.FeatureSet.open(out)
        finally:
            pa.set_memory_pool(default)
        assert pool.max_memory() < 2_000_000


def test_removed_and_stale_rows_are_told(out: Path, updated: Path) -> None:
    layout = read_layout(out, json.loads((out / "decaf.json").read_text()))
    assert (len(layout.places), layout.removed, layout.is_in_order()) == (7, 5, False)
    assert sum(layout.shard_rows.values()) == 12


def test_a_shard_of_another_length_than_its_order_says_is_refused(net: Net, out: Path, tmp_path: Path) -> None:
    draw(tmp_path / "one.bmp", 0)
    first_run(tmp_path / "one.bmp", net, tmp_path / "one")
    for shard in ("shard-00000.parquet", "shard-00003.parquet"):
        whole = (out / shard).read_bytes()
        shutil.copy(tmp_path / "one" / "shard-00000.parquet", out / shard)
        with pytest.raises(FeatureSetError, match=f"{shard} .*1 rows where [23] belong"):
            decaf.FeatureSet.open(out).X()
        (out / shard).write_bytes(whole)
