"""Read a legacy torch checkpoint (before torch 1.6) without torch and without unpickling.

The file holds five pickles (magic number, protocol, system, the object, the storage keys) and then, per key, a
little-endian int64 count and the raw values. A pickle is a program that can call any function. The machine here knows
the few instructions that plain tensors need; it calls nothing, imports nothing, and builds numbers, text, tuples, dicts
and references to tensors.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from decaf.errors import NetError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Name(NamedTuple):
    """A function or class the checkpoint names; never looked up."""

    module: str
    name: str


_DICT = _Name("collections", "OrderedDict")
_REBUILD = _Name("torch._utils", "_rebuild_tensor_v2")
_KNOWN = {_DICT, _REBUILD, *(_Name("torch", kind) for kind in _DTYPES)}


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype[Any]
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def take(self, values: NDArray[Any]) -> NDArray[Any]:
        if 0 in self.shape:
            return np.empty(self.shape, values.dtype)
        strides = [
            stride * values.itemsize if side > 1 else 0 for side, stride in zip(self.shape, self.strides, strict=True)
        ]
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, strides, writeable=False)
        return np.array(view, order="C")


def read_legacy_checkpoint(data: bytes) -> dict[str, NDArray[Any]]:
    """Read a state dict from the bytes of a legacy torch checkpoint.

    Args:
        data: the whole file.

    Returns:
        Name -> contiguous array, in file order; float32 or int64.

    Raises:
        NetError: not such a file, truncated, or it holds anything but plain tensors.
    """
    stream = io.BytesIO(data)
    if _read_pickle(stream) != _MAGIC or _read_pickle(stream) != _PROTOCOL:
        _refuse("no legacy header")
    _read_pickle(stream)  # the system's description: little-endian in every file torch wrote
    state, keys = _read_pickle(stream), _read_pickle(stream)
    if not isinstance(state, dict) or not all(isinstance(tensor, _Tensor) for tensor in state.values()):
        _refuse("not a plain state dict")
    needed = {tensor.storage.key: tensor.storage for tensor in state.values()}
    if not isinstance(keys, list) or sorted(_texts(keys)) != sorted(needed):
        _refuse("its storages are not those of its tensors")
    if sum(math.prod(tensor.shape) for tensor in state.values()) > 2 * len(data):
        _refuse("its tensors share storages to become larger than the file")
    storages = {key: _read_storage(stream, needed[key]) for key in keys}
    try:
        return {name: tensor.take(storages[tensor.storage.key]) for name, tensor in state.items()}
    except (ValueError, OverflowError) as error:
        _refuse(f"a tensor of a shape no array has: {error}")


def _read_storage(stream: io.BytesIO, storage: _Storage) -> NDArray[Any]:
    count = int.from_bytes(stream.read(8), "little", signed=True)
    size = count * storage.dtype.itemsize
    if count != storage.length or size > stream.getbuffer().nbytes - stream.tell():
        _refuse(f"storage {storage.key!r} is cut short")
    return np.frombuffer(stream.read(size), storage.dtype)


def _read_pickle(stream: io.BytesIO) -> Any:
    machine = _Machine()
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            machine.step(instruction.name, argument)
        (result,) = machine.stack
    except NetError:
        raise
    except Exception as error:  # whatever malformed instructions make of the machine
        _refuse(f"malformed: {type(error).__name__}")
    return result


class _Mark:
    """The place on the stack where a group begins."""


class _Machine:
    """The stack and the memory of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction; `argument` is what `pickletools` parsed behind it."""
        if name in _PUSHES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memory[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memory[argument])
        elif name in _TAKES:
            self.stack.append(_TAKES[name](self._pop_last(_COUNTS.get(name, 1))))
        elif name in ("TUPLE", "APPENDS", "SETITEMS"):
            self._close(name, self._pop_group())
        elif name in ("APPEND", "SETITEM"):
            self._close(f"{name}S", list(self._pop_last(1 if name == "APPEND" else 2)))
        elif name in ("GLOBAL", "INST"):
            self._name(name, *argument.split(" "))
        elif name == "BUILD":  # attributes of the state dict, such as versions of modules: not needed
            self._pop_last(1)
            self._top(dict)
        elif name not in ("PROTO", "STOP"):
            _refuse(f"it holds the instruction {name}, which plain tensors do not need")

    def _close(self, name: str, group: list[Any]) -> None:
        if name == "TUPLE":
            self.stack.append(tuple(group))
        elif name == "APPENDS":
            self._top(list).extend(group)
        else:
            self._top(dict).update(zip(_texts(group[::2]), group[1::2], strict=True))

    def _name(self, instruction: str, module: str, name: str) -> None:
        self.stack.append(_known((module, name)))
        if instruction == "INST":
            _refuse(f"it makes a {name} by itself")

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            _refuse(f"an instruction for a {kind.__name__} meets something else")
        return self.stack[-1]

    def _pop_last(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            _refuse("an instruction finds too little")
        last = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return last

    def _pop_group(self) -> list[Any]:
        mark = next(index for index in reversed(range(len(self.stack))) if self.stack[index] is _Mark)
        group = self.stack[mark + 1 :]
        del self.stack[mark:]
        return group


_PUSHES = {"BININT", "BININT1", "BININT2", "INT", "LONG1", "LONG", "BINUNICODE", "SHORT_BINUNICODE"}
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "MARK": lambda: _Mark,
}


def _texts(keys: Sequence[Any]) -> Sequence[str]:
    if not all(type(key) is str for key in keys):
        _refuse("a name in it is not text")
    return keys


def _known(words: Sequence[Any]) -> _Name:
    named = _Name(*_texts(words))
    if named not in _KNOWN:
        raise NetError(f"the checkpoint wants to call {named.module}.{named.name}: only plain tensors are read")
    return named


def _called(operands: Sequence[Any]) -> Any:
    function, arguments = operands
    if function == _DICT and arguments == ():
        return {}
    if function == _REBUILD and type(arguments) is tuple and len(arguments) >= 4:
        return _tensor(*arguments[:4])
    return _refuse("it calls something in another way than plain tensors do")


def _storage(operands: Sequence[Any]) -> _Storage:
    match operands[0]:
        case ("storage", _Name("torch", kind), str(key), str(), int(count), None) if kind in _DTYPES and count >= 0:
            return _Storage(key, _DTYPES[kind], count)
    return _refuse("it refers to something other than a tensor's storage")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    if type(storage) is not _Storage or type(shape) is not tuple or type(strides) is not tuple:
        _refuse("a tensor is not described by a storage, a shape and strides")
    if not all(type(number) is int and 0 <= number < 2**48 for number in (offset, *shape, *strides)):
        _refuse("a tensor is described by something other than counts")
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if math.prod(shape) > storage.length or (0 not in shape and last >= storage.length):
        _refuse(f"a tensor of shape {shape} reaches outside its storage of {storage.length} values")
    return _Tensor(storage, offset, shape, strides)


# Instructions that replace their operands by what is made of them, and how many operands where it is not one.
_TAKES: dict[str, Callable[[Sequence[Any]], Any]] = {
    "TUPLE1": tuple,
    "TUPLE2": tuple,
    "TUPLE3": tuple,
    "STACK_GLOBAL": _known,
    "BINPERSID": _storage,
    "REDUCE": _called,
}
_COUNTS = {"TUPLE2": 2, "TUPLE3": 3, "STACK_GLOBAL": 2, "REDUCE": 2}


def _refuse(why: str) -> NoReturn:
    raise NetError(f"not a readable legacy torch checkpoint ({why}): install or fetch the parameter file again")
