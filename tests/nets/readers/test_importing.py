"""Files people have become networks that compute the same, whatever the files are."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from tests.nets.caffe_files import blob, caffemodel
from tests.nets.cuda_files import NARROW, Array, cuda_layers, prototxt, random_parameters, saved

from decaf.engines import make_engine
from decaf.errors import NetError
from decaf.nets.fill import zeros
from decaf.nets.mean_image import mean_image
from decaf.nets.net import Net, read_net
from decaf.nets.preprocess import preset
from decaf.nets.readers.caffe import read_caffe
from decaf.nets.readers.importing import Imported, import_net
from decaf.nets.registry import load_net

PICTURES = np.random.default_rng(0).integers(0, 256, (2, 227, 227, 3)).astype(np.uint8)
MEAN = np.random.default_rng(1).uniform(90, 130, (3, 256, 256)).astype(np.float32)
PARAMETERS = random_parameters()


def torch_file(parameters: Mapping[str, Array], zipped: bool, wrapped: bool = False) -> bytes:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    state = {f"module.{name}" if wrapped else name: torch.from_numpy(value) for name, value in parameters.items()}
    torch.save({"state_dict": state} if wrapped else state, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def npz(parameters: Mapping[str, Array]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **parameters)  # type: ignore[arg-type]
    return file.getvalue()


def write_all(folder: Path, parameters: Mapping[str, Array], widths: Mapping[str, int]) -> dict[str, list[str]]:
    """One network in every kind of file: the files of each, by the last one's name; or to be poured into a graph."""
    bare = read_caffe(prototxt(widths), caffemodel(parameters))
    del bare.metadata_props[:]
    contents = {
        "deploy.prototxt": prototxt(widths),
        "net.caffemodel": caffemodel(parameters),
        "old.caffemodel": caffemodel(parameters, old=True),
        "imagenet.epoch90": saved(cuda_layers(parameters)),
        "zipped.pth": torch_file(parameters, zipped=True),
        "wrapped.bin": torch_file(parameters, zipped=True, wrapped=True),
        "legacy.pt": torch_file(parameters, zipped=False),
        "net.safetensors": safetensors.numpy.save(dict(parameters)),
        "net.npz": npz(parameters),
        "full.onnx": bare.SerializeToString(),
    }
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    whole = [["deploy.prototxt", "net.caffemodel"], ["deploy.prototxt", "old.caffemodel"], ["imagenet.epoch90"]]
    return {files[-1]: [str(folder / file) for file in files] for files in whole} | {
        f"poured {file}": [str(folder / file)] for file in contents if file != "deploy.prototxt"
    }


def features(net: Net) -> list[Array]:
    """Of four layers, for the same numbers at the input, whatever the preprocessing."""
    engine = make_engine(net.with_preprocess("caffe"), ["pool5", "relu6", "relu7", "prob"], threads=2)
    return list(engine.run(PICTURES))


def assert_one_network(
    folder: Path, parameters: Mapping[str, Array], widths: Mapping[str, int], target: Any, kinds: Sequence[str] = ()
) -> None:
    files = write_all(folder, parameters, widths)
    wanted: list[Array] = []
    for kind, paths in files.items():
        if kind not in (kinds or files):
            continue
        poured = {"net": target} if kind.startswith("poured") else {}
        made = import_net(paths, **poured)
        made.net.save(folder / "out.onnx")
        read = read_net(folder / "out.onnx")
        assert read == made.net, kind
        found = features(read)
        wanted = wanted or found
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True)), kind
    assert len(files) == 12
    assert all(np.abs(layer).max() > 0 for layer in wanted)


def narrow_target(folder: Path) -> Path:
    """A network without parameters, which says how its pixels are prepared."""
    model = read_caffe(prototxt(), parameters=zeros)
    (folder / "target").mkdir()
    (folder / "target" / "bare.onnx").write_bytes(model.SerializeToString())
    read_net(folder / "target" / "bare.onnx", "caffe").save(folder / "target" / "narrow.onnx")
    return folder / "target" / "narrow.onnx"


