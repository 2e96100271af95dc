"""Carry out a pickle without executing anything of it.

A pickle is a program that can call any function. The machine here knows the instructions that containers, numbers and
text need, and a short table of names. Whatever a file "calls" is looked up in that table and answered by a function of
ours; nothing is imported, and no attribute of anything is ever set.
"""

from __future__ import annotations

import codecs
import io
import pickletools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

from decaf.errors import NetError

# A checkpoint of a thousand layers with its optimizer takes about 10^5. Each makes at most about 100 bytes.
_MOST_INSTRUCTIONS = 1_000_000
_LARGEST_KEY = 2**31  # of an int; hashes of larger ones can be made to collide
_DEEPEST = 500  # containers; a cuda-convnet layer holds the layer before it, which holds the one before


class Name(NamedTuple):
    """A function or class that a pickle names; never looked up."""

    module: str
    name: str


class NotPlain(Exception):
    """The pickle wants more than plain values, or is malformed. `reading` makes a NetError of it."""


Call = Callable[..., Any]
# What a pickle may name -> what answers when it calls that; None: it may be named, not called.
Names = Mapping[Name, Call | None]
# A type -> what the instruction BUILD does to a value of exactly that type: (value, state).
Builds = Mapping[type, Callable[[Any, Any], None]]


def refuse(why: str) -> NoReturn:
    """Give up on the file at hand. Raises NotPlain."""
    raise NotPlain(why)


@contextmanager
def reading(what: str, remedy: str) -> Iterator[None]:
    """Turn whatever a hostile or damaged file provokes inside into one NetError line that names `what`."""
    try:
        yield
    except NetError:
        raise
    except NotPlain as error:
        raise NetError(f"not a readable {what} ({error}): {remedy}") from None
    except Exception as error:  # whatever malformed instructions make of the machine
        raise NetError(f"not a readable {what} (malformed: {type(error).__name__}): {remedy}") from None


def run_pickle(stream: io.BytesIO, names: Names, builds: Builds, persistent: Call | None = None) -> Any:
    """Carry out one pickle, protocol 0 to 5.

    Args:
        stream: stands behind the pickle's last instruction afterwards.
        names: what the pickle may name, and what is called in its place.
        builds: what BUILD does, by type.
        persistent: persistent id -> value; where None, such ids are refused.

    Returns:
        What the pickle describes. Containers may be shared, as in the file, but are no deeper than a walk through them
        can go, and walking through all of them takes no more steps than the file has bytes, or 10^6.

    Raises:
        NotPlain: anything else is asked for. Other exceptions where the instructions make no sense: see `reading`.
    """
    began = stream.tell()
    machine = _Machine(names, builds, persistent)
    for name, argument in _instructions(stream):
        machine.step(name, argument)
    (result,) = machine.stack
    _check_extent(result, max(stream.tell() - began, 10**6))
    return result


def texts(keys: Sequence[Any]) -> Sequence[str]:
    """The same, if all are text. Raises NotPlain."""
    if not all(type(key) is str for key in keys):
        refuse("a name in it is not text")
    return keys


_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def _instructions(stream: io.BytesIO) -> Iterator[tuple[str, Any]]:
    for _ in range(_MOST_INSTRUCTIONS):
        opcode = _OPCODES[stream.read(1)]
        if opcode.name == "STOP":
            return
        yield opcode.name, _argument(opcode, stream)
    refuse(f"it has more than {_MOST_INSTRUCTIONS} instructions")


def _argument(opcode: pickletools.OpcodeInfo, stream: io.BytesIO) -> Any:
    if opcode.name == "STRING":  # pickletools wants ASCII, but Python 2 keeps an array's bytes in such strings
        escaped = pickletools.read_stringnl(stream, decode=False)
        return codecs.escape_decode(escaped)[0].decode("latin-1")
    return opcode.arg.reader(stream) if opcode.arg else None


def _children(value: Any) -> Sequence[Any]:
    if type(value) is dict:
        return list(value.values())
    return value if type(value) in (list, tuple) else ()


def _check_extent(result: Any, largest: int) -> None:
    """Refuse what would overflow the stack of a walk through it, or take for ever: level by level, each once."""
    level = {id(result): (result, 1)}
    steps = 0
    for _ in range(_DEEPEST):
        below: dict[int, tuple[Any, int]] = {}
        for value, times in level.values():
            for child in _children(value):
                steps += times
                if type(child) in (dict, list, tuple):
                    below[id(child)] = (child, below.get(id(child), (child, 0))[1] + times)
        if steps > largest:
            refuse("its containers hold one another so often that they unfold to more than the file")
        if not below:
            return
        level = below
    refuse("its containers lie too deep inside one another")


