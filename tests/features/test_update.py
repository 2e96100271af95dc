"""`extract --update`: only the difference is computed, and the result is that of a fresh extraction."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import decaf
from decaf.cli.main import main
from decaf.errors import FeatureSetError, SettingsDiffer
from decaf.features import extract as module
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
    draw_all,
    edit_all_over,
    engines_compiled_once,
    first_run,
    fresh_content,
    load_tiny_net,
    numbers,
    order_files,
    run,
    spoil,
    touch,
    write_tiny_net,
)
from tests.features.helpers import shard_bytes


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with engines_compiled_once():
        yield load_tiny_net(tmp_path_factory.mktemp("net") / "tiny.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_all(tmp_path / "photos")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def rename(before: str, after: str) -> Callable[[Path], None]:
    return lambda photos: (photos / before).rename(photos / after) and None


def redraw(photos: Path) -> None:
    for seed, name in enumerate(NAMES):
        draw(photos / name, 100 + seed)


EDITS: dict[str, tuple[Callable[[Path], None], dict[str, int]]] = {
    "nothing": (lambda photos: None, numbers(kept=7)),
    "added last": (lambda photos: draw(photos / "dog" / "7.bmp", 7), numbers(added=1, kept=7)),
    "added first": (lambda photos: draw(photos / "ant" / "7.bmp", 7), numbers(added=1, kept=7)),
    "changed": (lambda photos: draw(photos / "cat" / "1.bmp", 101), numbers(changed=1, kept=6)),
    "touched": (lambda photos: touch(photos / "cat" / "1.bmp"), numbers(changed=1, kept=6)),
    "removed": (lambda photos: (photos / "cat" / "2.bmp").unlink(), numbers(removed=1, kept=6)),
    "last removed": (lambda photos: (photos / "dog" / "6.bmp").unlink(), numbers(removed=1, kept=6)),
    "a class removed": (lambda photos: shutil.rmtree(photos / "cat"), numbers(removed=4, kept=3)),
    "renamed": (rename("cat/0.bmp", "cat/zero.bmp"), numbers(added=1, removed=1, kept=6)),
    "relabelled": (rename("cat/3.bmp", "dog/3.bmp"), numbers(added=1, removed=1, kept=6)),
    "a class renamed": (rename("cat", "feline"), numbers(added=4, removed=4, kept=3)),
    "spoilt": (lambda photos: spoil(photos / "cat" / "1.bmp"), numbers(changed=1, kept=6)),
    "repaired": (lambda photos: draw(photos / BROKEN, 5), numbers(changed=1, kept=6)),
    "all changed": (redraw, numbers(changed=7)),
    "all of it": (edit_all_over, numbers(added=2, changed=3, removed=2, kept=2)),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_update_computes_only_the_difference_and_equals_a_fresh_extraction(
    photos: Path, net: Net, out: Path, name: str
) -> None:
    edit, told = EDITS[name]
    first_run(photos, net, out)
    edit(photos)
    updated = run(photos, net, out, update=True)
    assert updated.numbers == told and updated.computed == told["added"] + told["changed"]
    assert content(updated.features) == fresh_content(photos, net)
    before = shard_bytes(out)
    again = run(photos, net, out, update=True)
    assert again.computed == 0 and again.numbers == numbers(kept=len(updated.features))
    plain = run(photos, net, out)
    assert plain.computed == 0 and plain.numbers is None and content(plain.features) == content(updated.features)
    assert shard_bytes(out) == before


def reversed_files(photos: Path) -> list[Path]:
    return [photos / name for name in reversed(NAMES)]


SOURCES: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any], dict[str, int]]] = {
    "reordered": (lambda p: [p / name for name in NAMES], reversed_files, numbers(kept=7)),
    "classes swapped": (lambda p: [p / "cat", p / "dog"], lambda p: [p / "dog", p / "cat"], numbers(kept=7)),
    "named twice": (lambda p: p, lambda p: [p, p], numbers(added=7, kept=7)),
    "named twice before": (lambda p: [p, p], lambda p: p, numbers(removed=7, kept=7)),
    "named thrice": (lambda p: [p, p], lambda p: [p, p, p], numbers(added=7, kept=14)),
    "one twice": (lambda p: p, lambda p: [p / "cat", p], numbers(added=4, kept=7)),
    "labels lost": (lambda p: p / "cat", lambda p: sorted((p / "cat").iterdir()), numbers(added=4, removed=4)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_same_pictures_named_otherwise_equal_a_fresh_extraction(
    photos: Path, net: Net, out: Path, name: str
) -> None:
    before, after, told = SOURCES[name]
    first_run(before(photos), net, out)
    updated = run(after(photos), net, out, update=True)
    assert updated.numbers == told and updated.computed == told["added"]
    assert content(updated.features) == fresh_content(after(photos), net)
    assert run(after(photos), net, out, update=True).computed == 0
    assert run(after(photos), net, out).computed == 0


def test_twins_of_which_one_changed_are_told_apart(photos: Path, net: Net, out: Path) -> None:
    one = photos / "cat" / "1.bmp"
    first_run([one, one, photos / "dog"], net, out)
    draw(one, 101)
    updated = run([photos / "dog", one], net, out, update=True)
    assert updated.numbers == numbers(changed=1, removed=1, kept=3) and updated.computed == 1
    assert content(updated.features) == fresh_content([photos / "dog", one], net)


def test_a_plain_rerun_over_changed_pictures_is_refused_and_names_update(photos: Path, net: Net, out: Path) -> None:
    first_run(photos, net, out)
    (photos / "cat" / "1.bmp").unlink()
    run(photos, net, out, update=True)
    draw(photos / "cat" / "1.bmp", 1)
    with pytest.raises(SettingsDiffer, match=r"made from 6 pictures .* this run has 7 .*: pass --update"):
        run(photos, net, out)


def test_update_of_a_folder_that_is_not_there_is_a_first_run(photos: Path, net: Net, out: Path) -> None:
    first = first_run(photos, net, out, update=True)
    assert first.numbers is None and first.computed == 7 and content(first.features) == fresh_content(photos, net)


def test_a_touched_picture_is_computed_again_only_without_checksum(photos: Path, net: Net, out: Path) -> None:
    first_run(photos, net, out)
    for name in NAMES:
        touch(photos / name)
    with_checksum = run(photos, net, out, update=True, checksum=True)
    assert with_checksum.computed == 0 and with_checksum.numbers == numbers(kept=7)
    assert run(photos, net, out, update=True).computed == 7


def test_other_content_under_the_same_size_and_time_is_found_only_with_checksum(
    photos: Path, net: Net, out: Path
) -> None:
    first_run(photos, net, out)
    changed = photos / "cat" / "1.bmp"
    before = changed.stat()
    draw(changed, 101)
    os.utime(changed, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert changed.stat().st_size == before.st_size
    assert run(photos, net, out, update=True).computed == 0
    found = run(photos, net, out, update=True, checksum=True)
    assert found.computed == 1 and found.numbers == numbers(changed=1, kept=6)
    assert content(found.features) == fresh_content(photos, net)
    assert run(photos, net, out, update=True, checksum=True).computed == 0


@pytest.mark.parametrize("checksum", [False, True])
def test_broken_and_unchanged_pictures_are_kept_with_their_reasons(
    photos: Path, net: Net, out: Path, tmp_path: Path, checksum: bool
) -> None:
    gone, listed = photos / "gone.bmp", tmp_path / "all.txt"
    (tmp_path / "folder.bmp").mkdir()
    listed.write_text("\n".join(map(str, [photos / "cat/0.bmp", gone, tmp_path / "folder.bmp", photos / BROKEN])))
    first = first_run(listed, net, out)
    assert first.features.broken.tolist() == [False, True, True, True]
    listed.write_text(f"{photos / 'cat/1.bmp'}\n{listed.read_text()}")
    updated = run(listed, net, out, update=True, checksum=checksum)
    assert updated.computed == 1 and updated.features.errors.tolist() == [None, *first.features.errors]
    assert content(updated.features) == fresh_content(listed, net)


@pytest.mark.parametrize("checksum", [False, True])
def test_a_picture_that_comes_back_or_vanishes_is_computed_again(
    photos: Path, net: Net, out: Path, tmp_path: Path, checksum: bool
) -> None:
    listed = tmp_path / "all.txt"
    listed.write_text("\n".join(str(photos / name) for name in (*NAMES, "cat/late.bmp")))
    first_run(listed, net, out)
    draw(photos / "cat" / "late.bmp", 8)
    (photos / "cat" / "0.bmp").unlink()
    updated = run(listed, net, out, update=True, checksum=checksum)
    assert updated.computed == 2 and updated.numbers == numbers(changed=2, kept=6)
    assert updated.features.broken.tolist() == [True, *[False] * 4, True, False, False]
    assert content(updated.features) == fresh_content(listed, net)


@contextmanager
def unreadable(monkeypatch: pytest.MonkeyPatch, refused: Path) -> Iterator[None]:
    """Whoever opens the file lacks the permission; root would not, so it is done by hand."""
    real = os.open

    def refuse(path: Any, *rest: Any, **more: Any) -> int:
        if os.fspath(path) == str(refused):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        yield


@pytest.mark.parametrize("checksum", [False, True])
def test_a_picture_that_could_not_be_read_and_now_can_is_computed_again(
    photos: Path, net: Net, out: Path, monkeypatch: pytest.MonkeyPatch, checksum: bool
) -> None:
    with unreadable(monkeypatch, photos / "cat" / "1.bmp"):
        assert first_run(photos, net, out).features.broken.tolist() == [False, True, *[False] * 3, True, False]
        assert run(photos, net, out, update=True, checksum=checksum).computed == 0
    updated = run(photos, net, out, update=True, checksum=checksum)  # the same size, the same time of change
    assert updated.computed == 1 and updated.numbers == numbers(changed=1, kept=6)
    assert content(updated.features) == fresh_content(photos, net)
    assert run(photos, net, out, update=True, checksum=checksum).computed == 0


def test_a_picture_that_could_not_be_read_is_computed_once_even_if_the_update_is_interrupted(
    photos: Path, net: Net, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unreadable(monkeypatch, photos / "cat" / "1.bmp"):
        first_run(photos, net, out)
    for seed in range(4):
        draw(photos / "zoo" / f"{seed}.bmp", 40 + seed)
    with monkeypatch.context() as patched:
        fail_at(patched, "write_shard", 2)
        with pytest.raises(FeatureSetError, match="No space left"):
            run(photos, net, out, update=True)
    rerun = run(photos, net, out, update=True)
    assert rerun.computed == 2 and rerun.numbers == numbers(added=4, changed=1, kept=6)
    assert content(rerun.features) == fresh_content(photos, net)


def write_boxes(path: Path, *boxes: str) -> str:
    path.write_text("\n".join(["path,x0,y0,x1,y1,id,label", *boxes]) + "\n")
    return str(path)


BOXES = ("cat/0.bmp,0,0,4,4,a,", "cat/0.bmp,2,2,8,8,b,wolf", "cat/1.bmp,0,0,8,8,a,", "dog/4.bmp,1,1,5,5,a,")
OTHER_BOXES = (
    "cat/0.bmp,0,0,4,4,a,",
    "cat/0.bmp,2,2,8,8,b,fox",  # another label
    "cat/1.bmp,0,0,8,7,a,",  # other corners
    "cat/2.bmp,0,0,8,8,a,",  # had none
    "dog/4.bmp,1,1,5,5,c,",  # another id
)


def test_only_changed_boxes_are_computed(photos: Path, net: Net, out: Path, tmp_path: Path) -> None:
    first = first_run(photos, net, out, boxes=write_boxes(tmp_path / "boxes.csv", *BOXES))
    assert len(first.features) == 8
    boxes = write_boxes(tmp_path / "boxes.csv", *OTHER_BOXES)
    updated = run(photos, net, out, update=True, boxes=boxes)
    assert updated.computed == 4 and updated.numbers == numbers(added=4, removed=4, kept=4)
    assert content(updated.features) == fresh_content(photos, net, boxes=boxes)
    assert run(photos, net, out, boxes=boxes).computed == 0


@pytest.mark.parametrize(("views", "each"), [("ten", 10), ("ten-mean", 1)])
def test_all_views_of_a_changed_picture_are_computed(photos: Path, net: Net, out: Path, views: str, each: int) -> None:
    first_run(photos, net, out, views=views)
    edit_all_over(photos)
    updated = run(photos, net, out, update=True, views=views)
    told = numbers(added=2 * each, changed=3 * each, removed=2 * each, kept=2 * each)
    assert updated.numbers == told and updated.computed == 5 * each
    assert content(updated.features) == fresh_content(photos, net, views=views)


@pytest.mark.parametrize("checksum", [False, True])
def test_pictures_in_a_tar_are_updated(photos: Path, net: Net, out: Path, tmp_path: Path, checksum: bool) -> None:
    def pack(*names: str) -> None:
        subprocess.run(["tar", "-cf", tmp_path / "all.tar", "-C", photos, *names], check=True)
        touch(tmp_path / "all.tar")

    pack("cat/0.bmp", "cat/1.bmp", BROKEN)
    first_run(tmp_path / "all.tar", net, out)
    pack("dog/4.bmp", "cat/1.bmp", BROKEN)
    updated = run(tmp_path / "all.tar", net, out, update=True, checksum=checksum)
    assert updated.computed == (1 if checksum else 3)
    assert content(updated.features) == fresh_content(tmp_path / "all.tar", net)


def test_a_returned_picture_is_found_among_the_removed_rows(photos: Path, net: Net, out: Path) -> None:
    first_run(photos, net, out)
    (photos / "cat" / "2.bmp").rename(photos.parent / "aside.bmp")
    run(photos, net, out, update=True)
    (photos.parent / "aside.bmp").rename(photos / "cat" / "2.bmp")
    back = run(photos, net, out, update=True)
    assert back.computed == 0 and back.numbers == numbers(added=1, kept=6)
    assert content(back.features) == fresh_content(photos, net) and order_files(out) == []


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
    assert "0 rows added, 0 rows changed, 1 rows removed, 6 rows kept\n" in capsys.readouterr().out


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


@pytest.mark.parametrize("before", [3, 6])
def test_additions_behind_whole_shards_need_no_order_file(photos: Path, net: Net, tmp_path: Path, before: int) -> None:
    files = [photos / name for name in NAMES]
    first_run(files[:before], net, tmp_path / "grown")
    grown = run(files, net, tmp_path / "grown", update=True)
    first_run(files, net, tmp_path / "fresh")
    assert grown.computed == 7 - before and order_files(tmp_path / "grown") == []
    assert shard_bytes(tmp_path / "grown") == shard_bytes(tmp_path / "fresh")


def test_additions_behind_a_half_full_shard_are_put_in_order(photos: Path, net: Net, out: Path) -> None:
    files = [photos / name for name in NAMES]
    first_run(files[:4], net, out)
    grown = run(files, net, out, update=True)
    assert grown.computed == 3 and len(order_files(out)) == 1  # shards of 3, 1 and 3 rows
    assert content(grown.features) == fresh_content(files, net)


@pytest.mark.parametrize("added", [3, 6])
def test_whole_shards_of_additions_before_whole_shards_are_put_in_order(
    photos: Path, net: Net, out: Path, added: int
) -> None:
    files = [photos / name for name in NAMES[:6]]
    first_run(files, net, out)
    more = [photos / "ant" / f"{seed}.bmp" for seed in range(added)]
    for seed, path in enumerate(more):
        draw(path, 40 + seed)
    grown = run(more + files, net, out, update=True)
    assert grown.computed == added and len(order_files(out)) == 1
    assert content(grown.features) == fresh_content(more + files, net)


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def fail_at(monkeypatch: pytest.MonkeyPatch, name: str, nth: int) -> None:
    """Let the disk be full when one of the extraction's functions is called for the n-th time."""
    real, calls = getattr(module, name), Counter[str]()

    def counted(*arguments: Any) -> Any:
        calls[name] += 1
        return no_space() if calls[name] == nth else real(*arguments)

    monkeypatch.setattr(module, name, counted)


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

