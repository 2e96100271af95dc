"""Fetch the published parameters of a network known by name. Nothing else in decaf opens a connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from decaf.errors import NetError, UnknownName
from decaf.nets.download import PATIENT, Limits, Progress, copy, download
from decaf.nets.parameters import Download, checked_bytes
from decaf.nets.registry import REGISTRY


@dataclass(frozen=True)
class Fetched:
    """A parameter file that is on this machine, whole and checked.

    Attributes:
        net: whose parameters.
        path: of the file.
        bytes: its size.
        sha256: of the file.
        source: the URL or file it was taken from now; None where it was there before.
    """

    net: str
    path: str
    bytes: int
    sha256: str
    source: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def published(name: str) -> Download:
    """What is to be fetched for a network. Raises UnknownName, or NetError where there is nothing to fetch."""
    entry = REGISTRY.get(name)
    if entry is None:
        fetched = [entry.name for entry in REGISTRY.values() if isinstance(entry.parameters, Download)]
        raise UnknownName(f"no net {name!r}: `decaf nets fetch` knows {', '.join(fetched)}")
    if not isinstance(entry.parameters, Download):
        how = entry.parameters.remedy(name) if entry.parameters else "none are published"
        raise NetError(f"the parameters of {name} are not fetched: {how}")
    return entry.parameters


def fetch(
    name: str, source: str | None = None, progress: Progress = lambda _: None, limits: Limits = PATIENT
) -> Fetched:
    """Bring the parameters of a network into the cache.

    Args:
        name: a network of the registry.
        source: another place to take them from: a file, an https URL, or an http URL on this machine. The file must be
            the published one all the same.
        progress: told how many bytes are here.
        limits: of patience.

    Returns:
        The file. One that is there already is checked and left.

    Raises:
        UnknownName: no such network.
        NetError: nothing to fetch, or it could not be had; the message says where to get and where to put it.
        FolderInUse: another process is fetching it.
    """
    file = published(name)
    taken = None if _is_here(name, file) else _take(name, file, [source] if source else file.urls, progress, limits)
    return Fetched(name, str(file.target), file.bytes, file.sha256, taken)


def _is_here(name: str, file: Download) -> bool:
    try:
        return bool(checked_bytes(name, file, file.path))
    except NetError:  # absent or damaged, and about to be replaced
        return False


def _take(name: str, file: Download, sources: Sequence[str], progress: Progress, limits: Limits) -> str:
    try:
        if "://" in sources[0]:
            return download(file, sources, progress, limits)
        copy(file, Path(sources[0]), progress)
        return sources[0]
    except NetError as error:
        raise NetError(
            f"{name} was not fetched ({error}): get {file.urls[0]} ({file.bytes:,} bytes, sha256 {file.sha256}) "
            f"another way and put it at {file.target}, or give it as `decaf nets fetch {name} --from FILE`"
        ) from None
