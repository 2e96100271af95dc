"""Pickles written word by word, and what reading one may cost."""

from __future__ import annotations

import pickle
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from decaf.errors import NetError

MIB = 2**20
ORDERED_DICT = b"ccollections\nOrderedDict\n"


def inside(value: Any) -> bytes:
    """A value in pickle's own words, without the frame and the memo."""
    return pickle.dumps(value, 2)[2:-1] if not isinstance(value, tuple) else b"(" + b"".join(map(inside, value)) + b"t"


def by_global(module: str, name: str, argument: str) -> bytes:
    return f"c{module}\n{name}\n".encode() + b"(" + inside(argument) + b"tR"


def by_stack_global(module: str, name: str, argument: str) -> bytes:
    return inside(module) + inside(name) + b"\x93" + inside(argument) + b"\x85R"


def by_inst(module: str, name: str, argument: str) -> bytes:
    return b"(" + inside(argument) + f"i{module}\n{name}\n".encode()


def by_obj(module: str, name: str, argument: str) -> bytes:
    return b"(" + f"c{module}\n{name}\n".encode() + inside(argument) + b"o"


def by_build(module: str, name: str, argument: str) -> bytes:
    call = inside("__setstate__") + f"c{module}\n{name}\n".encode()
    return ORDERED_DICT + b")R" + b"}" + call + b"s" + b"b" + inside(argument) + b"b"


FORMS = (by_global, by_stack_global, by_inst, by_obj, by_build)
CALLS = {
    "os.system": "touch {}",
    "posix.system": "touch {}",
    "subprocess.getoutput": "touch {}",
    "builtins.eval": "__import__('pathlib').Path('{}').touch()",
    "builtins.exec": "__import__('pathlib').Path('{}').touch()",
    "__builtin__.eval": "__import__('pathlib').Path('{}').touch()",
}
Form = Callable[[str, str, str], bytes]


def refused(read: Callable[[], Any], memory: int = 8 * MIB, seconds: float = 20) -> str:
    """A hostile file must be refused in one line, soon, and at little expense of memory; its message."""
    started = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(NetError) as caught:
            read()
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < seconds
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800
    return str(caught.value)
