"""A server on loopback that answers as a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Request(BaseHTTPRequestHandler):
    """One request; an `Answer` uses these methods."""

    server: _Listener

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Range")))
        script = self.server.scripts[self.path]
        answer = script.pop(0) if len(script) > 1 else script[0]
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # a client that has heard enough
            answer(self)

    def begin(self, status: int = 200, **headers: object) -> None:
        """Status and headers; underscores stand for hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def start(self) -> int:
        """The byte the client wants to continue from."""
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_: object) -> None:
        """Says nothing."""


Answer = Callable[[Request], None]


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    scripts: dict[str, list[Answer]]
    asked: list[tuple[str, str | None]]

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


@dataclass
class Server:
    """Where it listens, what it answers and what it was asked."""

    url: str
    scripts: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def serve(self, path: str, *answers: Answer) -> str:
        """Answer requests for a path in this order, the last one for ever. Returns the URL."""
        self.scripts[path] = list(answers)
        return self.url + path

    @property
    def ranges(self) -> list[str | None]:
        """What each request wanted to continue."""
        return [wanted for _, wanted in self.asked]


@contextmanager
def running_server(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server for as long as the context lasts."""
    listener = _Listener(("127.0.0.1", 0), Request)
    if tls:
        listener.socket = tls.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    server = Server(f"{'https' if tls else 'http'}://127.0.0.1:{listener.server_port}")
    listener.scripts, listener.asked = server.scripts, server.asked
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


# Answers


def honest(data: bytes) -> Answer:
    """The file, or the rest of it."""

    def answer(request: Request) -> None:
        start = request.start()
        if start:
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            request.begin(206, Content_Length=len(data) - start, Content_Range=span)
        else:
            request.begin(Content_Length=len(data))
        request.wfile.write(data[start:])

    return answer


def cut_after(count: int, data: bytes) -> Answer:
    """As an honest answer, but the connection ends after `count` bytes of the body."""

    def answer(request: Request) -> None:
        start = request.start()
        span = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        request.begin(206 if start else 200, Content_Length=len(data) - start, **span)
        request.wfile.write(data[start : start + count])

    return answer


def without_range(data: bytes) -> Answer:
    """The whole file, whatever was asked for."""
    return announcing(len(data), data)


def announcing(length: object, data: bytes) -> Answer:
    """The whole file under some Content-Length; None for none."""

    def answer(request: Request) -> None:
        request.begin(**({} if length is None else {"Content_Length": length}))
        request.wfile.write(data)

    return answer


def status(code: int, **headers: object) -> Answer:
    """Nothing but a status."""
    return lambda request: request.begin(code, Content_Length=0, **headers)


def redirect(to: str, code: int = 302) -> Answer:
    """Sends the client elsewhere."""
    return status(code, Location=to)
