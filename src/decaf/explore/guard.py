"""Who may ask the server what: every request passes here first, and every answer leaves with headers that bind it.

What is defended against: pages of other sites that the same browser has open, and that send requests to this machine
under its own or under a foreign name (cross-site requests, DNS rebinding); and, where the server is bound beyond this
machine, whoever has no token.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
# What the page's own <meta> says, and what a <meta> cannot say.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_TOKEN_BYTES = 32
_LARGEST_HEADER = 2**14  # bytes
# A page of our own that goes on to the map: only then does the browser send a cookie that is SameSite=Strict, should
# the address have been opened from a page of another site. The token is gone from the address bar with it.
_ENTRANCE = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=./"><title>decaf</title>'

log = logging.getLogger("decaf.explore")


def new_token() -> str:
    """256 random bits as text for an address."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def is_loopback(host: str) -> bool:
    """Whether an address, or the name `localhost`, is reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        loopback: the server is bound to this machine only: other addresses than its own are foreign names.
        names: further names of the server, in lower case. A name that is not known is refused, since any name can be
            made to lead here by whoever owns it.
        token: what must be shown; empty: nothing.
        cookie: under which name a browser keeps the token; one for each port, since cookies know no ports.
    """

    loopback: bool = True
    names: frozenset[str] = frozenset()
    token: str = ""
    cookie: str = "decaf"

    def knows(self, host: str) -> bool:
        """Whether a Host header is one of ours. Any port is: it may be forwarded from another."""
        parts = _HOST.fullmatch(host)
        if not parts:
            return False
        name = parts[1].lower()
        if name in self.names or is_loopback(name):
            return True
        try:
            return not self.loopback and bool(ipaddress.ip_address(name.strip("[]")))
        except ValueError:
            return False


class Guard:
    """Lets through what is allowed to ask. What goes wrong behind it is told in one line, and to nobody outside."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] != "http":
            return

        async def send_bound(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message.get("headers", ())}
                bound = [header for header in _HEADERS if header[0] not in own]
                message = {**message, "headers": [*message.get("headers", ()), *bound]}
            await send(message)

        answer: ASGIApp = self._refusal(scope) or self._app
        try:
            await answer(scope, receive, send_bound)
        except Exception as error:
            log.error("%s %s: %s: %s", scope["method"], scope["path"][:80], type(error).__name__, error)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is answered in place of the application; None where it may answer."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["raw_path"]) > _LARGEST_HEADER:
            return _plain("That is more than a request needs.", 431)
        hosts = list(_values(scope, b"host"))
        if len(hosts) != 1 or not self._access.knows(hosts[0]):
            return _plain("This server does not know the name it was asked under.", 403)
        if not _is_of_this_site(scope, hosts[0]):
            return _plain("Only pages of this server may ask that.", 403)
        return self._refuse_strangers(scope) if self._access.token else None

    def _refuse_strangers(self, scope: Scope) -> Response | None:
        token, cookie = self._access.token, self._access.cookie
        if scope["path"] == "/" and any(_same(shown, token) for shown in _query(scope, "token")):
            entrance = HTMLResponse(_ENTRANCE, headers={"cache-control": "no-store"})
            entrance.set_cookie(cookie, token, httponly=True, samesite="strict", path="/")
            return entrance
        if any(_same(shown, token) for shown in _cookies(scope, cookie)):
            return None
        return _plain("Open the address that `decaf explore` printed: it holds the token that is missing here.", 401)


def _is_of_this_site(scope: Scope, host: str) -> bool:
    """Whether a request comes from a page of this server, from the address bar, or from no browser.

    Browsers say where a request comes from (Fetch Metadata; and Origin, which they send with all but plain GET). The
    front page may be opened from anywhere: nothing is in it, and no other site can read it.
    """
    if any(origin != f"{scope['scheme']}://{host}" for origin in _values(scope, b"origin")):
        return False
    if all(site in ("same-origin", "none") for site in _values(scope, b"sec-fetch-site")):
        return True
    opened = list(_values(scope, b"sec-fetch-mode")) == ["navigate"]
    return opened and list(_values(scope, b"sec-fetch-dest")) == ["document"] and _is_front(scope)


def _is_front(scope: Scope) -> bool:
    return bool(scope["method"] == "GET" and scope["path"] == "/")


def _values(scope: Scope, name: bytes) -> Iterator[str]:
    return (value.decode("latin-1") for header, value in scope["headers"] if header == name)


def _query(scope: Scope, name: str) -> Iterable[str]:
    try:
        return parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20).get(name, ())
    except ValueError:
        return ()


def _cookies(scope: Scope, name: str) -> Iterator[str]:
    for header in _values(scope, b"cookie"):
        try:
            cookies: SimpleCookie = SimpleCookie(header)
        except CookieError:
            continue
        if name in cookies:
            yield cookies[name].value


def _same(shown: str, token: str) -> bool:
    """In a time that does not tell how much of it is right."""
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), token.encode())


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(text + "\n", status, {"cache-control": "no-store"})
