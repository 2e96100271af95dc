"""An update that is interrupted leaves the folder as it was, and a rerun ends in the bytes of an unbroken one."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import decaf
from decaf.errors import FeatureSetError
from decaf.nets.net import Net
from tests.features.folders import (
    NAMES,
    PREPROCESS,
    content,
    draw,
    edit_all_over,
    fail_at,
    first_run,
    fresh_content,
    numbers,
    order_files,
    run,
    write_boxes,
    write_tiny_net,
)
from tests.features.helpers import shard_bytes


@pytest.mark.parametrize("checksum", [False, True])
def test_an_unfinished_first_run_is_finished_by_an_update(
    photos: Path, net: Net, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checksum: bool
) -> None:
    with monkeypatch.context() as patched:
        fail_at(patched, "write_shard", 2)
        with pytest.raises(FeatureSetError, match="No space left"):
            first_run(photos, net, out)
    finished = run(photos, net, out, update=True, checksum=checksum)
    assert finished.computed == 4 and finished.numbers == numbers(added=4, kept=3) and order_files(out) == []
    first_run(photos, net, tmp_path / "fresh")
    assert shard_bytes(out) == shard_bytes(tmp_path / "fresh")


def test_an_unfinished_first_run_over_pictures_that_changed_is_finished_by_an_update(
    photos: Path, net: Net, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        fail_at(patched, "write_shard", 3)
        with pytest.raises(FeatureSetError, match="No space left"):
            first_run(photos, net, out)
    edit_all_over(photos)
    finished = run(photos, net, out, update=True)
    assert finished.computed == 5 and content(finished.features) == fresh_content(photos, net)
    assert run(photos, net, out).computed == 0


def edited_folder(photos: Path, net: Net, out: Path, updated_before: bool) -> tuple[dict[str, Any], Path]:
    """A folder whose pictures have changed so much that an update takes three shards; its content, and a copy."""
    first_run(photos, net, out)
    if updated_before:
        (photos / "dog" / "6.bmp").unlink()
        draw(photos / "ant" / "0.bmp", 30)
        run(photos, net, out, update=True)
    before = content(decaf.FeatureSet.open(out))
    for seed in range(8):
        draw(photos / "bee" / f"{seed}.bmp", 40 + seed)
    return before, shutil.copytree(out, out.with_name("copy"))


@pytest.mark.parametrize("updated_before", [False, True])
@pytest.mark.parametrize(
    ("name", "nth", "left"),
    [("write_shard", 1, 8), ("write_shard", 3, 2), ("write_order", 1, 0), ("write_meta", 1, 8), ("write_meta", 2, 0)],
)
def test_a_full_disk_leaves_the_old_state_and_a_rerun_finishes(
    photos: Path,
    net: Net,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    nth: int,
    left: int,
    updated_before: bool,
) -> None:
    before, copy = edited_folder(photos, net, out, updated_before)
    with monkeypatch.context() as patched:
        fail_at(patched, name, nth)
        with pytest.raises(FeatureSetError, match="No space left on device") as full:
            run(photos, net, out, update=True)
    assert "\n" not in str(full.value) and content(decaf.FeatureSet.open(out)) == before
    assert not list(out.glob(".*.tmp"))
    rerun, unbroken = run(photos, net, out, update=True), run(photos, net, copy, update=True)
    assert (rerun.computed, unbroken.computed) == (left, 8)
    assert rerun.numbers == unbroken.numbers == numbers(added=8, kept=7)
    assert shard_bytes(out) == shard_bytes(copy) and order_files(out) == order_files(copy)
    assert content(rerun.features) == fresh_content(photos, net)


def test_an_abandoned_update_changes_nothing(
    photos: Path, net: Net, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _ = edited_folder(photos, net, out, updated_before=False)
    with monkeypatch.context() as patched:
        fail_at(patched, "write_shard", 3)
        with pytest.raises(FeatureSetError):
            run(photos, net, out, update=True)
    shutil.rmtree(photos / "bee")
    assert run(photos, net, out).computed == 0
    assert content(decaf.FeatureSet.open(out)) == before
    updated = run(photos, net, out, update=True)
    assert updated.numbers == numbers(kept=7) and content(updated.features) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from decaf.cli.main import main
from decaf.features import shards

real, written = shards.pq.write_table, []

def write_table(table, file, **options):
    real(table, file, **options)
    file.flush()
    path = Path(file.name)
    if "shard-" in path.name:
        written.append(path)
    if len(written) == 3:
        path.write_bytes(path.read_bytes()[:100])
        os.kill(os.getpid(), signal.SIGKILL)

shards.pq.write_table = write_table
main()
"""


