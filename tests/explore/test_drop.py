"""A picture dropped on the served page, in a real browser."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from decaf.explore.app import Answers
from decaf.explore.guard import Access, new_token
from decaf.explore.served import write_bundle
from decaf.explore.uploads import Bounds
from tests.explore import pages
from tests.explore.serving import House, by_colour, house

ROW = 30


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "page.zip"
    write_bundle(path, pages.site(), pages.Plain())
    return path


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[House]:
    with house(bundle, bounds=Bounds(upload=2**20)) as running:
        yield running


def picture(row: int = ROW) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((60, 60, 3), pages.colour(row), np.uint8)).save(out, "PNG")
    return out.getvalue()


class Tab:
    """A page and what it complained of."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.complaints: list[str] = []
        self.asked: list[str] = []
        page.on(
            "console", lambda message: message.type in ("error", "warning") and self.complaints.append(message.text)
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def go(self, address: str = "") -> Tab:
        self.page.goto(address or self.url)
        self.page.wait_for_selector("body[data-ready=yes]")
        return self

    def wait(self, expression: str, seconds: float = 10) -> None:
        """Until it is so. (Playwright's own way evaluates text, which the page's policy forbids.)"""
        end = time.monotonic() + seconds
        while not self.page.evaluate(f"!!({expression})"):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def drop(self, data: bytes, name: str = "new.png") -> None:
        """What a mouse does that lets go of a file over the map."""
        self.page.evaluate(
            """([text, name]) => {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
                const dataTransfer = new DataTransfer();
                dataTransfer.items.add(new File([bytes], name));
                for (const kind of ["dragenter", "dragover", "drop"])
                  decaf.el("map").dispatchEvent(
                    new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true }));
            }""",
            [base64.b64encode(data).decode(), name],
        )

    def rows(self) -> list[int]:
        """Which pictures are listed as near."""
        found: list[int] = self.page.evaluate("decaf.app.scene.near")
        return found

    def text(self, place: str) -> str:
        return str(self.page.inner_text(place))


@pytest.fixture
def tab(browser: Any, served: House) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1000, "height": 700}, reduced_motion="reduce")
    opened = Tab(context.new_page(), served.url)
    yield opened
    assert opened.complaints == []
    assert all(url.startswith((served.url, "blob:")) for url in opened.asked)
    context.close()


def test_a_dropped_picture_finds_itself_first(tab: Tab) -> None:
    tab.go().drop(picture())
    tab.wait("decaf.app.drop.shown")
    assert tab.rows()[0] == ROW and tab.text("#path") == "new.png"
    assert tab.text("#near-title") == "Nearest in deep" and len(tab.page.query_selector_all("#near button")) == 5
    assert tab.page.evaluate("decaf.app.drop.place()") == pytest.approx(pages.grid()[ROW].tolist())
    assert tab.page.is_visible("#detail") and tab.page.is_hidden("#drop-target")


def test_it_is_drawn_where_it_belongs(tab: Tab) -> None:
    tab.go().drop(picture())
    tab.wait("decaf.app.drop.shown")
    tab.page.wait_for_timeout(300)
    left, top, width, height = tab.page.evaluate("decaf.app.drop.rectangle()")
    box = tab.page.evaluate("(({ left, top }) => [left, top])(decaf.el('map').getBoundingClientRect())")
    shot = np.asarray(Image.open(io.BytesIO(tab.page.screenshot())).convert("RGB"), int)
    middle = shot[round(box[1] + top + height / 2), round(box[0] + left + width / 2)]
    assert pages.near(tuple(middle), pages.colour(ROW))
    assert left > 0 and left + width < tab.page.evaluate("decaf.el('detail').getBoundingClientRect().left") - box[0]


def test_the_slider_takes_it_along(tab: Tab) -> None:
    tab.go().drop(picture())
    tab.wait("decaf.app.drop.shown")
    tab.page.evaluate("decaf.app.layers.go(0)")
    tab.wait("decaf.app.drop.layer === 0")
    assert tab.page.evaluate("decaf.app.drop.place()") == pytest.approx(pages.shuffled()[ROW].tolist())
    assert tab.text("#near-title") == f"Nearest in {pages.HOSTILE}"


def test_names_are_never_markup(tab: Tab) -> None:
    tab.go().drop(picture(), f"{pages.HOSTILE}.png")
    tab.wait("decaf.app.drop.shown")
    assert tab.text("#path") == f"{pages.HOSTILE}.png" and pages.HOSTILE in tab.text("#facts")
    assert tab.page.evaluate("window.pwned") is None
    tab.drop(b"<svg onload='window.pwned=3'/>", f"{pages.HOSTILE}.svg")
    tab.wait("decaf.el('busy').textContent.startsWith('No picture')")
    assert tab.page.evaluate("window.pwned") is None
    tab.complaints = [text for text in tab.complaints if "422" not in text]  # Chromium tells of every such answer