def test_one_network_in_every_kind_of_file_has_the_same_features(tmp_path: Path) -> None:
    assert_one_network(tmp_path, PARAMETERS, NARROW, narrow_target(tmp_path))


@pytest.mark.slow
def test_caffenet_in_every_kind_of_file_has_the_same_features(tmp_path: Path) -> None:
    drawn = load_net("caffenet", random_weights=0).model.graph.initializer
    parameters = {t.name: onnx.numpy_helper.to_array(t).copy() for t in drawn}
    others = ("poured zipped.pth", "poured legacy.pt", "poured net.safetensors")
    assert_one_network(tmp_path, parameters, {}, "caffenet", ("net.caffemodel", "imagenet.epoch90", *others))


def test_a_caffe_network_is_prepared_as_caffe_does_with_its_mean_image(tmp_path: Path) -> None:
    files = write_all(tmp_path, PARAMETERS, NARROW)["net.caffemodel"]
    (tmp_path / "mean.binaryproto").write_bytes(blob(MEAN[None]))
    made = import_net([*files, tmp_path / "mean.binaryproto"]).net
    assert (made.preprocess.resize, made.preprocess.channels, made.preprocess.mean) == ("warp", "BGR", (0, 0, 0))
    assert made.preprocess.mean_image is not None
    assert np.array_equal(made.preprocess.mean_image.values, MEAN.transpose(1, 2, 0))
    assert import_net(files).net.preprocess == preset("caffe", 227)
    assert "subtracts the mean pixel 104.007/116.669/122.679" in import_net(files).note


def test_the_release_of_decaf_is_prepared_as_it_was_with_its_mean_image_and_labels(tmp_path: Path) -> None:
    (tmp_path / "imagenet.epoch90").write_bytes(saved(cuda_layers(PARAMETERS)))
    words = [f"class {index}" for index in range(10)]
    (tmp_path / "imagenet.meta").write_bytes(saved({"label_names": words, "data_mean": MEAN.reshape(-1)}))
    imported = import_net([tmp_path / "imagenet.epoch90", tmp_path / "imagenet.meta"])
    how = imported.net.preprocess
    assert (how.resize, how.channels, how.orientation, how.size) == ("square", "RGB", "upside-down", 256)
    assert how.mean_image is not None
    assert np.array_equal(how.mean_image.values, MEAN.transpose(1, 2, 0))
    assert imported.net.labels == tuple(words)
    assert imported.net.layer("fc6dropout_cudanet_out").name == "relu6"
    assert (imported.net.name, imported.net.default_layer, imported.note) == ("imagenet", "relu6", "")


def test_parameters_of_decaf_in_another_graph_keep_their_own_preparation(tmp_path: Path) -> None:
    (tmp_path / "imagenet.epoch90").write_bytes(saved(cuda_layers(PARAMETERS)))
    imported = import_net([tmp_path / "imagenet.epoch90"], net=narrow_target(tmp_path))
    assert imported.net.preprocess == preset("decaf-release", 227)


def test_what_is_said_by_the_caller_goes_before_what_files_say(tmp_path: Path) -> None:
    (tmp_path / "imagenet.epoch90").write_bytes(saved(cuda_layers(PARAMETERS)))
    (tmp_path / "words.txt").write_text("".join(f"n0000000{index} bird, number {index}\n" for index in range(10)))
    imported = import_net(
        [tmp_path / "imagenet.epoch90"], preprocess="torchvision,crop=227", labels=tmp_path / "words.txt", name="birds"
    )
    assert imported.net.preprocess == preset("torchvision", 227)
    assert imported.net.labels[3] == "bird, number 3"
    assert imported.net.name == "birds"
    assert imported.note == ""