@pytest.mark.parametrize("updated_before", [False, True])
def test_killed_in_an_update_and_rerun_gives_the_bytes_of_an_unbroken_one(
    photos: Path, net: Net, out: Path, tmp_path: Path, updated_before: bool
) -> None:
    before, copy = edited_folder(photos, net, out, updated_before)
    shards = set(shard_bytes(out))
    words = ["extract", photos, "-o", out, "--net", write_tiny_net(tmp_path / "tiny.onnx"), "--preprocess", PREPROCESS]
    killed = subprocess.run([sys.executable, "-c", KILLED, *map(str, words), "--update"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(set(shard_bytes(out)) - shards) == 2 and len(list(out.glob(".shard-*.tmp"))) == 1
    assert content(decaf.FeatureSet.open(out)) == before
    (out / ".order-0123456789abcdef.parquet.1-2.tmp").write_bytes(b"half an order")
    rerun, unbroken = run(photos, net, out, update=True), run(photos, net, copy, update=True)
    assert (rerun.computed, unbroken.computed) == (2, 8)
    assert shard_bytes(out) == shard_bytes(copy) and order_files(out) == order_files(copy)
    assert not list(out.glob(".*.tmp"))


def test_boxes_of_an_abandoned_update_are_not_taken_for_those_of_the_first_run(
    photos: Path, net: Net, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = write_boxes(tmp_path / "a.csv", *(f"{name},0,0,4,4,a," for name in NAMES))
    others = [f"{name},0,0,4,4,a," for name in NAMES[:3]] + [f"{name},3,3,8,8,a," for name in NAMES[3:]]
    abandoned = {"boxes": write_boxes(tmp_path / "b.csv", *others), "update": True}
    for options in ({"boxes": boxes}, abandoned):
        with monkeypatch.context() as patched:
            fail_at(patched, "write_shard", 2)
            with pytest.raises(FeatureSetError, match="No space left"):
                first_run(photos, net, out, **options)
    assert content(run(photos, net, out, boxes=boxes).features) == fresh_content(photos, net, boxes=boxes)


def test_an_interrupted_update_never_makes_an_unfinished_folder_look_finished(
    photos: Path, net: Net, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [photos / f"{seed}.bmp" for seed in range(20)]
    for seed, path in enumerate(files):
        draw(path, seed)
    for source, nth in ((files[:9], 2), (files[:3] + files[9:], 3)):  # one shard of three, then two of five more
        with monkeypatch.context() as patched:
            fail_at(patched, "write_shard", nth)
            with pytest.raises(FeatureSetError, match="No space left"):
                first_run(source, net, out, update=True)
        with pytest.raises(FeatureSetError, match=r"not finished: 2 of 3 shards are missing"):
            decaf.FeatureSet.open(out)
    finished = run(files[:3] + files[9:], net, out, update=True)
    assert finished.computed == 5 and content(finished.features) == fresh_content(files[:3] + files[9:], net)


def test_an_interrupted_update_never_puts_other_pictures_where_a_lost_shard_was(
    photos: Path, net: Net, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited_folder(photos, net, out, updated_before=True)
    run(photos, net, out, update=True)
    (out / sorted(shard_bytes(out))[-1]).unlink()
    shutil.rmtree(photos / "bee")
    for seed in range(4):
        draw(photos / "cow" / f"{seed}.bmp", 60 + seed)
    with monkeypatch.context() as patched:
        fail_at(patched, "write_shard", 2)
        with pytest.raises(FeatureSetError, match="No space left"):
            run(photos, net, out, update=True)
    with pytest.raises(FeatureSetError, match=r"not finished: 1 of 7 shards are missing"):
        decaf.FeatureSet.open(out)
    assert content(run(photos, net, out, update=True).features) == fresh_content(photos, net)


def test_an_interrupted_update_never_makes_a_lost_shard_in_another_order(
    photos: Path, net: Net, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [photos / name for name in NAMES[:6]]
    first_run(files[:3], net, out)
    run(files[:3] + files[:2:-1], net, out, update=True)
    ordered = run(files, net, out, update=True)
    assert ordered.computed == 0 and len(order_files(out)) == 1
    (out / "shard-00001.parquet").unlink()
    with monkeypatch.context() as patched:
        fail_at(patched, "write_meta", 2)
        with pytest.raises(FeatureSetError, match="No space left"):
            run(files, net, out, update=True)
    with pytest.raises(FeatureSetError, match=r"not finished: 1 of 2 shards are missing"):
        decaf.FeatureSet.open(out)
    assert content(run(files, net, out, update=True).features) == fresh_content(files, net)
