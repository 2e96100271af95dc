"""Bodies of requests, and work for them, within bounds: of bytes, of seconds, of how many at a time."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from decaf.errors import DecafError, ImageError

T = TypeVar("T")

_MOST_SCANS = 200  # of a JPEG file; cameras write 1, progressive files about 10
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # but for those that lie in coded data
_SCAN, _END = b"\xff\xda", b"\xff\xd9"


class Refused(DecafError):
    """A request that is not served, with the status of HTTP that says why."""

    def __init__(self, status: int, why: str, retry_after: int = 0) -> None:
        super().__init__(why)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True)
class Bounds:
    """What a client may ask of the server.

    Attributes:
        upload: bytes of a picture that is sent.
        seconds: until a body is here.
        pause: seconds between two of its parts.
        linger: seconds in which what is refused may still arrive, so that the answer is seen.
        work: seconds until an answer is given up; what works on it goes on, and keeps its seat.
        seats: bodies and answers at a time, in all: they bound the memory, seats x upload.
        seats_each: of one client.
    """

    upload: int = 20 * 2**20
    seconds: float = 60.0
    pause: float = 10.0
    linger: float = 2.0
    work: float = 60.0
    seats: int = 8
    seats_each: int = 6


class Seats:
    """How many may be served at a time, in all and of one client; others come again later."""

    def __init__(self, seats: int, seats_each: int) -> None:
        self._seats, self._each = seats, seats_each
        self._taken: Counter[str] = Counter()

    def take(self, client: str) -> None:
        """Take a seat. Raises Refused where none is free."""
        if self._taken.total() >= self._seats:
            raise Refused(503, "Too much is asked at the moment: try again.", 2)
        if self._taken[client] >= self._each:
            raise Refused(429, "You asked too much at a time: try again.", 1)
        self._taken[client] += 1

    def give_back(self, client: str) -> None:
        """Leave a seat that was taken."""
        self._taken[client] -= 1
        if not self._taken[client]:
            del self._taken[client]


class Desk:
    """Works for clients on threads, so that the server listens on meanwhile.

    Whoever waits for an answer has a seat, and so has work that nobody waits for any more.
    """

    def __init__(self, bounds: Bounds, threads: int = 1) -> None:
        self._bounds, self._seats = bounds, Seats(bounds.seats, bounds.seats_each)
        self._pool = ThreadPoolExecutor(threads, "decaf-desk")

    async def upload(self, request: Request, work: Callable[[bytes], T]) -> T:
        """Read the body of a request and work on it. Raises Refused, or what `work` raises."""
        client = client_of(request)
        self._seats.take(client)
        try:
            data = await read_body(request, self._bounds)
            future = asyncio.get_running_loop().run_in_executor(self._pool, work, data)
        except BaseException:
            self._seats.give_back(client)
            raise
        return await self._answer(future, client)

    async def do(self, request: Request, work: Callable[[], T]) -> T:
        """Work for a request without a body. Raises Refused, or what `work` raises."""
        client = client_of(request)
        self._seats.take(client)
        return await self._answer(asyncio.get_running_loop().run_in_executor(self._pool, work), client)

    async def _answer(self, future: asyncio.Future[T], client: str) -> T:
        future.add_done_callback(lambda _: self._seats.give_back(client))
        try:
            return await asyncio.wait_for(asyncio.shield(future), self._bounds.work)
        except TimeoutError:
            future.add_done_callback(lambda done: done.exception())  # nobody else will ask for it
            raise Refused(504, "That takes too long: send a smaller picture.") from None


def client_of(request: Request) -> str:
    """The address a request came from; nobody's word is taken for it."""
    return request.client.host if request.client else ""


async def read_body(request: Request, bounds: Bounds) -> bytes:
    """The body of a request, never more of it in memory than is allowed. Raises Refused."""
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or len(declared) > 15 or int(declared) > bounds.upload:
        raise _too_large(bounds)
    body = bytearray()
    try:
        async with asyncio.timeout(bounds.seconds):
            async for part in _parts(request, bounds.pause):
                if len(body) + len(part) > bounds.upload:
                    raise _too_large(bounds)
                body += part
    except TimeoutError:
        raise Refused(408, "The picture did not come in time.") from None
    except ClientDisconnect:
        raise Refused(400, "The picture did not come whole.") from None
    return bytes(body)


async def _parts(request: Request, pause: float) -> AsyncIterator[bytes]:
    stream = request.stream().__aiter__()
    with suppress(StopAsyncIteration):
        while True:
            yield await asyncio.wait_for(stream.__anext__(), pause)


async def let_arrive(request: Request, seconds: float, most: int = 2**23) -> None:
    """Take in and forget some of a body that is refused: a client that is still sending would not see the answer."""
    with suppress(TimeoutError, ClientDisconnect, RuntimeError, StopAsyncIteration):
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                most -= len(part)
                if most < 0:
                    return


def _too_large(bounds: Bounds) -> Refused:
    return Refused(413, f"More than {bounds.upload / 2**20:g} MB: send a smaller picture.")


def check_scans(data: bytes) -> None:
    """Refuse a JPEG file that goes over its pixels again and again: few bytes that take minutes. Raises ImageError."""
    if sum(1 for _ in islice(_scans(data), _MOST_SCANS + 1)) > _MOST_SCANS:
        raise ImageError(f"more than {_MOST_SCANS} scans: no camera writes such a file")


def _scans(data: bytes) -> Iterator[int]:
    """Where scans begin (ITU-T T.81, annex B): segments say their length; coded data ends with the next marker."""
    place = 2
    while data[:2] == b"\xff\xd8" and (found := _MARKER.search(data, place)) and found[0] != _END:
        place = found.end()
        length = int.from_bytes(data[place : place + 2], "big")
        if found[0] == _SCAN:
            yield place
        place += max(length, 2)
