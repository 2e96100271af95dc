"""Hostile torch zips, safetensors, npz and imported files: one line, little memory, nothing executed."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attacks.hostile import CALLS, FORMS, MIB, ORDERED_DICT, Form, inside, refused
from tests.features.helpers import tiny_net

from decaf.errors import NetError
from decaf.nets.readers.checkpoint import read_checkpoint
from decaf.nets.readers.importing import import_net
from decaf.nets.registry import load_net

pytestmark = pytest.mark.usefixtures("little_memory")

VALUES = np.arange(4, dtype="<f4")


def storage(key: Any = "0", count: Any = 4, kind: bytes = b"ctorch\nFloatStorage\n", more: bytes = b"") -> bytes:
    return b"(" + inside("storage") + kind + inside(key) + inside("cpu") + inside(count) + more + b"tQ"


def tensor(where: bytes, shape: Any = (2, 2), strides: Any = (2, 1), offset: Any = 0) -> bytes:
    stated = inside(offset) + inside(shape) + inside(strides) + b"\x89" + ORDERED_DICT + b")R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + where + stated + b"tR"


def state(words: bytes) -> bytes:
    return b"\x80\x02}" + inside("a") + words + b"s."


GOOD = {
    "archive/data.pkl": state(tensor(storage())),
    "archive/byteorder": b"little",
    "archive/data/0": VALUES.tobytes(),
    "archive/version": b"3\n",
}


def zipped(changes: Mapping[str, bytes | None] | None = None, how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as made:
        for name, data in (GOOD | dict(changes or {})).items():
            if data is not None:
                made.writestr(name, data)
    return file.getvalue()


def test_the_harmless_zip_that_the_attacks_are_made_from_is_read() -> None:
    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert read_checkpoint(zipped(how=how))["a"].tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_in_a_zip_is_refused_and_never_made(form: Form, call: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    words = form(*call.split("."), CALLS[call].format(marker))
    for hidden in (words, state(words)[2:-1]):
        refused(lambda words=hidden: read_checkpoint(zipped({"archive/data.pkl": b"\x80\x02" + words + b"."})))
    assert not marker.exists()


STATES: dict[str, bytes] = {
    "count larger than the member": tensor(storage(count=5)),
    "count of 2**40": tensor(storage(count=2**40)),
    "count beyond 64 bits": tensor(storage(count=2**70)),
    "count below zero": tensor(storage(count=-4)),
    "another member": tensor(storage(key="1")),
    "a member elsewhere": tensor(storage(key="../version")),
    "a file elsewhere": tensor(storage(key="../../../../../etc/passwd")),
    "a key that is a number": tensor(storage(key=0)),
    "an unknown kind": tensor(storage(kind=b"ctorch\nUntypedStorage\n")),
    "a kind of text": tensor(storage(kind=inside("FloatStorage"))),
    "a view of another": tensor(storage(more=inside(("0", 0, 4)))),
    "two kinds of one storage": tensor(storage(kind=b"ctorch\nLongStorage\n", count=2))
    + b"s" + inside("b") + tensor(storage()),
    "more rows than there are": tensor(storage(), (3, 2)),
    "rows far away": tensor(storage(), strides=(2**62, 1)),
    "a huge shape": tensor(storage(), (2**31, 2**31), (0, 0)),
    "a storage that no tensor is": storage(),
    "a tensor changed afterwards": tensor(storage()) + b"}" + inside("shape") + inside((2**20,)) + b"sb",
    "a parameter that is none": b"ctorch._utils\n_rebuild_parameter\n" + inside(("a", True)) + b"R",
    "an optimizer": b"ctorch.optim.sgd\nSGD\n)\x81",
    "another torch": b"ctorch\nload\n" + inside(("x",)) + b"R",
    "a tensor by another name": b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
    "a storage of bytes": b"ctorch.storage\n_load_from_bytes\n" + inside(("x",)) + b"R",
}  # fmt: skip


@pytest.mark.parametrize("attack", STATES)
def test_a_state_that_does_not_lie_in_its_members_is_refused(attack: str) -> None:
    refused(lambda: read_checkpoint(zipped({"archive/data.pkl": state(STATES[attack])})))


def overlapping() -> bytes:
    """A hundred members of the table that are one member of the file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("archive/data.pkl", b"")
        made.writestr("archive/data/0", bytes(2**16))
        first = made.getinfo("archive/data/0")
        for index in range(1, 100):
            copied = zipfile.ZipInfo(f"archive/data/{index}")
            for name in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(copied, name, getattr(first, name))
            made.filelist.append(copied)
            made.NameToInfo[copied.filename] = copied
    return file.getvalue()


