"""What a server gives out: the page, the data of one site in one file, and pictures by number."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import AsyncIterator
from functools import cached_property
from pathlib import Path
from threading import Lock

from decaf.explore.pictures import PictureSettings, Source, preview_of
from decaf.explore.site import Site
from decaf.explore.writer import ABOUT, DATA, STATIC, Progress, write_data

PREVIEW = 512  # pixels, the longest side
LARGEST_ORIGINAL = 64 * 2**20  # bytes; of a larger file a picture is made
_LARGEST_MADE = 4096  # pixels, the longest side
_KEPT = 64 * 2**20  # bytes of previews
_PART = 2**16

# Only what starts like one of these is given out as it is. Browsers are told the type, and told not to guess another.
_KINDS = {
    "image/jpeg": (0, (b"\xff\xd8\xff",)),
    "image/png": (0, (b"\x89PNG\r\n\x1a\n",)),
    "image/gif": (0, (b"GIF87a", b"GIF89a")),
    "image/bmp": (0, (b"BM",)),
    "image/webp": (8, (b"WEBP",)),
    "image/avif": (4, (b"ftypavif",)),
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
SERVED = "picture"  # where the page finds pictures; beside it are `original` and `drop`


def write_bundle(path: Path, site: Site, source: Source, threads: int = 2, progress: Progress | None = None) -> None:
    """Write the data of a site as one file: a zip archive without compression, for `Bundle`.

    No larger pictures are in it: a server makes them of the files when they are looked at.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".page-") as folder:
        write_data(Path(folder), site, source, PictureSettings(preview=0, threads=threads), progress, SERVED)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bundle:
            for file in sorted((Path(folder) / DATA).iterdir()):
                bundle.write(file, file.name)


class Bundle:
    """The data of a site in one file. Names are looked up among its members: no name leads anywhere else."""

    def __init__(self, path: Path) -> None:
        """Open a file of `write_bundle`. Raises OSError or ValueError where it is none."""
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path}: {error}") from None
        self._sizes = {member.filename: member.file_size for member in self._zip.infolist()}
        if f"{ABOUT}.js" not in self._sizes:
            raise ValueError(f"{path} holds no page")

    def size(self, name: str) -> int | None:
        """Bytes of a member; None where there is none of this name."""
        return self._sizes.get(name)

    def read(self, name: str) -> bytes:
        """A member as a whole."""
        return self._zip.read(name)

    @cached_property
    def unseen(self) -> list[int]:
        """Rows whose pictures could not be seen when the page was made."""
        described = self.read(f"{ABOUT}.js").partition(b"(")[2].rpartition(b")")[0]
        return [int(row) for row in json.loads(described)["pictures"]["problems"]]

    async def parts(self, name: str) -> AsyncIterator[bytes]:
        """A member in parts, so that who takes it slowly costs no memory."""
        with self._zip.open(name) as member:
            while part := member.read(_PART):
                yield part


def page_files() -> dict[str, tuple[bytes, str]]:
    """Name -> content and type of the files of the page itself."""
    files = (path for path in STATIC.iterdir() if path.is_file() and path.suffix in TYPES)
    page = {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in files}
    return page | {"favicon.ico": page["icon.svg"]}  # which browsers look for beside a picture that is opened alone


def kind_of(data: bytes) -> str | None:
    """The type of a picture that browsers show, by its content; None for anything else."""
    for kind, (place, starts) in _KINDS.items():
        if any(data.startswith(start, place) for start in starts):
            return kind
    return None


class ServedPictures:
    """Pictures of a site by number. Previews are kept, as many as fit into some memory."""

    def __init__(self, source: Source, count: int) -> None:
        self._source, self.count = source, count
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._size, self._lock = 0, Lock()

    def row(self, text: str) -> int | None:
        """The number that a text is; None where it is none, or where there is no such picture."""
        if not (text.isascii() and text.isdecimal() and len(text) < 10):
            return None
        return int(text) if int(text) < self.count else None

    def preview(self, row: int) -> bytes:
        """A JPEG to look at. Raises ImageError or OSError."""
        with self._lock:
            if row in self._kept:
                self._kept.move_to_end(row)
                return self._kept[row]
        made = preview_of(self._source.load(row), PREVIEW)
        with self._lock:
            self._keep(row, made)
        return made

    def _keep(self, row: int, made: bytes) -> None:
        if row not in self._kept:
            self._kept[row] = made
            self._size += len(made)
        while self._size > _KEPT:
            self._size -= len(self._kept.popitem(last=False)[1])

    def original(self, row: int) -> tuple[bytes, str]:
        """The file as it is, where browsers show such files; else a JPEG of it; and the type. Raises as `preview`."""
        data = self._source.original(row)
        kind = kind_of(data) if data is not None and len(data) <= LARGEST_ORIGINAL else None
        if data is not None and kind:
            return data, kind
        return preview_of(self._source.load(row), _LARGEST_MADE), "image/jpeg"