def test_chosen_and_pasted_pictures_too(tab: Tab) -> None:
    tab.go()
    tab.page.set_input_files("#drop-input", {"name": "a.png", "mimeType": "image/png", "buffer": picture(50)})
    tab.wait("decaf.app.drop.shown")
    assert tab.rows()[0] == 50
    tab.page.evaluate(
        """(text) => {
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], "image.png"));
            dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
        }""",
        base64.b64encode(picture(77)).decode(),
    )
    tab.wait("decaf.app.scene.near[0] === 77")


def test_a_neighbour_opens_and_the_guest_comes_back(tab: Tab) -> None:
    tab.go().drop(picture())
    tab.wait("decaf.app.drop.shown")
    tab.page.click("#near button >> nth=1")
    tab.wait("decaf.app.scene.open >= 0 && !decaf.el('drop-chip').hidden")
    assert tab.text("#path").startswith("kind")
    tab.page.click("#drop-chip")
    tab.wait("decaf.app.drop.shown")
    assert tab.text("#path") == "new.png" and tab.page.evaluate("decaf.app.scene.open") == -1
    tab.page.keyboard.press("Escape")
    tab.wait("!decaf.app.drop.guest")
    assert tab.page.is_hidden("#detail") and tab.rows() == []


def test_what_is_too_large_is_told_before_it_is_sent(tab: Tab) -> None:
    tab.go()
    tab.wait("decaf.app.drop.most < 1e9")
    tab.drop(bytes(2**20 + 1), "large.jpg")
    tab.wait("decaf.el('busy').textContent.includes('more than the 1.0 MB')")
    assert not any(url.endswith("/drop") for url in tab.asked[1:][-1:])


def test_originals_open_alone(tab: Tab, served: House) -> None:
    tab.go(f"{served.url}#picture={ROW}")
    tab.wait("!decaf.el('detail').hidden && document.querySelector('#picture img')?.complete")
    assert tab.page.get_attribute("#picture a", "href") == f"original/{ROW}"
    assert tab.page.evaluate("document.querySelector('#picture img').naturalWidth") == 40
    tab.page.goto(f"{served.url}original/{ROW}")
    assert tab.page.evaluate("document.querySelector('img').naturalWidth") == 40


def test_where_the_network_is_missing_the_page_says_so(browser: Any, bundle: Path) -> None:
    with house(bundle, Answers(by_colour, {"drop": False})) as unable:
        tab = Tab(browser.new_page(), unable.url).go()
        tab.wait("decaf.app.drop.able === false")
        tab.drop(picture())
        tab.wait("decaf.el('busy').textContent.startsWith('The network')")
        assert tab.complaints == []
        tab.page.close()


def test_a_token_opens_the_page_and_leaves_the_address(browser: Any, bundle: Path) -> None:
    token = new_token()
    with house(bundle, access=Access(loopback=False, token=token, cookie="decaf-x")) as guarded:
        context = browser.new_context()
        tab = Tab(context.new_page(), guarded.url)
        tab.go(f"{guarded.url}?token={token}")
        assert token not in tab.page.url and token not in tab.page.evaluate("document.cookie")
        tab.drop(picture())
        tab.wait("decaf.app.drop.shown")
        assert tab.complaints == []
        context.close()


def test_another_site_gets_nothing(browser: Any, served: House) -> None:
    """A page of another origin that tries what pages can try."""
    tries = {
        "script": f"<script src='{served.url}data/paths.js'></script>",
        "image": f"<img src='{served.url}picture/3'>",
        "frame": f"<iframe src='{served.url}'></iframe>",
    }
    attack = f"""<!doctype html><script>
        const stolen = []; const decaf = {{ chunk: (name) => stolen.push(name), describe: () => stolen.push("site") }};
        </script>{"".join(tries.values())}
        <script>
        const raw = {{ "content-type": "application/octet-stream" }};
        const send = (how) => fetch("{served.url}drop", how).then(() => "sent", () => "refused");
        window.done = Promise.all([
          send({{ method: "POST", body: "x", headers: raw }}), send({{ method: "GET" }}),
          send({{ method: "POST", body: new Blob(["x"], {{ type: "text/plain" }}) }}),
        ]);
        </script>"""
    context = browser.new_context()
    page = context.new_page()
    context.route("http://other.example/", lambda route: route.fulfill(body=attack, content_type="text/html"))
    page.goto("http://other.example/")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.done") == ["refused"] * 3
    assert page.evaluate("stolen") == [] and page.evaluate("document.images[0].naturalWidth") == 0
    assert not [frame for frame in page.frames if "Pictures on a map" in frame.content()]
    context.close()