ZIPS: dict[str, Callable[[], bytes]] = {
    "no pickle": lambda: zipped({"archive/data.pkl": None}),
    "no storage": lambda: zipped({"archive/data/0": None}),
    "a short storage": lambda: zipped({"archive/data/0": bytes(15)}),
    "a long storage": lambda: zipped({"archive/data/0": bytes(17)}),
    "a pickle that inflates to 128 MiB": lambda: zipped({"archive/data.pkl": bytes(2**27)}, zipfile.ZIP_DEFLATED),
    "a storage that inflates": lambda: zipped({"archive/data/0": bytes(2**26)}, zipfile.ZIP_DEFLATED),
    "a storage that inflates, and is wanted": lambda: zipped(
        {"archive/data/0": bytes(2**26), "archive/data.pkl": state(tensor(storage(count=2**24), (2**24,), (1,)))},
        zipfile.ZIP_DEFLATED,
    ),
    "a byte order that inflates": lambda: zipped({"archive/byteorder": bytes(2**26)}, zipfile.ZIP_DEFLATED),
    "compressed by bzip2": lambda: zipped(how=zipfile.ZIP_BZIP2),
    "compressed by lzma": lambda: zipped(how=zipfile.ZIP_LZMA),
    "members that overlap": overlapping,
    "a table of nothing": lambda: b"PK\x03\x04" + b"PK\x05\x06" + bytes(18),
    "a table far away": lambda: (
        zipped()[:-22] + b"PK\x05\x06" + bytes(4) + struct.pack("<HHIIH", 1, 1, 2**31, 2**31, 0)
    ),
    "many members": lambda: zipped()[:40] + (b"PK\x01\x02" + bytes(42)) * 100_001,
    "cut": lambda: zipped()[:-30],
    "damaged": lambda: zipped().replace(VALUES.tobytes(), bytes(16)),
    "encrypted": lambda: zipped().replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
}


@pytest.mark.parametrize("attack", ZIPS)
def test_a_zip_that_is_no_checkpoint_is_refused(attack: str) -> None:
    data = ZIPS[attack]()
    refused(lambda: read_checkpoint(data))


def header(entries: Any, data: bytes = VALUES.tobytes(), length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16)) -> dict[str, Any]:
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


SAFETENSORS: dict[str, bytes] = {
    "header of an exabyte": header(entry(), length=2**62),
    "header beyond the end": header(entry(), length=10**6),
    "header of megabytes": header(b"{" + b" " * 2**23 + b"}"),
    "header of spaces": header(b"{" + b" " * 2**22),
    "deep header": header(b'{"a":' + b"[" * 10**6),
    "deep metadata": header(b'{"__metadata__":' * 10**5),
    "header that is a list": header(b"[1]"),
    "header that is no JSON": header(b"{a}"),
    "unknown numbers": header(entry("PICKLE")),
    "complex numbers": header(entry("C64", (2,))),
    "eight bits": header(entry("F8_E4M3", (16,))),
    "kind of a number": header(entry(7)),
    "huge shape": header(entry(shape=(2**62, 4))),
    "shape beyond 64 bits": header(entry(shape=(2**70,))),
    "shape below zero": header(entry(shape=(-4,))),
    "shape of text": header(entry(shape="4")),
    "another size": header(entry(shape=(3,))),
    "offsets beyond the end": header(entry(offsets=(0, 2**40), shape=(2**38,))),
    "offsets backwards": header(entry(offsets=(16, 0))),
    "offsets below zero": header(entry(offsets=(-16, 0))),
    "a hole": header(entry(offsets=(4, 20)), bytes(20)),
    "values that nobody names": header(entry(), bytes(32)),
    "one value for two names": header(entry() | {"b": entry()["a"]}),
}


@pytest.mark.parametrize("attack", SAFETENSORS)
def test_a_safetensors_file_that_lies_is_refused(attack: str) -> None:
    refused(lambda: read_checkpoint(SAFETENSORS[attack]))


def npy(shape: str = "(4,)", dtype: str = "'<f4'", data: bytes = VALUES.tobytes(), version: bytes = b"\1\0") -> bytes:
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + version + size + text + data


