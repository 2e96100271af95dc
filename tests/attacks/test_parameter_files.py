"""Hostile parameter and model files: nothing is executed, nothing large is allocated, only NetError is raised."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests.attacks.hostile import CALLS, FORMS, MIB, ORDERED_DICT, Form, by_global, inside

from decaf.engines import make_engine
from decaf.errors import NetError
from decaf.nets.readers import torch_pickle
from decaf.nets.readers.torch_pickle import read_legacy_checkpoint
from decaf.nets.registry import load_net

pytest.importorskip("resource")

HEADER = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
VALUES = np.arange(4, dtype="<f4")
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def storage(count: Any = 4, kind: bytes = b"ctorch\nFloatStorage\n", key: Any = "0", view: Any = None) -> bytes:
    return b"(" + inside("storage") + kind + inside(key) + inside("cpu") + inside(count) + inside(view) + b"tQ"


def tensor(shape: Any = (2, 2), strides: Any = (2, 1), offset: Any = 0, where: bytes | None = None) -> bytes:
    return REBUILD + b"(" + (where or storage()) + inside(offset) + inside(shape) + inside(strides) + b"tR"


def state_of(one: bytes, name: Any = "a") -> bytes:
    return b"}" + inside(name) + one + b"s"


def checkpoint(state: bytes, count: int = 4, values: bytes = VALUES.tobytes(), keys: bytes = inside(["0"])) -> bytes:
    pickles = [*HEADER, b"\x80\x02" + state + b".", b"\x80\x02" + keys + b"."]
    return b"".join(pickles) + struct.pack("<q", count) + values


LEGIT = checkpoint(state_of(tensor()))


def refused(data: bytes) -> str:
    """Reads a hostile checkpoint, which must be refused in one line at little expense of memory; its message."""
    tracemalloc.start()
    try:
        with pytest.raises(NetError) as caught:
            read_legacy_checkpoint(data)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_harmless_file_that_the_attacks_are_made_from_is_read() -> None:
    read = read_legacy_checkpoint(LEGIT)
    assert list(read) == ["a"]
    assert read["a"].tolist() == [[0, 1], [2, 3]]


# Code


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("call", CALLS)
def test_an_attack_succeeds_against_plain_pickle(form: Form, call: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickle.loads(b"\x80\x02" + form(*call.split("."), CALLS[call].format(marker)) + b".")
    assert marker.exists()


@pytest.mark.parametrize("place", range(5), ids=["magic", "protocol", "system", "state", "keys"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_in_a_checkpoint_is_refused_and_never_made(form: Form, call: str, place: int, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickles = [*HEADER, b"\x80\x02" + state_of(tensor()) + b".", pickle.dumps(["0"], 2)]
    pickles[place] = b"\x80\x02" + form(*call.split("."), CALLS[call].format(marker)) + b"."
    message = refused(b"".join(pickles) + struct.pack("<q", 4) + VALUES.tobytes())
    assert form is not by_global or f"wants to call {call}:" in message
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch._utils", "_rebuild_tensor_v2.__class__"),
        ("collections", "OrderedDict.__init__.__objclass__"),
        ("collections", "OrderedDict.fromkeys"),
        ("collections", "abc"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("decaf.nets.readers.torch_pickle", "_Reader"),
    ],
)
def test_no_other_name_can_be_reached_from_the_allowed_ones(module: str, name: str) -> None:
    for lookup in (inside(module) + inside(name) + b"\x93", f"c{module}\n{name}\n".encode()):
        refused(checkpoint(state_of(lookup)))
        refused(checkpoint(state_of(lookup + b")R")))
        refused(checkpoint(state_of(lookup + inside(("a",)) + b"R")))


def test_a_file_cannot_change_the_reader_for_the_files_after_it() -> None:
    functions = [value for value in vars(torch_pickle).values() if isinstance(value, FunctionType)]
    before = [(function.__defaults__, function.__doc__, dict(function.__dict__)) for function in functions]
    changes = {"__defaults__": (1,), "__doc__": "mine", "mine": "mine"}
    state = b"".join(inside(key) + inside(value) for key, value in changes.items())
    refused(checkpoint(state_of(REBUILD + b"N}(" + state + b"u\x86b")))
    refused(checkpoint(state_of(REBUILD + b"}" + inside("mine") + inside("mine") + b"sb")))
    after = [(function.__defaults__, function.__doc__, dict(function.__dict__)) for function in functions]
    assert functions
    assert after == before


def test_a_file_cannot_change_the_class_of_state_dicts() -> None:
    refused(checkpoint(state_of(ORDERED_DICT + b"N}" + inside("mine") + inside(1) + b"s\x86b")))
    assert not hasattr(dict, "mine")


# Memory and time

GEOMETRIES: dict[str, bytes] = {
    "offset past the end": tensor(offset=1),
    "offset far away": tensor(offset=2**62),
    "offset below zero": tensor(offset=-1),
    "stride past the end": tensor(strides=(3, 1)),
    "stride far away": tensor(strides=(2**62, 1)),
    "stride below zero": tensor(strides=(-2, 1), offset=2),
    "one more row": tensor((3, 2)),
    "side below zero": tensor((-1, 2)),
    "two sides below zero": tensor((-2, -2)),
    "side below zero beside none": tensor((0, -2)),
    "huge shape": tensor((2**31, 2**31), (2**31, 1)),
    "huge shape without strides": tensor((2**31, 2**31), (0, 0)),
    "shape beyond 64 bits": tensor((10**30, 10**30), (0, 0)),
    "shape of a hundred axes": tensor((1,) * 100, (1,) * 100),
    "no rows of endless length": tensor((0, 2**70), (1, 1)),
    "no rows of huge length": tensor((0, 2**40, 2**40), (1, 1, 1)),
    "offset beyond 64 bits": tensor(offset=2**70),
    "side of true": tensor((True, 2)),
    "more sides than strides": tensor((2, 2), (1,)),
    "more strides than sides": tensor((4,), (1, 1)),
    "shape of text": tensor(("2", "2")),
    "shape of fractions": tensor((2.0, 2.0)),
    "strides of fractions": tensor(strides=(2.0, 1.0)),
    "shape of nothing": tensor((None, None)),
    "shape that is no sequence": tensor(4, (1,)),
    "shape that is text": tensor("22"),
    "offset that is text": tensor(offset="0"),
    "offset that is not a number": tensor(offset=float("nan")),
    "storage that is text": tensor(where=inside("storage")),
    "storage that is a tensor": tensor(where=tensor()),
    "storage of an unknown kind": tensor(where=storage(kind=inside("EvilStorage"))),
    "storage kind that is a function": tensor(where=storage(kind=REBUILD)),
    "storage with a view": tensor(where=storage(view=("0", 0, 4))),
    "storage key that is a number": tensor(where=storage(key=0)),
    "count below zero": tensor(where=storage(count=-4)),
    "count that is text": tensor(where=storage(count="4")),
    "count of 2**40": tensor(where=storage(count=2**40)),
    "count beyond 64 bits": tensor(where=storage(count=2**70)),
    "too few arguments": REBUILD + b"(" + storage() + b"tR",
    "no arguments": REBUILD + b")R",
    "a storage": storage(),
    "a bare name": REBUILD,
    "a number": inside(7),
    "name of another length": b"\x80\x02X\xff\xff\xff\xff",
}


@pytest.mark.parametrize("attack", GEOMETRIES)
def test_a_tensor_that_does_not_lie_in_its_storage_is_refused(attack: str) -> None:
    refused(checkpoint(state_of(GEOMETRIES[attack])))


@pytest.mark.parametrize("count", [-1, 0, 3, 5, 2**40, 2**61, 2**62, 2**63 - 1, -(2**63)])
def test_a_storage_of_another_length_than_declared_is_refused(count: int) -> None:
    refused(checkpoint(state_of(tensor()), count=count))


@pytest.mark.parametrize("count", [2**40, 2**61, 2**62, 2**63 - 1])
def test_a_huge_storage_that_the_file_does_not_hold_is_refused(count: int) -> None:
    refused(checkpoint(state_of(tensor(where=storage(count=count))), count=count))


def test_a_tensor_cannot_be_changed_after_it_was_checked() -> None:
    changes = inside("shape") + inside((2**13, 2**12)) + inside("strides") + inside((0, 0))
    tracemalloc.start()
    try:
        read = read_legacy_checkpoint(checkpoint(state_of(tensor() + b"}(" + changes + b"ub")))
        assert read["a"].tolist() == [[0, 1], [2, 3]]
    except NetError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * MIB


def test_a_storage_changed_after_it_was_checked_is_refused() -> None:
    changed = storage() + b"}(" + inside("dtype") + inside("O") + inside("count") + inside(2**40) + b"ub"
    refused(checkpoint(state_of(tensor(where=changed)), count=2**40))


def test_a_storage_that_thousands_of_tensors_share_does_not_fill_the_memory() -> None:
    count = 2**14
    one = tensor((count,), (1,), where=storage(count=count))
    state = b"}(" + b"".join(inside(str(index)) + one for index in range(1000)) + b"u"
    values = bytes(4 * count)
    tracemalloc.start()
    try:
        read = read_legacy_checkpoint(checkpoint(state, count, values))
        assert len(read) == 1000
    except NetError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 * MIB


def test_two_tensors_that_disagree_about_their_storage_are_refused() -> None:
    long = storage(kind=b"ctorch\nLongStorage\n", count=2)
    refused(checkpoint(b"}" + inside("a") + tensor() + b"s" + inside("b") + tensor(where=long) + b"s"))


@pytest.mark.parametrize(
    "keys", [inside([]), inside(["1"]), inside(["0", "1"]), inside([["0"]]), inside(7), b"N", b"}"]
)
def test_storage_keys_that_do_not_match_the_tensors_are_refused(keys: bytes) -> None:
    refused(checkpoint(state_of(tensor()), keys=keys))


def test_a_storage_that_is_listed_twice_in_place_of_another_is_refused() -> None:
    state = b"}" + inside("a") + tensor() + b"s" + inside("b") + tensor(where=storage(key="1")) + b"s"
    data = checkpoint(state, keys=inside(["0", "0"]))
    refused(data + data[-24:])


@pytest.mark.parametrize("name", [5, None, 2.5, b"a", ("a",)], ids=repr)
def test_names_that_are_not_text_are_refused(name: Any) -> None:
    refused(checkpoint(state_of(tensor(), name)))


@pytest.mark.parametrize(
    "bomb",
    [
        b"]r" + struct.pack("<I", 2**24),
        b"\x8e" + struct.pack("<Q", 2**40),
        b"\x8d" + struct.pack("<Q", 2**62),
        b"\x96" + struct.pack("<Q", 2**40),
        b"B" + struct.pack("<I", 2**32 - 1),
        b"X" + struct.pack("<I", 2**32 - 1),
        b"\x8b" + struct.pack("<i", 2**31 - 1),
        b"\x95" + struct.pack("<Q", 2**62),
        b"]p16777216\n",
    ],
    ids=["LONG_BINPUT", "BINBYTES8", "BINUNICODE8", "BYTEARRAY8", "BINBYTES", "BINUNICODE", "LONG4", "FRAME", "PUT"],
)
@pytest.mark.usefixtures("little_memory")
def test_a_pickle_instruction_cannot_claim_memory_the_file_does_not_hold(bomb: bytes) -> None:
    refused(checkpoint(state_of(bomb)))


SLOW = {
    "deep name": state_of(tensor())[:1] + b")" + b"\x85" * 10**6 + b"K\x01s",
    "deep set": b"\x8f(" + b")" + b"\x85" * 10**6 + b"\x90",
    "branching name": b"})" + b"2\x86" * 64 + b"K\x01s",
    "many groups on a high stack": b"N" * 10**5 + b"(t" * 10**5,
    "many marks": b"(" * 10**5 + b"t" * 10**5,
    "many copies": b"(" + b"N2" * 10**5 + b"t" + b"q\x00h\x00\x86" * 10**5,
}


@pytest.mark.parametrize("attack", [*SLOW, "deep key", "branching key"])
def test_a_small_file_neither_crashes_nor_hangs_the_reader(attack: str, tmp_path: Path) -> None:
    if attack.endswith("key"):
        nested = b")" + (b"\x85" * 10**6 if attack == "deep key" else b"2\x86" * 64)
        data = checkpoint(state_of(tensor()), keys=b"](" + nested + b"e")
    else:
        data = checkpoint(SLOW[attack])
    file = tmp_path / "hostile.pth"
    file.write_bytes(data)
    code = (
        "import sys, pathlib\n"
        "from decaf.errors import NetError\n"
        "from decaf.nets.readers.torch_pickle import read_legacy_checkpoint\n"
        "try:\n    read_legacy_checkpoint(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "except NetError:\n    sys.exit(42)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(file)], timeout=5, check=False).returncode == 42


# Damage


def test_a_truncated_checkpoint_is_refused() -> None:
    assert len(LEGIT) > 200
    for length in range(len(LEGIT)):
        with pytest.raises(NetError):
            read_legacy_checkpoint(LEGIT[:length])


@settings(deadline=None)
@given(st.binary(max_size=300))
@example(b"\x89PNG\r\n\x1a\n")
@example(b"PK\x03\x04")
@example(b"".join(HEADER))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(NetError):
        read_legacy_checkpoint(data)


@settings(deadline=None)
@given(st.binary(max_size=100))
@pytest.mark.usefixtures("little_memory")
def test_garbage_after_a_good_header_is_refused(data: bytes) -> None:
    with pytest.raises(NetError):
        read_legacy_checkpoint(b"".join(HEADER) + data)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with a few of them changed, cut out or put in."""
    broken = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(broken) - 1, 0)))
        length = draw(st.integers(0, 4))
        broken[at : at + length] = draw(st.binary(max_size=5))
    return bytes(broken)


