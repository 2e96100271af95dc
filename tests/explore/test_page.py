"""The page in a real browser, by its pixels and its elements."""

from __future__ import annotations

import csv
import io
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from decaf.explore.layouts import in_one_frame
from tests.explore import pages
from tests.explore.pages import COUNT, HOSTILE, WIDE, Open, colour, grid, near

VIEW = (1 / 11, 1 / 11, 4.0)  # in the middle of the screen lies the picture in row 6, column 6
MIDDLE = 6 * 12 + 6


def at(view: tuple[float, float, float] = VIEW) -> str:
    return "view=" + ",".join(map(str, view))


@pytest.mark.parametrize("how", ["disk", "server"])
def test_all_pictures_lie_where_they_belong(open_page: Open, served: str, how: str) -> None:
    page = open_page(served if how == "server" else "", offline=how == "disk").go()
    shot, places = page.pixels(), grid()
    wrong = []
    for row in range(COUNT - 1):
        left, top = page.place_of(*places[row])
        if not near(tuple(shot[round(top), round(left)]), colour(row)):
            wrong.append(row)
    covered = {row for row in range(COUNT) if max(abs(places[row])) > 0.85}  # by tools and names
    assert len(set(wrong) - covered) <= 6, wrong
    assert page.text("#title") == f"Page {HOSTILE}"


def test_zoom_shows_the_picture_and_its_neighbours(open_page: Open) -> None:
    page = open_page().go(at())
    places, shot = grid(), page.pixels()
    for row in (MIDDLE, MIDDLE + 1, MIDDLE - 12):
        left, top = page.place_of(*places[row], VIEW)
        assert near(tuple(shot[round(top), round(left)]), colour(row))
        same = np.argwhere(np.abs(shot - colour(row)).max(axis=2) <= 12)
        np.testing.assert_allclose(same.mean(axis=0), (top, left), atol=3)


def test_every_sheet_shows_its_own_pictures(open_page: Open, tmp_path: Path) -> None:
    from decaf.explore import PictureSettings, Site, write_site

    class Many(pages.Plain):
        def load(self, row: int) -> np.ndarray:
            return np.full((8, 8, 3), colour(row), np.uint8)

    side = 25
    at = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) / (side - 1) * 2 - 1
    many = Site("Many", [f"{row}.png" for row in range(side**2)], [], {"a": at, "b": at})
    write_site(tmp_path / "page", many, Many(), PictureSettings(preview=0))
    page = open_page((tmp_path / "page" / "index.html").as_uri(), height=900).go()
    assert page.page.evaluate("[...decaf.app.scene.large.layerOf].sort().join()") == "0,1,2"
    shot = page.pixels()
    free = [row for row in range(side**2) if at[row, 0] > -0.8]  # of tools
    wrong = [
        row
        for row in free
        for x, y in [page.place_of(*at[row])]
        if not near(tuple(shot[round(y), round(x)]), colour(row))
    ]
    assert wrong == []


def test_wheel_zooms_where_the_pointer_is(open_page: Open) -> None:
    page = open_page().go()
    place = page.place_of(*grid()[30])
    page.page.mouse.move(*page.to_page(place))
    for _ in range(5):
        page.page.mouse.wheel(0, -240)
    page.page.mouse.move(20, 5)
    page.rest()
    assert page.page.evaluate("decaf.app.scene.camera.zoom") == pytest.approx(math.exp(240 * 0.002 * 5))
    assert near(page.colour_at(*place), colour(30))
    assert near(page.colour_at(place[0] + 60, place[1]), colour(30))


@pytest.mark.parametrize("zoom", [2.0, 3.0])  # by WebGL, and from its own file
def test_a_wide_picture_is_drawn_wide(open_page: Open, zoom: float) -> None:
    x, y = grid()[WIDE]
    page = open_page().go(at((x, y, zoom)))
    side = page.page.evaluate("decaf.app.scene.side")
    left, top = page.place_of(x, y, (x, y, zoom))
    assert (side < 88) == (zoom == 2)
    reach = side / 2 * math.sqrt(3)
    assert near(page.colour_at(left + 0.9 * reach, top), colour(WIDE))
    assert not near(page.colour_at(left, top + 0.7 * side / 2), colour(WIDE))


