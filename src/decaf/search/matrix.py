"""The vectors of a layer as one matrix on disk, and scores of them that err by less than they say.

A *key* is what search sorts by, the greater the nearer: the cosine, or the squared Euclidean distance times -1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from decaf.errors import UnknownName
from decaf.features.derived import Recipe, array_recipe, derive, load_array
from decaf.features.feature_set import FeatureSet
from decaf.probe.team import cores_for, team

Metric = Literal["cosine", "l2"]
Advance = Callable[[int], None]
"""Called with the number of rows that are done since the last call."""

UNIT = 2.0**-24  # the unit roundoff of float32
ROWS_AT_ONCE = 4096
_GATHERED = 2048  # rows that are scored in float64 at once
# Lengths beyond which products in float32 overflow or lose digits: such a row cannot be searched, or counts as zero.
_LONGEST, _SHORTEST = 1e30, 1e-25


@dataclass(frozen=True, eq=False)
class Matrix:
    """The vectors of a layer, mapped into memory.

    Attributes:
        values: (n, d) float32 or float16, as stored; NaN where a row is broken.
        norms: (n,) float64, their Euclidean lengths; NaN where a row cannot be searched, 0 where it is next to nothing.
        files: where both lie.
    """

    values: NDArray[Any] = field(repr=False)
    norms: NDArray[np.float64] = field(repr=False)
    files: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> int:
        """Numbers in a vector."""
        return int(self.values.shape[1])

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(n,) rows whose numbers are all finite, and not absurdly large."""
        return np.isfinite(self.norms)

    def block(self, start: int, end: int) -> NDArray[np.float32]:
        """(end - start, d) float32; a row that cannot be searched is zero."""
        block = np.array(self.values[start:end], np.float32)
        block[~np.isfinite(self.norms[start:end])] = 0
        return block

    def doubles(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """(len(rows), d) float64."""
        return np.asarray(self.values[rows], np.float64)


def open_matrix(features: FeatureSet, layer: str, advance: Advance | None = None) -> Matrix:
    """The vectors of a layer, from a derived file, which is made where it is missing.

    Args:
        features: all its rows count, broken ones as NaN.
        layer: a layer's name.
        advance: told of the rows as the file is made; not called where it is there.
    """
    store = np.dtype(np.float16 if features.meta["settings"]["store"] == "f16" else np.float32)
    size = math.prod(features.shape(layer))

    def write(path: Path) -> None:
        with path.open("wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(store), "fortran_order": False}
            np.lib.format.write_array_header_1_0(file, header | {"shape": (len(features), size)})
            for start in range(0, len(features), ROWS_AT_ONCE):
                part = features[start : start + ROWS_AT_ONCE].X(layer)
                file.write(np.ascontiguousarray(part, store).data)
                if advance:
                    advance(len(part))

    def load(path: Path) -> NDArray[Any]:
        return expect(load_array(path), (len(features), size), store)

    vectors = derive(features, layer, Recipe("vectors", write, load, {"version": 1}))
    norms = derive(features, layer, array_recipe("norms", lambda: _norms(vectors.value), {"version": 1}))
    return Matrix(vectors.value, np.array(norms.value), (vectors.path, norms.path))


def matrix_of(values: NDArray[Any]) -> Matrix:
    """A matrix of an array in memory."""
    return Matrix(values, _norms(values))


def expect(array: NDArray[Any], shape: tuple[int, ...], kind: np.dtype[Any]) -> NDArray[Any]:
    """The array. Raises ValueError where it has another shape or kind."""
    if array.shape != shape or array.dtype != kind:
        raise ValueError(f"{array.dtype} {array.shape} where {kind} {shape} belongs")
    return array


def _norms(values: NDArray[Any]) -> NDArray[np.float64]:
    norms = np.empty(len(values))
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, len(values), ROWS_AT_ONCE):
            block = np.asarray(values[start : start + ROWS_AT_ONCE], np.float64)
            norms[start : start + len(block)] = np.sqrt(np.einsum("ij,ij->i", block, block))
    norms[~(norms < _LONGEST)] = np.nan
    norms[norms < _SHORTEST] = 0
    return norms


def check_metric(metric: str) -> None:
    """Raise UnknownName unless the metric is one."""
    if metric not in get_args(Metric):
        raise UnknownName(f"metric is {metric!r}: use one of {', '.join(get_args(Metric))}")


@dataclass(frozen=True, eq=False)
class Query:
    """One vector that is searched for.

    Attributes:
        vector: (d,) float64.
        metric: what near means.
        allowed: (n,) rows that may be found.
    """

    vector: NDArray[np.float64]
    metric: Metric
    allowed: NDArray[np.bool_]

    @property
    def norm(self) -> float:
        """Its length."""
        return float(np.linalg.norm(self.vector))

    @property
    def unit(self) -> NDArray[np.float64]:
        """(d,) the vector, of length 1; zeros stay zeros."""
        return self.vector / (self.norm or 1.0)

    def keys(self, matrix: Matrix, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Keys of some rows, computed in float64."""
        keys = np.empty(len(rows))
        for start in range(0, len(rows), _GATHERED):
            part = rows[start : start + _GATHERED]
            x = matrix.doubles(part)
            if self.metric == "cosine":
                norms = matrix.norms[part]
                dots = np.einsum("ij,j->i", x, self.unit)  # unlike a product of BLAS, the same whatever rows are beside
                keys[start : start + len(part)] = dots / np.where(norms > 0, norms, 1)
            else:
                x -= self.vector
                keys[start : start + len(part)] = -np.einsum("ij,ij->i", x, x)
        return keys

    def bound(self, norms: NDArray[np.float64], cosines: NDArray[Any]) -> NDArray[np.float64]:
        """Keys of rows with these lengths and cosines to the query; -inf where a row may not be found.

        Keys grow with the cosine: of an upper bound of it this is an upper bound of the key.
        """
        if self.metric == "cosine":
            keys = np.where(norms > 0, cosines, 0.0)
        else:
            # |x - q|^2 = (|x| - |q|)^2 + 2 |x| |q| (1 - cos)
            keys = -((norms - self.norm) ** 2) - 2 * norms * self.norm * np.maximum(1 - cosines, 0.0)
        keys[~self.allowed] = -np.inf
        return keys


def scan(matrix: Matrix, units: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cosines of all rows to unit vectors, by one product of matrices in blocks, in float32.

    They err by less than `scan_error(d)`, whatever the order of the sums: |fl(x.q) - x.q| <= gamma_d |x| |q|
    (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., eq. 3.5), and the rounding of q, x / |x| and the
    result adds less than four more roundings.

    Args:
        matrix: (n, d).
        units: (queries, d) float64, of length 1 or 0.

    Returns:
        (queries, n) float32.
    """
    queries = np.asarray(units, np.float32)
    cosines = np.empty((len(queries), len(matrix)), np.float32)
    safe = np.where(matrix.norms > 0, matrix.norms, 1)

    def fill(rows: slice) -> None:
        block = matrix.values[rows]
        block = matrix.block(rows.start, rows.stop) if block.dtype != np.float32 else block
        with np.errstate(invalid="ignore", over="ignore"):
            cosines[:, rows] = queries @ block.T
            cosines[:, rows] /= safe[rows]

    with team(cores_for(None), len(matrix), 4 * matrix.size) as workers:
        workers.map(fill, [slice(i, min(i + ROWS_AT_ONCE, len(matrix))) for i in range(0, len(matrix), ROWS_AT_ONCE)])
    return cosines


def scan_error(size: int) -> float:
    """The most by which a cosine of `scan` is wrong, for vectors of this many numbers."""
    return (size + 4) * UNIT / (1 - (size + 4) * UNIT)
