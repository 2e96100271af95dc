"""The pictures that excite a unit most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import FeatureSetError, UnknownName
from decaf.features.feature_set import FeatureSet
from decaf.tasks.pictures import Pictures

_VALUES = 2**26  # numbers of a layer that are read at a time


@dataclass(frozen=True)
class Excited:
    """One picture.

    Attributes:
        row: of the feature set.
        value: of the unit; the highest over the positions.
        place: row and column of that position; None where the layer has none.
    """

    row: int
    value: float
    place: tuple[int, int] | None


@dataclass(frozen=True)
class Unit:
    """A unit, or a channel of a layer with positions.

    Attributes:
        number: in its layer.
        best: the pictures of its highest values, the highest first.
        lowest, mean: over all pictures.
        positive: share of the pictures in which it is above 0.
    """

    number: int
    best: tuple[Excited, ...]
    lowest: float
    mean: float
    positive: float

    @property
    def note(self) -> str:
        """How usual its values are."""
        return f"above 0 in {self.positive:.0%} of the pictures, {self.mean:.3g} on average"


@dataclass(frozen=True, eq=False)
class Units:
    """What was found.

    Attributes:
        features: where.
        layer: its name.
        grid: height and width; None where the layer has no positions.
        pictures: rows that took part.
        broken: rows without features.
        units: in the order asked for.
    """

    features: FeatureSet
    layer: str
    grid: tuple[int, int] | None
    pictures: int
    broken: int
    units: tuple[Unit, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "features": str(self.features.folder),
            "layer": self.layer,
            "grid": self.grid,
            "pictures": self.pictures,
            "broken": self.broken,
            "units": [self._unit(unit) for unit in self.units],
        }

    def _unit(self, unit: Unit) -> dict[str, Any]:
        known = {"unit": unit.number, "lowest": unit.lowest, "mean": unit.mean, "positive": unit.positive}
        return known | {"pictures": [self._picture(one) for one in unit.best]}

    def _picture(self, one: Excited) -> dict[str, Any]:
        row = self.features[[one.row]]
        texts = {name: values[0] for name, values in row.texts.items() if name != "error"}
        return {"row": one.row, **texts, "value": one.value, "place": one.place}


def find_exciting(features: FeatureSet, layer: str | None, units: Sequence[int], k: int = 9) -> Units:
    """Find the rows in which units have their highest values; of equal ones, the first.

    Args:
        features: the pictures.
        layer: may be left out where there is one.
        units: their numbers; of a layer with positions, its channels.
        k: how many pictures of each.

    Raises:
        UnknownName: no such layer or unit.
        FeatureSetError: there is no picture with features, or a unit that is NaN.
    """
    layer = layer if layer is not None or len(features.layers) > 1 else features.layers[0]
    shape = features.shape(layer)  # type: ignore[arg-type]  # says which layers there are
    assert layer is not None
    units = tuple(dict.fromkeys(units))
    for unit in units:
        if not 0 <= unit < shape[0]:
            raise UnknownName(f"layer {layer} has no unit {unit}: name one from 0 to {shape[0] - 1}")
    rows = np.flatnonzero(~features.broken)
    if not len(rows):
        raise FeatureSetError(f"no row of {features.folder} has features: extract other pictures")
    values, places = _highest(features, rows, layer, units)
    grid = (shape[1], shape[2]) if len(shape) == 3 and shape[1] * shape[2] > 1 else None
    if not np.isfinite(values).all():
        bad = int(rows[np.flatnonzero(~np.isfinite(values).all(axis=1))[0]])
        raise FeatureSetError(f"layer {layer} is NaN or infinite in row {bad} of {features.folder}: extract it again")
    found = tuple(_unit(unit, values[:, i], places[:, i], rows, grid, k) for i, unit in enumerate(units))
    return Units(features, layer, grid, len(rows), int(features.broken.sum()), found)


def _highest(
    features: FeatureSet, rows: NDArray[np.intp], layer: str, units: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """(rows, units) highest value over the positions, and at which of them."""
    values = np.empty((len(rows), len(units)), np.float32)
    places = np.empty(values.shape, np.intp)
    shape = features.shape(layer)
    for part in _parts(len(rows), int(np.prod(shape))):
        maps = features[rows[part]].X(layer).reshape(-1, shape[0], int(np.prod(shape[1:])))[:, list(units)]
        values[part], places[part] = maps.max(axis=2), maps.argmax(axis=2)
    return values, places


def _parts(count: int, size: int) -> Iterator[slice]:
    step = max(_VALUES // size, 1)
    return (slice(start, start + step) for start in range(0, count, step))


def _unit(
    number: int,
    values: NDArray[np.float32],
    places: NDArray[np.intp],
    rows: NDArray[np.intp],
    grid: tuple[int, int] | None,
    k: int,
) -> Unit:
    best = np.argsort(-values, kind="stable")[:k]
    excited = tuple(Excited(int(rows[i]), float(values[i]), _place(int(places[i]), grid)) for i in best)
    return Unit(number, excited, float(values.min()), float(values.mean()), float((values > 0).mean()))


def _place(position: int, grid: tuple[int, int] | None) -> tuple[int, int] | None:
    return None if grid is None else (position // grid[1], position % grid[1])


def draw_exciting(found: Units, out: Path, theme: str = "light") -> int:
    """Draw the pictures as the network saw them, and where in them a unit is highest.

    Returns:
        How many pictures could not be shown; their places say so.
    """
    from decaf.viz.units import UnitRow, save_units

    features = found.features
    seen = _Seen(features)
    rows = [
        UnitRow(
            f"unit {unit.number}",
            unit.note,
            tuple(seen.tile(one, found.grid) for one in unit.best),
        )
        for unit in found.units
    ]
    many = f"{found.pictures:,} picture{'s' if found.pictures != 1 else ''}"
    title = f"{features.meta['settings']['net']}, {found.layer}: highest values in {many}"
    title += ", about in the middle of the squares" if found.grid else ""
    return save_units(title, rows, out, theme)


class _Seen:
    """Pictures as the network saw them."""

    def __init__(self, features: FeatureSet) -> None:
        self._features = features
        self._pictures = Pictures(features)
        self._prepared = features.meta["settings"]["views"] == "center"

    def tile(self, one: Excited, grid: tuple[int, int] | None) -> Any:
        from decaf.viz.units import Tile

        row = self._features[[one.row]]
        label = row.labels[0] or Path(row.paths[0]).name
        box = self._box(one, grid) if grid and self._prepared else None
        return Tile(self._load(one.row), str(label), f"{one.value:.3g}", box)

    def _load(self, row: int) -> Callable[[], NDArray[np.uint8]]:
        return partial(self._view, row)

    def _view(self, row: int) -> NDArray[np.uint8]:
        from decaf.images.prepare import prepare

        pixels = self._pictures.load(row)
        if not self._prepared:  # one of ten views, or their mean: show all of it
            return pixels
        view = prepare(pixels, self._features.preprocess)
        return view[::-1] if self._upside_down else view

    @property
    def _upside_down(self) -> bool:
        return self._features.preprocess.orientation == "upside-down"

    def _box(self, one: Excited, grid: tuple[int, int]) -> tuple[float, float, float, float] | None:
        """x0, y0, x1, y1 of the position, as shares of the picture."""
        if one.place is None:
            return None
        (height, width), (y, x) = grid, one.place
        y = height - 1 - y if self._upside_down else y
        return x / width, y / height, (x + 1) / width, (y + 1) / height