def test_slider_moves_known_points_to_known_places(open_page: Open) -> None:
    site = pages.site()
    places = in_one_frame(site.layouts)[HOSTILE]
    page = open_page().go()
    page.page.keyboard.press("[")
    page.page.wait_for_function("() => decaf.app.scene.position === 0")
    page.rest()
    rows = [row for row in range(COUNT - 1) if np.abs(places[row]).max() < 0.6 and row != WIDE]
    shot = page.pixels()
    hits = sum(near(tuple(shot[round(t), round(s)]), colour(r)) for r in rows for s, t in [page.place_of(*places[r])])
    assert len(rows) > 20 and hits >= 0.9 * len(rows)
    assert f"layer={HOSTILE[:4]}".replace("<", "%3C").split("=")[0] in page.page.evaluate("location.hash")


def test_half_way_points_are_between(open_page: Open) -> None:
    places = in_one_frame(pages.site().layouts)
    page = open_page().go()
    page.page.evaluate("decaf.app.scene.moveTo(0.5)")
    page.rest()
    found = np.array(page.page.evaluate(f"Array.from({{length: {COUNT}}}, (_, row) => decaf.app.scene.place(row))"))
    np.testing.assert_allclose(found, (places[HOSTILE] + places["deep"]) / 2, atol=1e-6)


def draw(page: pages.Watched, tool: str, corners: list[tuple[float, float]]) -> None:
    page.page.click(f"#tool-{tool}")
    mouse = page.page.mouse
    mouse.move(*page.to_page(page.place_of(*corners[0])))
    mouse.down()
    for corner in corners[1:]:
        mouse.move(*page.to_page(page.place_of(*corner)), steps=4)
    mouse.up()
    page.rest()


@pytest.mark.parametrize("tool", ["lasso", "box"])
def test_lasso_and_box_export_what_lies_inside(open_page: Open, tool: str) -> None:
    page = open_page().go()
    low, high = -0.75, 0.25
    corners = [(low, low), (high, high)] if tool == "box" else [(low, low), (high, low), (high, high), (low, high)]
    draw(page, tool, corners)
    inside = [row for row, (x, y) in enumerate(grid()) if low < x < high and low < y < high]
    assert page.text("#selected") == f"{len(inside)} pictures selected"
    page.page.fill("#tag-name", "my, tag")
    page.page.click("#tag-form button[type=submit]")
    with page.page.expect_download() as download:
        page.page.click("#export")
    text = Path(download.value.path()).read_text(encoding="utf-8")
    lines = list(csv.reader(io.StringIO(text)))
    assert lines[0] == ["path", "label", "was"]
    assert lines[1:] == [[pages.paths()[row], "my, tag", pages.kinds()[row] or ""] for row in inside]


def test_shift_adds_and_alt_takes_away(open_page: Open) -> None:
    page = open_page().go()
    draw(page, "box", [(-1.05, -1.05), (0, 0)])
    page.page.keyboard.down("Shift")
    draw(page, "box", [(0, 0), (1.05, 1.05)])
    page.page.keyboard.up("Shift")
    assert page.text("#selected") == "72 pictures selected"
    page.page.keyboard.down("Alt")
    draw(page, "box", [(0.5, 0.5), (1.05, 1.05)])
    page.page.keyboard.up("Alt")
    assert page.text("#selected") == "63 pictures selected"
    page.page.keyboard.press("Escape")
    assert page.text("#selected").startswith("Nothing")


def test_tags_are_kept_for_the_next_visit(open_page: Open) -> None:
    page = open_page().go()
    draw(page, "box", [(-1.05, -1.05), (-0.9, 1.05)])
    page.page.fill("#tag-name", HOSTILE)
    page.page.keyboard.press("Enter")
    page.go()
    assert page.page.locator("#tags .name").all_text_contents() == [HOSTILE]
    page.page.click("#tags .entry")
    assert page.text("#selected") == "12 pictures selected"


