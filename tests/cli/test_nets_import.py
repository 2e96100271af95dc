"""`decaf nets import`: files in, an ONNX file out that every command takes; one line where that cannot be."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from tests.cli.running import run
from tests.nets.caffe_files import caffemodel
from tests.nets.cuda_files import NARROW, cuda_layers, prototxt, random_parameters, saved, shapes

import decaf

COUNT = sum(math.prod(shape) for shape in shapes().values())


@pytest.fixture
def files(tmp_path: Path) -> Path:
    parameters = random_parameters()
    (tmp_path / "deploy.prototxt").write_bytes(prototxt())
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(parameters))
    (tmp_path / "imagenet.epoch90").write_bytes(saved(cuda_layers(parameters)))
    (tmp_path / "net.safetensors").write_bytes(safetensors.numpy.save(dict(parameters)))
    return tmp_path


def test_an_imported_network_extracts_features(files: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "out.onnx"
    code, said, err = run(capsys, "nets", "import", files / "deploy.prototxt", files / "net.caffemodel", "-o", out)
    assert code == 0
    assert said.splitlines() == [
        f"read {files / 'deploy.prototxt'}: prototxt",
        f"read {files / 'net.caffemodel'}: caffemodel",
        f"wrote {out}: narrow, {COUNT:,} parameters in 22 layers, pictures of 227 px, default layer relu7",
    ]
    assert err.startswith("note: caffe ")
    assert "subtracts the mean pixel 104.007/116.669/122.679" in err
    code, _, _ = run(capsys, "extract", pictures, "-o", files / "features", "--net", out, "--layer", "relu6")
    assert code == 0
    assert decaf.FeatureSet.open(files / "features").valid.X("relu6").shape == (6, NARROW["fc6"])


def test_json_says_what_was_poured(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "nets", "import", files / "imagenet.epoch90", "-o", files / "decaf.onnx", "--name", "decaf")
    code, said, err = run(
        capsys,
        "nets",
        "import",
        files / "net.safetensors",
        "--net",
        files / "decaf.onnx",
        "-o",
        files / "o.onnx",
        "--json",
    )
    told = json.loads(said)
    assert (code, err) == (0, "")
    assert told["poured"]["fc8.bias"] == "fc8.bias"
    assert (told["poured_by"], told["bytes"]) == ("name", (files / "o.onnx").stat().st_size)
    assert told["sha256"] == decaf.load_net(files / "o.onnx").sha256
    layers = [decaf.load_net(files / name).model.graph for name in ("decaf.onnx", "o.onnx")]
    assert layers[0].initializer == layers[1].initializer


def test_what_cannot_be_imported_leaves_no_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, err = run(capsys, "nets", "import", files / "net.safetensors", "-o", files / "out.onnx")
    assert (code, said) == (1, "")
    assert (
        err == f"decaf: {files / 'net.safetensors'} holds parameters without a network: name the network with --net\n"
    )
    assert not list(files.glob("*.onnx*"))


def test_a_folder_that_is_not_there_is_named(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "nets", "import", files / "imagenet.epoch90", "-o", files / "absent" / "out.onnx")
    assert code == 1
    assert str(files / "absent") in err
    assert err.count("\n") == 1


def test_an_epoch_file_keeps_the_parameters_to_the_last_bit(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "nets", "import", files / "imagenet.epoch90", "-o", files / "decaf.onnx")
    from onnx import numpy_helper

    stored = decaf.load_net(files / "decaf.onnx").model.graph.initializer
    assert all(np.array_equal(numpy_helper.to_array(t), random_parameters()[t.name]) for t in stored)
