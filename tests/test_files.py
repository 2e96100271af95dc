"""A file is whole or absent, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from decaf.files import TEMPORARY, atomic_path, cache_folder, write_atomically


@pytest.fixture(params=[None, b"old and longer than the new"], ids=["no old file", "old file"])
def target(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "file.npy"
    if request.param is not None:
        path.write_bytes(request.param)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_new_file_is_whole_and_alone(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
    assert content(target.parent) == {"file.npy": b"new"}


def test_write_atomically_writes_all_bytes_and_nothing_else(target: Path) -> None:
    data = bytes(range(256)) * 1000
    write_atomically(target, data)
    assert content(target.parent) == {"file.npy": data}


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_body_that_raises_leaves_what_there_was(target: Path, error: type[BaseException]) -> None:
    before = content(target.parent)
    with pytest.raises(error, match="half way"), atomic_path(target) as temporary:
        temporary.write_bytes(b"half of th")
        raise error("half way")
    assert content(target.parent) == before


def test_body_that_writes_nothing_is_an_error_and_leaves_what_there_was(target: Path) -> None:
    before = content(target.parent)
    with pytest.raises(FileNotFoundError), atomic_path(target):
        pass
    assert content(target.parent) == before


def test_old_file_stays_until_the_new_one_is_on_the_disk(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(target.parent)
    fsync = os.fsync
    at_flush: list[dict[str, bytes]] = []

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        assert os.fstat(descriptor).st_size == len(b"new")
        at_flush.append(content(target.parent))

    monkeypatch.setattr(os, "fsync", watched)
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
        assert content(target.parent) == {**before, temporary.name: b"new"}
    assert at_flush == [{**before, temporary.name: b"new"}]
    assert content(target.parent) == {"file.npy": b"new"}


def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "file.npy").write_bytes(b"old")
    with (tmp_path / "file.npy").open("rb") as reader:
        write_atomically(tmp_path / "file.npy", b"new and longer")
        assert reader.read() == b"old"


def test_temporary_file_is_hidden_beside_its_target(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
    assert temporary.parent == target.parent
    assert temporary.name.startswith(".")
    assert temporary.name.endswith(TEMPORARY)


def test_full_disk_leaves_what_there_was(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(target.parent)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, b"new")
    assert content(target.parent) == before


def test_target_that_cannot_be_replaced_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_atomically(tmp_path / "folder", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_missing_folder_is_an_error_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", b"new")
    assert not list(tmp_path.iterdir())


def test_cache_is_where_the_user_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DECAF_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("value", [None, ""])
def test_cache_is_the_users_own_folder_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("DECAF_CACHE")
    if value is not None:
        monkeypatch.setenv("DECAF_CACHE", value)
    for variable in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert cache_folder().is_relative_to(tmp_path)
    assert "decaf" in cache_folder().parts
