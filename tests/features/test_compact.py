"""`compact`: the bytes of a fresh extraction, and a folder that goes on like any other."""

from __future__ import annotations

import errno
import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import decaf
from decaf.errors import FeatureSetError, FolderInUse, SettingsDiffer
from decaf.features import compact as module
from decaf.features.compact import compact
from decaf.features.folder import locked
from decaf.nets.net import Net
from tests.features.folders import (
    NAMES,
    content,
    draw,
    edit_all_over,
    first_run,
    fresh_content,
    numbers,
    order_files,
    run,
    spoil,
)
from tests.features.helpers import shard_bytes


@pytest.fixture
def updated(photos: Path, net: Net, tmp_path: Path) -> Path:
    """A folder with removed rows and one broken picture, not in order."""
    first_run(photos, net, tmp_path / "updated")
    edit_all_over(photos)
    spoil(photos / "cat" / "0.bmp")
    run(photos, net, tmp_path / "updated", update=True)
    return tmp_path / "updated"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "compacted"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


OPTIONS: dict[str, dict[str, Any]] = {
    "as they come": {},
    "halves": {"store": "f16"},
    "ten views": {"views": "ten"},
    "boxes": {"boxes": "boxes.csv"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_compacted_folder_has_the_bytes_of_a_fresh_extraction(
    photos: Path, net: Net, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["path,x0,y0,x1,y1", *(f"{name},{corner},0,8,8" for name in NAMES[:5] for corner in (0, 2))]
    Path("boxes.csv").write_text("\n".join(lines))
    first_run(photos, net, tmp_path / "updated", **OPTIONS[name])
    edit_all_over(photos)
    spoil(photos / "cat" / "0.bmp")
    updated = run(photos, net, tmp_path / "updated", update=True, **OPTIONS[name])
    assert order_files(tmp_path / "updated") and updated.computed < len(updated.features)
    before, told = files(tmp_path / "updated"), []
    compacted = compact(tmp_path / "updated", out, lambda rows, broken: told.append((rows, broken)))
    first_run(photos, net, tmp_path / "fresh", **OPTIONS[name])
    assert shard_bytes(out) == shard_bytes(tmp_path / "fresh") and order_files(out) == []
    assert content(compacted) == content(updated.features) and compacted.meta.keys() == updated.features.meta.keys() - {
        "order"
    }
    assert sum(rows for rows, _ in told) == len(compacted) and all(broken == 0 for _, broken in told)
    assert files(tmp_path / "updated") == before


def test_a_folder_that_was_never_updated_is_copied(photos: Path, net: Net, out: Path, tmp_path: Path) -> None:
    first_run(photos, net, tmp_path / "first")
    assert content(compact(tmp_path / "first", out)) == fresh_content(photos, net)
    assert shard_bytes(out) == shard_bytes(tmp_path / "first")


def test_a_compacted_folder_is_continued_and_updated_like_any_other(
    photos: Path, net: Net, updated: Path, out: Path
) -> None:
    compact(updated, out)
    plain = run(photos, net, out)
    assert plain.computed == 0 and plain.numbers is None
    assert run(photos, net, out, update=True).numbers == numbers(kept=7)
    (out / "shard-00001.parquet").unlink()
    before = shard_bytes(out)
    assert run(photos, net, out).computed == 3
    assert before.items() < shard_bytes(out).items()
    draw(photos / "ant" / "1.bmp", 70)
    with pytest.raises(SettingsDiffer, match="pass --update"):
        run(photos, net, out)
    more = run(photos, net, out, update=True)
    assert more.numbers == numbers(added=1, kept=7) and content(more.features) == fresh_content(photos, net)


def test_an_interrupted_compaction_is_not_finished_and_can_be_run_again(
    photos: Path, net: Net, updated: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = module.write_table, []

    def write_two(path: Path, table: pa.Table) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        real(path, table)

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_table", write_two)
        with pytest.raises(FeatureSetError, match=r"cannot write .*No space left on device") as full:
            compact(updated, out)
    assert "\n" not in str(full.value) and len(shard_bytes(out)) == 2
    with pytest.raises(FeatureSetError, match="1 of 3 shards are missing"):
        decaf.FeatureSet.open(out)
    shutil.copytree(out, tmp_path / "extracted")
    assert content(compact(updated, out)) == fresh_content(photos, net)
    assert run(photos, net, tmp_path / "extracted").computed == 1  # extraction goes on just as well
    assert shard_bytes(tmp_path / "extracted") == shard_bytes(out)


def test_an_interrupted_second_compaction_is_not_finished_either(
    photos: Path, net: Net, updated: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compact(updated, out)
    for name in ("ant/7.bmp", "dog/6.bmp"):
        draw(photos / name, 90)
    run(photos, net, updated, update=True)  # the same paths: the same description
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patched:
        patched.setattr(module, "write_table", lambda path, table: throw(full))
        with pytest.raises(FeatureSetError, match="No space left on device"):
            compact(updated, out)
    with pytest.raises(FeatureSetError, match="shards are missing"):
        decaf.FeatureSet.open(out)
    assert content(compact(updated, out)) == fresh_content(photos, net)


def throw(error: Exception) -> None:
    raise error


def test_a_compaction_cut_off_at_once_is_run_again(photos: Path, net: Net, updated: Path, out: Path) -> None:
    out.mkdir()
    (out / ".lock").touch()
    (out / ".shard-00000.parquet.1.tmp").write_bytes(b"half a shard")
    assert content(compact(updated, out)) == fresh_content(photos, net)
    assert not list(out.glob("*.tmp")) and not list(out.glob(".*.tmp"))


def test_the_folder_itself_is_refused_however_it_is_spelt(
    photos: Path, net: Net, updated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_run(photos, net, tmp_path / "first")
    for folder in (updated, tmp_path / "first"):
        before = files(folder)
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(folder)
        monkeypatch.chdir(folder)
        for same in (folder, f"{folder}/", folder / ".." / folder.name, tmp_path / "link", "."):
            with pytest.raises(FeatureSetError, match="is the folder that is to be compacted: name a new folder"):
                compact(folder, same)
        assert files(folder) == before


def test_a_folder_with_other_features_or_other_things_is_left_alone(
    photos: Path, net: Net, updated: Path, out: Path, tmp_path: Path
) -> None:
    first_run(photos, net, tmp_path / "first", resize="warp")
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("mine")
    for other, why in {"first": "holds other features", "things": "holds other things", "file": "is a file"}.items():
        before = files(tmp_path / other) if other != "file" else {}
        with pytest.raises(FeatureSetError, match=why):
            compact(updated, tmp_path / other)
        assert other == "file" or {**files(tmp_path / other), ".lock": b""} == {**before, ".lock": b""}
    with locked(out), pytest.raises(FolderInUse):
        compact(updated, out)


def lose_shard(folder: Path) -> None:
    (folder / "shard-00000.parquet").unlink()


def lose_order(folder: Path) -> None:
    (folder / order_files(folder)[0]).unlink()


def cut_shard(folder: Path) -> None:
    path = folder / "shard-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])


def shorten_shard(folder: Path) -> None:
    shutil.copy(folder / "shard-00002.parquet", folder / "shard-00001.parquet")


def lose_layer(folder: Path) -> None:
    path = folder / "shard-00001.parquet"
    table = module.read_table(path)
    module.write_table(path, table.drop_columns(["vector"]))


UNFIT: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gone": (shutil.rmtree, "is not a feature folder"),
    "unfinished": (lose_shard, "1 of 5 shards are missing"),
    "without order": (lose_order, "is missing or damaged"),
    "cut shard": (cut_shard, r"shard-00001\.parquet cannot be read"),
    "short shard": (shorten_shard, r"shard-00001\.parquet cannot be read \(1 rows where 3 belong"),
    "shard without the layer": (lose_layer, r"shard-00001\.parquet cannot be read \(layer vector is not there"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_an_unfinished_or_damaged_folder_is_refused_in_one_line(updated: Path, out: Path, name: str) -> None:
    damage, why = UNFIT[name]
    damage(updated)
    with pytest.raises(FeatureSetError, match=why) as refused:
        compact(updated, out)
    assert "\n" not in str(refused.value)


def test_few_shards_are_in_memory_however_far_apart_the_rows_of_one_lie(
    net: Net, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "many" / f"{seed}.bmp" for seed in range(60)]
    for seed, path in enumerate(paths):
        draw(path, seed)
    scattered = [paths[row] for row in np.random.default_rng(0).permutation(60)]
    run(paths, net, tmp_path / "updated", shard_size=12)
    run(scattered, net, tmp_path / "updated", update=True)
    run(scattered, net, tmp_path / "fresh", shard_size=12)
    real, most = module.read_table, 0
    tables: list[Any] = []

    def read(path: Path) -> pa.Table:
        nonlocal most
        table = real(path)
        tables.append(weakref.ref(table))
        most = max(most, sum(known() is not None for known in tables))
        return table

    monkeypatch.setattr(module, "read_table", read)
    monkeypatch.setattr(module, "_SHARDS_IN_MEMORY", 2)
    compact(tmp_path / "updated", out)
    assert shard_bytes(out) == shard_bytes(tmp_path / "fresh")
    assert 0 < most <= 3


def test_the_command_line_tells_what_was_left_out(
    updated: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from decaf.cli.main import main

    for words, told in (
        (["--json"], {"out": str(out), "rows": 7, "removed": 6}),
        ([], f"{out}: 7 rows, 6 removed rows left out\n"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["compact", str(updated), "-o", str(out), *words])
        assert not ended.value.code
        text = capsys.readouterr().out
        assert (json.loads(text) if words else text) == told
    with pytest.raises(SystemExit) as ended:
        main(["compact", str(updated), "-o", str(updated)])
    assert ended.value.code and "is the folder that is to be compacted" in capsys.readouterr().err
