"""What is written for the page, read back without it."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import cKDTree

from decaf.errors import ExploreError, ImageError
from decaf.explore import Column, PictureSettings, nearest, write_site
from decaf.explore.columns import packed_texts
from decaf.explore.layouts import in_one_frame, local_order
from decaf.explore.pictures import PER_SHEET, SMALL, TILE, _tile
from tests.explore import pages
from tests.explore.pages import COUNT, HOSTILE, Plain, site


def chunk(folder: Path, name: str) -> bytes:
    """The bytes a data script hands over, by a plain reading of its text."""
    found = re.fullmatch(
        r'decaf\.chunk\("([a-z0-9-]+)","([A-Za-z0-9+/=]*)"\);\n', (folder / f"data/{name}.js").read_text()
    )
    assert found and found[1] == name
    return base64.b64decode(found[2], validate=True)


def about(folder: Path) -> Any:
    text = (folder / "data" / "site.js").read_text("ascii")
    assert text.startswith("decaf.describe(") and text.endswith(");\n")
    return json.loads(text[len("decaf.describe(") : -3])


def picture_size(folder: Path) -> tuple[int, int]:
    return Image.open(io.BytesIO((folder / "pictures/0/1.jpg").read_bytes())).size


# -- columns and texts --


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=1, max_size=40))
def test_categories_come_back(values: list[str | None]) -> None:
    told, codes = Column("any", np.array([*values, None], object)[:-1]).encoded()
    shown = [None if value is None else value.encode("utf-8", "backslashreplace").decode() for value in values]
    assert [None if code < 0 else told["names"][code] for code in codes] == shown
    assert told["names"] == sorted(set(told["names"]))


def test_names_that_differ_in_a_zero_byte_stay_two() -> None:
    told, codes = Column("any", np.array(["a", "a\0"], object)).encoded()
    assert told["names"] == ["a", "a\0"] and codes.tolist() == [0, 1]


def test_of_too_many_categories_the_rarest_are_unknown() -> None:
    values = np.array([f"{number:05d}" for number in range(33_000)] + ["32999"], object)
    told, codes = Column("any", values).encoded()
    assert len(told["names"]) == 32_767
    assert told["names"][codes[-1]] == "32999"
    assert (codes == -1).sum() == 33_000 - 32_767


def test_numbers_come_back() -> None:
    values = np.array([1.5, np.nan, -2, np.inf])
    told, stored = Column("n", values).encoded()
    assert (told["least"], told["greatest"]) == (-2, 1.5)
    np.testing.assert_array_equal(stored, values.astype(np.float32))
    assert Column("n", np.array([np.nan])).encoded()[0]["least"] == 0


@given(st.lists(st.text(max_size=9), max_size=20))
def test_texts_come_back(texts: list[str]) -> None:
    packed = packed_texts(texts)
    offsets = np.frombuffer(packed[: 4 * (len(texts) + 1)], "<u4")
    letters = packed[4 * (len(texts) + 1) :]
    parts = [letters[a:b].decode() for a, b in pairwise(offsets)]
    assert parts == [text.encode("utf-8", "backslashreplace").decode() for text in texts]


# -- places --


def test_layers_lie_as_the_one_before() -> None:
    random = np.random.default_rng(0)
    first = random.normal(size=(50, 2))
    turn = np.linalg.qr(random.normal(size=(2, 2)))[0]
    second = 7 * (first @ turn) + 3
    second[4] = np.nan
    framed = in_one_frame({"a": first, "b": second})
    known = np.arange(50) != 4
    a, b = framed["a"][known].astype(float), framed["b"][known].astype(float)
    scale = np.nanmax(np.abs(framed["b"])) / np.nanmax(np.abs(b))
    assert scale == pytest.approx(1)
    best, _ = orthogonal_procrustes(b, a)
    np.testing.assert_allclose(best, np.eye(2), atol=0.02)
    assert np.isnan(framed["b"][4]).all() and np.nanmax(np.abs(framed["b"])) == pytest.approx(1)


@pytest.mark.parametrize("bad", [{}, {"a": np.zeros((3, 3))}, {"a": np.full((3, 2), np.nan)}])
def test_no_map_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ExploreError):
        in_one_frame(bad)


def test_one_picture_lies_in_the_middle() -> None:
    assert in_one_frame({"a": np.array([[5.0, 9.0]])})["a"].tolist() == [[0, 0]]


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 90), st.just(2)), elements=st.floats(-1, 1, width=32)))
def test_order_is_a_permutation_with_the_placeless_last(places: np.ndarray) -> None:
    places[::7] = np.nan
    order = local_order(places, 8)
    assert sorted(order.tolist()) == list(range(len(places)))
    finite = np.isfinite(places[order, 0])
    assert (np.sort(finite)[::-1] == finite).all()


def test_runs_of_an_order_lie_together() -> None:
    places = np.random.default_rng(1).uniform(-1, 1, (4096, 2)).astype(np.float32)
    runs = places[local_order(places, 256)].reshape(16, 256, 2)
    assert np.ptp(runs, axis=1).prod(axis=1).sum() < 4.2  # a tiling of the square of area 4
    assert np.ptp(runs, axis=1).max() < 1.1


# -- neighbours --


@pytest.mark.parametrize("n", [1, 2, 5, 1500])
def test_neighbours_are_those_of_a_tree(n: int) -> None:
    X = np.random.default_rng(n).normal(size=(n, 8)).astype(np.float32)
    found = nearest(X, 5)
    unit = X.astype(float) / np.linalg.norm(X, axis=1, keepdims=True)
    k = min(5, n - 1)
    expected = np.atleast_2d(cKDTree(unit).query(unit, k + 1)[1]).reshape(n, -1)[:, 1:]
    np.testing.assert_array_equal(found[:, :k], expected[:, :k])
    assert (found[:, k:] == -1).all()


def test_rows_without_features_are_nobodys_neighbours() -> None:
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    X[3], X[4] = np.nan, 0
    found = nearest(X, 30)
    assert (found[[3, 4]] == -1).all()
    assert not np.isin(found, [3, 4]).any()
    assert ((found >= 0).sum(axis=1)[[0, 1, 2, 5]] == 17).all()


def test_twins_do_not_find_themselves() -> None:
    found = nearest(np.ones((4, 3), np.float32), 3)
    assert [row.tolist() for row in found] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


# -- tiles --


@pytest.mark.parametrize(
    "shape, aspect", [((50, 100), 2), ((100, 50), 0.5), ((1, 1), 1), ((10, 1000), 4), ((1000, 10), 0.25)]
)
def test_tiles_have_the_shape_of_their_picture(shape: tuple[int, int], aspect: float) -> None:
    tile, told = _tile(np.full((*shape, 3), 9, np.uint8))
    assert tile.shape == (TILE, TILE, 3) and told == aspect and (tile == 9).all()


def test_of_a_long_picture_the_middle_is_kept() -> None:
    pixels = np.zeros((10, 1000, 3), np.uint8)
    pixels[:, 490:510] = 200
    tile, _ = _tile(pixels)
    assert tile[32, 32, 0] == 200 and tile[32, 2, 0] == 0 and tile[32, 61, 0] == 0


def test_sheets_hold_every_picture_at_its_rank(folder: Path) -> None:
    order = np.frombuffer(chunk(folder, "order"), "<i4")
    large = np.asarray(Image.open(io.BytesIO(chunk(folder, "large-0"))).convert("RGB")).astype(int)
    small = np.asarray(Image.open(io.BytesIO(chunk(folder, "small-0"))).convert("RGB")).astype(int)
    assert large.shape[1] == small.shape[1] == 1024 and COUNT <= PER_SHEET
    for rank, row in enumerate(order):
        wanted = (128, 128, 128) if row == pages.BROKEN else pages.colour(int(row))
        for sheet, side in ((large, TILE), (small, SMALL)):
            down, across = divmod(rank, 1024 // side)
            tile = sheet[down * side : (down + 1) * side, across * side : (across + 1) * side]
            assert np.abs(tile - wanted).max() <= 6, (row, side)  # to the rim: no tile bleeds into the next


def test_many_sheets(tmp_path: Path) -> None:
    n = 4096 + 300
    random = np.random.default_rng(0)
    one = np.full((8, 8, 3), 90, np.uint8)

    class Same:
        def load(self, row: int) -> np.ndarray:
            return one

        def original(self, row: int) -> None:
            return None

    from decaf.explore import Site

    many = Site("many", [f"{row}" for row in range(n)], [], {"a": random.normal(size=(n, 2))})
    written = write_site(tmp_path / "page", many, Same(), PictureSettings(preview=0))
    told = about(written.folder)["pictures"]
    assert (told["sheets"], told["smallSheets"]) == (18, 2)
    assert not (written.folder / "pictures").exists()
    last = Image.open(io.BytesIO(chunk(written.folder, "small-1")))
    assert last.size == (1024, 80)  # 300 tiles of 16 pixels, 64 in a row


# -- the folder --


def test_description_says_what_there_is(folder: Path) -> None:
    told = about(folder)
    assert told["count"] == COUNT and told["first"] == 1 and told["label"] == 0
    assert [layer["name"] for layer in told["layers"]] == [HOSTILE, "deep"]
    assert [layer["near"] for layer in told["layers"]] == [0, 3]
    assert told["pictures"]["problems"] == {str(pages.BROKEN): "it is no picture"}
    np.testing.assert_array_equal(
        np.frombuffer(chunk(folder, "near-1"), "<i4").reshape(-1, 3), site().neighbours["deep"]
    )
    np.testing.assert_allclose(np.frombuffer(chunk(folder, "layout-1"), "<f4").reshape(-1, 2), pages.grid(), atol=1e-6)
    endings = [told["pictures"]["files"][code] for code in chunk(folder, "endings")]
    assert endings == ["" if row == pages.BROKEN else ".jpg" for row in range(COUNT)]
    assert (folder / "pictures" / "0" / "0.jpg").is_file()


def test_previews_are_no_larger_than_asked(tmp_path: Path) -> None:
    class Large(Plain):
        def load(self, row: int) -> np.ndarray:
            return np.zeros((300, 900, 3), np.uint8)

    write_site(tmp_path / "page", site(), Large(), PictureSettings(preview=120))
    assert picture_size(tmp_path / "page") == (120, 40)


def test_what_browsers_cannot_show_is_copied_as_jpeg(tmp_path: Path) -> None:
    names = [path.replace(".png", ".tif") for path in pages.paths()]
    write_site(tmp_path / "page", site(paths=names), Plain(), PictureSettings(copy=True))
    assert picture_size(tmp_path / "page") == (40, 40)


def test_the_same_site_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_site(tmp_path / "page", site(), Plain())
    for file in folder.rglob("*"):
        if file.is_file():
            assert (tmp_path / "page" / file.relative_to(folder)).read_bytes() == file.read_bytes()


def test_nothing_in_the_page_names_an_outside_address(folder: Path) -> None:
    for file in folder.iterdir():
        if file.is_file():
            text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"https?://|//[a-z]+\.", text), file
            assert "innerHTML" not in text and "eval(" not in text and "insertAdjacentHTML" not in text, file
            assert not re.search(r"<[a-z][^>]* on[a-z]+=|style=", text), file


def test_an_older_page_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "page"
    write_site(out, site(), Plain())
    write_site(out, site(title="new"), Plain())
    assert about(out)["title"] == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["page"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("all my work")
    with pytest.raises(ExploreError, match="holds other files"):
        write_site(other, site(), Plain())
    assert (other / "thesis.tex").read_text() == "all my work"
    with pytest.raises(ExploreError, match="is no folder"):
        write_site(other / "thesis.tex", site(), Plain())


def test_a_failed_run_leaves_the_older_page(tmp_path: Path) -> None:
    out = tmp_path / "page"
    write_site(out, site(), Plain())

    class Fails(Plain):
        def load(self, row: int) -> np.ndarray:
            raise ImageError("the file is not there")

    with pytest.raises(ExploreError, match=r"none of the pictures can be read .*the file is not there"):
        write_site(out, site(title="new"), Fails())
    assert HOSTILE in about(out)["title"]
    assert os.listdir(tmp_path) == ["page"]


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"paths": []}, "no picture"),
        ({"paths": ["one"]}, "column label has 144 rows for 1 pictures"),
        ({"layouts": {}, "layer": ""}, "no map"),
        ({"layouts": {"deep": np.zeros((9, 2))}}, "map of deep has 9 rows"),
        ({"neighbours": {"deep": np.zeros((9, 2), np.int32)}}, "neighbours of deep has 9 rows"),
        ({"layer": "deeper"}, "no map of deeper"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ExploreError, match=said):
        write_site(tmp_path / "page", site(**changes), Plain())
    assert os.listdir(tmp_path) == []
