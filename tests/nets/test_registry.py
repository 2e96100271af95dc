"""Networks by name: parameters checked, files written once, the same everywhere."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from decaf.errors import NetError, UnknownName
from decaf.nets.labels import ilsvrc_labels
from decaf.nets.net import Net
from decaf.nets.parameters import Package
from decaf.nets.preprocess import Preprocess, preset
from decaf.nets.registry import DEFAULT_NET, REGISTRY, Entry, load_net

ENTRY = REGISTRY[DEFAULT_NET]
assert isinstance(ENTRY.parameters, Package)
PACKAGE = ENTRY.parameters


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("DECAF_CACHE", str(folder))
    return folder


def cached_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def parameters_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Entry, "parameter_file", property(lambda _: path))


def refused(*arguments: Any) -> str:
    with pytest.raises(NetError) as caught:
        load_net(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Every registered network


DEFAULT_LAYERS = {
    "efficientnet-lite0": "pool",
    "efficientnet-lite1": "pool",
    "efficientnet-lite2": "pool",
    "squeezenet1.1": "features",
}


@pytest.fixture(params=[name for name, entry in REGISTRY.items() if isinstance(entry.parameters, Package)])
def registered(request: pytest.FixtureRequest) -> Net:
    if REGISTRY[request.param].parameter_file is None:
        pytest.skip(f"the parameters of {request.param} are not here")
    return load_net(request.param)


def test_a_registered_network_is_complete(registered: Net) -> None:
    assert registered.name in REGISTRY
    assert registered.layer(registered.default_layer).name == DEFAULT_LAYERS[registered.name]
    assert len(registered.layer(registered.default_layer).shape or ()) == 1
    assert registered.layers[-1].shape == (len(registered.labels),)
    assert registered.model.graph.input[0].type.tensor_type.shape.dim[2].dim_value == registered.preprocess.crop
    assert all(layer.shape is not None for layer in registered.layers)


def test_a_registered_network_says_where_it_comes_from(registered: Net) -> None:
    entry = REGISTRY[registered.name]
    assert registered.provenance == entry.provenance()
    assert entry.parameters is not None
    assert entry.provenance()["parameters_sha256"] == entry.parameters.sha256
    assert entry.provenance()["licence"] == entry.licence != ""


def test_a_registered_network_has_the_published_size(registered: Net) -> None:
    published = {
        "efficientnet-lite0": 4_652_008,
        "efficientnet-lite1": 5_416_680,
        "efficientnet-lite2": 6_092_072,
        "squeezenet1.1": 1_235_496,
    }
    assert sum(layer.parameters for layer in registered.layers) == published[registered.name]


def test_a_registered_network_is_prepared_for_as_it_was_evaluated(registered: Net) -> None:
    sides = {"efficientnet-lite0": 224, "efficientnet-lite1": 240, "efficientnet-lite2": 260}
    if (side := sides.get(registered.name)) is not None:
        wanted = Preprocess(size=side + 32, crop=side, mean=(127.0,) * 3, std=(128.0,) * 3)
        assert (wanted.resize, wanted.channels, wanted.interpolation) == ("short-side", "RGB", "bicubic")
    else:
        wanted = preset("caffe", 227)
    assert registered.preprocess == wanted


def test_the_default_network_is_loaded_without_a_name(lite0: Net) -> None:
    assert load_net() == lite0
    assert lite0.name == "efficientnet-lite0"


def test_preprocessing_can_be_changed_while_loading(lite0: Net) -> None:
    assert load_net(DEFAULT_NET, "resize=warp") == lite0.with_resize("warp")


# Labels


def test_labels_are_the_words_of_the_ilsvrc_2012_synsets(lite0: Net, real_data: Path) -> None:
    lines = (real_data / "fixtures" / "synset_words.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1000
    assert list(lite0.labels) == list(ilsvrc_labels()) == [line.split(" ", 1)[1] for line in lines]


def test_labels_are_a_thousand_in_their_usual_order() -> None:
    labels = ilsvrc_labels()
    assert len(labels) == 1000
    assert labels[0] == "tench, Tinca tinca"
    assert labels[-1].startswith("toilet tissue")
    assert all(label == label.strip() != "" for label in labels)


# The cache


def test_a_network_is_built_once_and_its_file_reused(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_net(DEFAULT_NET)
    (file,) = cached_files(empty_cache)
    before = (file.stat().st_mtime_ns, file.read_bytes())

    def fail(*_: object) -> NoReturn:
        raise AssertionError("built a second time")

    monkeypatch.setitem(REGISTRY, DEFAULT_NET, replace(ENTRY, write=fail))
    assert load_net(DEFAULT_NET) == first
    assert cached_files(empty_cache) == [file]
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before


def test_a_network_built_twice_has_the_same_bytes(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_net(DEFAULT_NET)
    monkeypatch.setenv("DECAF_CACHE", str(empty_cache) + "-2")
    load_net(DEFAULT_NET)
    (one,), (other,) = cached_files(empty_cache), cached_files(Path(f"{empty_cache}-2"))
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()


def test_another_process_builds_the_same_bytes(lite0: Net, empty_cache: Path) -> None:
    code = "from decaf.nets.registry import load_net; print(load_net().sha256)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert len(cached_files(empty_cache)) == 1
    assert printed.strip() == lite0.sha256


def test_threads_that_build_at_the_same_time_all_succeed(lite0: Net, empty_cache: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        digests = {net.sha256 for net in threads.map(load_net, [DEFAULT_NET] * 4)}
    assert digests == {lite0.sha256}
    assert len(cached_files(empty_cache)) == 1


def test_other_parameters_make_another_file(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lite0: Net
) -> None:
    load_net(DEFAULT_NET)
    (tmp_path / "other.pth").write_bytes(b"other")
    other = replace(
        ENTRY,
        parameters=replace(PACKAGE, sha256=hashlib.sha256(b"other").hexdigest()),
        write=lambda *_: lite0.data,
    )
    monkeypatch.setitem(REGISTRY, DEFAULT_NET, other)
    parameters_at(tmp_path / "other.pth", monkeypatch)
    load_net(DEFAULT_NET)
    assert len(cached_files(empty_cache)) == 2


@pytest.mark.parametrize("damage", [lambda data: data[:-1000], lambda data: data[: len(data) // 2], lambda _: b""])
def test_a_damaged_cached_file_is_noticed_or_mended(
    damage: Callable[[bytes], bytes], empty_cache: Path, lite0: Net
) -> None:
    load_net(DEFAULT_NET)
    (file,) = cached_files(empty_cache)
    file.write_bytes(damage(file.read_bytes()))
    try:
        loaded = load_net(DEFAULT_NET)
    except NetError as error:
        assert str(file) in str(error)
    else:
        assert loaded == lite0


@pytest.mark.parametrize("blocked", ["cache", "cache/nets"])
def test_a_cache_that_cannot_be_written_is_one_line_that_names_it(
    blocked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / blocked).parent.mkdir(exist_ok=True)
    (tmp_path / blocked).write_text("a file where a folder should be")
    monkeypatch.setenv("DECAF_CACHE", str(tmp_path / "cache"))
    message = refused(DEFAULT_NET)
    assert f"cannot keep {DEFAULT_NET} in {tmp_path / 'cache' / 'nets'}" in message
    assert "set DECAF_CACHE" in message


# Parameters


def test_a_parameter_file_that_is_not_the_published_one_is_refused(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ENTRY.parameter_file is not None
    data = bytearray(ENTRY.parameter_file.read_bytes())
    data[-1] ^= 1
    (tmp_path / "parameters.pth").write_bytes(data)
    parameters_at(tmp_path / "parameters.pth", monkeypatch)
    message = refused(DEFAULT_NET)
    assert f"{tmp_path / 'parameters.pth'} is not the published file (sha256 differs)" in message
    assert f"pip install --force-reinstall {PACKAGE.distribution}" in message
    assert not cached_files(empty_cache)


def test_the_same_parameters_from_another_place_are_taken(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lite0: Net
) -> None:
    assert ENTRY.parameter_file is not None
    (tmp_path / "moved.pth").write_bytes(ENTRY.parameter_file.read_bytes())
    parameters_at(tmp_path / "moved.pth", monkeypatch)
    assert load_net(DEFAULT_NET) == lite0
    assert cached_files(empty_cache)


def test_parameters_that_are_not_installed_are_named_with_their_package(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        REGISTRY, DEFAULT_NET, replace(ENTRY, parameters=replace(PACKAGE, file="no_such_package/models/x.pth"))
    )
    assert REGISTRY[DEFAULT_NET].parameter_file is None
    assert f"not installed: pip install {PACKAGE.distribution}" in refused(DEFAULT_NET)
    assert not cached_files(empty_cache)


def test_a_package_without_the_file_counts_as_not_installed() -> None:
    assert replace(PACKAGE, file=PACKAGE.file + ".other").path is None


# Names and files


@pytest.mark.parametrize("name", ["efficientnet-lite9", "lenet", "x" * 300], ids=["near", "far", "long"])
def test_an_unknown_name_brings_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownName) as caught:
        load_net(name)
    assert all(known in str(caught.value) for known in REGISTRY)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'absent.onnx'} is not there" in refused(tmp_path / "absent.onnx")


def test_a_file_is_loaded_whatever_its_name(lite0: Net, tmp_path: Path) -> None:
    path = tmp_path / "network of mine"
    path.write_bytes(lite0.data)
    assert load_net(path) == load_net(str(path)) == lite0


def test_a_file_without_metadata_needs_preprocessing(lite0: Net, tmp_path: Path) -> None:
    path = tmp_path / "bare.onnx"
    bare = type(lite0.model)()
    bare.CopyFrom(lite0.model)
    del bare.metadata_props[:]
    path.write_bytes(bare.SerializeToString())
    assert "--preprocess" in refused(path)
    net = load_net(path, "torchvision")
    assert net.preprocess.mean == (123.675, 116.28, 103.53)
    assert net.layer(net.default_layer).name == "prob"


# What is not imported


@pytest.mark.parametrize(
    "module",
    [
        "decaf",
        "decaf.nets.registry",
        "decaf.nets.net",
        "decaf.nets.readers.torch_pickle",
        "decaf.engines",
        "decaf.engines.openvino",
    ],
)
def test_torch_and_the_engine_are_not_imported_before_they_are_used(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'torch', 'openvino', 'onnxruntime', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_loading_a_network_imports_neither_torch_nor_the_engine() -> None:
    code = (
        "import sys\n"
        "from decaf.nets.registry import load_net\n"
        "assert len(load_net().layers) == 144\n"
        "heavy = {'torch', 'openvino', 'onnxruntime', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