def read_or_refused(data: bytes) -> None:
    try:
        read = read_legacy_checkpoint(data)
    except NetError:
        return
    assert all(isinstance(name, str) for name in read)
    assert all(type(value) is np.ndarray and value.dtype in (np.float32, np.int64) for value in read.values())
    assert sum(value.nbytes for value in read.values()) <= 100 * len(data)


@settings(deadline=None)
@given(damaged(LEGIT))
@example(checkpoint(state_of(tensor((1,), (2**70,)))))
@example(checkpoint(state_of(tensor((1, 0), (2**70, 2**70)))))
@pytest.mark.usefixtures("little_memory")
def test_a_damaged_checkpoint_is_read_or_refused_and_nothing_else(data: bytes) -> None:
    read_or_refused(data)


@cache
def saved_by_torch() -> bytes:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    state = torch.nn.BatchNorm1d(3).state_dict()
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


@settings(deadline=None)
@given(st.data())
@pytest.mark.usefixtures("little_memory")
def test_a_damaged_checkpoint_of_torch_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    read_or_refused(data.draw(damaged(saved_by_torch())))


# ONNX

SECRET = np.arange(12, dtype=np.float32) + 1000
HOW = {"size": 8, "crop": 8, "mean": [0, 0, 0], "std": [1, 1, 1]}
PICTURE = np.full((8, 8, 3), 7, np.uint8)


