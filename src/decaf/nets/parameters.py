"""Where the parameters of a network known by name lie: in an installed package, or in a file that is fetched."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaf.errors import NetError
from decaf.files import cache_folder


@dataclass(frozen=True)
class Package:
    """A parameter file inside a Python distribution.

    Attributes:
        distribution: what `pip install` takes.
        file: where the file lies, beginning with the module's name.
        sha256: of the file.
    """

    distribution: str
    file: str
    sha256: str

    state = "installed"  # of parameters that are here

    @property
    def path(self) -> Path | None:
        """The installed file; None when the package is not installed. Imports nothing."""
        module, _, inside = self.file.partition("/")
        spec = importlib.util.find_spec(module)
        folders = (spec and spec.submodule_search_locations) or []
        return next((path for folder in folders if (path := Path(folder) / inside).is_file()), None)

    def remedy(self, net: str) -> str:
        """The command that brings the file."""
        return f"pip install {self.distribution}"

    def renewal(self, net: str) -> str:
        """The command that replaces a damaged file."""
        return f"pip install --force-reinstall {self.distribution}"

    def about(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"package": self.distribution, "sha256": self.sha256, "bytes": None}

    def __str__(self) -> str:
        return f"PyPI package {self.distribution}"


@dataclass(frozen=True)
class Download:
    """A published parameter file, fetched into the cache.

    Attributes:
        file: its name in the cache.
        urls: where it is published; mirrors, in the order they are tried.
        sha256: of the file.
        bytes: its size.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str
    bytes: int

    state = "fetched"  # of parameters that are here

    @property
    def target(self) -> Path:
        """Where `decaf nets fetch` puts the file."""
        return cache_folder() / "parameters" / self.file

    @property
    def path(self) -> Path | None:
        """The fetched file; None where it was not fetched."""
        return self.target if self.target.is_file() else None

    def remedy(self, net: str) -> str:
        """The command that brings the file."""
        return f"decaf nets fetch {net}"

    def renewal(self, net: str) -> str:
        """The command that replaces a damaged file."""
        return self.remedy(net)

    def about(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"urls": list(self.urls), "sha256": self.sha256, "bytes": self.bytes, "target": str(self.target)}

    def __str__(self) -> str:
        return self.urls[0]


def checked_bytes(net: str, parameters: Package | Download, path: Path | None, otherwise: str = "") -> bytes:
    """The parameter file at `path`, which must be the published one.

    Args:
        net: whose parameters.
        parameters: what is published.
        path: where the file lies; None where it does not.
        otherwise: what else can be done when it is not there.

    Raises:
        NetError: it is not there, a symbolic link in place of a download, or not the published file.
    """
    if path is None:
        here = "installed" if isinstance(parameters, Package) else "fetched"
        raise NetError(f"the parameters of {net} are not {here}: {parameters.remedy(net)}{otherwise}")
    if isinstance(parameters, Download):
        if path.is_symlink():
            raise NetError(f"{path} is a symbolic link, which is not followed: remove it and {parameters.remedy(net)}")
        if (size := path.stat().st_size) != parameters.bytes:
            wrong = f"it has {size:,} bytes, not {parameters.bytes:,}"
            raise NetError(f"{path} is not the published file ({wrong}): {parameters.renewal(net)}")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != parameters.sha256:
        raise NetError(f"{path} is not the published file (sha256 differs): {parameters.renewal(net)}")
    return data
