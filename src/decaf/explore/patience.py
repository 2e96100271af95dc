"""Connections that have no time to lose: who sends or takes too slowly is let go."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0  # until a request's header is here, whatever drips in meanwhile
STALLED_SECONDS = 30.0  # that nothing of an answer is taken
MOST_CONNECTIONS = 400  # together; each is a descriptor, of which a process has 1024
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Type: text/plain\r\n"
    b"X-Content-Type-Options: nosniff\r\nContent-Length: 5\r\nConnection: close\r\n\r\nFull\n"
)


class Patient(H11Protocol):
    """uvicorn's protocol with limits it lacks: on slow headers, on slow readers, on connections in all."""

    _header: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.write(_FULL)
            transport.close()
        self._watch_header()

    def data_received(self, data: bytes) -> None:
        """Take what came, and look whether it is a request now."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch_header()

    def on_response_complete(self) -> None:
        """The next request, if any, has its own time."""
        super().on_response_complete()
        self._watch_header(sent_something=False)

    def pause_writing(self) -> None:
        """The other side takes nothing for now."""
        super().pause_writing()
        self._stalled = self._stalled or self.loop.call_later(STALLED_SECONDS, self._let_go)

    def resume_writing(self) -> None:
        """It takes something again."""
        super().resume_writing()
        _stop(self._stalled)
        self._stalled = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        _stop(self._header)
        _stop(self._stalled)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Nobody is waited for who takes an answer slowly."""
        super().shutdown()
        if self._stalled:
            self._let_go()

    def _watch_header(self, sent_something: bool = True) -> None:
        """A clock runs from the first sign of a request until its header is complete; more bytes do not set it back."""
        idle = self.cycle is None or self.cycle.response_complete
        if not idle:
            _stop(self._header)
            self._header = None
        elif sent_something and self._header is None:
            self._header = self.loop.call_later(HEADER_SECONDS, self._let_go)

    def _let_go(self, *_: Any) -> None:
        self.transport.abort()


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
