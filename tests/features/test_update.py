"""`extract --update`: only the difference is computed, and the result is that of a fresh extraction."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from decaf.errors import FeatureSetError, SettingsDiffer
from decaf.nets.net import Net
from tests.features.folders import (
    BROKEN,
    NAMES,
    content,
    draw,
    edit_all_over,
    fail_at,
    first_run,
    fresh_content,
    numbers,
    order_files,
    run,
    spoil,
    touch,
    write_boxes,
)
from tests.features.helpers import shard_bytes


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
