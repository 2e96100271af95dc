"""`decaf explore` on real pictures with the real network, in a real browser: what is dropped finds itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.explore.conftest import browser  # noqa: F401
from tests.explore.serving import running
from tests.explore.test_drop import Tab

import decaf
from decaf.explore.app import make_app
from decaf.explore.server import listen
from decaf.maps import MapSettings
from decaf.nets.net import Net
from decaf.tasks.exploring import Explored, Exploring, explore, gate
from decaf.tasks.mapping import Request

CLASSES = ("elephant", "Leopards", "sunflower")
EACH = 16


@dataclass(frozen=True)
class Served:
    url: str
    paths: list[Path]
    explored: Explored


@pytest.fixture(scope="module")
def served(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = real_data / "caltech101" / "101_ObjectCategories"
    paths = [path for name in CLASSES for path in sorted((folder / name).iterdir())[:EACH]]
    out = tmp_path_factory.mktemp("explore") / "features"
    decaf.extract(paths, layers=["block11", "pool"], out=out)
    asked = Exploring(Request(settings=MapSettings(method="pca")))
    explored = explore(str(out), asked, lambda what, done, total: None)
    listening = listen("127.0.0.1", 0)
    access, url = gate(listening)
    with running(make_app(explored.bundle, explored.pictures, explored.answers, access), listening):
        yield Served(url, paths, explored)


def test_a_dropped_picture_of_the_set_finds_itself_first(browser: Any, served: Served) -> None:  # noqa: F811
    tab = Tab(browser.new_page(), served.url).go()
    for row in (5, 40):
        tab.page.set_input_files("#drop-input", os.fspath(served.paths[row]))
        tab.wait(f"decaf.app.drop.shown && decaf.app.scene.near[0] === {row}", seconds=60)
        names = [CLASSES[near // EACH] for near in tab.rows()]
        assert names.count(CLASSES[row // EACH]) >= 10
    assert "daisy" in tab.text("#facts")  # ILSVRC-2012 has no sunflowers; that is as near as it comes
    assert tab.complaints == [] and all(url.startswith((served.url, "blob:")) for url in tab.asked)
    tab.page.close()


def test_the_network_says_what_it_sees(served: Served, lite0: Net) -> None:
    path = served.paths[EACH + 3]
    scores = decaf.extract([path], layers=["prob"]).X()[0]
    told = served.explored.answers.ask(path.read_bytes())["net"]
    assert [one["label"] for one in told] == [lite0.labels[index] for index in (-scores).argsort()[:5]]
    assert [one["probability"] for one in told] == pytest.approx(sorted(scores)[:-6:-1], abs=1e-4)