def write_table(table, path, **options):
    real(table, path, **options)
    if "shard-" in str(path):
        written.append(path)
    if len(written) == 3:
        Path(path).write_bytes(Path(path).read_bytes()[:100])
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


YEAR = 31_556_952 * 10**9


@pytest.mark.parametrize("year", [2440, 1910, 1969, 2500, 1800])
@pytest.mark.parametrize("checksum", [False, True])
def test_clocks_that_jump_do_not_matter(photos: Path, net: Net, out: Path, year: int, checksum: bool) -> None:
    when = (year - 1970) * YEAR
    for name in NAMES[:4]:
        os.utime(photos / name, ns=(when, when))
    first_run(photos, net, out)
    draw(photos / NAMES[0], 100)
    touch(photos / NAMES[0])
    draw(photos / NAMES[4], 104)
    os.utime(photos / NAMES[4], ns=(when, when))
    updated = run(photos, net, out, update=True, checksum=checksum)
    assert updated.computed == 2 and updated.numbers == numbers(changed=2, kept=5)
    assert content(updated.features) == fresh_content(photos, net)
    assert run(photos, net, out, update=True, checksum=checksum).computed == 0


# One step: a picture is drawn, touched, spoilt, removed or moved; or a shard or the order file is lost; then the folder
# is updated, perhaps with checksums, perhaps until the disk is full at the n-th shard.
_NAMES = st.sampled_from(["a/0.bmp", "a/1.bmp", "b/0.bmp", "b/1.bmp", "b/2.bmp", "c/0.bmp"])
_EDIT = st.one_of(
    st.tuples(st.just("draw"), _NAMES, st.integers(0, 3)),
    st.tuples(st.sampled_from(["touch", "spoil", "remove"]), _NAMES, st.just(0)),
    st.tuples(st.just("move"), _NAMES, st.sampled_from(["a", "b", "c"])),
)
_STEP = st.fixed_dictionaries(
    {
        "edits": st.lists(_EDIT, max_size=4),
        "twice": st.booleans(),
        "checksum": st.booleans(),
        "full_at": st.sampled_from([0, 0, 1, 2]),
        "lose": st.sampled_from(["", "", "", "shard-00000*", "shard-00001*", "order*"]),
    }
)


