"""A server for one page: bound to an address, ended by Ctrl-C."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from decaf.errors import ExploreError

PORT = 8420  # where it is free: what a browser keeps, such as tags, it keeps for an address
_EXTRA = 'the server needs two more packages: pip install "decaf-vision[explore]"'
_LARGEST_HEADER = 2**14  # bytes
_BACKLOG = 256
_KEEP_ALIVE, _FAREWELL = 15, 2  # seconds


@dataclass(frozen=True)
class Listening:
    """A socket that is bound.

    Attributes:
        socket: the socket.
        host: what it is bound to, as it was named.
        port: which port it has.
    """

    socket: socket.socket
    host: str
    port: int

    @property
    def address(self) -> str:
        """The address for a browser. Where all addresses of this machine are meant, that with its name."""
        name = socket.gethostname() if self.host in ("0.0.0.0", "::") else self.host
        return f"http://[{name}]:{self.port}/" if ":" in name else f"http://{name}:{self.port}/"


def check_installed() -> None:
    """Raise ExploreError where the packages of the server are missing."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise ExploreError(_EXTRA) from None


def listen(host: str, port: int | None = None) -> Listening:
    """Bind an address.

    Args:
        host: a name or address of this machine.
        port: 0: any that is free; None: 8420, or any where that is taken.

    Raises:
        ExploreError: it cannot be bound.
    """
    try:
        return _bound(host, PORT if port is None else port)
    except OSError as error:
        if port is None:
            return listen(host, 0)
        why = error.strerror or str(error)
        raise ExploreError(
            f"cannot listen on {host}, port {port} ({why}): name another with --host or --port, or --port 0"
        ) from None


def _bound(host: str, port: int) -> Listening:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would share the port with another program
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return Listening(listener, host, listener.getsockname()[1])


def make_server(app: Any) -> Any:
    """A uvicorn server of an application, for `run` or for a thread. It believes nobody about where he comes from."""
    import uvicorn

    from decaf.explore.patience import Patient

    config = uvicorn.Config(
        app,
        http=Patient,
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_FAREWELL,
        h11_max_incomplete_event_size=_LARGEST_HEADER,
    )
    return uvicorn.Server(config)


def run(app: Any, listening: Listening, started: Callable[[], None] | None = None) -> None:
    """Serve until Ctrl-C, or until the process is asked to end.

    Args:
        app: see `make_app`.
        listening: where.
        started: called once connections are taken in.
    """
    import asyncio

    server = make_server(app)

    async def serve() -> None:
        if started:
            asyncio.get_running_loop().call_later(0.05, started)
        await server.serve(sockets=[listening.socket])

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:  # uvicorn ends its work first, then passes the signal on
        pass
    finally:
        listening.socket.close()


def open_browser(address: str) -> None:
    """Show the address, if there is a browser."""
    import webbrowser
    from threading import Thread

    Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def has_screen() -> bool:
    """Whether a browser that is opened here would be seen by who typed the command."""
    if not sys.stdout.isatty() or os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
