"""Derived files: never those of other features, made once, wherever they may be written."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import decaf
from decaf.errors import FeatureSetError
from decaf.features import derived as module
from decaf.features.compact import compact
from decaf.features.derived import FOLDER, Recipe, array_recipe, derive, load_array, remove_stale, rows_digest
from decaf.nets.net import Net
from tests.conftest import ordinary_user
from tests.features.folders import edit_all_over, first_run, no_space, run
from tests.tasks.folders import write_features


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DECAF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def features(tmp_path: Path) -> decaf.FeatureSet:
    return write_features(tmp_path / "f", np.arange(12).reshape(4, 3), ["a", "a", "b", "b"])


def mean(features: decaf.FeatureSet, calls: list[int] | None = None, **parameters: Any) -> Recipe[NDArray[Any]]:
    def build() -> NDArray[Any]:
        if calls is not None:
            calls.append(1)
        return features.X("vector").mean(axis=0)

    return array_recipe("mean", build, parameters)


def kept_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def test_it_is_made_once_and_then_read(features: decaf.FeatureSet) -> None:
    calls: list[int] = []
    first = derive(features, "vector", mean(features, calls))
    again = derive(decaf.FeatureSet.open(features.folder), "vector", mean(features, calls))
    assert first.built and not again.built and calls == [1] and first.path == again.path
    assert again.path.parent == features.folder / FOLDER
    assert again.value.tolist() == first.value.tolist() == [4.5, 5.5, 6.5]
    with pytest.raises(ValueError, match="read-only"):
        again.value[0] = 1


def rewrite(features: decaf.FeatureSet) -> None:
    write_features(features.folder, np.arange(12).reshape(4, 3) + 1, ["a", "a", "b", "b"])


def rename_label(features: decaf.FeatureSet) -> None:
    write_features(features.folder, np.arange(12).reshape(4, 3), ["a", "a", "b", "c"])


def touch(features: decaf.FeatureSet) -> None:
    os.utime(features.folder / "shard-00000.parquet", ns=(1, 1))


def other_settings(features: decaf.FeatureSet) -> None:
    write_features(features.folder, np.arange(12).reshape(4, 3), ["a", "a", "b", "b"], precision="bf16")


@pytest.mark.parametrize("change", [rewrite, rename_label, touch, other_settings])
def test_changed_features_have_their_own(
    features: decaf.FeatureSet, change: Callable[[decaf.FeatureSet], None]
) -> None:
    before, digest = derive(features, "vector", mean(features)), rows_digest(features)
    change(features)
    changed = decaf.FeatureSet.open(features.folder)
    after = derive(changed, "vector", mean(changed))
    assert after.built and rows_digest(changed) != digest
    assert after.value.tolist() == changed.X("vector").mean(axis=0).tolist()
    assert kept_files(features.folder / FOLDER) == [after.path.name] != [before.path.name]


def test_selections_parameters_and_kinds_stand_side_by_side(features: decaf.FeatureSet) -> None:
    part = features[1:3]
    paths = {
        derive(features, "vector", mean(features)).path,
        derive(part, "vector", mean(part)).path,
        derive(features, "vector", mean(features, k=2)).path,
        derive(features, "vector", array_recipe("other", lambda: np.zeros(1))).path,
    }
    assert len(paths) == 4 and all(path.exists() for path in paths)
    assert derive(part, "vector", mean(part)).value.tolist() == [4.5, 5.5, 6.5]


def test_a_copy_that_keeps_times_keeps_its_derived_files(features: decaf.FeatureSet, tmp_path: Path) -> None:
    derive(features, "vector", mean(features))
    shutil.copytree(features.folder, tmp_path / "copy")  # copies times as well
    copied = decaf.FeatureSet.open(tmp_path / "copy")
    assert not derive(copied, "vector", mean(copied)).built


def test_a_damaged_file_is_made_anew(features: decaf.FeatureSet) -> None:
    path = derive(features, "vector", mean(features)).path
    for damage in (b"", b"no array", path.read_bytes()[:-1]):
        path.write_bytes(damage)
        again = derive(features, "vector", mean(features))
        assert again.built and again.value.tolist() == [4.5, 5.5, 6.5]


def test_nothing_is_left_of_a_build_that_fails_or_was_killed(
    features: decaf.FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> NDArray[Any]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        derive(features, "vector", array_recipe("mean", fail))
    assert kept_files(features.folder / FOLDER) == []
    killed = features.folder / FOLDER / ".mean-vector-0-0.npy.1-1.tmp"
    others = features.folder / FOLDER / ".map-vector-0-0.npy.1-1.tmp"
    for path in (killed, others):
        path.write_bytes(b"half")
    path = derive(features, "vector", mean(features)).path
    assert kept_files(features.folder / FOLDER) == [others.name, path.name]


def test_a_full_disk_is_said(features: decaf.FeatureSet) -> None:
    with pytest.raises(FeatureSetError, match=r"No space left on device.*make room"):
        derive(features, "vector", array_recipe("mean", no_space))


def forbid(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """As a file system mounted read-only does it; permissions do not stop root."""
    real = Path.mkdir

    def mkdir(path: Path, *args: Any, **kwargs: Any) -> None:
        if any(folder in (path, *path.parents) for folder in folders):
            raise OSError(errno.EROFS, "Read-only file system")
        real(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)


def test_a_read_only_folder_leaves_it_in_the_cache(
    features: decaf.FeatureSet, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid(monkeypatch, features.folder / FOLDER)
    first = derive(features, "vector", mean(features))
    assert first.built and first.path.is_relative_to(cache) and not (features.folder / FOLDER).exists()
    assert not derive(features, "vector", mean(features)).built
    rewrite(features)
    changed = decaf.FeatureSet.open(features.folder)
    assert derive(changed, "vector", mean(changed)).value.tolist() == [5.5, 6.5, 7.5]
    assert len(kept_files(cache)) == 1


def test_permissions_leave_it_in_the_cache(public_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = write_features(public_folder / "f", np.arange(12).reshape(4, 3), ["a", "a", "b", "b"])
    features.folder.chmod(0o555)
    cache = public_folder / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    monkeypatch.setenv("DECAF_CACHE", str(cache))
    with ordinary_user():
        first = derive(features, "vector", mean(features))
        assert first.built and first.path.is_relative_to(cache)
        assert not derive(features, "vector", mean(features)).built


def test_nowhere_to_write_is_said(features: decaf.FeatureSet, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, features.folder / FOLDER, cache)
    with pytest.raises(FeatureSetError, match="DECAF_CACHE"):
        derive(features, "vector", mean(features))


def test_a_file_in_the_way_is_said(features: decaf.FeatureSet) -> None:
    (features.folder / FOLDER).write_text("mine")
    with pytest.raises(FeatureSetError, match="remove what is in the way"):
        derive(features, "vector", mean(features))


def slow_build(log: Path) -> NDArray[Any]:
    with log.open("a") as file:
        file.write("built\n")
    time.sleep(0.3)
    return np.ones(3)


def derive_slowly(folder: Path, log: Path) -> None:
    features = decaf.FeatureSet.open(folder)
    found = derive(features, "vector", array_recipe("slow", lambda: slow_build(log)))
    assert found.value.tolist() == [1, 1, 1]


def test_of_two_processes_one_builds(features: decaf.FeatureSet, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    log = tmp_path / "log"
    processes = [spawn.Process(target=derive_slowly, args=(features.folder, log)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert log.read_text() == "built\n"


def test_a_shard_without_a_footer_is_refused(features: decaf.FeatureSet) -> None:
    path = features.folder / "shard-00000.parquet"
    for damage in (b"", b"PAR1", b"\xff" * 4 + b"PAR1", bytes(100)):
        path.write_bytes(damage)
        with pytest.raises(FeatureSetError, match=r"shard-00000.parquet cannot be read"):
            rows_digest(features)


def test_extraction_update_and_compaction_live_with_them(photos: Path, net: Net, tmp_path: Path) -> None:
    out, compacted = tmp_path / "out", tmp_path / "compacted"
    features = first_run(photos, net, out).features
    (layer,) = features.layers
    path = derive(features, layer, array_recipe("sum", lambda: features.X(layer).sum(axis=0))).path
    assert run(photos, net, out).computed == 0 and path.exists(), "a resume leaves it alone"
    assert run(photos, net, out, update=True).computed == 0 and path.exists(), "and so does an update without changes"
    edit_all_over(photos)
    updated = run(photos, net, out, update=True).features
    assert not path.exists(), "an update removes what has become stale"
    derive(updated, layer, array_recipe("sum", lambda: updated.X(layer).sum(axis=0)))
    compact(out, compacted)
    assert not (compacted / FOLDER).exists()
    copied = decaf.FeatureSet.open(compacted)
    derive(copied, layer, array_recipe("sum", lambda: copied.X(layer).sum(axis=0)))
    compact(out, compacted)
    assert remove_stale(decaf.FeatureSet.open(compacted)) == 0, "compaction did that"


def test_names_say_what_it_is_whatever_the_layer_is_called(tmp_path: Path) -> None:
    features = write_features(tmp_path / "f", np.ones((2, 3)), ["a", "b"])
    name = module._name(features, "../../model/block_1/" + "x" * 300, array_recipe("mean", lambda: np.ones(1)))
    assert name.startswith("mean-_model_block_1_xxx") and "/" not in name and len(name) < 100


def test_an_array_of_objects_is_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        load_array(path)
