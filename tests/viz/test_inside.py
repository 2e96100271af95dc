"""Figures of comparisons and of what is inside a network: whole, of any size, for any names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image
from tests.features.small_nets import narrow_caffenet

from decaf.errors import UnknownName
from decaf.nets.registry import load_net
from decaf.viz import grid, heatmap, network, theme, units
from decaf.viz.ceiling import Subjects, save_subjects
from decaf.viz.grid import Activations, save_activations, save_filters
from decaf.viz.heatmap import Heatmap, save_heatmap
from decaf.viz.network import save_network
from decaf.viz.units import Tile, UnitRow, save_units

ODD = ["plain", "$\\nosuch{$", "new\nline", "<b>&amp;</b>", "層", "a" * 200]
RANDOM = np.random.default_rng(0)


def heat(rows: int, columns: int, low: float = 0.0, **more: Any) -> Heatmap:
    values = RANDOM.uniform(low, 1, (rows, columns))
    names = [ODD[i % len(ODD)] + str(i) for i in range(max(rows, columns))]
    return Heatmap("Title", "CKA", names[:rows], names[:columns], "<i>$", "", values, **more)


def opened(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return picture.size


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    for module in (heatmap, grid, network, units):
        monkeypatch.setattr(module, "save_figure", lambda figure, out: seen.append(figure))
    return seen


@pytest.mark.parametrize("shape", [(1, 1), (1, 12), (3, 40), (25, 25), (300, 300)])
def test_heat_maps_of_any_size_fit_a_page(tmp_path: Path, shape: tuple[int, int]) -> None:
    save_heatmap(heat(*shape), tmp_path / "h.png")
    width, height = opened(tmp_path / "h.png")
    assert 150 < width < 2000 and 150 < height < 2000


def test_values_are_written_where_there_are_few_and_read_on_their_colour(figures: list[Any], tmp_path: Path) -> None:
    values = np.array([[1.0, 0.05], [np.nan, 0.5]])
    save_heatmap(Heatmap("t", "m", "ab", "cd", "", "", values, values - 0.04, values + 0.04), tmp_path / "h.png")
    axes = figures[0].axes[0]
    written = {text.get_text(): text.get_color() for text in axes.texts}
    assert {"1.00", "0.05", "-", "0.50", "0.96 to 1.04", "0.01 to 0.09"} <= set(written)
    assert written["1.00"] == "black" and written["0.05"] == "white"
    save_heatmap(heat(30, 30), tmp_path / "h.png")
    assert not figures[1].axes[0].texts


def test_colours_have_two_sides_only_where_values_are_negative(figures: list[Any], tmp_path: Path) -> None:
    for low in (0.0, -0.01, -0.5):
        save_heatmap(heat(4, 4, low), tmp_path / "h.png")
    images = [figure.axes[0].images[0] for figure in figures]
    assert [image.cmap.name for image in images] == ["viridis", "viridis", "PuOr_r"]
    assert [image.get_clim() for image in images] == [(0, 1), (0, 1), (-1, 1)]


def test_black_or_white_is_told_from_every_colour() -> None:
    for name in ("viridis", "PuOr_r"):
        for value in np.linspace(0, 1, 101):
            colour = colormaps[name](value)
            linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
            luminance = float(np.dot([0.2126, 0.7152, 0.0722], linear))
            ink = 0.0 if heatmap._on(colour) == "black" else 1.0
            contrast = (max(luminance, ink) + 0.05) / (min(luminance, ink) + 0.05)
            assert contrast > 4.5  # WCAG 2, level AA


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_ending_says_the_format_and_equal_figures_are_equal_bytes(tmp_path: Path, kind: str) -> None:
    shown = heat(3, 3)
    for name in "ab":
        save_heatmap(shown, tmp_path / f"{name}.{kind}", "dark")
    first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in "ab")
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind])


def test_names_in_svg_are_text_and_no_markup(tmp_path: Path) -> None:
    save_heatmap(heat(6, 6), tmp_path / "h.svg")
    text = (tmp_path / "h.svg").read_text("utf-8")
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt;3" in text and "<b>" not in text


def test_themes_have_their_pages_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    for name, colours in theme.THEMES.items():
        save_heatmap(heat(2, 2), tmp_path / "h.png", name)
        with Image.open(tmp_path / "h.png") as picture:
            corner = picture.convert("RGB").getpixel((0, 0))
        assert "#{:02x}{:02x}{:02x}".format(*corner) == colours.paper  # type: ignore[misc]
    with pytest.raises(UnknownName, match="no theme 'sepia': use one of light, dark"):
        save_heatmap(heat(2, 2), tmp_path / "h.png", "sepia")
    with pytest.raises(UnknownName, match=r"a figure ends in .png, .svg, .pdf"):
        save_heatmap(heat(2, 2), tmp_path / "h.gif")


def test_a_failed_drawing_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "h.png").write_bytes(b"before")

    def fail(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="No space"):
        save_heatmap(heat(2, 2), tmp_path / "h.png")
    assert (tmp_path / "h.png").read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("models", [1, 7, 150])
def test_subjects_below_their_ceiling(tmp_path: Path, models: int) -> None:
    names = [ODD[i % len(ODD)] for i in range(models)]
    save_subjects(Subjects("t", names, RANDOM.random((models, 3)), (0.6, 0.8)), tmp_path / "c.png")
    width, _ = opened(tmp_path / "c.png")
    assert 400 < width < 7000


def test_zero_is_grey_and_each_filter_is_stretched(figures: list[Any], tmp_path: Path) -> None:
    values = np.zeros((5, 3, 3, 3))
    values[0, 1, 1] = [4, -4, 0]
    values[1, 0, 0] = [0.5, 0, 0]
    values[2, 0, 0] = [0.01, 0, 0]
    assert save_filters("t", values, tmp_path / "f.png") == 3  # two of nothing, and one of next to nothing
    tiles = [np.asarray(axes.images[0].get_array()) for axes in figures[0].axes]
    np.testing.assert_allclose(tiles[0][1, 1], [1, 0, 0.5])
    np.testing.assert_allclose(tiles[1][0, 0], [1, 0.5, 0.5])
    assert 0.5 < tiles[2][0, 0, 0] < 0.6
    np.testing.assert_array_equal(tiles[3], 0.5)


@pytest.mark.parametrize("count", [1, 3, 64, 130])
def test_any_number_of_filters(tmp_path: Path, count: int) -> None:
    save_filters("t", RANDOM.normal(size=(count, 7, 7, 3)), tmp_path / "f.png")
    width, height = opened(tmp_path / "f.png")
    assert 100 < height < 2500 and 400 < width < 2500


@pytest.mark.parametrize("shape", [(3, 5, 5), (40, 28, 28), (130, 2, 3), (7,), (1, 4, 4), (50, 1, 1), (1,)], ids=str)
@pytest.mark.parametrize("sign", [0.0, -0.5])
def test_activations_of_any_shape(tmp_path: Path, shape: tuple[int, ...], sign: float) -> None:
    picture = RANDOM.integers(0, 256, (24, 24, 3)).astype(np.uint8)
    shown = Activations("net $", "layer\n", picture, "<b>.jpg", RANDOM.uniform(sign, 1, shape))
    save_activations(shown, tmp_path / "a.png")
    width, height = opened(tmp_path / "a.png")
    assert 300 < width < 2500 and 300 < height < 2500


def test_the_strongest_channels_are_shown_on_one_scale(figures: list[Any], tmp_path: Path) -> None:
    values = np.zeros((200, 2, 2))
    values[np.arange(60, 180), 0, 1] = 1 + np.arange(120)
    shown = Activations("n", "l", np.zeros((8, 8, 3), np.uint8), "p", values)
    assert shown.strongest(120).tolist() == list(range(60, 180))
    save_activations(shown, tmp_path / "a.png")
    maps = [axes.images[0] for axes in figures[0].axes if axes.images and axes.images[0].get_array().ndim == 2]
    maps = [image for image in maps if image.get_array().shape == (2, 2)]
    assert len(maps) == 120 and {image.get_clim() for image in maps} == {(0, 120)}


def test_classes_are_called_by_their_names(figures: list[Any], tmp_path: Path) -> None:
    labels = ("cat, kitty", "dog", "<cow>")
    save_activations(
        Activations("n", "prob", np.zeros((8, 8, 3), np.uint8), "p", np.array([0.1, 0.7, 0.2]), labels),
        tmp_path / "a.png",
    )
    bars = next(axes for axes in figures[0].axes if axes.get_yticklabels() and axes.patches)
    assert [text.get_text() for text in bars.get_yticklabels()] == ["dog  1", "<cow>  2", "cat  0"]


@pytest.mark.parametrize(("units_", "k"), [(1, 1), (3, 9), (2, 30)])
def test_sheets_of_units_mark_the_place(tmp_path: Path, figures: list[Any], units_: int, k: int) -> None:
    def load() -> np.ndarray:
        return np.zeros((20, 40, 3), np.uint8)

    def gone() -> np.ndarray:
        raise ValueError("the file is not there")

    tiles = [Tile(gone if i == 1 else load, ODD[i % 6], "1.5", (0.25, 0.5, 0.5, 1.0)) for i in range(k)]
    missing = save_units("$t", [UnitRow(f"unit {i}", "n", tiles) for i in range(units_)], tmp_path / "s.png")
    assert missing == (units_ if k > 1 else 0)
    axes = figures[0].axes[0]
    (outer, inner) = axes.patches
    assert inner.get_xy() == (9.5, 9.5) and (inner.get_width(), inner.get_height()) == (10, 10)
    assert outer.get_edgecolor() != inner.get_edgecolor()


def test_networks_drawn_hold_every_block(tmp_path: Path) -> None:
    net = load_net("efficientnet-lite0")
    assert save_network(net, tmp_path / "n.svg") == 17
    words = set(re.findall(r">([^<>\n]+)</text>", (tmp_path / "n.svg").read_text("utf-8")))
    assert {
        "block13 to block15",
        "x 3",
        "5x5 depthwise, 1152",
        "bn, relu6",
        "192x7x7",
        "fully connected, 1000",
    } <= words
    assert "144 layers, 4,652,008 parameters, 385 M multiply-adds; reads 3x224x224" in words


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_networks_of_other_kinds(tmp_path: Path, theme: str) -> None:
    save_network(narrow_caffenet(), tmp_path / "n.png", theme)
    width, height = opened(tmp_path / "n.png")
    assert 600 < width < 1500 and 600 < height < 2000


def test_words_lie_within_their_boxes(figures: list[Any], tmp_path: Path) -> None:
    save_network(load_net("squeezenet1.1"), tmp_path / "n.png")
    figure = figures[0]
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patches import FancyBboxPatch

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    axes = figure.axes[0]
    boxes = [patch.get_window_extent(renderer) for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    for text in axes.texts:
        extent = text.get_window_extent(renderer)
        middle = ((extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2)
        around = [box for box in boxes if box.contains(*middle)]
        assert all(box.x0 <= extent.x0 and extent.x1 <= box.x1 for box in around), text.get_text()
        assert figure.bbox.contains(extent.x0, extent.y0) and figure.bbox.contains(extent.x1, extent.y1)
