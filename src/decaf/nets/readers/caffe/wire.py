"""Walk through a protobuf message without copying it.

A caffemodel is a quarter of a gigabyte of numbers in a few kilobytes of graph. The protobuf library copies the numbers
more than once and makes them Python objects; here they stay views of the file's bytes, and only the rest is parsed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import NoReturn

from decaf.errors import NetError

# A message of Caffe has a few fields of its own, a network a few hundred layers.
_MOST_FIELDS = 4096
_MOST_REST = 2**16  # bytes
_LONGEST_VARINT = 10  # bytes


def split(message: memoryview, numbers: Collection[int]) -> tuple[dict[int, list[memoryview]], bytes]:
    """Set the length-delimited fields of these numbers aside.

    Returns:
        Number -> views of its values, in order; and all other fields, still encoded.

    Raises:
        NetError: not a message, one of more than 4096 fields, or of more than 64 KiB beside those set aside.
    """
    apart: dict[int, list[memoryview]] = defaultdict(list)
    rest: list[memoryview] = []
    size = 0
    for number, start, value in _fields(message):
        if number in numbers and value is not None:
            apart[number].append(value)
            continue
        rest.append(start)
        size += len(start)
        if size > _MOST_REST:
            refuse(f"more than {_MOST_REST} bytes of settings in one layer")
    return apart, b"".join(rest)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """Every field: its number, all its bytes and, where it is length-delimited, its value."""
    at = count = 0
    while at < len(message):
        count += 1
        if count > _MOST_FIELDS:
            refuse(f"more than {_MOST_FIELDS} fields in one message")
        key, value_at = _varint(message, at)
        end = _end(message, key & 7, value_at)
        if end > len(message):
            refuse("a field reaches outside of it")
        value = None
        if key & 7 == 2:
            _, value_at = _varint(message, value_at)
            value = message[value_at:end]
        yield key >> 3, message[at:end], value
        at = end


def _end(message: memoryview, wire_type: int, at: int) -> int:
    """Where the value ends that begins at `at`."""
    if wire_type == 0:
        return _varint(message, at)[1]
    if wire_type == 2:
        length, start = _varint(message, at)
        return start + length
    if wire_type in (1, 5):
        return at + (8 if wire_type == 1 else 4)
    return refuse("a field of a kind Caffe does not write")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, seven bits per byte, and where it ends."""
    value = 0
    for index, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, at + index + 1
    return refuse("a number that does not end")


def refuse(why: str) -> NoReturn:
    """Raise the error of a binary file that is none of Caffe's."""
    raise NetError(f"not a readable file of Caffe ({why}): copy or download it again")