def edit_once(photos: Path, what: str, name: str, value: Any) -> None:
    path = photos / name
    if what == "draw":
        draw(path, value)
    elif not path.exists():
        return
    elif what == "move":
        target = photos / value / path.name
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
    else:
        {"touch": touch, "spoil": spoil, "remove": Path.unlink}[what](path)


def keys_on_disk(source: list[Path], checksum: bool) -> Counter[Any]:
    files = [path for folder in source for path in folder.rglob("*.bmp")]
    return Counter((str(path), key_of(path.read_bytes(), path.stat(), checksum)) for path in files)


def key_of(data: bytes, status: os.stat_result, checksum: bool) -> Any:
    return hashlib.sha256(data).hexdigest() if checksum else (status.st_size, status.st_mtime_ns // 1000)


def keys_stored(out: Path, checksum: bool) -> Counter[Any]:
    keys: Counter[Any] = Counter()
    for path in out.glob("shard-*.parquet"):
        table = pq.read_table(path, columns=["path", "size", "mtime", "sha256"])
        mtime = table["mtime"].cast("int64").to_pylist()
        times = zip(table["size"].to_pylist(), mtime, strict=True)
        keys.update(zip(table["path"].to_pylist(), table["sha256"].to_pylist() if checksum else times, strict=True))
    return keys


def stands_as(before: dict[str, Any], out: Path) -> bool:
    """Whether a folder is what it was, or cannot be opened since a shard or the order file was lost."""
    try:
        return content(decaf.FeatureSet.open(out)) == before
    except FeatureSetError:
        return True


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_STEP, min_size=1, max_size=4))
def test_whatever_is_edited_lost_or_interrupted_the_result_is_that_of_a_fresh_extraction(
    net: Net, tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("steps")
    photos, out = folder / "photos", folder / "out"
    for seed, name in enumerate(("a/0.bmp", "a/1.bmp", "b/0.bmp", "z/kept.bmp")):
        draw(photos / name, seed)
    before = content(first_run(photos, net, out).features)
    for step in steps:
        for edit in step["edits"]:
            edit_once(photos, *edit)
        source = [photos] * (1 + step["twice"])
        for lost in out.glob(step["lose"] or "nothing"):
            lost.unlink()
        wanted, stored = keys_on_disk(source, step["checksum"]), keys_stored(out, step["checksum"])
        with pytest.MonkeyPatch.context() as patched:
            fail_at(patched, "write_shard", step["full_at"])
            try:
                updated = run(source, net, out, update=True, checksum=step["checksum"])
            except FeatureSetError as error:
                assert "No space left" in str(error)
                assert stands_as(before, out)
                continue
        assert updated.computed == (wanted - stored).total()
        assert sum(updated.numbers.values()) - updated.numbers["removed"] == len(updated.features) == wanted.total()
        before = content(updated.features)
        assert before == fresh_content(source, net)
        assert len(order_files(out)) <= 1 and run(source, net, out).computed == 0
    shutil.rmtree(folder)
