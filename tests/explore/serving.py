"""A server in a thread, and clients that say exactly what they are told to."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decaf.explore.app import Answers, make_app
from decaf.explore.guard import Access
from decaf.explore.pictures import preview_of
from decaf.explore.served import Bundle, ServedPictures
from decaf.explore.server import Listening, listen, make_server
from decaf.explore.uploads import Bounds, check_scans
from decaf.images.decode import Limits, decode
from tests.explore import pages

LIMITS = Limits(2**20, 1_000_000)
RAW = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class House:
    """A server that runs."""

    port: int
    server: Any
    secrets: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(
        self, path: str = "/", method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return Answer(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def drop(self, data: bytes, **headers: str) -> Answer:
        return self.ask("/drop", "POST", data, RAW | headers)

    def say(self, data: bytes, seconds: float = 10) -> bytes:
        """Send bytes as they are; returns all that comes back until the other side ends."""
        with self.connect(seconds) as client:
            client.sendall(data)
            return read_all(client)

    def connect(self, seconds: float = 10) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), seconds)

    def is_well(self) -> bool:
        return self.ask("/").status == 200 and self.ask("/picture/3").status == 200


def read_all(client: socket.socket, quiet: float = 0.5) -> bytes:
    """All that comes until the other side ends, or says nothing more for a while."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
            client.settimeout(quiet)
    except ConnectionResetError:
        pass
    except TimeoutError:
        assert parts, "no answer"
    return b"".join(parts)


def by_colour(data: bytes) -> dict[str, Any]:
    """An answer in the form of the real one: near is what has nearly the same colour."""
    check_scans(data)
    pixels = decode(data, LIMITS)
    mean = pixels.reshape(-1, 3).mean(axis=0)
    colours = np.array([pages.colour(row) for row in range(pages.COUNT)])
    near = np.argsort(np.abs(colours - mean).sum(axis=1), kind="stable")[:5].tolist()
    places = [pages.shuffled(), pages.grid()]
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "preview": base64.b64encode(preview_of(pixels, 512)).decode(),
        "layers": [{"near": near, "similarity": [1.0] * 5, "place": place[near[0]].tolist()} for place in places],
        "net": [{"label": pages.HOSTILE, "probability": 0.9}],
        "model": None,
    }


@contextmanager
def house(
    bundle: Path,
    answers: Answers | None = None,
    access: Access | None = None,
    bounds: Bounds | None = None,
    source: Any = None,
    secrets: Path = Path(),
) -> Iterator[House]:
    """A server of a bundle."""
    listening = listen("127.0.0.1", 0)
    pictures = ServedPictures(source or pages.Plain(), pages.COUNT)
    app = make_app(Bundle(bundle), pictures, answers or Answers(by_colour, {"drop": True}), access or Access(), bounds)
    with running(app, listening) as server:
        yield House(listening.port, server, secrets)


@contextmanager
def running(app: Any, listening: Listening) -> Iterator[Any]:
    """A server in a thread."""
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening.socket]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server
    server.should_exit = True
    thread.join(10)
    listening.socket.close()
    assert not thread.is_alive()