def test_a_data_layer_goes_before_the_preset_and_a_mean_image_before_the_data_layer(tmp_path: Path) -> None:
    files = write_all(tmp_path, PARAMETERS, NARROW)["net.caffemodel"]
    fed = (
        'layer { name: "data" type: "Data" top: "data"'
        " transform_param { crop_size: 227 scale: 0.5 mean_value: 1 mean_value: 2 mean_value: 3 } }"
    )
    layers = prototxt(NARROW).decode().partition("layer {")[2]
    (tmp_path / "deploy.prototxt").write_text(f"{fed} layer {{{layers}")
    (tmp_path / "mean.binaryproto").write_bytes(blob(MEAN[None]))
    said = replace(preset("caffe", 227), mean=(1, 2, 3), std=(2, 2, 2))
    assert import_net(files).net.preprocess == said
    with_image = replace(said, mean=(0, 0, 0), mean_image=mean_image(MEAN))
    assert import_net([*files, tmp_path / "mean.binaryproto"]).net.preprocess == with_image


def test_where_a_network_comes_from_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(safetensors.numpy.save(dict(PARAMETERS)))
    imported = import_net([tmp_path / "a.safetensors"], net=narrow_target(tmp_path))
    (said,) = imported.net.provenance["imported"]  # type: ignore[index]
    assert (said["file"], said["kind"]) == ("a.safetensors", "checkpoint")
    assert said["sha256"] == imported.files[0].sha256
    assert imported.net.provenance["poured_by"] == imported.how == "name"  # type: ignore[index]
    assert imported.poured == {name: name for name in PARAMETERS}


REFUSED: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "a checkpoint alone": (["zipped.pth"], {}, "without a network: name the network with --net"),
    "a graph alone": (["deploy.prototxt"], {}, "no parameters in .*deploy.prototxt"),
    "two networks": (["net.caffemodel", "old.caffemodel"], {}, "are both caffemodel files"),
    "a graph beside a checkpoint": (["zipped.pth", "deploy.prototxt"], {}, "does not belong to a checkpoint"),
    "a graph beside another": (["net.caffemodel", "deploy.prototxt"], {"net": "full.onnx"}, "leave out one of them"),
    "nothing": ([], {}, "no parameters"),
    "an absent file": (["absent.pth"], {}, "cannot read .*absent.pth"),
    "an unknown file": (["noise.bin"], {}, "no file decaf makes networks of"),
    "another network's": (["other.npz"], {"net": "full.onnx"}, "the file has no 'conv1.weight'"),
    "no rule": (["full.onnx"], {}, "does not say how its pixels are prepared"),
    "too few labels": (["imagenet.epoch90"], {"labels": "deploy.prototxt"}, "labels for 10 outputs"),
    "labels of noise": (["imagenet.epoch90"], {"labels": "noise.bin"}, "not text in UTF-8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_do_not_make_a_network_are_refused_in_one_line(case: str, tmp_path: Path) -> None:
    write_all(tmp_path, PARAMETERS, NARROW)
    read_net(tmp_path / "full.onnx", "caffe").save(tmp_path / "ready.onnx")
    (tmp_path / "noise.bin").write_bytes(b"\xff\xfe\x00noise")
    (tmp_path / "other.npz").write_bytes(npz({"w": np.ones(3, np.float32)}))
    names, options, message = REFUSED[case]
    options = {key: tmp_path / str(value).replace("full", "ready") for key, value in options.items()}
    with pytest.raises(NetError, match=message) as caught:
        import_net([tmp_path / name for name in names], **options)
    assert "\n" not in str(caught.value)


def test_an_onnx_file_is_imported_with_what_it_lacked(tmp_path: Path) -> None:
    write_all(tmp_path, PARAMETERS, NARROW)
    imported: Imported = import_net([tmp_path / "full.onnx"], preprocess="caffe")
    imported.net.save(tmp_path / "out.onnx")
    assert read_net(tmp_path / "out.onnx").preprocess == preset("caffe", 227)