def network(
    nodes: Sequence[onnx.NodeProto] | None = None,
    weights: Sequence[TensorProto] = (),
    inputs: Sequence[onnx.ValueInfoProto] = (),
    said: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """A 1x1 convolution of an 8 px picture to four channels, or whatever is given in its place."""
    weight = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1), "w")
    graph = helper.make_graph(
        nodes or [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")],
        "network",
        list(inputs) or [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 8, 8])],
        list(weights) or [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"decaf.preprocess": json.dumps(HOW)} | (said or {}))
    return model


def run(path: Path) -> NDArray[np.float32]:
    """All that decaf does with a model file: load it, list its layers, compile it and compute its output."""
    net = load_net(path)
    engine = make_engine(net, [layer.name for layer in net.layers][-1:] or ["y"], threads=1)
    return engine.run([PICTURE])[0]


def run_in_torch(path: Path) -> NDArray[np.float32]:
    torch_module = pytest.importorskip("decaf.nets.torch_module")
    net = load_net(path)
    module = torch_module.OnnxModule(net.model)
    output: NDArray[np.float32] = module(torch_module.torch.ones(1, 3, 8, 8))["y"].detach().numpy()
    return output


def assert_refused(act: Callable[[Path], Any], model: onnx.ModelProto | bytes, folder: Path) -> str:
    path = folder / "hostile.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    with pytest.raises(NetError) as caught:
        act(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("act", [run, run_in_torch])
def test_the_harmless_model_that_the_attacks_are_made_from_runs(
    act: Callable[[Path], NDArray[np.float32]], tmp_path: Path
) -> None:
    (tmp_path / "good.onnx").write_bytes(network().SerializeToString())
    assert act(tmp_path / "good.onnx").size == 4 * 8 * 8


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"not a network",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\xff" * 1000,
        bytes(1000),
        LEGIT,
        onnx.ModelProto(ir_version=9).SerializeToString(),
        b'<?xml version="1.0"?><net name="x" version="11"><layers/></net>',
    ],
    ids=["empty", "zero", "text", "picture", "ones", "zeros", "checkpoint", "no graph", "OpenVINO IR"],
)
def test_what_is_no_onnx_file_is_refused(data: bytes, tmp_path: Path) -> None:
    assert "hostile.onnx" in assert_refused(load_net, data, tmp_path)


