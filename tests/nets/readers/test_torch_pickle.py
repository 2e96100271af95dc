"""Torch checkpoints read without torch give torch's own numbers."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from decaf.errors import NetError
from decaf.nets.readers.checkpoint import read_checkpoint
from decaf.nets.readers.torch_pickle import read_legacy_checkpoint
from decaf.nets.registry import REGISTRY

torch = pytest.importorskip("torch")


def saved(state: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, **{"_use_new_zipfile_serialization": False, **options})
    return file.getvalue()


def assert_read_as_saved(state: Mapping[str, Any]) -> None:
    read = read_legacy_checkpoint(saved(state))
    assert list(read) == list(state)
    for name, tensor in state.items():
        wanted = tensor.detach().numpy()
        assert read[name].dtype == wanted.dtype
        assert read[name].shape == wanted.shape
        assert read[name].flags.c_contiguous
        assert np.array_equal(read[name], wanted)


def numbers(*shape: int) -> Any:
    return torch.arange(float(np.prod(shape))).reshape(shape) - 3.5


def test_tensors_of_both_kinds_and_any_rank() -> None:
    assert_read_as_saved({"a": numbers(2, 3, 4, 5), "b": numbers(7), "c": torch.arange(-3, 9).reshape(3, 4)})


def test_names_come_in_file_order() -> None:
    assert_read_as_saved(OrderedDict((name, numbers(2)) for name in ["zebra", "yak", "ant", "mole"]))


def test_transposed_and_permuted_tensors() -> None:
    x = numbers(2, 3, 4)
    assert_read_as_saved({"t": numbers(5, 3).t(), "p": x.permute(2, 0, 1), "channels_last": x[None].mT})


def test_a_part_of_a_storage() -> None:
    x = numbers(6, 5)
    assert_read_as_saved({"rows": x[2:4], "columns": x[:, 1:3], "steps": x[::2, ::3], "end": x[5, 4:]})


def test_tensors_that_share_a_storage() -> None:
    x = numbers(4, 4)
    assert_read_as_saved({"all": x, "again": x, "row": x[1], "diagonal": x.diagonal()})


def test_single_numbers_stay_single_numbers() -> None:
    assert_read_as_saved({"count": torch.tensor(17), "scale": torch.tensor(2.5), "inside": numbers(3)[1]})


def test_tensors_without_numbers() -> None:
    assert_read_as_saved({"none": torch.zeros(0), "rows": torch.zeros(0, 3), "columns": torch.zeros(3, 0)})


def test_extreme_numbers_keep_their_bits() -> None:
    floats = torch.tensor([0.0, -0.0, float("inf"), float("-inf"), 1e-45, 3.4e38, float("nan")])
    read = read_legacy_checkpoint(saved({"f": floats, "i": torch.tensor([2**63 - 1, -(2**63)])}))
    assert read["f"].tobytes() == floats.numpy().tobytes()
    assert read["i"].tolist() == [2**63 - 1, -(2**63)]


def test_trainable_parameters_are_read_as_tensors() -> None:
    assert_read_as_saved({"a": torch.nn.Parameter(numbers(2, 3)), "b": numbers(2)})


def test_the_state_of_a_module() -> None:
    assert_read_as_saved(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict())


@pytest.mark.parametrize("name", [name for name in REGISTRY if name.startswith("efficientnet-lite")])
def test_a_published_parameter_file_is_read_as_torch_reads_it(name: str) -> None:
    path = REGISTRY[name].parameter_file
    if path is None:
        pytest.skip(f"the parameters of {name} are not here")
    wanted = torch.load(path, weights_only=True)
    read = read_legacy_checkpoint(path.read_bytes())
    assert list(read) == list(wanted)
    assert all(np.array_equal(read[key], wanted[key].numpy()) for key in wanted)


def test_the_default_networks_file_holds_what_is_known_of_it() -> None:
    path = REGISTRY["efficientnet-lite0"].parameter_file
    assert path is not None
    read = read_legacy_checkpoint(path.read_bytes())
    assert len(read) == 296
    assert read["_fc.weight"].shape == (1000, 1280)
    assert sum(value.size for name, value in read.items() if name.endswith(("weight", "bias"))) == 4_652_008


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_other_floating_point_numbers_become_float32(kind: str, zipped: bool) -> None:
    values = torch.tensor([0.0, -1.5, 3.140625, 65504.0, float("inf")]).to(getattr(torch, kind))
    read = read_checkpoint(saved({"a": values}, _use_new_zipfile_serialization=zipped))["a"]
    assert read.dtype == np.float32
    assert np.array_equal(read, values.float().numpy())


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", ["int64", "int32", "int16", "int8", "uint8", "bool"])
def test_whole_numbers_stay_what_they_are(kind: str, zipped: bool) -> None:
    values = torch.tensor([0, 1, 127]).to(getattr(torch, kind))
    read = read_checkpoint(saved({"a": values}, _use_new_zipfile_serialization=zipped))["a"]
    assert read.dtype == values.numpy().dtype
    assert np.array_equal(read, values.numpy())


@pytest.mark.parametrize("zipped", [False, True])
def test_other_kinds_of_numbers_are_refused_by_name(zipped: bool) -> None:
    with pytest.raises(NetError, match="ComplexFloatStorage"):
        read_checkpoint(saved({"a": torch.zeros(2, dtype=torch.complex64)}, _use_new_zipfile_serialization=zipped))


STATE = {"a": torch.arange(6.0).reshape(2, 3), "b.c": torch.arange(3)}
WRAPPED = {
    "plain": STATE,
    "state_dict": {"epoch": 90, "best": 0.57, "state_dict": STATE, "optimizer": {"state": {0: {"m": torch.ones(9)}}}},
    "of numpy": {"model": STATE, "best": np.float64(0.57), "curve": np.arange(3)},
    "model": {"model": STATE, "args": None},
    "twice": {"model": {"state_dict": STATE, "version": (1, 2)}},
    "ordered": OrderedDict(STATE),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_the_state_dict_is_found_beside_other_things(wrapped: str, zipped: bool) -> None:
    read = read_checkpoint(saved(WRAPPED[wrapped], _use_new_zipfile_serialization=zipped))
    assert list(read) == list(STATE)
    assert all(np.array_equal(read[name], STATE[name].numpy()) for name in STATE)


def test_tensors_of_the_zip_format_are_read_whatever_part_of_their_storage_they_are() -> None:
    x = numbers(6, 5)
    state = {"t": x.t(), "rows": x[2:4], "steps": x[::2, ::3], "one": x[0, 0], "none": x[:0], "last": x[-1]}
    read = read_checkpoint(saved(state, _use_new_zipfile_serialization=True))
    for name, tensor in state.items():
        assert read[name].flags.c_contiguous
        assert read[name].shape == tuple(tensor.shape)
        assert np.array_equal(read[name], tensor.numpy())


def zipped_again(data: bytes, changed: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", compression) as new:
        for name in {*old.namelist(), *changed}:
            new.writestr(name, changed[name] if name in changed else old.read(name))
    return made.getvalue()


def test_a_checkpoint_that_was_compressed_is_read() -> None:
    data = zipped_again(saved(STATE, _use_new_zipfile_serialization=True), {}, zipfile.ZIP_DEFLATED)
    assert np.array_equal(read_checkpoint(data)["a"], STATE["a"])


def test_a_checkpoint_of_a_big_endian_machine_is_read() -> None:
    swapped = {"archive/byteorder": b"big"} | {
        f"archive/data/{key}": values.numpy().byteswap().tobytes() for key, values in enumerate(STATE.values())
    }
    read = read_checkpoint(zipped_again(saved(STATE, _use_new_zipfile_serialization=True), swapped))
    assert all(np.array_equal(read[name], STATE[name]) for name in STATE)


@pytest.mark.parametrize(
    "state",
    [
        {"state_dict": {"a": torch.zeros(2), "epoch": 90}},
        {"a": torch.zeros(2), "epoch": 90},
        {"elsewhere": {"a": torch.zeros(2)}},
        {},
        {"a": [torch.zeros(2)]},
        [torch.zeros(2)],
        torch.zeros(2),
        "words",
        None,
    ],
    ids=[
        "number inside",
        "with a number",
        "under another name",
        "empty",
        "list inside",
        "list",
        "tensor",
        "words",
        "nothing",
    ],
)
def test_anything_but_a_plain_state_dict_is_refused(state: Any) -> None:
    for zipped in (False, True):
        with pytest.raises(NetError, match="not a plain state dict"):
            read_checkpoint(saved(state, _use_new_zipfile_serialization=zipped))


def test_a_whole_pickled_module_is_refused() -> None:
    for zipped in (False, True):
        with pytest.raises(NetError, match=r"wants to call torch.nn.modules.linear.Linear: only plain values"):
            read_checkpoint(saved(torch.nn.Linear(2, 2), _use_new_zipfile_serialization=zipped))


def test_reading_does_not_import_torch() -> None:
    code = (
        "import sys\n"
        "from decaf.nets.registry import REGISTRY\n"
        "from decaf.nets.readers.checkpoint import read_checkpoint\n"
        "read = read_checkpoint(REGISTRY['efficientnet-lite0'].parameter_file)\n"
        "assert len(read) == 296 and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
