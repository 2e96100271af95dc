"""Pictures in a tar archive, WebDataset style."""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple, TypeVar

from decaf.errors import ImageError
from decaf.images.decode import SUFFIXES
from decaf.images.members import CHUNK, Identity, Member, check_size, identity_of, one_line, read_at

T = TypeVar("T")

_LARGEST_HEADER = 2**20  # bytes of long names, pax records and sparse maps of one member
_LARGEST_LABEL = 200  # bytes; a longer .cls member is something else
_LARGEST_SAMPLE = 1000  # pictures of one sample that wait for its label

# Places of tar members that are listed, so that none is lost without a word, but have no bytes of their own.
_SPARSE, _LINK, _SPECIAL = -1, -2, -3
_REFUSED = {
    _SPARSE: "stored with holes (sparse) in its archive: pack it again without --sparse",
    _LINK: "a link inside its archive: pack it again with --dereference --hard-dereference",
    _SPECIAL: "not a regular file",
}


class _HeaderFile(io.BufferedReader):
    """What tarfile reads headers from: it cannot be made to swallow more than `left` bytes."""

    left = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes. Raises tarfile.ReadError beyond the limit."""
        if size is None or not 0 <= size <= self.left:
            raise tarfile.ReadError(f"a header of more than {_LARGEST_HEADER} bytes")
        self.left -= size
        return super().read(size)


class _Entry(NamedTuple):
    """A file in a tar archive. `kind` is all that follows the first dot of its name, `sample` all before."""

    member: Member
    sample: str
    kind: str


class TarArchive:
    """A tar archive that is not compressed.

    Its pictures are the files with a picture's suffix, except those whose name starts with a dot. As in WebDataset,
    files next to each other whose names agree up to the first dot are one sample, and the text of its `.cls` member
    (or `.cls.txt`; at most 200 bytes) is the label. Else the label is the name of the folder inside the archive.
    Nothing is ever unpacked: names are only names.
    """

    def __init__(self, path: str, identity: Identity) -> None:
        self.path, self._identity = path, identity

    def members(self) -> Iterator[Member]:
        """List the pictures in the order of the file.

        Links, sparse files and a file cut short by the end of the archive are listed, and refused by `read`.

        Raises:
            ImageError: the archive is damaged, changed, or ends in the middle of another file.
        """
        for _, sample in groupby(self._entries(), key=lambda entry: entry.sample):
            yield from self._labelled(sample)

    def read(self, member_place: int, size: int, largest: int) -> bytes:
        """Read a picture, from any thread."""
        if member_place < 0:
            raise ImageError(_REFUSED[member_place])
        if (missing := member_place + size - self._identity.size) > 0:
            raise ImageError(f"cut short: its archive ends {missing} bytes too early")
        check_size(size, largest)
        return read_at(self.path, self._identity, member_place, size)

    def close(self) -> None:
        """Nothing is kept between reads."""

    def _labelled(self, sample: Iterator[_Entry]) -> Iterator[Member]:
        label = ""
        waiting: list[Member] = []
        for entry in sample:
            if _is_class(entry.kind):
                label = label or self._class(entry.member)
            else:
                waiting.append(entry.member)
            if label or len(waiting) >= _LARGEST_SAMPLE:
                yield from (replace(member, label=label or member.label) for member in waiting)
                waiting.clear()
        yield from waiting

    def _class(self, member: Member) -> str:
        if member.size > _LARGEST_LABEL:
            return ""
        try:
            text = self.read(member.place, member.size, _LARGEST_LABEL)
        except ImageError as error:
            raise ImageError(f"label {member.name} in {self.path}: {error}") from None
        return text.decode("utf-8", "surrogateescape").strip()

    def _entries(self) -> Iterator[_Entry]:
        """Pictures, labelled with their folder, and the files that hold the labels of samples."""
        for info, is_cut in self._headers():
            folder, name = posixpath.split(info.name)
            stem, _, kind = name.partition(".")
            is_file = bool(stem) and not info.isdir()  # a name that starts with a dot has no stem
            is_picture = is_file and name.lower().endswith(SUFFIXES)
            if is_cut and not is_picture:
                raise self._damaged(info.offset, "it ends in the middle of a file")
            if is_picture or (is_file and _is_class(kind)):
                size = min(info.size, 2**63 - 1)
                member = Member(info.name, _folder_label(folder), _place(info), size)
                yield _Entry(member, posixpath.join(folder, stem), kind)

    def _headers(self) -> Iterator[tuple[tarfile.TarInfo, bool]]:
        """Every member, and whether the end of the file cuts it."""
        size, start = self._identity.size, 0
        with self._open() as file:
            tar = self._step(file, start, lambda: _tar_file(file))
            while start < size:
                info = self._step(file, start, tar.next)
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile would remember all
                if info is None:
                    start = tar.offset = self._after_zeros(file, tar.offset)
                    continue
                if tar.offset <= start or info.size < 0:
                    raise self._damaged(start, "a negative size")
                if sum(map(len, tar.pax_headers.values())) > _LARGEST_HEADER:
                    raise self._damaged(start, f"global headers of more than {_LARGEST_HEADER} bytes")
                start = tar.offset
                yield info, _data_end(info, start) > size

    def _open(self) -> _HeaderFile:
        try:
            file = _HeaderFile(io.FileIO(self.path))
        except OSError as error:
            raise ImageError(f"cannot read tar archive {self.path} ({error.strerror}): is it still there?") from None
        if identity_of(os.fstat(file.fileno())) != self._identity:
            file.close()
            raise ImageError(f"tar archive {self.path} has changed while it was in use: run again")
        return file

    def _step(self, file: _HeaderFile, start: int, step: Callable[[], T]) -> T:
        file.left = _LARGEST_HEADER
        try:
            return step()
        except Exception as error:  # tarfile raises many kinds for broken headers
            raise self._damaged(start, one_line(error)) from None

    def _after_zeros(self, file: _HeaderFile, offset: int) -> int:
        """Where the archive goes on after blocks of zeros (several, one after another, in one file), or its end.

        tarfile takes every block that is no header for the end. This one must be zeros, or pictures would be lost.
        """
        place = offset
        while True:
            file.left = CHUNK
            file.seek(place)
            chunk = file.read(CHUNK)
            if not chunk:
                return self._identity.size
            if rest := chunk.lstrip(b"\0"):
                place += (len(chunk) - len(rest)) // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
                if place == offset:
                    raise self._damaged(offset, "no header where one belongs")
                return place
            place += len(chunk)

    def _damaged(self, offset: int, reason: str) -> ImageError:
        where = f"tar archive {self.path} is damaged at byte {offset} ({reason})"
        return ImageError(f"{where}: fetch it or pack it again")


def _tar_file(file: _HeaderFile) -> tarfile.TarFile:
    return tarfile.TarFile(fileobj=file, encoding="utf-8", errors="surrogateescape")


def _is_class(kind: str) -> bool:
    return kind.lower() in ("cls", "cls.txt")


def _place(info: tarfile.TarInfo) -> int:
    if info.issparse():
        return _SPARSE
    if info.islnk() or info.issym():
        return _LINK
    return info.offset_data if info.isreg() else _SPECIAL


def _data_end(info: tarfile.TarInfo, after: int) -> int:
    """Where the data of a member end: without the padding to full blocks, or the least it can be."""
    return info.offset_data + info.size if _place(info) >= 0 else after - tarfile.BLOCKSIZE + 1


def _folder_label(folder: str) -> str | None:
    name = posixpath.basename(posixpath.normpath(folder))
    return None if name in ("", ".", "..") else name
