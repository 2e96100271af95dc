"""Hostile pickles of plain values and of cuda-convnet: nothing is called, nothing large is made, one line is said."""

from __future__ import annotations

import pickle
import struct
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.attacks.hostile import CALLS, FORMS, MIB, Form, inside, refused

from decaf.errors import NetError
from decaf.nets.readers import pickle_machine, plain_pickle
from decaf.nets.readers.cuda_convnet import read_cuda_convnet, read_meta
from decaf.nets.readers.plain_pickle import read_plain_pickle

pytestmark = pytest.mark.usefixtures("little_memory")

READERS = (read_plain_pickle, read_cuda_convnet, read_meta)
NDARRAY = b"cnumpy.core.multiarray\n_reconstruct\n"
EMPTY = NDARRAY + b"cnumpy\nndarray\nK\x00\x85C\x01b\x87R"
BUFFER = b"cnumpy.core.numeric\n_frombuffer\n("
SCALAR = b"cnumpy.core.multiarray\nscalar\n"


def pickled(words: bytes, protocol: int = 4) -> bytes:
    return b"\x80" + bytes([protocol]) + words + b"."


def dtype(code: Any = "f4", order: Any = "<", rest: bytes = b"NNN") -> bytes:
    made = b"cnumpy\ndtype\n" + inside(code) + inside(0) + inside(1) + b"\x87R"
    return made + b"(" + inside(3) + inside(order) + rest + inside(-1) + inside(-1) + inside(0) + b"tb"


def array(shape: Any = (2,), kind: bytes | None = None, raw: Any = bytes(8), by_columns: Any = False) -> bytes:
    stated = b"C" + bytes([len(raw)]) + raw if isinstance(raw, bytes) else inside(raw)
    return EMPTY + b"(" + inside(1) + inside(shape) + (kind or dtype()) + inside(by_columns) + stated + b"tb"


def test_the_harmless_pickle_that_the_attacks_are_made_from_is_read() -> None:
    assert read_plain_pickle(pickled(array())).tolist() == [0, 0]
    assert read_plain_pickle(pickled(b"]" + array(raw=b"\0\0\x80?" * 2) + b"a"))[0].tolist() == [1, 1]


# Code


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_is_refused_and_never_made(form: Form, call: str, read: Any, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    words = form(*call.split("."), CALLS[call].format(marker))
    for hidden in (words, b"]" + words + b"a", b"}" + inside("layers") + words + b"s"):
        refused(lambda words=hidden: read(pickled(words)))
    assert not marker.exists()


INSTRUCTIONS: dict[str, bytes] = {
    "NEWOBJ": b"ccollections\nOrderedDict\n)\x81",
    "NEWOBJ of a class": b"csubprocess\nPopen\n" + inside(("true",)) + b"\x81",
    "NEWOBJ_EX": b"ccollections\nOrderedDict\n)}\x92",
    "NEWOBJ_EX of a class": b"csubprocess\nPopen\n" + inside(("true",)) + b"}\x92",
    "OBJ": b"(ccollections\nOrderedDict\no",
    "INST": b"(icollections\nOrderedDict\n",
    "EXT1": b"\x82\x01",
    "EXT2": b"\x83\x01\x00",
    "EXT4": b"\x84\x01\x00\x00\x00",
    "PERSID": b"Pfile:///etc/passwd\n",
    "BINPERSID": inside("file:///etc/passwd") + b"Q",
    "NEXT_BUFFER": b"\x97",
    "READONLY_BUFFER": inside(b"a") + b"\x98",
    "EMPTY_SET": b"\x8f",
    "FROZENSET": b"(\x91",
    "DUP": b"N2\x86",
    "LONG4": b"\x8b\x01\x00\x00\x00\x01",
    "STACK_GLOBAL of a path": inside("numpy") + inside("dtype.__class__") + b"\x93",
    "STACK_GLOBAL of numbers": inside(1) + inside(2) + b"\x93",
    "GLOBAL of three words": b"cnumpy core\ndtype\n",
    "a bare name": b"cnumpy\ndtype\n",
    "a bare kind of numbers": dtype(),
    "a name as a key": b"}cnumpy\ndtype\nNs",
    "a mark": b"(\x85",
    "a name called that may not be": b"cnumpy\nndarray\n)R",
    "a value called": inside(1) + b")R",
    "called without a tuple": b"ccollections\nOrderedDict\n]R",
    "codecs of another kind": b"c_codecs\nencode\n" + inside("a") + inside("rot13") + b"\x86R",
    "codecs of bytes": b"c_codecs\nencode\n" + inside(1) + inside("latin1") + b"\x86R",
    "BUILD of a list": b"]}" + inside("append") + inside(1) + b"sb",
    "BUILD of a name": b"cnumpy\ndtype\n}" + inside("type") + inside(1) + b"sb",
    "BUILD of a number": inside(1) + b"}b",
}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_instructions_that_plain_values_do_not_need_are_refused(instruction: str, read: Any) -> None:
    refused(lambda: read(pickled(INSTRUCTIONS[instruction])))
    refused(lambda: read(pickled(b"]" + INSTRUCTIONS[instruction] + b"a")))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy", "load"),
        ("numpy", "fromfile"),
        ("numpy", "memmap"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy._core.multiarray", "_reconstruct.__globals__"),
        ("_codecs", "decode"),
        ("codecs", "encode"),
        ("builtins", "bytearray"),
        ("builtins", "getattr"),
        ("copyreg", "_reconstructor"),
        ("decaf.nets.readers.plain_pickle", "_Dtype"),
    ],
)
def test_no_other_name_can_be_reached(module: str, name: str) -> None:
    for lookup in (inside(module) + inside(name) + b"\x93", f"c{module}\n{name}\n".encode()):
        assert "wants to call" in refused(lambda words=lookup: read_plain_pickle(pickled(words + b")R")))


