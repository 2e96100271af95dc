"""Legacy torch checkpoints read without torch give torch's own numbers."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from decaf.errors import NetError
from decaf.nets.registry import REGISTRY
from decaf.nets.torch_pickle import read_legacy_checkpoint

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


def test_trainable_parameters_are_refused_because_they_are_no_plain_tensors() -> None:
    with pytest.raises(NetError, match="_rebuild_parameter"):
        read_legacy_checkpoint(saved({"a": torch.nn.Parameter(torch.zeros(2))}))


def test_the_state_of_a_module() -> None:
    assert_read_as_saved(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict())


@pytest.mark.parametrize("name", REGISTRY)
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


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64", "int32", "uint8", "bool", "complex64"])
def test_other_kinds_of_numbers_are_refused_by_name(kind: str) -> None:
    with pytest.raises(NetError, match="Storage"):
        read_legacy_checkpoint(saved({"a": torch.zeros(2, dtype=getattr(torch, kind))}))


@pytest.mark.parametrize(
    "state",
    [
        {"state_dict": {"a": torch.zeros(2)}},
        {"a": torch.zeros(2), "epoch": 90},
        {"a": [torch.zeros(2)]},
        [torch.zeros(2)],
        torch.zeros(2),
        "words",
        None,
    ],
    ids=["nested", "with a number", "list inside", "list", "tensor", "words", "nothing"],
)
def test_anything_but_a_plain_state_dict_is_refused(state: Any) -> None:
    with pytest.raises(NetError, match="not a plain state dict"):
        read_legacy_checkpoint(saved(state))


def test_a_whole_pickled_module_is_refused() -> None:
    with pytest.raises(NetError, match="wants to call"):
        read_legacy_checkpoint(saved(torch.nn.Linear(2, 2)))


def test_the_zip_format_is_refused_in_one_line_with_a_remedy() -> None:
    with pytest.raises(NetError, match=r"not a readable legacy torch checkpoint .*again") as caught:
        read_legacy_checkpoint(saved({"a": torch.zeros(2)}, _use_new_zipfile_serialization=True))
    assert "\n" not in str(caught.value)


def test_reading_does_not_import_torch() -> None:
    code = (
        "import sys\n"
        "from decaf.nets.registry import REGISTRY\n"
        "from decaf.nets.torch_pickle import read_legacy_checkpoint\n"
        "read = read_legacy_checkpoint(REGISTRY['efficientnet-lite0'].parameter_file.read_bytes())\n"
        "assert len(read) == 296 and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