def test_click_opens_a_picture_and_lights_its_neighbours(open_page: Open) -> None:
    page = open_page().go(at())
    page.page.mouse.click(*page.to_page(page.place_of(*grid()[MIDDLE], VIEW)))
    page.page.wait_for_selector("#detail:not([hidden]) img")
    assert page.text("#path") == pages.paths()[MIDDLE]
    assert page.text("#facts dd >> nth=0") == pages.kinds()[MIDDLE]
    assert page.page.evaluate("decaf.app.scene.near") == [MIDDLE + 1, MIDDLE + 2, MIDDLE + 12]
    assert page.page.locator("#near button").count() == 3
    page.page.click("#near button >> nth=2")
    page.page.wait_for_function(f"() => document.getElementById('path').textContent === '{pages.paths()[MIDDLE + 12]}'")
    source = page.page.locator("#picture img").get_attribute("src")
    assert source == f"pictures/0/{MIDDLE + 12}.jpg"
    page.page.click("#detail-close")
    assert page.page.locator("#detail").is_hidden()


def test_neighbours_are_framed_on_the_map(open_page: Open) -> None:
    page = open_page().go("as=dots")
    frame = page.page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--accent').trim()")
    accent = tuple(int(frame[i : i + 2], 16) for i in (1, 3, 5))
    before = page.pixels()
    page.page.evaluate(f"decaf.app.state.open({MIDDLE})")
    page.page.wait_for_selector("#detail:not([hidden]) img")
    page.rest()
    after = page.pixels()
    for row in (MIDDLE, MIDDLE + 1, MIDDLE + 12):
        left, top = page.place_of(*grid()[row])
        part = (slice(round(top) - 34, round(top) + 34), slice(round(left) - 34, round(left) + 34))
        framed = (np.abs(after[part] - accent).max(axis=2) < 12).sum()
        assert framed > 60 > (np.abs(before[part] - accent).max(axis=2) < 12).sum()


def test_search_by_path_and_label(open_page: Open) -> None:
    page = open_page().go()
    for words, found in [("041", [41]), ("kind1 .png", [r for r in range(COUNT) if r % 3 == 1]), ("nobody", [])]:
        page.page.fill("#query", words)
        page.page.press("#query", "Enter")
        page.page.wait_for_function(f"() => document.getElementById('found').textContent === '{len(found)} found'")
        assert page.page.evaluate("decaf.app.state.foundRows()") == found
    page.page.fill("#query", "041")
    page.page.press("#query", "Enter")
    page.page.wait_for_function("() => document.getElementById('found').textContent === '1 found'")
    page.rest()
    left, top = page.place_of(0, 0, (0, 0, 1))
    assert near(page.colour_at(left, top), colour(41))


def test_legend_filters(open_page: Open) -> None:
    page = open_page().go("as=dots")
    entry = page.page.locator("#legend .entry", has_text="kind1")
    entry.click()
    assert entry.get_attribute("aria-pressed") == "true"
    shown = page.page.evaluate(f"Array.from({{length: {COUNT}}}, (_, row) => decaf.app.scene.isShown(row))")
    assert [row for row in range(COUNT) if shown[row]] == [row for row in range(COUNT) if row % 3 == 1 and row != 5]
    page.rest()
    gone = page.place_of(*grid()[66])  # 66 % 3 == 0
    assert near(page.colour_at(*gone), (250, 250, 250), 2)
    page.page.click("#legend-clear")
    page.rest()
    assert not near(page.colour_at(*gone), (250, 250, 250), 40)


def test_numbers_colour_and_filter(open_page: Open) -> None:
    page = open_page().go("as=dots")
    page.page.select_option("#column", label="number")
    page.page.wait_for_selector("#legend .ramp")
    page.rest()
    first, last = (page.colour_at(*page.place_of(*grid()[row])) for row in (14, 129))
    assert first[2] > first[1] and last[1] > last[2]  # viridis: from blue-violet to yellow-green
    page.page.locator("#legend input").first.fill("100")
    page.rest()
    shown = page.page.evaluate(f"Array.from({{length: {COUNT}}}, (_, row) => decaf.app.scene.isShown(row))")
    assert [row for row in range(COUNT) if shown[row]] == list(range(100, COUNT))


