"""Figures of maps: colours everyone can tell apart, names that cover nothing, any names and any number of points."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from decaf.viz import map as module
from decaf.viz.figures import ENDINGS, new_figure
from decaf.viz.map import Panel, save_map
from decaf.viz.map_names import anchor, write_names
from decaf.viz.map_thumbnails import Thumbnail, _cells, draw_thumbnails
from decaf.viz.theme import DARK, LIGHT, MARKERS, Theme, apart

# Machado, Oliveira and Fernandes 2009, severity 1: linear RGB as seen without long, middle or short cones.
VISION = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def linear(colour: str) -> NDArray[np.float64]:
    values = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    xyz = to_xyz @ np.clip(rgb, 0, 1) / (0.95047, 1, 1.08883)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def luminance(colour: str) -> float:
    return float(np.dot((0.2126, 0.7152, 0.0722), linear(colour)))


@pytest.mark.parametrize("look", [LIGHT, DARK])
@pytest.mark.parametrize("vision", VISION)
def test_colours_are_told_apart(look: Theme, vision: str) -> None:
    seen = [lab(np.asarray(VISION[vision]) @ linear(colour)) for colour in look.series]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 14  # CIE76; 2.3 is just noticeable


@pytest.mark.parametrize("look", [LIGHT, DARK])
def test_colours_stand_out_from_the_paper(look: Theme) -> None:
    def contrast(colour: str) -> float:
        high, low = sorted((luminance(colour), luminance(look.paper)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert min(map(contrast, look.series)) > 2 and contrast(look.ink) > 12 and contrast(look.soft) > 5


def test_near_things_get_colours_apart() -> None:
    random = np.random.default_rng(0)
    places = random.random((60, 2))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    chosen = np.array(apart(distances.tolist(), 7))
    np.fill_diagonal(distances, np.inf)
    nearest_of_colour = [distances[i][chosen == chosen[i]].min() for i in range(60)]
    at_random = [distances[i][random.permutation(chosen) == chosen[i]].min() for i in range(60)]
    assert set(chosen) == set(range(7)) and np.mean(nearest_of_colour) > 1.3 * np.mean(at_random)
    assert apart(distances[:5, :5].tolist(), 7) == [0, 1, 2, 3, 4]


def test_an_anchor_is_where_points_are_dense() -> None:
    random = np.random.default_rng(0)
    dense, sparse = random.normal(0, 0.1, (60, 2)), random.normal(9, 2, (40, 2))
    assert np.linalg.norm(anchor(np.concatenate([dense, sparse, [[np.nan] * 2]]))) < 0.2
    assert np.isnan(anchor(np.full((3, 2), np.nan))).all() and anchor(np.array([[1.0, 3], [3, 5]])).tolist() == [2, 4]
    assert np.linalg.norm(anchor(np.concatenate([random.normal(0, 0.1, (3000, 2)), sparse]))) < 0.2


def panel(n: int = 60, names: int = 3, **fields: Any) -> Panel:
    random = np.random.default_rng(n)
    of = np.arange(n) % names
    places = random.normal(0, 9, (names, 2))[of] + random.normal(0, 1, (n, 2))
    labels = np.array([f"name {number}" for number in of], dtype=object)
    return Panel(
        **{"title": "a layer", "note": "numbers", "places": places, "colours": labels, "names": labels} | fields
    )


def colours_of(path: Path) -> set[str]:
    with Image.open(path) as picture:
        values, counts = np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0, return_counts=True)
    return {f"#{bytes(value).hex()}" for value, count in zip(values, counts, strict=True) if count > 20}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dark", [False, True])
def test_the_same_map_gives_the_same_bytes(tmp_path: Path, ending: str, dark: bool) -> None:
    for name in ("a", "b"):
        save_map([panel(), panel(80)], tmp_path / (name + ending), dark)
    first = (tmp_path / f"a{ending}").read_bytes()
    assert first == (tmp_path / f"b{ending}").read_bytes()
    assert first[: 5 if ending == ".svg" else 4] in (b"<?xml", b"\x89PNG", b"%PDF")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}"]


@pytest.mark.parametrize(("dark", "look"), [(False, LIGHT), (True, DARK)])
def test_the_legend_has_the_colours_and_the_paper_its_own(tmp_path: Path, dark: bool, look: Theme) -> None:
    save_map([panel(names=7)], tmp_path / "map.png", dark)
    assert {look.paper, *look.series[:7]} <= colours_of(tmp_path / "map.png")


@pytest.mark.parametrize("names", [1, 11, 12, 40, 41, 300])
def test_any_number_of_names(tmp_path: Path, names: int) -> None:
    drawn = save_map([panel(max(2 * names, 3), names)], tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 5000 and drawn.missing == 0 and 0 <= drawn.unnamed < max(names, 1)


def test_up_to_forty_names_no_two_look_alike() -> None:
    keys = module._Keys([panel(120, 40)], LIGHT)
    assert len(set(keys.style.values())) == 40 and {marker for _, marker in keys.style.values()} <= set(MARKERS)


def test_names_do_not_cover_each_other() -> None:
    one = panel(2000, 200)
    figure = new_figure(9, 9)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    axes.set(xlim=(-30, 30), ylim=(-30, 30))
    unwritten = write_names(axes, one, LIGHT, [])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) + unwritten == 200 and len(boxes) > 100
    for a, b in itertools.combinations(boxes, 2):
        assert a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1


def test_names_may_hold_anything(tmp_path: Path) -> None:
    odd = ["<b>&amp;</b>", "$x^2$", "a\nb", "層", "\x07", "_" * 300, "{}", "%", "\\frac", "\udcff", ""]
    labels = np.array(odd * 5, dtype=object)
    places = np.random.default_rng(0).normal(size=(len(labels), 2))
    for ending in ENDINGS:
        save_map([Panel("<i>$", "\n", places, labels, names=labels)], tmp_path / f"map{ending}", legend="$y$")
    text = (tmp_path / "map.svg").read_text(encoding="utf-8")
    assert "<b>" not in text


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_points(tmp_path: Path, n: int) -> None:
    labels = np.array(["x"] * n + [None] * 2, dtype=object)
    places = np.concatenate([np.zeros((n, 2)), np.full((2, 2), np.nan)])
    save_map([Panel("t", "", places, labels, names=labels)], tmp_path / "map.png")
    assert (tmp_path / "map.png").exists()


def test_shapes_tell_domains(tmp_path: Path) -> None:
    domains = np.array(["amazon", "webcam"] * 30, dtype=object)
    one = panel(shapes=domains)
    keys = module._Keys([one], LIGHT)
    assert {keys.marker("amazon"), keys.marker("webcam")} == {"o", "^"}
    assert [name for name, _, _ in keys._entries()] == ["name 0", "name 1", "name 2", "amazon", "webcam"]
    save_map([one], tmp_path / "map.png")


def red() -> NDArray[np.uint8]:
    return np.full((30, 50, 3), (200, 10, 10), np.uint8)


def lost() -> NDArray[np.uint8]:
    raise OSError("not there")


def test_pictures_lie_side_by_side(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    thumbnails = [Thumbnail((float(x), float(y)), red, "name 1") for x, y in random.normal(0, 0.1, (70, 2))]
    figure = new_figure(9, 9)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-3, 3), ylim=(-3, 3))
    boxes, missing = draw_thumbnails(axes, [*thumbnails, Thumbnail((0, 0), lost)], lambda name: "#123456", LIGHT)
    assert missing == 1 and len(boxes) == 71
    for a, b in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1
    drawn = save_map([panel(thumbnails=[*thumbnails, Thumbnail((0, 0), lost)])], tmp_path / "map.png")
    assert drawn.missing == 1 and {"#c80a0a", "#808080"} <= colours_of(tmp_path / "map.png")


def test_more_pictures_than_the_panel_has_room_for() -> None:
    axes = new_figure(3, 2).add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 3), ylim=(0, 2))
    cells, step = _cells(axes, np.ones((300, 2)), 0.3)
    assert len(set(map(tuple, cells.round(6)))) == 300 and 0.05 < step < 0.3
    assert cells.min() > 0 and (cells < (3, 2)).all()
