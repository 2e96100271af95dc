"""Folders and files in odd places: names, permissions, pipes, what a rerun finds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import decaf
from decaf.cli.main import main
from decaf.errors import DecafError, FeatureSetError, ImageError, NotTried, SettingsDiffer, UnknownName
from decaf.features import loading
from decaf.nets.net import Net
from tests.conftest import ordinary_user
from tests.features.helpers import tiny_net, write_pictures


@pytest.fixture(scope="module")
def net() -> Net:
    return tiny_net()


def rows_computed(*arguments: Any, **options: Any) -> int:
    told: list[int] = []
    decaf.extract(*arguments, progress=lambda rows, broken: told.append(rows), **options)
    return sum(told)


@pytest.mark.parametrize("name", ["file:", "s3:", "gs:", "new\udcff", "a b", "ü"])
def test_a_folder_may_have_any_name_and_nothing_is_written_elsewhere(
    net: Net, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "photos", 3)
    monkeypatch.chdir(tmp_path)
    out = os.path.join(name, "deep")
    features = decaf.extract("photos", net, out=out)
    assert np.isfinite(features.X()).all() and rows_computed("photos", net, out=out) == 0
    (tmp_path / "photos" / "0000.png").unlink()
    assert len(decaf.extract("photos", net, out=out, update=True)) == 2
    assert sorted(os.listdir(tmp_path)) == sorted(["photos", name])


def test_another_column_of_a_parquet_file_is_another_set(net: Net, tmp_path: Path) -> None:
    pictures = [Path(path).read_bytes() for path in write_pictures(tmp_path / "photos", 4)]
    pq.write_table(pa.table({"one": pictures[:2], "two": pictures[2:]}), tmp_path / "c.parquet")
    decaf.extract(tmp_path / "c.parquet", net, out=tmp_path / "out", column="one")
    for update in (False, True):
        with pytest.raises(SettingsDiffer, match="column one, this run has two"):
            decaf.extract(tmp_path / "c.parquet", net, out=tmp_path / "out", column="two", update=update)


def test_a_box_without_a_number_does_not_stop_a_rerun(net: Net, tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", 2)
    (tmp_path / "boxes.csv").write_text("path,x0,y0,x1,y1\n0000.png,nan,0,9,9\n0001.png,0,0,9,9\n")
    for computed in (2, 0):
        options = {"out": tmp_path / "out", "boxes": tmp_path / "boxes.csv"}
        assert rows_computed(tmp_path / "photos", net, **options) == computed


def test_what_could_not_be_tried_is_tried_again_by_an_update(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "photos", 3)

    def refuse(*_: Any) -> None:
        raise NotTried("a package is missing")

    with monkeypatch.context() as patched:
        patched.setattr(loading, "decode", refuse)
        assert decaf.extract(tmp_path / "photos", net, out=tmp_path / "out").broken.all()
    assert rows_computed(tmp_path / "photos", net, out=tmp_path / "out") == 0
    assert not decaf.extract(tmp_path / "photos", net, out=tmp_path / "out", update=True).broken.any()


def test_a_rerun_with_nothing_to_do_writes_nothing(net: Net, tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", 2)
    decaf.extract(tmp_path / "photos", net, out=tmp_path / "out")
    before = (tmp_path / "out" / "decaf.json").stat()
    decaf.extract(tmp_path / "photos", net, out=tmp_path / "out")
    after = (tmp_path / "out" / "decaf.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_pipes_are_refused_not_waited_for(net: Net, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.txt")
    with pytest.raises(ImageError, match="no regular file"):
        decaf.extract(tmp_path / "list.txt", net, out=tmp_path / "out")


@pytest.mark.parametrize(
    "wrong",
    [{"shard_size": 1.5}, {"jobs": "2"}, {"max_megapixels": "9"}, {"context": "2", "boxes": "b.csv"}],
)
def test_values_of_another_type_are_one_line(net: Net, tmp_path: Path, wrong: dict[str, Any]) -> None:
    write_pictures(tmp_path / "photos", 1)
    with pytest.raises(UnknownName, match=f"{next(iter(wrong))} is .*number"):
        decaf.extract(tmp_path / "photos", net, **wrong)


def test_sources_may_be_numpy_texts(net: Net, tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", 2)
    assert len(decaf.extract(np.array([str(tmp_path / "photos")]), net)) == 2


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("locked", "said"),
    [
        ("out/shard-00000.parquet", "may not be read: change its permissions"),
        ("out/decaf.json", "Permission denied"),
        ("out", "Permission denied"),
    ],
)
def test_what_may_not_be_read_is_said_in_one_line(
    net: Net, public_folder: Path, locked: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(public_folder / "photos", 2)
    decaf.extract(public_folder / "photos", net, out=public_folder / "out")
    assert told_by_info(public_folder / "out", capsys)[0] == 0  # and all modules are loaded, which nobody may not read
    (public_folder / locked).chmod(0)
    try:
        with ordinary_user():
            code, stderr = told_by_info(public_folder / "out", capsys)
    finally:
        (public_folder / locked).chmod(0o755)
    assert code == 1 and said in stderr and stderr.count("\n") == 1
    assert "delete" not in stderr and "fault of decaf" not in stderr


def told_by_info(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    """The exit code of `decaf info`, and what it says on stderr."""
    with pytest.raises(SystemExit) as ended:
        main(["info", str(folder)])
    return ended.value.code or 0, capsys.readouterr().err


@pytest.mark.parametrize("missing", ["views", "regions"])
def test_a_description_that_lacks_a_setting_is_refused(net: Net, tmp_path: Path, missing: str) -> None:
    write_pictures(tmp_path / "photos", 1)
    decaf.extract(tmp_path / "photos", net, out=tmp_path / "out")
    text = (tmp_path / "out" / "decaf.json").read_text()
    (tmp_path / "out" / "decaf.json").write_text(text.replace(f'"{missing}"', '"something"'))
    with pytest.raises(FeatureSetError, match="damaged or of another version"):
        decaf.FeatureSet.open(tmp_path / "out")
    assert issubclass(NotTried, DecafError)