def test_address_brings_the_view_back(open_page: Open) -> None:
    page = open_page().go()
    page.page.keyboard.press("[")
    page.page.select_option("#column", label="number")
    page.page.evaluate("decaf.app.pointer.resize(2); decaf.app.scene.camera.zoomAt(5, 300, 200)")
    page.page.evaluate("decaf.app.state.search('kind2')")
    page.page.evaluate(f"decaf.app.state.filterBy(1, [10, 90]); decaf.app.state.open({MIDDLE})")
    page.page.wait_for_function("() => /find=kind2.*picture=/.test(location.hash)")
    page.page.wait_for_timeout(350)
    seen = "[...decaf.app.scene.camera.toWorld(9, 9), decaf.app.scene.position, decaf.app.scene.open,"
    seen += " decaf.app.state.column, decaf.app.scene.size, decaf.app.state.foundCount, [...decaf.app.state.filters]]"
    before, address = page.page.evaluate(seen), page.page.evaluate("location.hash.slice(1)")
    other = open_page().go(address)
    after = other.page.evaluate(seen)
    assert after[2:] == before[2:]
    assert after[:2] == pytest.approx(before[:2], abs=1e-3)


@pytest.mark.parametrize(
    "address",
    ["view=nan,1,2&layer=none&colour=&picture=9999", "only=9:1&only=0:x&view=1,2", "picture=-5&size=-1&as=<b>", "%%%"],
)
def test_wrong_addresses_do_no_harm(open_page: Open, address: str) -> None:
    page = open_page().go(address)
    assert page.page.evaluate("decaf.app.scene.frames") > 0
    assert page.page.locator("#detail").is_hidden()


def test_keyboard_alone_walks_from_picture_to_picture(open_page: Open) -> None:
    page = open_page().go(at())
    page.page.focus("#map")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#detail:not([hidden])")
    assert page.page.evaluate("decaf.app.scene.open") == MIDDLE
    for expected in (MIDDLE + 1, MIDDLE + 2, MIDDLE + 3):
        page.page.keyboard.press("n")
        page.page.wait_for_function(f"() => decaf.app.scene.open === {expected} && decaf.app.scene.near.length === 3")
    page.page.keyboard.press("Escape")
    before = page.page.evaluate("decaf.app.scene.camera.x")
    page.page.keyboard.press("ArrowRight")
    page.rest()
    assert page.page.evaluate("decaf.app.scene.camera.x") > before
    page.page.keyboard.press("?")
    assert page.page.locator("#help").is_visible()


def test_two_fingers_zoom(open_page: Open) -> None:
    page = open_page(has_touch=True, width=390, height=800).go()
    box = page.page.locator("#stage").bounding_box()
    middle, height = box["x"] + box["width"] / 2, box["y"] + 300
    client = page.page.context.new_cdp_session(page.page)

    def touch(kind: str, apart: float) -> None:
        points = [{"x": middle + side * apart, "y": height} for side in (-1, 1)] if apart else []
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 30)
    for apart in (40, 60, 90):
        touch("touchMove", apart)
    touch("touchEnd", 0)
    page.rest()
    assert page.page.evaluate("decaf.app.scene.camera.zoom") == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize("width", [390, 1024])