def test_a_name_cannot_break_the_line_that_refuses_it() -> None:
    for name in ("a\nb", "a\rb", "\x1b[2J", "\u2028", "a" * 10**5):
        message = refused(lambda name=name: read_plain_pickle(pickled(inside(name) + inside(name) + b"\x93")))
        assert message.isprintable()


def test_a_file_cannot_change_the_reader_for_the_files_after_it() -> None:
    functions = [f for m in (plain_pickle, pickle_machine) for f in vars(m).values() if isinstance(f, FunctionType)]
    before = [(f.__defaults__, f.__doc__, dict(f.__dict__)) for f in functions]
    names = dict(plain_pickle.ARRAY_NAMES)
    for target in (b"cnumpy\ndtype\n", NDARRAY, EMPTY, dtype()):
        refused(
            lambda words=target: read_plain_pickle(pickled(words + b"N}" + inside("__doc__") + inside("x") + b"s\x86b"))
        )
    assert [(f.__defaults__, f.__doc__, dict(f.__dict__)) for f in functions] == before
    assert names == plain_pickle.ARRAY_NAMES


# Memory and time

ARRAYS: dict[str, bytes] = {
    "objects": array(kind=dtype("O"), raw=bytes(16)),
    "objects by another name": array(kind=dtype("O8", "|"), raw=bytes(16)),
    "text": array(kind=dtype("S4", "|")),
    "unicode": array(kind=dtype("U1")),
    "raw memory": array(kind=dtype("V4", "|")),
    "dates": array(kind=dtype("M8")),
    "complex": array(kind=dtype("c8"), raw=bytes(16)),
    "long floats": array(kind=dtype("f16"), raw=bytes(32)),
    "a record": array(kind=dtype("f4,f4")),
    "endless text": array(kind=dtype("S2147483647", "|")),
    "kind of a number": array(kind=dtype(4)),
    "fields": array(kind=dtype(rest=b"N" + inside(("a",)) + b"}" + inside("a") + inside(1) + b"s")),
    "subarray": array(kind=dtype(rest=inside((2**30,)) + b"NN")),
    "unknown order": array(kind=dtype(order="x")),
    "kind that is a kind's name": array(kind=inside("f4")),
    "huge": array((2**40,)),
    "huge in two axes": array((2**31, 2**31)),
    "beyond 64 bits": array((2**70,)),
    "empty but huge": array((0, 2**62), raw=b""),
    "empty but of many axes": array((0,) + (2**47,) * 31, raw=b""),
    "a hundred axes": array((1,) * 100, raw=bytes(4)),
    "below zero": array((-2,)),
    "two below zero": array((-1, -2)),
    "true": array((True,), raw=bytes(4)),
    "fractions": array((2.0,)),
    "a number": array(2),
    "too few bytes": array((3,)),
    "too many bytes": array((1,)),
    "bytes that are a list": array(raw=[0, 0]),
    "text beyond Latin-1": array((1,), raw="\u20ac" * 4),
    "order that is no truth": array(by_columns=7),
    "no state": EMPTY + b")b",
    "state of a dict": EMPTY + b"}b",
    "another class": NDARRAY + b"ccollections\nOrderedDict\nK\x00\x85C\x01b\x87R",
    "buffer of another order": BUFFER + inside(bytes(8)) + dtype() + inside((2,)) + inside("Z") + b"tR",
    "buffer too short": BUFFER + inside(bytes(8)) + dtype() + inside((2**40,)) + inside("C") + b"tR",
    "scalar of objects": SCALAR + dtype("O") + inside(bytes(8)) + b"\x86R",
    "scalar too long": SCALAR + dtype() + inside(bytes(8)) + b"\x86R",
    "scalar of no kind": SCALAR + inside("f4") + inside(bytes(4)) + b"\x86R",
}  # fmt: skip