@pytest.mark.parametrize("name", [b"conv", b"decaf.preprocess", b"network", b"Conv"])
def test_names_that_are_no_text_are_refused(name: bytes, tmp_path: Path) -> None:
    data = network().SerializeToString()
    assert "is not an ONNX file" in assert_refused(load_net, data.replace(name, b"\xff" + name[1:]), tmp_path)


def test_a_folder_or_nothing_in_place_of_a_model_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.onnx"):
        with pytest.raises(NetError, match="is not there"):
            load_net(path)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    data = network().SerializeToString()
    graph_ends = data.index(b"decaf.preprocess") - 4
    for length in range(0, graph_ends, 3):
        assert_refused(run, data[:length], tmp_path)


def test_a_pickle_inside_a_model_is_never_read(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    attack = b"\x80\x02" + by_global("os", "system", f"touch {marker}") + b"."
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 3, 1, 1], raw_data=attack)
    assert_refused(run, network(weights=[weight]), tmp_path)
    assert_refused(run, network(nodes=[helper.make_node("PythonOp", ["x"], ["y"], code=attack)]), tmp_path)
    assert not marker.exists()


def elsewhere(location: str, dims: Sequence[int] = (4, 3, 1, 1)) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "48")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def in_an_initializer(weight: TensorProto) -> onnx.ModelProto:
    return network(weights=[weight])


