"""Maps of feature sets, kept beside the features, made anew only when features or settings change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decaf.features.derived import Kept, Recipe, derive, rows_digest
from decaf.features.feature_set import FeatureSet
from decaf.maps.draw import Map, draw_map, place
from decaf.maps.measures import Labels, Numbers, number
from decaf.maps.settings import MapSettings
from decaf.maps.tsne import Progress
from decaf.probe.inputs import Transform

_VERSION = 1  # of what a map is made with; a new one leaves old files alone
_KEY = b"decaf map"


def vectors(sets: Sequence[FeatureSet], layer: str) -> NDArray[np.float32]:
    """(n, d) the vectors of one layer of several sets, one after the other."""
    return sets[0].X(layer) if len(sets) == 1 else np.concatenate([features.X(layer) for features in sets])


def map_of(
    sets: Sequence[FeatureSet], layer: str, settings: MapSettings | None = None, progress: Progress | None = None
) -> Kept[Map]:
    """One map of one or several feature sets, read where it is kept beside the first, else made and kept.

    Args:
        sets: their rows, one set after the other; features made alike.
        layer: a layer all of them have.
        settings: of the map.
        progress: told while it is made.

    Raises:
        MapError: there is nothing to map.
        FeatureSetError: it can be kept nowhere.

    Example:
        >>> drawn = map_of([features], "pool").value
        >>> drawn.coordinates[0]
        array([ 31.2, -4.5])
    """
    settings = settings or MapSettings()
    parameters = {"settings": settings.to_dict(), "version": _VERSION, "others": [_digest(one) for one in sets[1:]]}
    return _kept(sets, layer, "map", parameters, lambda: draw_map(vectors(sets, layer), settings, progress), settings)


def placed_in(
    new: FeatureSet, old: FeatureSet, layer: str, settings: MapSettings | None = None, progress: Progress | None = None
) -> Kept[Map]:
    """The rows of a set placed into the map of another, which is made where it is not there and stays as it is.

    Returns:
        The map of both: the rows of `old` as they lie, then those of `new`. Raises as `map_of`.
    """
    settings = settings or MapSettings()
    parameters = {"settings": settings.to_dict(), "version": _VERSION, "into": _digest(old)}

    def make() -> Map:
        base = map_of([old], layer, settings, progress).value
        places = place(new.X(layer), old.X(layer), base, progress)
        notes = (*base.notes, f"{len(new):,} rows of another set are placed into the map of {len(old):,}.")
        landmark = np.concatenate([base.landmark, np.zeros(len(new), bool)])
        return Map(np.concatenate([base.coordinates, places]), landmark, settings, notes)

    return _kept([new], layer, "placed", parameters, make, settings)


def numbers_of(
    sets: Sequence[FeatureSet],
    layer: str,
    kept: Kept[Map],
    labels: Mapping[str, Labels],
    domains: Labels | None = None,
) -> Numbers:
    """What is measured of a map, read where it was measured before with the same labels. Raises as `map_of`.

    Args:
        sets, layer: what the map was made of.
        kept: the map.
        labels: name -> (n,) what each row is; None for a row of which nothing is known.
        domains: (n,) which collection each row is of, or None.
    """

    def write(path: Path) -> None:
        rows, settings = kept.value.drawn, kept.value.settings
        X = vectors(sets, layer)[rows]
        X = Transform.fit(settings.transform, X, np.ones(len(X)))(X)
        ways = {name: values[rows] for name, values in labels.items()}
        among = None if domains is None else domains[rows]
        found = number(X, kept.value.coordinates[rows], ways, among, settings.seed)
        path.write_text(json.dumps(found.to_dict()), encoding="utf-8")

    said = (
        [(name, values.tolist()) for name, values in labels.items()],
        domains if domains is None else domains.tolist(),
    )
    known = hashlib.sha256(repr(said).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    parameters = {"map": kept.path.name, "labels": known, "version": _VERSION}
    return derive(sets[-1], layer, Recipe("numbers", write, _read_numbers, parameters, ".json")).value


def _read_numbers(path: Path) -> Numbers:
    try:
        return Numbers.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no numbers: {error}") from None


def _digest(features: FeatureSet) -> str:
    rows = hashlib.sha256(np.ascontiguousarray(features.rows).tobytes()).hexdigest()[:16]
    return f"{rows_digest(features)}-{rows}"


def _kept(
    sets: Sequence[FeatureSet], layer: str, kind: str, parameters: dict[str, object], make: Callable[[], Map],
    settings: MapSettings,
) -> Kept[Map]:  # fmt: skip
    recipe = Recipe(
        kind, lambda path: write_map(path, make()), lambda path: read_map(path, settings), parameters, ".parquet"
    )
    return derive(sets[0], layer, recipe)


def write_map(path: Path, drawn: Map) -> None:
    """Write a map as a Parquet table: `x`, `y` (NaN: no place) and `landmark`, a line per row of the features."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "x": pa.array(drawn.coordinates[:, 0]),
        "y": pa.array(drawn.coordinates[:, 1]),
        "landmark": pa.array(drawn.landmark),
    }
    about = {"settings": drawn.settings.to_dict(), "notes": list(drawn.notes)}
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about).encode()})
    with path.open("wb") as file:
        pq.write_table(table, file)


def read_map(path: Path, settings: MapSettings) -> Map:
    """Read a map. Raises ValueError or OSError where the file is none."""
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        table = pq.read_table(file)
    try:
        about = json.loads((table.schema.metadata or {})[_KEY])
        places = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
        return Map(places, table["landmark"].to_numpy(), settings, tuple(about["notes"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no map: {error}") from None
