"""Pictures inside one file: tar archives (WebDataset style) and Parquet files with a column of picture bytes."""

from __future__ import annotations

import os
import re
import stat
import tarfile

from decaf.errors import ImageError
from decaf.images.members import Archive, Member, identity_of
from decaf.images.parquet import ParquetArchive
from decaf.images.tar import TarArchive

__all__ = ["Archive", "Member", "ParquetArchive", "TarArchive", "open_archive"]

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstd
_COMPRESSED_NAME = re.compile(r".*\.(tar\.[^./]+|tgz|tbz2?|txz|tzst)", re.IGNORECASE | re.DOTALL)
_PARQUET = b"PAR1"


def open_archive(path: str, column: str = "") -> Archive | None:
    """Open a file that holds pictures, whatever its name.

    Args:
        path: any file.
        column: of a Parquet file, the one with the pictures; else it is chosen by type and name.

    Returns:
        None where the content is neither a tar archive nor Parquet, and where the file cannot be read.

    Raises:
        ImageError: a compressed tar archive, a broken Parquet file, or one without a clear column of pictures.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        with open(path, "rb") as file:
            start = file.read(2 * tarfile.BLOCKSIZE)
            file.seek(max(0, status.st_size - len(_PARQUET)))
            end = file.read()
    except (OSError, ValueError):  # reading it as a picture will tell
        return None
    if start.startswith(_COMPRESSED) and _COMPRESSED_NAME.fullmatch(path):
        raise ImageError(f"{path} is a compressed tar archive, which is not read: decompress it first")
    if start.startswith(_PARQUET):
        if end != _PARQUET or status.st_size <= 2 * len(_PARQUET):
            raise ImageError(f"Parquet file {path} is cut short: fetch or write it again")
        return ParquetArchive(path, column, identity_of(status))
    return TarArchive(path, identity_of(status)) if _is_tar(start, path) else None


def _is_tar(start: bytes, path: str) -> bool:
    """Whether a header of any tar format comes first. An archive of nothing is all zeros, so there the name tells."""
    if len(start) == 2 * tarfile.BLOCKSIZE and not any(start):
        return path.lower().endswith(".tar")
    if start[257:262] == b"ustar":
        return True
    try:
        tarfile.TarInfo.frombuf(start[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        return True
    except tarfile.HeaderError:
        return False
