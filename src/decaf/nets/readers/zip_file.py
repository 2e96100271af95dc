"""Zip files that nobody vouches for: members are read up to a stated size, and never more."""

from __future__ import annotations

import io
import zipfile

from decaf.nets.readers.pickle_machine import refuse

_MOST_MEMBERS = 100_000
_MEMBER = b"PK\x01\x02"  # before every entry of the table of contents


class ZipFile:
    """The members of a zip file held in memory, stored or deflated. Use it inside `reading`: it raises NotPlain."""

    def __init__(self, data: bytes) -> None:
        if data.count(_MEMBER) > _MOST_MEMBERS:  # before anything is made of them
            refuse(f"it has more than {_MOST_MEMBERS} members")
        self._file = zipfile.ZipFile(io.BytesIO(data))
        self.names: tuple[str, ...] = tuple(self._file.namelist())

    def read(self, name: str, largest: int) -> bytes:
        """One member, if it is there and has no more than `largest` bytes."""
        try:
            member = self._file.getinfo(name)
        except KeyError:
            refuse(f"its member {name[:80]!r} is missing")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            refuse(f"its member {name[:80]!r} is compressed in an unusual way")
        with self._file.open(member) as file:
            data = file.read(largest + 1)
        if len(data) > largest:
            refuse(f"its member {name[:80]!r} has more than {largest} bytes")
        return data
