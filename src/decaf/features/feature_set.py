"""A feature set: a folder of shards and `decaf.json`, read lazily."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decaf.errors import DecafError, FeatureSetError, UnknownName
from decaf.features.layout import read_layout
from decaf.features.settings import FORMAT
from decaf.features.shards import STORES, check_shard, column_name, read_column, read_vectors, shard_name, vectors
from decaf.files import write_atomically
from decaf.nets.preprocess import Preprocess

if TYPE_CHECKING:
    import pyarrow as pa

Scalar = TypeVar("Scalar", bound=np.generic)

ABOUT = "decaf.json"


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features of pictures, one row each, in the order of the input.

    Open one with `FeatureSet.open(folder)`; slice it like an array (`features[:100]`, `features[mask]`): nothing is
    read before it is asked for.

    Attributes:
        folder: where the shards lie.
        meta: what `decaf.json` says: settings, environments, source.
        rows: which stored rows of the folder, in order: shard number times shard size plus the row in the shard.
        shard_rows: number of a shard -> how many rows it holds.

    Example:
        >>> features = FeatureSet.open("out")
        >>> X, y = features.valid.X("pool"), features.valid.labels
    """

    folder: Path
    meta: Mapping[str, Any]
    rows: NDArray[np.int64] = field(repr=False)
    shard_rows: Mapping[int, int] = field(repr=False)

    @classmethod
    def open(cls, folder: str | Path) -> FeatureSet:
        """Open a finished feature folder. Raises FeatureSetError where it is none, or is not finished."""
        folder = Path(folder)
        meta = read_meta(folder)
        layout = read_layout(folder, meta)
        sizes = {name: math.prod(sides) for name, sides in _shapes(meta).items()}
        first = min(layout.shard_rows)
        check_shard(folder / shard_name(first), layout.shard_rows[first], sizes, meta["settings"]["store"])
        return cls(folder, meta, layout.places, layout.shard_rows)

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

    def to_arrow(self, layers: str | Sequence[str] | None = None) -> pa.Table:
        """The rows as a PyArrow table: the columns of `texts`, and one of vectors per layer.

        Vectors are fixed-size lists of float32, null where a picture was broken. Libraries that take Arrow tables take
        a set as it is; the table of a set is made for them, in memory.

        Args:
            layers: which; all where none are named.

        Raises:
            UnknownName: no such layer.

        Example:
            >>> frame = features.to_arrow().to_pandas()
            >>> frame = polars.DataFrame(features)
            >>> rows = duckdb.sql("select path, prob from features where error is null")
            >>> dataset = datasets.Dataset(features.to_arrow())
        """
        import pyarrow as pa

        names = [layers] if isinstance(layers, str) else self.layers if layers is None else layers
        columns = {name: pa.array(text, pa.string()) for name, text in self.texts.items()}
        for layer in names:
            columns[column_name(layer)] = vectors(self.X(layer), self.broken)
        return pa.table(columns)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table of `to_arrow`, for libraries that take tables of any kind (Arrow's PyCapsule interface)."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    @cached_property
    def paths(self) -> NDArray[np.object_]:
        """(n,) the pictures' paths, as they were given."""
        return self._column("path")

    @cached_property
    def labels(self) -> NDArray[np.object_]:
        """(n,) names of the folders the pictures lie in; None for pictures that were named one by one."""
        return self._column("label")

    @property
    def texts(self) -> dict[str, NDArray[np.object_]]:
        """What the rows are: `path`, `label` and `error`, and `region` and `view` where pictures have several rows."""
        texts = {"path": self.paths, "label": self.labels, "error": self.errors}
        if self.meta["settings"]["regions"] != "whole":
            texts["region"] = self.regions
        if self.meta["settings"]["views"] == "ten":
            texts["view"] = self.views
        return texts

    @cached_property
    def regions(self) -> NDArray[np.object_]:
        """(n,) `whole`, or the id of a box within its picture; `none` for a picture without a box."""
        return self._column("region")

    @cached_property
    def views(self) -> NDArray[np.object_]:
        """(n,) `center`, the name of one of ten views, or `ten-mean`."""
        return self._column("view")

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """(n, 4) x0, y0, x1, y1 in pixels, as they were given; NaN where a row is a whole picture."""
        return np.array([box or [np.nan] * 4 for box in self._column("box")], np.float64).reshape(-1, 4)

    @cached_property
    def errors(self) -> NDArray[np.object_]:
        """(n,) None, or why a picture has no features."""
        return self._column("error")

    @cached_property
    def checksums(self) -> NDArray[np.object_]:
        """(n,) SHA-256 of each picture's file as it was read, hexadecimal; None for one that could not be read."""
        return self._column("sha256")

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

    def _column(self, column: str) -> NDArray[np.object_]:
        def read(path: Path, count: int) -> NDArray[np.object_]:
            values = np.empty(count, dtype=object)
            values[:] = read_column(path, column, count)
            return values

        return self._gather(read, np.empty(len(self), dtype=object))

    def _gather(self, read: Callable[[Path, int], NDArray[Scalar]], out: NDArray[Scalar]) -> NDArray[Scalar]:
        """Fill `out` with the selected rows, touching only the shards they lie in."""
        size = int(self.meta["shard_size"])
        by_shard = np.argsort(self.rows, kind="stable")
        shards, starts = np.unique(self.rows[by_shard] // size, return_index=True)
        for shard, where in zip(shards.tolist(), np.split(by_shard, starts[1:]), strict=False):
            values = read(self.folder / shard_name(shard), self.shard_rows[shard])
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
            and {"given", "folder", "digest", "pictures"} <= set(meta["source"])
            and meta["settings"]["store"] in STORES
            and {"views", "regions"} <= set(meta["settings"])
        )
        Preprocess.from_dict(meta["settings"]["preprocess"])
    except (FileNotFoundError, NotADirectoryError):
        raise FeatureSetError(f"{folder} is not a feature folder: name one that `decaf extract -o` made") from None
    except OSError as error:
        raise FeatureSetError(f"cannot read {folder / ABOUT} ({error.strerror}): make it readable") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, DecafError):
        known = False
    if not known:
        raise FeatureSetError(f"{folder / ABOUT} is damaged or of another version: extract into a new folder")
    return dict(meta)


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Write `decaf.json`, whole or not at all; leave one alone that says the same."""
    text = json.dumps(meta, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")
    path = folder / ABOUT
    if not path.exists() or path.read_bytes() != text:
        write_atomically(path, text)


def _shapes(meta: Mapping[str, Any]) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = meta["settings"]["layers"]
    return shapes