def in_a_constant(weight: TensorProto) -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    return network(nodes=[constant, helper.make_node("Conv", ["x", "w"], ["y"])])


def in_a_branch(weight: TensorProto) -> onnx.ModelProto:
    convolution = helper.make_node("Conv", ["x", "w"], ["z"])
    output = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 4, 8, 8])
    branch = helper.make_graph([convolution], "branch", [], [output], [weight])
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
        helper.make_node("Greater", ["largest", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branch, else_branch=branch),
    ]
    return network(nodes=nodes, weights=[numpy_helper.from_array(np.float32(0), "zero")])


def in_a_sparse_initializer(weight: TensorProto) -> onnx.ModelProto:
    values = TensorProto()
    values.CopyFrom(weight)
    del values.dims[:]
    values.dims.append(12)
    model = network(weights=[numpy_helper.from_array(np.float32(0), "zero")])
    indices = numpy_helper.from_array(np.arange(12), "indices")
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=values, indices=indices, dims=[4, 3, 1, 1]))
    return model


@pytest.mark.parametrize("act", [run, run_in_torch])
@pytest.mark.parametrize("location", ["/etc/passwd", "../../../../../etc/passwd", "secret.bin", "{folder}/secret.bin"])
@pytest.mark.parametrize("place", [in_an_initializer, in_a_constant, in_a_branch, in_a_sparse_initializer])
def test_parameters_in_other_files_are_refused_wherever_they_are_named(
    place: Callable[[TensorProto], onnx.ModelProto], location: str, act: Callable[[Path], Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "secret.bin").write_bytes(SECRET.tobytes())
    monkeypatch.chdir(tmp_path)
    assert_refused(act, place(elsewhere(location.format(folder=tmp_path))), tmp_path)


def value(*dims: int | str, name: str = "x", kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, dims)


INPUTS: dict[str, list[onnx.ValueInfoProto]] = {
    "sides not fixed": [value("N", 3, "H", "W")],
    "one side not fixed": [value("N", 3, 8, "W")],
    "sides differ": [value("N", 3, 8, 9)],
    "sides of zero": [value("N", 3, 0, 0)],
    "sides below zero": [value("N", 3, -8, -8)],
    "sides beyond all pictures": [value("N", 3, 2**40, 2**40)],
    "channels last": [value("N", 8, 8, 3)],
    "grey": [value("N", 1, 8, 8)],
    "channels not fixed": [value("N", "C", 8, 8)],
    "flat": [value("N", 192)],
    "video": [value("N", 3, 8, 8, 8)],
    "no shape": [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
    "a sequence": [helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)],
    "no type": [onnx.ValueInfoProto(name="x")],
    "two pictures": [value("N", 3, 8, 8), value("N", 3, 8, 8, name="z")],
    "a picture and a number": [value("N", 3, 8, 8), value(1, name="z")],
    "whole numbers": [value("N", 3, 8, 8, kind=TensorProto.INT64)],
    "bytes": [value("N", 3, 8, 8, kind=TensorProto.UINT8)],
    "text": [value("N", 3, 8, 8, kind=TensorProto.STRING)],
}


@pytest.mark.parametrize("act", [run, run_in_torch])
@pytest.mark.parametrize("inputs", INPUTS)
def test_an_input_that_is_not_one_picture_of_fixed_size_is_refused(
    inputs: str, act: Callable[[Path], Any], tmp_path: Path
) -> None:
    assert_refused(act, network(inputs=INPUTS[inputs]), tmp_path)


def test_a_network_without_inputs_is_refused(tmp_path: Path) -> None:
    model = network()
    del model.graph.input[:]
    assert_refused(load_net, model, tmp_path)


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, outputs, **attributes)