class _Mark:
    """The place on the stack where a group begins."""


class _Machine:
    """The stack and the memory of one pickle."""

    def __init__(self, names: Names, builds: Builds, persistent: Call | None) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self._names = names
        self._builds = builds
        self._persistent = persistent

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction; `argument` is what `pickletools` parsed behind it."""
        if name in _PUSHES:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _PUTS:
            self.memory[len(self.memory) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in _GETS:
            self.stack.append(self.memory[argument])
        elif name in _GROUPS:
            _GROUPS[name](self, self._pop_group())
        elif name in _TAKES:
            count, act = _TAKES[name]
            act(self, *self._pop_last(count))
        elif name == "GLOBAL":
            self.name(*argument.split(" "))
        elif name not in ("PROTO", "FRAME"):
            refuse(f"it holds the instruction {name}, which plain values do not need")

    def name(self, module: Any, name: Any) -> None:
        """GLOBAL, STACK_GLOBAL: a reference to something in the table."""
        named = Name(*texts((module, name)))
        if named not in self._names:
            called = repr(f"{module[:80]}.{name[:80]}")[1:-1]  # one line, whatever the file calls it
            refuse(f"it wants to call {called}: only plain values are read")
        self.stack.append(named)

    def call(self, function: Any, arguments: Any) -> None:
        """REDUCE: our own function in place of the one named."""
        answer = self._names.get(function) if type(function) is Name else None
        if answer is None or type(arguments) is not tuple:
            refuse("it calls something in another way than plain values do")
        self.stack.append(answer(*arguments))

    def build(self, state: Any) -> None:
        """BUILD: fill in what was called."""
        act = self._builds.get(type(self.stack[-1]))
        if act is None:
            refuse("it changes something that plain values leave alone")
        act(self.stack[-1], state)

    def find(self, identity: Any) -> None:
        """BINPERSID: something that lies beside the pickle."""
        if self._persistent is None:
            refuse("it refers to something outside of itself")
        self.stack.append(self._persistent(identity))

    def extend(self, group: Sequence[Any]) -> None:
        """APPEND, APPENDS."""
        self._top(list).extend(group)

    def update(self, group: Sequence[Any]) -> None:
        """SETITEM, SETITEMS."""
        self._top(dict).update(_pairs(group))

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            refuse(f"an instruction for a {kind.__name__} meets something else")
        return self.stack[-1]

    def _pop_last(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            refuse("an instruction finds too little")
        last = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return last

    def _pop_group(self) -> list[Any]:
        mark = next(index for index in reversed(range(len(self.stack))) if self.stack[index] is _Mark)
        group = self.stack[mark + 1 :]
        del self.stack[mark:]
        return group


def _pairs(group: Sequence[Any]) -> dict[Any, Any]:
    if not all(type(key) is str or (type(key) is int and 0 <= key < _LARGEST_KEY) for key in group[::2]):
        refuse("a name in it is not text")
    return dict(zip(group[::2], group[1::2], strict=True))


# Instructions that put on the stack what is written behind them.
_PUSHES = {
    *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_CONSTANTS: dict[str, Call] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "MARK": lambda: _Mark,
}
# Instructions for everything above the last mark.
_GROUPS: dict[str, Callable[[_Machine, list[Any]], None]] = {
    "TUPLE": lambda machine, group: machine.stack.append(tuple(group)),
    "LIST": lambda machine, group: machine.stack.append(group),
    "DICT": lambda machine, group: machine.stack.append(_pairs(group)),
    "APPENDS": _Machine.extend,
    "SETITEMS": _Machine.update,
}
# Instructions for a fixed number of operands.
_TAKES: dict[str, tuple[int, Callable[..., None]]] = {
    "TUPLE1": (1, lambda machine, *items: machine.stack.append(items)),
    "TUPLE2": (2, lambda machine, *items: machine.stack.append(items)),
    "TUPLE3": (3, lambda machine, *items: machine.stack.append(items)),
    "APPEND": (1, lambda machine, *items: machine.extend(items)),
    "SETITEM": (2, lambda machine, *items: machine.update(items)),
    "STACK_GLOBAL": (2, _Machine.name),
    "REDUCE": (2, _Machine.call),
    "BUILD": (1, _Machine.build),
    "BINPERSID": (1, _Machine.find),
}
