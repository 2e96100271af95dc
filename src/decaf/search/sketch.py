"""A few numbers per row that bound its cosine to anything: most rows need not be looked at.

With an orthonormal basis B (d, m), x = B p + r with p = B' x and r orthogonal to B, and likewise q = B s + t. Then
x.q = p.s + r.t, and by Cauchy and Schwarz x.q <= p.s + |r| |t|: the product of the m + 1 numbers (p, |r|) and (s, |t|).
The basis holds the directions in which the rows differ most from zero: the first eigenvectors of X' X of a sample.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.features.derived import Recipe, array_recipe, derive, load_array
from decaf.features.feature_set import FeatureSet
from decaf.probe.team import cores_for, team
from decaf.search.matrix import ROWS_AT_ONCE, UNIT, Advance, Matrix, expect

_MOST = 256  # numbers; of 1,000,000 x 1,280 a quarter, measured: fewer leave too many candidates, more cost time
_SAMPLE = 20_000  # rows


@dataclass(frozen=True, eq=False)
class Sketch:
    """Sketches of the rows of a matrix.

    Attributes:
        basis: (d, m) float64, orthonormal.
        values: (n, m + 1) float32: p and |r| of x / |x|; zeros where a row is zero or cannot be searched.
    """

    basis: NDArray[np.float64] = field(repr=False)
    values: NDArray[np.float32] = field(repr=False)
    files: tuple[Path, ...] = ()

    def of(self, units: NDArray[np.float64]) -> NDArray[np.float32]:
        """(n, m + 1) float32, the sketches of vectors of length 1."""
        return sketch_of(units, self.basis)

    def bounds(self, units: NDArray[np.float64]) -> NDArray[np.float32]:
        """Upper bounds of the cosines of all rows to unit vectors.

        Args:
            units: (queries, d) float64, of length 1 or 0.

        Returns:
            (queries, n) float32.
        """
        queries = self.of(units)
        bounds = np.empty((len(queries), len(self.values)), np.float32)

        def fill(rows: slice) -> None:
            bounds[:, rows] = queries @ self.values[rows].T

        step = 4 * ROWS_AT_ONCE
        with team(cores_for(None), len(self.values), 4 * queries.shape[1]) as workers:
            workers.map(fill, [slice(i, i + step) for i in range(0, len(self.values), step)])
        bounds += self.error
        return bounds

    @property
    def error(self) -> float:
        """The most by which rounding can lower a bound: gamma_(m+1) of the product, and of what goes into it.

        Sketches have length 1 up to rounding, are computed in float64 and rounded once.
        """
        terms = int(self.values.shape[1]) + 4
        return terms * UNIT / (1 - terms * UNIT)


def sketch_of(units: NDArray[np.float64], basis: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n, m + 1) float32, the sketches of (n, d) vectors of length 1."""
    inside = units @ basis
    rest = np.sqrt(np.maximum(np.einsum("ij,ij->i", units, units) - np.einsum("ij,ij->i", inside, inside), 0))
    return np.column_stack([inside, rest]).astype(np.float32)


def open_sketch(features: FeatureSet, layer: str, matrix: Matrix, advance: Advance | None = None) -> Sketch:
    """The sketches of a matrix, from derived files, which are made where they are missing."""
    basis = derive(features, layer, array_recipe("basis", lambda: find_basis(matrix), {"version": 1}))
    shape = (len(matrix), basis.value.shape[1] + 1)

    def write(path: Path) -> None:
        values = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        for start in range(0, len(matrix), ROWS_AT_ONCE):
            block = sketch_of(units_of(matrix, start), basis.value)
            values[start : start + len(block)] = block
            if advance:
                advance(len(block))
        values.flush()

    def load(path: Path) -> NDArray[Any]:
        return expect(load_array(path), shape, np.dtype(np.float32))

    made_with = hashlib.sha256(np.ascontiguousarray(basis.value).tobytes()).hexdigest()
    sketch = derive(features, layer, Recipe("sketch", write, load, {"version": 1, "basis": made_with}))
    return Sketch(np.array(basis.value), sketch.value, (basis.path, sketch.path))


def units_of(matrix: Matrix, start: int) -> NDArray[np.float64]:
    """The next rows of a matrix, of length 1; zeros where they are zero or cannot be searched."""
    block = matrix.block(start, start + ROWS_AT_ONCE).astype(np.float64)
    norms = matrix.norms[start : start + len(block)]
    known = norms > 0
    block[~known] = 0
    block[known] /= norms[known, None]
    return block


def find_basis(matrix: Matrix, seed: int = 0) -> NDArray[np.float64]:
    """(d, m) float64, orthonormal: the first eigenvectors of the second moments of a sample of unit rows."""
    rows = np.flatnonzero(matrix.norms > 0)
    if len(rows) > _SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _SAMPLE, replace=False))
    x = matrix.doubles(rows) / matrix.norms[rows, None]
    _, vectors = np.linalg.eigh(x.T @ x)
    return np.ascontiguousarray(vectors[:, ::-1][:, : min(_MOST, matrix.size)])