def without(field: str) -> onnx.ModelProto:
    model = network()
    owner: Any = model if field == "opset_import" else model.graph
    del getattr(owner, field)[:]
    return model


def with_weight(**changes: Any) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1), "w")
    weight.MergeFrom(TensorProto(**changes))
    return network(weights=[weight])


BROKEN: dict[str, onnx.ModelProto] = {
    "no output": without("output"),
    "no weights": without("initializer"),
    "no operator set": without("opset_import"),
    "unknown operator": network([node("Zork", ["x"])]),
    "operator of another domain": network([node("Zork", ["x"], domain="example.org")]),
    "convolution without weights": network([node("Conv", ["x"])]),
    "convolution without anything": network([node("Conv", [])]),
    "product without factor": network([node("MatMul", ["x"])]),
    "linear without weights": network([node("Gemm", ["x"])]),
    "input that nobody makes": network([node("Conv", ["x", "nobody"])]),
    "input made later": network([node("Relu", ["z"]), node("Conv", ["x", "w"], ["z"])]),
    "node that feeds itself": network([node("Add", ["x", "y"])]),
    "two nodes of one name": network([node("Conv", ["x", "w"]), node("Relu", ["x"])]),
    "node without outputs": network([node("Conv", ["x", "w"]), node("Relu", ["y"], [], name="r")]),
    "node without a kind": network([node("", ["x"])]),
    "weight of another size": with_weight(dims=[7]),
    "weight of too many bytes": with_weight(raw_data=bytes(64)),
    "weight of unknown kind": with_weight(data_type=999),
    "weight of text": with_weight(data_type=TensorProto.STRING),
}


