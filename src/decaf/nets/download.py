"""Bring one published file to this machine: resumed after a cut, checked, and whole or absent.

A server is believed in nothing: not in the length it announces, not in what it says to continue, not where it sends us.
Never more bytes are written than the file has, and only a file of the published sha256 gets its name.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from decaf.errors import FolderInUse, NetError
from decaf.nets.parameters import Download

if TYPE_CHECKING:
    import requests

_CHUNK = 2**17
_REDIRECTS = {301, 302, 303, 307, 308}
_BUSY = {408, 425, 429, 500, 502, 503, 504}

Progress = Callable[[int], None]
"""Told how many bytes of the file are here."""


@dataclass(frozen=True)
class Limits:
    """How patient a download is.

    Attributes:
        tries: of one mirror, the first included.
        pause: before the second try, seconds; doubled before each further one.
        connect: longest wait for a connection, seconds.
        silence: longest wait for the next bytes, seconds.
        slowest: bytes per second; a server that stays below it for longer than `silence` is given up.
        redirects: followed.
    """

    tries: int = 5
    pause: float = 1.0
    connect: float = 10.0
    silence: float = 30.0
    slowest: float = 1000.0
    redirects: int = 5


PATIENT = Limits()


class _Refused(Exception):
    """This mirror will not do. Try another."""


class _Broken(Exception):
    """This try failed. The next one may do better."""


def download(file: Download, urls: Sequence[str], progress: Progress = lambda _: None, limits: Limits = PATIENT) -> str:
    """Fetch `file` from the first mirror that has it.

    Bytes that arrived before a cut are kept beside `file.target` and continued, in this call or a later one.

    Returns:
        The mirror's URL.

    Raises:
        NetError: none of them has it; the message says for each what was wrong.
        FolderInUse: another process is fetching it.
    """
    why = []
    with _own_part(file) as part:
        for url in urls:
            try:
                _Transfer(file, part, progress, limits).complete(url)
            except _Refused as error:
                why.append(f"{_scheme_and_host(url)[1] or url}: {error}")
            else:
                part.replace(file.target)
                return url
        kept = f"; {_size(part):,} bytes of it are kept for the next try" if _size(part) else ""
    raise NetError("; ".join(why) + kept)


def copy(file: Download, source: Path, progress: Progress = lambda _: None) -> None:
    """Take `file` from a file on this machine. Raises NetError when that is another file."""
    if not source.is_file():
        raise NetError(f"{source} is not a file")
    if (size := source.stat().st_size) != file.bytes:
        raise NetError(f"{source} is not the published file: it has {size:,} bytes, not {file.bytes:,}")
    with _own_part(file) as part:
        with source.open("rb") as read, _open_part(part, append=False) as write:
            while chunk := read.read(min(_CHUNK, file.bytes - write.tell())):
                write.write(chunk)
                progress(write.tell())
        if _sha256(part) != file.sha256:
            part.unlink()
            raise NetError(f"{source} is not the published file: its sha256 differs")
        part.replace(file.target)


@contextmanager
def _own_part(file: Download) -> Iterator[Path]:
    """The file that bytes are collected in, ours alone meanwhile."""
    import filelock

    target = file.target
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"), blocking=False)
    try:
        with lock:
            part = target.with_name(f"{target.name}.part")
            if part.is_symlink() or (part.is_file() and part.stat().st_size > file.bytes):
                part.unlink()
            yield part
    except filelock.Timeout:
        raise FolderInUse(f"another process is fetching {target.name}: wait for it") from None


@dataclass(frozen=True)
class _Transfer:
    """One file on its way from one mirror into its part."""

    file: Download
    part: Path
    progress: Progress
    limits: Limits

    def complete(self, url: str) -> None:
        """Receive what is missing and check the whole, in as many tries as are allowed; _Refused when it cannot be."""
        import requests

        why = ""
        with requests.Session() as session:
            session.auth = lambda request: request  # else passwords for the host are looked up in ~/.netrc
            session.headers.update({"User-Agent": "decaf", "Accept-Encoding": "identity"})
            for number in range(self.limits.tries):
                time.sleep(self.limits.pause * 2 ** (number - 1) if number else 0)
                try:
                    return self._try(session, url)
                except _Broken as error:
                    why = str(error)
        raise _Refused(why)

    def _try(self, session: requests.Session, url: str) -> None:
        continued = _size(self.part)
        if continued < self.file.bytes:
            self._receive(session, url)
        if _sha256(self.part) == self.file.sha256:
            return
        self.part.unlink()
        if continued:
            raise _Broken("it continued another file")
        raise _Refused("it serves another file (sha256 differs)")

    def _receive(self, session: requests.Session, url: str) -> None:
        """Append what is missing to the part, or write it anew where the server cannot continue."""
        response = _answer(session, url, _size(self.part), self.limits)
        with response:
            have = self._agreed_start(response)
            with _open_part(self.part, append=have > 0) as out:
                for chunk in _chunks(response, self.limits):
                    have += len(chunk)
                    if have > self.file.bytes:
                        break
                    out.write(chunk)
                    self.progress(have)
        if have > self.file.bytes:
            self.part.unlink()
            raise _Refused(f"it sends more than the {self.file.bytes:,} bytes of the file")
        if have < self.file.bytes:
            raise _Broken(f"the connection ended after {have:,} of {self.file.bytes:,} bytes")

    def _agreed_start(self, response: requests.Response) -> int:
        """Where the body begins in the file: after what we have, or at 0."""
        status, have, size = response.status_code, _size(self.part), self.file.bytes
        continues = response.headers.get("Content-Range", "") == f"bytes {have}-{size - 1}/{size}"
        if status == 416 or (status == 206 and not (have and continues)):
            self.part.unlink(missing_ok=True)
            raise _Broken("it cannot continue the file")
        if status not in (200, 206):
            raise (_Broken if status in _BUSY else _Refused)(f"it answers {status}")
        start = have if status == 206 else 0
        announced = response.headers.get("Content-Length", str(size - start))
        if announced != str(size - start):
            raise _Refused(f"it announces {announced[:20]} bytes, not {size - start}")
        return start


def _answer(session: requests.Session, url: str, have: int, limits: Limits) -> requests.Response:
    """The response at the end of all redirects, its body not read yet."""
    headers = {"Range": f"bytes={have}-"} if have else {}
    for _ in range(limits.redirects + 1):
        _check_url(url)
        response = _get(session, url, headers, limits)
        if response.status_code not in _REDIRECTS:
            return response
        with response:
            further = _joined(url, response.headers.get("Location", ""))
        if _scheme_and_host(url)[0] == "https" != _scheme_and_host(further)[0]:
            raise _Refused("it redirects from https to something else")
        url = further
    raise _Refused(f"it redirects more than {limits.redirects} times")


def _check_url(url: str) -> None:
    """_Refused unless the URL is one of https, or of http to this machine."""
    scheme, host = _scheme_and_host(url)
    if not host or not (scheme == "https" or (scheme == "http" and _is_loopback(host))):
        raise _Refused("only https is fetched")


def _scheme_and_host(url: str) -> tuple[str, str]:
    """Both empty where the URL is none."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or ""
    except ValueError:
        return "", ""


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise _Refused("it redirects to what is no URL") from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _get(session: requests.Session, url: str, headers: dict[str, str], limits: Limits) -> requests.Response:
    import requests
    import urllib3

    patience = (limits.connect, limits.silence)
    try:
        return session.get(url, headers=headers, stream=True, allow_redirects=False, timeout=patience)
    except requests.exceptions.SSLError:
        raise _Refused("its certificate is not accepted") from None
    except requests.ReadTimeout:
        raise _Broken(f"no answer for {limits.silence:g} s") from None
    except requests.ConnectionError as error:
        if error.args and isinstance(error.args[0], urllib3.exceptions.ProtocolError):
            raise _Broken("the connection was cut before an answer") from None
        raise _Refused("no connection") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:  # odd URLs and headers
        raise _Refused(f"its answer is not understood ({type(error).__name__})") from None


def _chunks(response: requests.Response, limits: Limits) -> Iterator[bytes]:
    """The body as it arrives, undecoded; _Broken when it stalls or is cut."""
    import urllib3

    started, received = time.monotonic(), 0
    while True:
        try:
            chunk = response.raw.read1(_CHUNK, decode_content=False)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
            raise _Broken(f"nothing came for {limits.silence:g} s") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _Broken(f"the connection was cut ({type(error).__name__})") from None
        if not chunk:
            return
        yield chunk
        received += len(chunk)
        if received < limits.slowest * (time.monotonic() - started - limits.silence):
            raise _Broken(f"slower than {limits.slowest:g} bytes/s")


@contextmanager
def _open_part(part: Path, append: bool) -> Iterator[IO[bytes]]:
    """Open without following a symbolic link; what was written is on the disk afterwards."""
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    flags |= os.O_APPEND if append else os.O_TRUNC
    with os.fdopen(os.open(part, flags, 0o644), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
