"""A page whose every picture is one colour at a known place, and a browser to look at it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from decaf.errors import ImageError
from decaf.explore import Column, Site

SIDE = 12
COUNT = SIDE * SIDE
WIDE = 40  # this picture is three times as wide as high
BROKEN = 143  # this one cannot be read
HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=2</script>'


def colour(row: int) -> tuple[int, int, int]:
    """Far from that of any neighbour on the grid, and from paper and ink."""
    return 40 + row * 53 % 200, 40 + row * 101 % 200, 40 + row * 157 % 200


def grid() -> np.ndarray:
    """(n, 2) places on a grid from -1 to 1."""
    at = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1).reshape(-1, 2)
    return at / (SIDE - 1) * 2 - 1


def shuffled() -> np.ndarray:
    """(n, 2) the same places, each taken by another picture."""
    return grid()[np.arange(COUNT) * 37 % COUNT]


class Plain:
    """Pictures of one colour each."""

    def load(self, row: int) -> np.ndarray:
        if row == BROKEN:
            raise ImageError("it is no picture")
        shape = (20, 60, 3) if row == WIDE else (40, 40, 3)
        return np.full(shape, colour(row), np.uint8)

    def original(self, row: int) -> bytes | None:
        out = io.BytesIO()
        Image.fromarray(self.load(row)).save(out, "PNG")
        return out.getvalue()


def paths() -> list[str]:
    names = [f"kind{row % 3}/{row:03d}.png" for row in range(COUNT)]
    names[7] = f"kind1/{HOSTILE}.png"
    names[8] = 'kind2/a "quoted", name.png'
    return names


def kinds() -> np.ndarray:
    """(n,) labels; one has markup in its name, one picture has none."""
    return np.array([None if row == 5 else (HOSTILE, "kind1", "kind2")[row % 3] for row in range(COUNT)], object)


def site(**changes: Any) -> Site:
    number = np.arange(COUNT, dtype=float)
    number[3] = np.nan
    near = np.stack([(np.arange(COUNT) + step) % COUNT for step in (1, 2, 12)], axis=1).astype(np.int32)
    columns = [Column("label", kinds()), Column("number", number), Column(HOSTILE, kinds())]
    whole = {
        "title": f"Page {HOSTILE}",
        "paths": paths(),
        "columns": columns,
        "layouts": {HOSTILE: shuffled(), "deep": grid()},
        "neighbours": {"deep": near},
        "layer": "deep",
        "notes": [HOSTILE],
    }
    return Site(**(whole | changes))


@dataclass
class Watched:
    """A page in the browser, with all it said and asked for."""

    page: Any
    url: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def go(self, view: str = "", ready: str = "yes") -> Watched:
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#{view}")
        self.page.wait_for_selector(f"body[data-ready={ready}]", timeout=20_000)
        self.rest()
        return self

    def rest(self) -> None:
        """Wait until nothing is loaded or drawn any more."""
        self.page.wait_for_function(
            """() => {
                const { scene, layers, address } = decaf.app;
                if (!scene || scene.asked || scene.large.loading.size || scene.small.loading.size) return false;
                if (scene.previews.loading) return false;
                if (scene.frames !== window.before) { window.before = scene.frames; window.since = performance.now(); }
                return performance.now() - window.since > 120;
            }""",
            polling=40,
        )

    def pixels(self) -> np.ndarray:
        """(h, w, 3) what the stage shows."""
        shot = Image.open(io.BytesIO(self.page.locator("#stage").screenshot()))
        return np.asarray(shot.convert("RGB")).astype(int)

    def colour_at(self, left: float, top: float) -> tuple[int, ...]:
        shot = self.pixels()
        return tuple(shot[round(top), round(left)])

    def place_of(self, x: float, y: float, view: tuple[float, float, float] = (0, 0, 1)) -> tuple[float, float]:
        """Where a place of the map is on the stage: a second writing of the page's camera, from its documentation."""
        box = self.page.locator("#stage").bounding_box()
        free = box["height"] - 84
        scale = min(box["width"], free) / 2.12 * view[2]
        return (x - view[0]) * scale + box["width"] / 2, (view[1] - y) * scale + free / 2

    def to_page(self, place: tuple[float, float]) -> tuple[float, float]:
        box = self.page.locator("#stage").bounding_box()
        return place[0] + box["x"], place[1] + box["y"]

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).text_content())


def near(found: tuple[int, ...], wanted: tuple[int, ...], within: int = 12) -> bool:
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= within


Open = Callable[..., Watched]
Folder = Path
