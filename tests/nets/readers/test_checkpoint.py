"""One function reads named arrays from whatever file holds them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy

from decaf.errors import NetError
from decaf.nets.readers.checkpoint import read_checkpoint

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv.bias": np.array([1.5, -2], np.float32),
    "count": np.array(7),
}


def safetensors_file() -> bytes:
    return safetensors.numpy.save(ARRAYS)


def npz(compressed: bool = False) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **ARRAYS)
    return file.getvalue()


FILES = {"safetensors": safetensors_file(), "npz": npz(), "compressed npz": npz(compressed=True)}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_read_by_its_content(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(FILES[kind])
    for source in (FILES[kind], tmp_path / "file.bin", str(tmp_path / "file.bin")):
        read = read_checkpoint(source)
        assert read.keys() == ARRAYS.keys()
        for name, wanted in ARRAYS.items():
            assert (read[name].dtype, read[name].shape) == (wanted.dtype, wanted.shape)
            assert np.array_equal(read[name], wanted)


def test_half_precision_in_safetensors_becomes_float32() -> None:
    torch, save = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch").save
    values = torch.tensor([1.0, -3.140625, 65504.0, float("inf")])
    kinds = {name: values.to(getattr(torch, name)) for name in ("float16", "bfloat16", "float64", "float32")}
    read = read_checkpoint(save(kinds))
    assert all(read[name].dtype == np.float32 for name in kinds)
    assert all(np.array_equal(read[name], kinds[name].float().numpy()) for name in kinds)


def test_arrays_by_columns_and_of_other_machines_are_read() -> None:
    file = io.BytesIO()
    matrix = np.arange(6, dtype=">f8").reshape(2, 3)
    np.savez(file, columns=np.asfortranarray(matrix), big=matrix, half=matrix.astype("f2"))
    read = read_checkpoint(file.getvalue())
    assert all(np.array_equal(value, matrix) and value.dtype == np.float32 for value in read.values())


def test_the_parameters_of_an_onnx_file_are_its_initializers() -> None:
    nodes = [onnx.helper.make_node("Conv", ["x", "w", "b"], ["y"]), onnx.helper.make_node("Clip", ["y", "low"], ["z"])]
    arrays = {"w": ARRAYS["conv.weight"], "b": ARRAYS["conv.bias"], "low": np.float32(0), "unused": np.ones(3, "f4")}
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()]
    x, z = (onnx.helper.make_tensor_value_info(name, 1, ["N", c, 8, 8]) for name, c in (("x", 3), ("z", 2)))
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [x], [z], tensors))
    read = read_checkpoint(model.SerializeToString())
    assert list(read) == ["w", "b"]
    assert np.array_equal(read["w"], ARRAYS["conv.weight"])


@pytest.mark.parametrize("data", [b"", b"\x80\x02.", b"GIF89a", b"{}", bytes(100), b"PK\x03\x04", b"\x08"])
def test_anything_else_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(NetError) as caught:
        read_checkpoint(data)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.pth"):
        with pytest.raises(NetError, match="cannot read"):
            read_checkpoint(path)
