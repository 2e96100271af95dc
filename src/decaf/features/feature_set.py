"""A feature set: a folder of shards and `decaf.json`, read lazily."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decaf.errors import DecafError, FeatureSetError, UnknownName
from decaf.features.shards import check_shard, read_text, read_vectors, shard_name
from decaf.nets.preprocess import Preprocess

Scalar = TypeVar("Scalar", bound=np.generic)

FORMAT = 1
ABOUT = "decaf.json"


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of pictures, one row each, in the order of the input.

    Open one with `FeatureSet.open(folder)`; slice it like an array (`features[:100]`, `features[mask]`): nothing is
    read before it is asked for.

    Attributes:
        folder: where the shards lie.
        meta: what `decaf.json` says: settings, environments, source.
        rows: which rows of the folder, in order.

    Example:
        >>> features = FeatureSet.open("out")
        >>> X, y = features.valid.X("pool"), features.valid.labels
    """

    folder: Path
    meta: Mapping[str, Any]
    rows: NDArray[np.int64] = field(repr=False)

    @classmethod
    def open(cls, folder: str | Path) -> FeatureSet:
        """Open a finished feature folder. Raises FeatureSetError where it is none, or is not finished."""
        folder = Path(folder)
        meta = read_meta(folder)
        count, shard_size = meta["source"]["count"], meta["shard_size"]
        done, total = finished_shards(folder, meta)
        if done < total:
            raise FeatureSetError(
                f"{folder} is not finished: {total - done} of {total} shards are missing; "
                f"run the same `decaf extract` again (`decaf info {folder}` tells which)"
            )
        sizes = {name: math.prod(sides) for name, sides in _shapes(meta).items()}
        check_shard(folder / shard_name(0), min(shard_size, count), sizes)
        return cls(folder, meta, np.arange(count))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, selection: slice | ArrayLike) -> FeatureSet:
        """Some of the rows: a slice, a boolean mask or row numbers."""
        if isinstance(selection, slice):
            return replace(self, rows=self.rows[selection])
        index = np.atleast_1d(np.asarray(selection))
        return replace(self, rows=self.rows[index if index.size else index.astype(int)])

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order they were asked for."""
        return tuple(self.meta["settings"]["layers"])

    @property
    def preprocess(self) -> Preprocess:
        """How the pictures were prepared."""
        return Preprocess.from_dict(self.meta["settings"]["preprocess"])

    def shape(self, layer: str) -> tuple[int, ...]:
        """Shape of a layer: (channels, height, width) or (channels,). Vectors hold it flattened, channel first."""
        return tuple(self.meta["settings"]["layers"][self._known(layer)])

    def X(self, layer: str | None = None) -> NDArray[np.float32]:
        """The vectors of a layer.

        Args:
            layer: its name; may be left out where the set has one layer.

        Returns:
            (n, size) float32; a row of NaN where a picture was broken (see `valid`).
        """
        layer = self._known(layer)
        size = math.prod(self.shape(layer))

        def read(path: Path, count: int) -> NDArray[np.float32]:
            vectors = np.empty((count, size), np.float32)
            read_vectors(path, layer, vectors)
            return vectors

        return self._gather(read, np.empty((len(self), size), np.float32))

    @cached_property
    def paths(self) -> NDArray[np.object_]:
        """(n,) the pictures' paths, as they were given."""
        return self._texts("path")

    @cached_property
    def labels(self) -> NDArray[np.object_]:
        """(n,) names of the folders the pictures lie in; None for pictures that were named one by one."""
        return self._texts("label")

    @cached_property
    def errors(self) -> NDArray[np.object_]:
        """(n,) None, or why a picture has no features."""
        return self._texts("error")

    @property
    def valid(self) -> FeatureSet:
        """The same set without broken rows."""
        return self[~self.broken]

    @property
    def broken(self) -> NDArray[np.bool_]:
        """(n,) which pictures have no features."""
        return np.array([error is not None for error in self.errors], dtype=bool)

    def _known(self, layer: str | None) -> str:
        if layer is None and len(self.layers) == 1:
            return self.layers[0]
        if layer not in self.layers:
            asked = "several layers" if layer is None else f"no layer {layer!r}"
            raise UnknownName(f"{self.folder} has {asked}: name one of {', '.join(self.layers)}")
        return layer

    def _texts(self, column: str) -> NDArray[np.object_]:
        def read(path: Path, count: int) -> NDArray[np.object_]:
            return np.array(read_text(path, column, count), dtype=object)

        return self._gather(read, np.empty(len(self), dtype=object))

    def _gather(self, read: Callable[[Path, int], NDArray[Scalar]], out: NDArray[Scalar]) -> NDArray[Scalar]:
        """Fill `out` with the selected rows, touching only the shards they lie in."""
        size, count = int(self.meta["shard_size"]), int(self.meta["source"]["count"])
        shard_of = self.rows // size
        for shard in np.unique(shard_of):
            where = np.flatnonzero(shard_of == shard)
            values = read(self.folder / shard_name(int(shard)), min(size, count - int(shard) * size))
            out[where] = values[self.rows[where] - shard * size]
        return out


def read_meta(folder: Path) -> dict[str, Any]:
    """Read `decaf.json`. Raises FeatureSetError where there is none, or none that this version can read."""
    try:
        meta = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        numbers = [meta["source"]["count"], meta["shard_size"], *chain(*_shapes(meta).values())]
        known = (
            meta["format"] == FORMAT
            and all(type(number) is int and number > 0 for number in numbers)
            and all(isinstance(environment, dict) for environment in meta["environments"])
            and len(meta["environments"]) > 0
            and {"given", "folder", "digest"} <= set(meta["source"])
        )
        Preprocess.from_dict(meta["settings"]["preprocess"])
    except OSError:
        raise FeatureSetError(f"{folder} is not a feature folder: name one that `decaf extract -o` made") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, DecafError):
        known = False
    if not known:
        raise FeatureSetError(f"{folder / ABOUT} is damaged or of another version: extract into a new folder")
    return dict(meta)


def finished_shards(folder: Path, meta: Mapping[str, Any]) -> tuple[int, int]:
    """How many of its shards a folder holds, and how many belong there."""
    total = -(-meta["source"]["count"] // meta["shard_size"])
    there = {path.name for path in folder.glob("shard-*.parquet")}
    return sum(shard_name(index) in there for index in range(min(total, 10 * len(there) + 1))), total


def _shapes(meta: Mapping[str, Any]) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = meta["settings"]["layers"]
    return shapes
