"""One browser and one page for all tests that look at pages."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from decaf.explore import write_site
from tests.explore import pages

SOFTWARE = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page on the disk."""
    out = tmp_path_factory.mktemp("pages") / "page"
    write_site(out, pages.site(), pages.Plain())
    return out


@pytest.fixture(scope="session")
def served(folder: Path) -> Iterator[str]:
    """The same page from a plain web server on this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a screen or a graphics card."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: it drives the browser")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: install it to look at pages")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=SOFTWARE)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, folder: Path) -> Iterator[pages.Open]:
    """Open the page, or another; at the end it must have made no error and asked nobody else for anything."""
    opened: list[tuple[pages.Watched, Any, bool]] = []

    def open_it(
        url: str = "", offline: bool = False, fails: bool = False, width: int = 1200, height: int = 800, **how: Any
    ) -> pages.Watched:
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **how)
        context.set_offline(offline)
        page = context.new_page()
        watched = pages.Watched(page, url or (folder / "index.html").as_uri())
        page.on("console", lambda said: watched.errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.on("request", lambda request: watched.requests.append(request.url))
        opened.append((watched, context, fails))
        return watched

    yield open_it
    for watched, context, fails in opened:
        context.close()
        assert fails or watched.errors == []
        own = watched.url.rsplit("/", 1)[0] + "/"
        assert [url for url in watched.requests if not url.startswith((own, "blob:", "about:"))] == []
