"""The page, its data, its pictures and an answer to a dropped picture, as an application for a web server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from decaf.errors import DecafError, ImageError
from decaf.explore.guard import Access, Guard
from decaf.explore.served import Bundle, ServedPictures, page_files
from decaf.explore.uploads import Bounds, Desk, Refused, Seats, client_of, let_arrive

_PART = 2**16
_FOREVER = "private, max-age=31536000, immutable"  # of addresses that hold a digest of what is there
_NEVER = "no-cache"
# A picture opened alone is a page of its own; nothing in it may run or load.
_ALONE = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_PICTURES_AT_A_TIME, _PICTURES_WAITING, _ORIGINALS = 2, 128, 4


@dataclass(frozen=True)
class Answers:
    """What a dropped picture is answered with.

    Attributes:
        ask: the bytes of a picture -> plain values for JSON. Raises ImageError.
        about: what the page is told beforehand, plain values.
    """

    ask: Callable[[bytes], Mapping[str, Any]]
    about: Mapping[str, Any] = field(default_factory=dict)


def make_app(
    bundle: Bundle, pictures: ServedPictures, answers: Answers, access: Access, bounds: Bounds | None = None
) -> ASGIApp:
    """The application.

    Args:
        bundle: data of the site.
        pictures: of the site.
        answers: to dropped pictures.
        access: who may ask.
        bounds: of bodies and work.
    """
    house = _House(bundle, pictures, answers, bounds or Bounds())
    routes = [
        Route("/", house.page),
        Route("/drop", house.about, methods=["GET"]),
        Route("/drop", house.drop, methods=["POST"]),
        Route("/data/{name}", house.data),
        Route("/picture/{row}", house.picture),
        Route("/original/{row}", house.original),
        Route("/{name}", house.page),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_there, Refused: _refused})
    app.router.redirect_slashes = False
    return Guard(app, access)


class _House:
    def __init__(self, bundle: Bundle, pictures: ServedPictures, answers: Answers, bounds: Bounds) -> None:
        self._bundle, self._pictures, self._answers, self._bounds = bundle, pictures, answers, bounds
        self._files = page_files()
        self._desk = Desk(bounds)
        viewing = Bounds(seats=_PICTURES_WAITING, seats_each=_PICTURES_WAITING)
        self._viewing = Desk(viewing, _PICTURES_AT_A_TIME)
        self._originals = Seats(_ORIGINALS, _ORIGINALS)

    async def page(self, request: Request) -> Response:
        file = self._files.get(request.path_params.get("name", "index.html"))
        if file is None:
            raise HTTPException(404)
        return Response(file[0], media_type=file[1], headers={"cache-control": _NEVER})

    async def data(self, request: Request) -> Response:
        name = request.path_params["name"]
        size = self._bundle.size(name)
        if size is None:
            raise HTTPException(404)
        kept = _FOREVER if request.url.query else _NEVER
        headers = {"content-length": str(size), "cache-control": kept}
        return StreamingResponse(self._bundle.parts(name), media_type="text/javascript; charset=utf-8", headers=headers)

    async def picture(self, request: Request) -> Response:
        row = self._row(request)
        made = await self._viewing.do(request, lambda: _seen(lambda: self._pictures.preview(row)))
        return Response(made, media_type="image/jpeg", headers={"cache-control": _FOREVER})

    async def original(self, request: Request) -> Response:
        row, client = self._row(request), client_of(request)
        self._originals.take(client)
        try:
            data, kind = await self._viewing.do(request, lambda: _seen(lambda: self._pictures.original(row)))
        except BaseException:
            self._originals.give_back(client)
            raise
        headers = {"cache-control": _NEVER, "content-security-policy": _ALONE}
        return _Slowly(data, kind, headers, lambda: self._originals.give_back(client))

    def _row(self, request: Request) -> int:
        row = self._pictures.row(request.path_params["row"])
        if row is None:
            raise HTTPException(404)
        return row

    async def about(self, request: Request) -> Response:
        about = {**self._answers.about, "bytes": self._bounds.upload}
        return JSONResponse(about, headers={"cache-control": "no-store"})

    async def drop(self, request: Request) -> Response:
        try:
            # Another site may send texts and forms without asking first, but no body of this kind.
            if request.headers.get("content-type") != "application/octet-stream":
                raise Refused(415, "Send the file itself, as application/octet-stream.")
            answer = await self._desk.upload(request, self._answers.ask)
        except Refused as refused:
            if refused.status != 408:
                await let_arrive(request, self._bounds.linger)
            raise
        except ImageError as error:
            return JSONResponse({"error": f"No picture that can be read: {error}"}, 422)
        except DecafError as error:
            return JSONResponse({"error": str(error)}, 409)
        return JSONResponse(answer, headers={"cache-control": "no-store"})


def _seen(make: Callable[[], Any]) -> Any:
    """What can be had of a picture. Raises Refused: where it lies is nobody's business."""
    try:
        return make()
    except (ImageError, OSError):
        raise Refused(404, "This picture cannot be read.") from None


class _Slowly(Response):
    """A large body in parts: no more of it lies in buffers than the other side takes. Then something is let go."""

    def __init__(self, body: bytes, kind: str, headers: dict[str, str], done: Callable[[], None]) -> None:
        super().__init__(body, media_type=kind, headers=headers)
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for start in range(0, len(self.body), _PART):
                await send({"type": "http.response.body", "body": self.body[start : start + _PART], "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._done()


async def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {"cache-control": "no-store", **(error.headers or {})}
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    headers = {"cache-control": "no-store"}
    if error.retry_after:
        headers["retry-after"] = str(error.retry_after)
    if error.status in (408, 413, 504):
        headers["connection"] = "close"
    return JSONResponse({"error": str(error)}, error.status, headers)