def npz(how: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as made:
        for name, data in members.items():
            made.writestr(f"{name}.npy", data)
    return file.getvalue()


def test_the_harmless_npz_that_the_attacks_are_made_from_is_read() -> None:
    for version in (b"\1\0", b"\2\0"):
        assert np.array_equal(read_checkpoint(npz(a=npy(version=version)))["a"], VALUES)


NPZ: dict[str, Callable[[], bytes]] = {
    "a pickle": lambda: npz(a=npy("(1,)", "'|O'", pickle.dumps(np.array([print])))),
    "a record": lambda: npz(a=npy("(1,)", "[('x', '<f4'), ('y', '|O')]")),
    "text": lambda: npz(a=npy(dtype="'|S4'")),
    "dates": lambda: npz(a=npy("(2,)", "'<M8[s]'")),
    "a terabyte": lambda: npz(a=npy("(274877906944,)")),
    "beyond 64 bits": lambda: npz(a=npy(f"({2**70},)")),
    "below zero": lambda: npz(a=npy("(-4,)")),
    "empty but huge": lambda: npz(a=npy(f"(0, {2**70})", data=b"")),
    "an expression": lambda: npz(a=npy("(__import__('os').getpid(),)")),
    "a deep expression": lambda: npz(a=npy("(" * 5000)),
    "a long header": lambda: npz(a=npy("(" + "1," * 10**5 + ")", version=b"\2\0")),
    "another version": lambda: npz(a=npy(version=b"\3\0")),
    "an unknown version": lambda: npz(a=npy(version=b"\x63\0")),
    "too few numbers": lambda: npz(a=npy("(5,)")),
    "too many numbers": lambda: npz(a=npy("(3,)")),
    "no array": lambda: npz(a=b"hello"),
    "nothing": lambda: npz(a=b""),
    "inflating": lambda: npz(zipfile.ZIP_DEFLATED, a=npy("(16777216,)", data=bytes(2**26))),
    "inflating one by one": lambda: npz(
        zipfile.ZIP_DEFLATED, **{f"a{i}": npy("(262144,)", data=bytes(2**20)) for i in range(64)}
    ),
}


@pytest.mark.parametrize("attack", NPZ)
def test_an_npz_file_that_lies_is_refused(attack: str) -> None:
    data = NPZ[attack]()
    refused(lambda: read_checkpoint(data), memory=12 * MIB)


# Networks


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_refused_by_name(value: float, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(tiny_net().model)
    broken = onnx.numpy_helper.to_array(model.graph.initializer[1]).copy()
    broken[2, 3] = value
    model.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(broken, "v"))
    (tmp_path / "broken.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "broken.safetensors").write_bytes(
        safetensors.numpy.save({t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer})
    )
    tiny_net().save(tmp_path / "good.onnx")
    rule = "size=32,mean=128,std=64"
    for file, target in (("broken.onnx", None), ("broken.onnx", "good.onnx"), ("broken.safetensors", "good.onnx")):
        options = {"net": tmp_path / target} if target else {"preprocess": rule}
        message = refused(lambda f=file, o=options: import_net([tmp_path / f], **o))
        assert "'v' has values that are not finite" in message


def test_an_imported_file_with_parameters_elsewhere_is_refused(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(tiny_net().model)
    first = model.graph.initializer[0]
    first.ClearField("raw_data")
    first.data_location = onnx.TensorProto.EXTERNAL
    first.external_data.add(key="location", value="../../../../../etc/passwd")
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    for options in ({"preprocess": "torchvision,crop=24"}, {"net": tmp_path / "a.onnx"}):
        assert "in other files" in refused(lambda o=options: import_net([tmp_path / "a.onnx"], **o))


def test_what_is_written_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "out.onnx").symlink_to(tmp_path / "precious")
    tiny_net().save(tmp_path / "in.onnx")
    import_net([tmp_path / "in.onnx"]).net.save(tmp_path / "out.onnx")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "out.onnx").is_symlink()
    assert load_net(tmp_path / "out.onnx").name == "tiny"


SEEDS = (zipped(), zipped(how=zipfile.ZIP_DEFLATED), header(entry()), npz(a=npy()), tiny_net().data)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    broken = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(broken) - 1, 0)))
        broken[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=5))
    try:
        read = read_checkpoint(bytes(broken))
    except NetError as error:
        assert "\n" not in str(error)
        return
    assert all(type(name) is str and type(value) is np.ndarray for name, value in read.items())
    assert sum(value.nbytes for value in read.values()) <= 10 * len(broken)
