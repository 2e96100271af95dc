"""Files that are either whole or absent, and where decaf keeps its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = ".tmp"


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success flush it to disk and rename it to `target`.

    The temporary file is removed when the body raises. A crash leaves at most it behind, never half of `target`.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}{TEMPORARY}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(target: Path, data: bytes) -> None:
    """Write `data` to `target`, whole or not at all."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


def why_no_file(path: str | os.PathLike[str]) -> str | None:
    """Why no file can be written under this name, as far as can be told before; None where one can."""
    if Path(path).is_dir():
        return f"{os.fspath(path)} is a folder: name a file in it"
    if not Path(path).parent.is_dir():
        return f"cannot write {os.fspath(path)}: there is no folder {Path(path).parent}"
    return None


def cache_folder() -> Path:
    """The folder for files decaf can make again: `$DECAF_CACHE`, else the platform's user cache folder."""
    if chosen := os.environ.get("DECAF_CACHE"):
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("decaf", appauthor=False)
