"""What excites a unit: the highest values wherever they stand, and the place of them in the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import decaf
from decaf.errors import FeatureSetError, UnknownName
from decaf.tasks import exciting
from decaf.tasks.exciting import draw_exciting, find_exciting
from tests.features.helpers import tiny_net
from tests.tasks.folders import write_features


def spatial(folder: Path, n: int = 12, **options: Any) -> tuple[decaf.FeatureSet, np.ndarray]:
    """A layer of 3 channels of 2 x 4."""
    maps = np.random.default_rng(0).normal(size=(n, 3, 2, 4)).astype(np.float32)
    features = write_features(folder, maps.reshape(n, -1), ["a"] * n, layers={"vector": [3, 2, 4]}, **options)
    return features, maps


@pytest.mark.parametrize("at_a_time", [1, 50, 2**26])
def test_the_highest_values_and_where_they_are(tmp_path: Path, at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exciting, "_VALUES", at_a_time)
    errors = [None] * 12
    errors[5] = "torn"  # type: ignore[call-overload]
    features, maps = spatial(tmp_path / "f", errors=errors)
    found = find_exciting(features, None, [2, 0, 2], 4)
    assert found.grid == (2, 4) and (found.pictures, found.broken) == (11, 1)
    assert [unit.number for unit in found.units] == [2, 0]
    for unit in found.units:
        of_pictures = maps[:, unit.number].reshape(12, -1).max(axis=1)
        whole = np.delete(of_pictures, 5)
        best = sorted((row for row in range(12) if row != 5), key=lambda row: -of_pictures[row])[:4]
        assert [one.row for one in unit.best] == best
        for one in unit.best:
            assert one.place is not None and maps[(one.row, unit.number, *one.place)] == pytest.approx(one.value)
        assert (unit.lowest, unit.mean) == (pytest.approx(whole.min()), pytest.approx(whole.mean(), rel=1e-5))
        assert unit.positive == np.mean(whole > 0)
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_layer_without_positions_and_equal_values(tmp_path: Path) -> None:
    X = np.array([[1, 0], [2, 0], [2, 0], [0, 0]], np.float32)
    features = write_features(tmp_path / "f", X, ["a", "b", "c", "d"])
    (first, second) = find_exciting(features, "vector", [0, 1], 100).units
    assert [one.row for one in first.best] == [1, 2, 0, 3] and first.best[0].place is None
    assert [one.row for one in second.best] == [0, 1, 2, 3] and second.positive == 0


@pytest.mark.parametrize(
    ("layer", "unit", "message"),
    [("fc9", 0, "no layer 'fc9'"), (None, 3, "no unit 3: name one from 0 to 2"), (None, -1, "no unit -1")],
)
def test_units_that_are_not_there(tmp_path: Path, layer: str | None, unit: int, message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        find_exciting(spatial(tmp_path / "f")[0], layer, [unit])


def test_broken_numbers_are_said(tmp_path: Path) -> None:
    X = np.ones((3, 2), np.float32)
    X[1, 0] = np.nan
    features = write_features(tmp_path / "f", X, ["a"] * 3)
    with pytest.raises(FeatureSetError, match="NaN or infinite in row 1"):
        find_exciting(features, None, [0])
    assert len(find_exciting(features, None, [1]).units) == 1
    torn = write_features(tmp_path / "g", X, ["a"] * 3, errors=["torn"] * 3)
    with pytest.raises(FeatureSetError, match=r"no row .* has features"):
        find_exciting(torn, None, [0])


def picture_with_a_spot(path: Path, row: int, column: int) -> None:
    """Black but for one white square of a grid of 4 x 4."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 255
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("orientation", ["upright", "upside-down"])
def test_the_square_is_drawn_where_the_spot_is(
    tmp_path: Path, orientation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("decaf.viz.units.save_units", lambda title, rows, out, theme: drawn.extend(rows) or 0)
    spots = [(0, 0), (3, 1), (2, 3)]
    for number, (row, column) in enumerate(spots):
        picture_with_a_spot(tmp_path / f"{number}.png", row, column)
    from dataclasses import replace

    net = tiny_net()
    upright = replace(net.preprocess, size=24, crop=24, resize="warp", orientation=orientation)
    features = decaf.extract(tmp_path, replace(net, preprocess=upright), "conv", tmp_path / "out", shard_size=2)
    # a channel that answers to brightness: of one that answers to darkness, the square is beside the spot
    found = find_exciting(features, "conv", range(6), 3)
    draw_exciting(found, tmp_path / "sheet.png")
    hits = 0
    for unit, row in zip(found.units, drawn, strict=True):
        for one, tile in zip(unit.best, row.tiles, strict=True):
            x0, y0, x1, y1 = tile.box
            assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
            pixels = tile.load()
            assert pixels.shape == (24, 24, 3)
            spot_row, spot_column = spots[one.row]
            assert pixels[6 * spot_row + 3, 6 * spot_column + 3].min() > 200  # the picture is shown upright
            middle = (4 * (y0 + y1) / 2, 4 * (x0 + x1) / 2)
            hits += abs(middle[0] - spot_row - 0.5) < 1.1 and abs(middle[1] - spot_column - 0.5) < 1.1
    assert hits >= 15  # of 18: edges answer most, wherever they are bright


def test_pictures_that_are_gone_are_said_in_their_place(tmp_path: Path) -> None:
    features, _ = spatial(tmp_path / "f")
    missing = draw_exciting(find_exciting(features, None, [0, 1], 3), tmp_path / "sheet.png")
    assert missing == 6
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 300