def test_nothing_is_wider_than_the_screen(open_page: Open, width: int) -> None:
    page = open_page(width=width, height=760, color_scheme="dark").go(f"picture={MIDDLE}")
    page.page.wait_for_selector("#detail:not([hidden])")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select')]
            .filter((one) => one.offsetParent && (one.offsetWidth < 24 || one.offsetHeight < 22))
            .map((one) => one.id || one.outerHTML)"""
    )
    assert small == []


def test_dark_and_light(open_page: Open) -> None:
    page = open_page(color_scheme="dark").go("as=dots")
    assert sum(page.colour_at(5, 400)) < 120
    page.page.click("#theme")
    page.rest()
    assert sum(page.colour_at(5, 400)) > 700


def test_everything_has_a_name_for_those_who_do_not_see(open_page: Open) -> None:
    page = open_page().go(f"picture={MIDDLE}")
    page.page.wait_for_selector("#detail:not([hidden]) img")
    nameless = page.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, img, canvas, aside, dialog')]
            .filter((one) => one.offsetParent && one.getAttribute('aria-hidden') !== 'true')
            .filter((one) => !(one.getAttribute('aria-label') || one.getAttribute('aria-labelledby') || one.title
                || one.textContent.trim() || one.alt !== undefined || one.labels?.length))
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    assert page.page.locator("#map").get_attribute("aria-label") == "Map of 144 pictures"


def test_names_are_never_markup(open_page: Open) -> None:
    page = open_page().go("picture=7")
    page.page.wait_for_selector("#detail:not([hidden])")
    page.page.select_option("#column", label=HOSTILE)
    page.page.mouse.move(*page.to_page(page.place_of(*grid()[6])))
    page.page.wait_for_selector("#tip:not([hidden])")
    page.page.click("#help-open")
    assert page.page.evaluate("window.pwned") is None
    assert page.page.locator("img[src=x], main script").count() == 0
    assert page.text("#path") == pages.paths()[7]
    assert page.text("#notes li") == HOSTILE


def test_inline_script_is_refused(open_page: Open) -> None:
    page = open_page(fails=True).go()
    page.page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.pwned=1\">');"
        "const s = document.createElement('script'); s.textContent = 'window.pwned=2'; document.body.append(s)"
    )
    page.page.wait_for_timeout(100)
    assert page.page.evaluate("window.pwned") is None
    assert any("Content Security Policy" in error for error in page.errors)


def test_a_broken_picture_says_why(open_page: Open) -> None:
    page = open_page().go(f"picture={pages.BROKEN}")
    page.page.wait_for_selector("#detail:not([hidden])")
    assert page.text("#picture") == "Not to be seen: it is no picture"


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_damaged_data_are_told(open_page: Open, folder: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "page"
    shutil.copytree(folder, copy)
    victim = copy / "data" / ("site.js" if damage == "other" else "layout-1.js")
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_text("decaf.nothing;" if damage == "cut" else 'decaf.describe({"format": 99});')
    page = open_page((copy / "index.html").as_uri(), fails=True).page
    page.goto((copy / "index.html").as_uri())
    page.wait_for_selector("body[data-ready=failed]")
    said = page.locator("#busy").text_content()
    assert ("format 99" if damage == "other" else "data/layout-1.js") in said


def test_a_page_of_one_picture_and_nothing_known(open_page: Open, tmp_path: Path) -> None:
    from decaf.explore import Site, write_site

    write_site(tmp_path / "page", Site("One", ["one.png"], [], {"only": np.zeros((1, 2))}), pages.Plain())
    page = open_page((tmp_path / "page" / "index.html").as_uri()).go()
    assert page.page.locator("#layers").is_hidden()
    box = page.page.locator("#stage").bounding_box()
    middle = (box["width"] / 2, box["height"] / 2)
    assert near(page.colour_at(*middle), colour(0))
    page.page.mouse.click(*page.to_page(middle))
    page.page.wait_for_selector("#detail:not([hidden])")
    assert page.text("#path") == "one.png" and page.page.locator("#near button").count() == 0


def test_a_legend_of_thousands_is_searched(open_page: Open, tmp_path: Path) -> None:
    from decaf.explore import Column, write_site

    names = np.array([f"name {row % 140:04d}" for row in range(COUNT)], object)
    write_site(tmp_path / "page", pages.site(columns=[Column("name", names)]), pages.Plain())
    page = open_page((tmp_path / "page" / "index.html").as_uri()).go()
    page.page.evaluate("decaf.MOST_ENTRIES = 50; decaf.app.legend.fill()")
    assert page.text("#legend li >> nth=-1") == "and 90 more: find them above"
    page.page.fill("#legend-search", "0139")
    assert page.page.locator("#legend .name").all_text_contents() == ["name 0139"]
    page.page.click("#legend .entry")
    assert page.page.evaluate("decaf.app.scene.within(() => true)") == [139]


def test_copied_pictures_are_the_files(open_page: Open, tmp_path: Path) -> None:
    from decaf.explore import PictureSettings, write_site

    out = tmp_path / "page"
    write_site(out, pages.site(), pages.Plain(), PictureSettings(copy=True))
    assert (out / "pictures" / "0" / "3.png").read_bytes() == pages.Plain().original(3)
    page = open_page((out / "index.html").as_uri()).go("picture=3")
    page.page.wait_for_selector("#picture img")
    assert page.page.evaluate("document.querySelector('#picture img').naturalWidth") == 40
