"""Whatever is edited, lost or interrupted, and whatever the clock says, an update equals a fresh extraction."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import decaf
from decaf.errors import FeatureSetError
from decaf.nets.net import Net
from tests.features.folders import (
    NAMES,
    content,
    draw,
    fail_at,
    first_run,
    fresh_content,
    numbers,
    order_files,
    run,
    spoil,
    touch,
)

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
