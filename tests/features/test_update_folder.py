"""What an update finds in a folder, what it refuses, and what others read there afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import decaf
from decaf.cli.main import main
from decaf.errors import FeatureSetError, SettingsDiffer
from decaf.features import settings as settings_module
from decaf.features.export import export
from decaf.nets.net import Net
from tests.features.folders import (
    BROKEN,
    NAMES,
    PREPROCESS,
    SHARD_SIZE,
    content,
    draw,
    edit_all_over,
    first_run,
    fresh_content,
    numbers,
    order_files,
    run,
    spoil,
    write_boxes,
    write_tiny_net,
)
from tests.features.helpers import shard_bytes


def run_json(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    told = capsys.readouterr()
    assert ended.value.code in (0, None), told.err
    about: dict[str, Any] = json.loads(told.out)
    return about


def test_update_after_update_leaves_one_order_file_and_info_tells_removed_rows(
    photos: Path, net: Net, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first_run(photos, net, out)
    for round_, removed in enumerate(("cat/2.bmp", "cat/0.bmp", "dog/4.bmp"), 1):
        (photos / removed).unlink()
        draw(photos / "ant" / f"{9 - round_}.bmp", 20 + round_)
        updated = run(photos, net, out, update=True)
        assert updated.numbers == numbers(added=1, removed=1, kept=6) and updated.computed == 1
        assert content(updated.features) == fresh_content(photos, net)
        assert len(order_files(out)) == 1
        about = run_json(capsys, "info", out, "--json")
        assert (about["finished"], about["rows"], about["removed"]) == (True, 7, round_)
        assert [broken["path"] for broken in about["broken"]] == [str(photos / BROKEN)]


def test_the_command_line_tells_what_was_done(
    photos: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["extract", photos, "-o", out, "--net", write_tiny_net(tmp_path / "tiny.onnx"), "--preprocess", PREPROCESS]
    assert run_json(capsys, *words, "--json")["update"] is None
    edit_all_over(photos)
    summary = run_json(capsys, *words, "--update", "--json")
    assert summary["update"] == numbers(added=2, changed=3, removed=2, kept=2)
    assert (summary["rows"], summary["pictures"], summary["computed"], summary["broken"]) == (7, 7, 5, 0)
    (photos / "cat" / "0.bmp").unlink()
    with pytest.raises(SystemExit):
        main([str(word) for word in (*words, "--update", "--checksum")])
    assert "rows: 0 added, 0 changed, 1 removed, 6 kept\n" in capsys.readouterr().out


def test_slices_masks_and_exports_of_an_updated_folder_are_in_input_order(
    photos: Path, net: Net, out: Path, tmp_path: Path
) -> None:
    first_run(photos, net, out)
    edit_all_over(photos)
    spoil(photos / "ant" / "7.bmp")
    updated = run(photos, net, out, update=True).features
    fresh = decaf.extract(photos, net, shard_size=SHARD_SIZE)
    assert order_files(out) and updated.broken.tolist() == [True, *[False] * 6]
    for some in (slice(1, 5), slice(None, None, -2), updated.labels == "dog", [6, 0, 0, 3]):
        assert content(updated[some]) == content(fresh[some])
    assert content(updated.valid[1:]) == content(fresh.valid[1:]) and len(updated.valid) == 6
    assert updated.to_arrow().equals(fresh.to_arrow()) and updated.to_arrow().column("vector").null_count == 1
    for suffix in (".npy", ".csv", ".parquet"):
        export(updated, tmp_path / f"updated{suffix}")
        export(fresh, tmp_path / f"fresh{suffix}")
        assert (tmp_path / f"updated{suffix}").read_bytes() == (tmp_path / f"fresh{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"resize": "warp"}, "preprocess.resize short-side, this run has warp"),
        ({"store": "f16"}, "store f32, this run has f16"),
        ({"views": "ten"}, "views center, this run has ten"),
        ({"max_megapixels": 1}, "max_pixels 89478485, this run has 1000000"),
        ({"shard_size": 5}, "shard_size 3, this run has 5"),
    ],
)
def test_an_update_with_another_setting_is_refused_by_name(
    photos: Path, net: Net, out: Path, changed: dict[str, Any], named: str
) -> None:
    first_run(photos, net, out)
    draw(photos / "cat" / "9.bmp", 9)
    before = shard_bytes(out)
    with pytest.raises(SettingsDiffer, match=named):
        run(photos, net, out, update=True, **changed)
    assert shard_bytes(out) == before and len(decaf.FeatureSet.open(out)) == 7


def test_an_update_under_another_environment_needs_allow_mixed(
    photos: Path, net: Net, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_run(photos, net, out)
    draw(photos / "cat" / "9.bmp", 9)
    real = settings_module.describe_environment
    other = lambda runtime: real(runtime) | {"instruction_set": "avx9"}  # noqa: E731
    monkeypatch.setattr(settings_module, "describe_environment", other)
    with pytest.raises(SettingsDiffer, match=r"instruction_set .* this run has avx9: pass --allow-mixed"):
        run(photos, net, out, update=True)
    mixed = run(photos, net, out, update=True, allow_mixed=True)
    assert mixed.computed == 1 and content(mixed.features) == fresh_content(photos, net)
    assert [environment["instruction_set"] for environment in mixed.features.meta["environments"]][1:] == ["avx9"]
    assert run(photos, net, out, update=True).computed == 0


def test_a_damaged_or_foreign_shard_stops_an_update_in_one_line(
    photos: Path, net: Net, out: Path, tmp_path: Path
) -> None:
    first_run(photos, net, out)
    first_run(photos, net, tmp_path / "other", resize="warp")
    draw(photos / "cat" / "9.bmp", 9)
    shard = out / "shard-00001.parquet"
    whole = shard.read_bytes()
    foreign = (tmp_path / "other" / shard.name).read_bytes()
    misplaced = (out / "shard-00000.parquet").read_bytes()
    for wrong in (b"", whole[:-20], foreign, misplaced):
        shard.write_bytes(wrong)
        with pytest.raises(FeatureSetError, match=r"shard-00001\.parquet .*: delete it") as refused:
            run(photos, net, out, update=True)
        assert "\n" not in str(refused.value) and shard.read_bytes() == wrong
    shard.unlink()
    updated = run(photos, net, out, update=True)
    assert updated.computed == 4 and content(updated.features) == fresh_content(photos, net)


@pytest.mark.parametrize("number", [-1, 2**31, 10**15, 10**30])
def test_a_shard_of_an_impossible_number_stops_an_update_in_one_line(
    photos: Path, net: Net, out: Path, number: int
) -> None:
    from decaf.features.shards import read_table, with_about, write_table

    first_run(photos, net, out)
    path = out / f"shard-{number:05d}.parquet"
    about = {"shard": number, "settings": settings_digest(out)}
    write_table(path, with_about(read_table(out / "shard-00000.parquet"), about))
    with pytest.raises(FeatureSetError, match=f"{path.name} belongs to another run: delete it"):
        run(photos, net, out, update=True)


def settings_digest(out: Path) -> str:
    about = json.loads(pq.read_metadata(out / "shard-00000.parquet").metadata[b"decaf"])
    return str(about["settings"])


@pytest.mark.parametrize("checksum", [False, True])
def test_a_shard_lost_after_an_update_is_made_again_by_the_next(
    photos: Path, net: Net, out: Path, checksum: bool
) -> None:
    first_run(photos, net, out)
    edit_all_over(photos)
    last = sorted(shard_bytes(run(photos, net, out, update=True).features.folder))[-1]
    for lost in ("shard-00000.parquet", last):
        (out / lost).unlink()
        with pytest.raises(FeatureSetError, match=r"1 of . shards are missing; .* with --update"):
            run(photos, net, out)
        again = run(photos, net, out, update=True, checksum=checksum)
        assert content(again.features) == fresh_content(photos, net)


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1"), lambda path: path.write_text("")]
)
def test_a_lost_order_file_is_made_again_by_an_update(
    photos: Path, net: Net, out: Path, damage: Callable[[Path], Any]
) -> None:
    first_run(photos, net, out)
    edit_all_over(photos)
    run(photos, net, out, update=True)
    (order,) = order_files(out)
    damage(out / order)
    for broken in (lambda: decaf.FeatureSet.open(out), lambda: run(photos, net, out)):
        with pytest.raises(FeatureSetError, match=f"{order}.* is missing or damaged: .* with --update"):
            broken()
    repaired = run(photos, net, out, update=True)
    assert repaired.computed == 0 and order_files(out) == [order]
    assert content(repaired.features) == fresh_content(photos, net)


def test_what_others_keep_in_a_folder_survives_updates(photos: Path, net: Net, out: Path) -> None:
    first_run(photos, net, out)
    for name in ("order-of-service.parquet", "order-2024.parquet", "orders.parquet"):
        (out / name).write_text("mine")
    edit_all_over(photos)
    run(photos, net, out, update=True)
    assert len(order_files(out)) == 4 - 1
    draw(photos / "cat" / "9.bmp", 9)
    run(photos, net, out, update=True)
    assert len(order_files(out)) == 3 and (out / "orders.parquet").read_text() == "mine"


def test_a_shard_of_the_same_pictures_with_other_boxes_is_foreign(
    photos: Path, net: Net, out: Path, tmp_path: Path
) -> None:
    boxes = write_boxes(tmp_path / "a.csv", *(f"{name},0,0,4,4,a," for name in NAMES))
    others = write_boxes(tmp_path / "b.csv", *(f"{name},0,0,4,5,a," for name in NAMES))
    first_run(photos, net, out, boxes=boxes)
    first_run(photos, net, tmp_path / "other", boxes=others)
    shutil.copy(tmp_path / "other" / "shard-00001.parquet", out)
    with pytest.raises(FeatureSetError, match=r"shard-00001\.parquet belongs to another run: delete it"):
        run(photos, net, out, boxes=boxes)