@pytest.mark.parametrize("attack", ARRAYS)
def test_an_array_that_is_not_what_its_bytes_are_is_refused(attack: str) -> None:
    refused(lambda: read_plain_pickle(pickled(ARRAYS[attack])))


BOMBS: dict[str, bytes] = {
    "lists twice": b"]" + b"q\x00]h\x00ah\x00a" * 60,
    "tuples twice": b")" + b"q\x00h\x00\x86" * 60,
    "dicts twice": b"]" + b"q\x00}" + inside("a") + b"h\x00s" + (b"q\x00h\x00\x86" * 60),
    "a list inside of itself": b"]q\x00h\x00a",
    "a dict inside of itself": b"}q\x07" + inside("a") + b"h\x07s",
    "two lists inside of each other": b"]q\x00]q\x01h\x00ah\x01a",
    "deep tuples": b")" + b"\x85" * 10**4,
    "deep lists": b"]" * 10**4 + b"a" * (10**4 - 1),
    "too many instructions": b"](" + b"N" * (10**6 + 10) + b"e",
    "empty lists without end": b"](" + b"]" * (10**6 + 10) + b"e",
    "a number of a million digits": b"I" + b"9" * 10**6 + b"\n",
    "a long number of a million digits": b"L" + b"9" * 10**6 + b"L\n",
    "keys that collide": b"}(" + b"".join(inside(index * (2**61 - 1)) + b"N" for index in range(1000)) + b"u",
    "keys below zero": b"}" + inside(-1) + b"Ns",
    "keys of fractions": b"}" + inside(1.5) + b"Ns",
    "keys of true": b"}\x88Ns",
    "keys of tuples": b"}" + b")" + b"q\x00h\x00\x86" * 60 + b"Ns",
    "memo that is not there": b"h\x07",
    "memo of nothing": b"q\x00N",
    "an odd dict": b"}(" + inside("a") + b"u",
    "groups without a mark": b"t",
    "nothing on the stack": b"a",
    "two results": b"NN",
    "no result": b"",
    "BINBYTES8 of a terabyte": b"\x8e" + struct.pack("<Q", 2**40),
    "BYTEARRAY8 of a terabyte": b"\x96" + struct.pack("<Q", 2**40),
    "BINUNICODE8 of a terabyte": b"\x8d" + struct.pack("<Q", 2**40),
    "BINSTRING below zero": b"T" + struct.pack("<i", -1),
    "BINSTRING of two gigabytes": b"T" + struct.pack("<i", 2**31 - 1),
    "LONG1 that is cut": b"\x8a\xff",
    "FRAME of an exabyte": b"\x95" + struct.pack("<Q", 2**62),
    "PUT far away": b"]p" + b"9" * 4000 + b"\n\x85q\x00h\x07",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_soon_and_at_little_cost(bomb: str) -> None:
    data = pickled(BOMBS[bomb])
    for read in READERS if len(data) < 10**5 else READERS[:1]:
        refused(lambda read=read: read(data), memory=8 * MIB + 130 * len(data))


def test_a_hostile_file_neither_overflows_the_stack_nor_hangs_when_it_is_thrown_away(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, resource\n"
        "from decaf.errors import NetError\n"
        "from decaf.nets.readers.plain_pickle import read_plain_pickle\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "try:\n    read_plain_pickle(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "except NetError:\n    sys.exit(42)\n"
    )
    for index, words in enumerate((b")" + b"\x85" * (10**6 - 9), b"]" * 499_999 + b"a" * 499_998)):
        file = tmp_path / f"{index}.pkl"
        file.write_bytes(pickled(words))
        assert subprocess.run([sys.executable, "-c", code, str(file)], timeout=20, check=False).returncode == 42


def test_a_truncated_pickle_is_refused() -> None:
    for protocol in (0, 2, 4, 5):
        data = pickle.dumps({"a": [np.arange(3.0), 1, "b"], "c": (None, 2.5)}, protocol)
        for length in range(len(data)):
            with pytest.raises(NetError):
                read_plain_pickle(data[:length])


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_read_or_refused_and_nothing_else(data: bytes) -> None:
    for read in READERS:
        try:
            read(b"\x80\x02" + data + b".")
        except NetError as error:
            assert "\n" not in str(error)