@pytest.mark.parametrize("act", [run, run_in_torch])
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_graph_is_refused(broken: str, act: Callable[[Path], Any], tmp_path: Path) -> None:
    assert_refused(act, BROKEN[broken], tmp_path)


def test_a_padding_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    pads = [10**6] * 4
    assert_refused(run, network([node("MaxPool", ["x"], kernel_shape=[1, 1], pads=pads)]), tmp_path)


def test_a_weight_larger_than_its_bytes_is_refused(tmp_path: Path) -> None:
    model = network()
    model.graph.initializer[0].dims[0] = 2**40
    assert_refused(run, model, tmp_path)


METADATA: dict[str, dict[str, str]] = {
    "not JSON": {"preprocess": "{"},
    "nothing": {"preprocess": ""},
    "deep": {"labels": "[" * 10**5},
    "another kind": {"preprocess": "[]"},
    "null": {"preprocess": "null"},
    "no fields": {"preprocess": "{}"},
    "unknown field": {"preprocess": json.dumps(HOW | {"code": "os.system"})},
    "unknown resize": {"preprocess": json.dumps(HOW | {"resize": "stretch"})},
    "resize of another kind": {"preprocess": json.dumps(HOW | {"resize": ["warp"]})},
    "unknown channels": {"preprocess": json.dumps(HOW | {"channels": {"RGB": 1}})},
    "another side": {"preprocess": json.dumps(HOW | {"size": 9, "crop": 9})},
    "huge side": {"preprocess": json.dumps(HOW | {"size": 10**30})},
    "infinite side": {"preprocess": json.dumps(HOW | {"size": float("inf")})},
    "mean without end": {"preprocess": json.dumps(HOW | {"mean": [10**400, 0, 0]})},
    "mean that is not a number": {"preprocess": json.dumps(HOW | {"mean": [float("nan")] * 3})},
    "number of 5000 digits": {"preprocess": json.dumps(HOW).replace("8", "8" * 5000)},
    "std of zero": {"preprocess": json.dumps(HOW | {"std": [0, 1, 1]})},
    "name of another kind": {"name": "5"},
    "labels of another kind": {"labels": '{"0": "cat"}'},
    "aliases of another kind": {"aliases": '["pool"]'},
    "alias of a list": {"aliases": '{"pool": ["y"]}'},
    "alias of an object": {"aliases": '{"pool": {"y": 1}}'},
    "provenance of another kind": {"provenance": '"me"'},
}


@pytest.mark.parametrize("said", METADATA)
def test_bad_metadata_is_refused(said: str, tmp_path: Path) -> None:
    properties = {f"decaf.{key}": text for key, text in METADATA[said].items()}
    assert_refused(run, network(said=properties), tmp_path)


@settings(deadline=None)
@given(damaged(network().SerializeToString()))
@pytest.mark.usefixtures("little_memory")
def test_a_damaged_model_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(data)
    try:
        assert all(layer.multiply_adds >= 0 for layer in load_net(path).layers)
    except NetError:
        return
