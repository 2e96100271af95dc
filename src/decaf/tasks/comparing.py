"""Compare layers, networks and measurements of other origin: plan, run, result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from decaf.compare.pairs import Floats, check_finite, count_pairs, dissimilarities, nothing, stored_type, upper_triangle
from decaf.errors import CompareError, UnknownName
from decaf.features.feature_set import FeatureSet
from decaf.tasks.given_matrix import GivenMatrix
from decaf.tasks.shared_rows import Shared, share

Measure = Literal["cka-debiased", "cka", "rsa"]
Matrix = NDArray[np.float64]

_MOST_MEMORY = 4 * 10**9  # bytes


@dataclass(frozen=True)
class Settings:
    """How to compare.

    Attributes:
        measure: `cka-debiased`, `cka` or `rsa`.
        dissimilarity, correlation: of RSA; see `decaf.compare`.
        pictures: how many are drawn by chance where there are more; 0: all.
        intervals: also 95 % intervals over pictures, and for RSA a p value.
        resamples: bootstrap samples and permutations of RSA.
        seed: of all chance.
    """

    measure: str = "cka-debiased"
    dissimilarity: str = "correlation"
    correlation: str = "spearman"
    pictures: int = 1000
    intervals: bool = False
    resamples: int = 500
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Representation:
    """Something that tells pictures apart.

    Attributes:
        source, layer: what it is called.
        size: numbers per picture.
        read: gives (n, size) vectors, or the pairs' dissimilarities if `is_rdm`.
    """

    source: str
    layer: str
    size: int
    read: Callable[[], Floats]
    is_rdm: bool = False


@dataclass(frozen=True, eq=False)
class Plan:
    """What will be compared with what: each of `rows` with each of `columns`; all with all where they are one."""

    rows: tuple[Representation, ...]
    columns: tuple[Representation, ...]
    shared: Shared
    available: int
    settings: Settings
    kinds: dict[str, str]

    @property
    def is_square(self) -> bool:
        """Whether everything is compared with everything."""
        return self.rows is self.columns

    @property
    def steps(self) -> int:
        """How many steps `run` takes, at most."""
        read = len(self.rows) + (0 if self.is_square else len(self.columns))
        if not self.settings.intervals:
            return read
        return read + (2 * self.settings.resamples if self.settings.measure == "rsa" else 20)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What came out.

    Attributes:
        plan: what was compared.
        rows, columns: (source, layer) of what could be.
        values: (rows, columns); NaN where there is no estimate.
        low, high: ends of 95 % intervals; None where none were asked for.
        p: one-sided, of RSA.
        ceiling: lower and upper end of the noise ceiling, where there are several subjects.
        left_out: `source layer` -> why.
        seconds: it took.
    """

    plan: Plan
    rows: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...]
    values: Matrix
    low: Matrix | None
    high: Matrix | None
    p: Matrix | None
    ceiling: tuple[float, float] | None
    left_out: dict[str, str]
    seconds: float

    @property
    def pairs(self) -> int:
        """How many comparisons there are; what is compared with itself is none."""
        rows, columns = len(self.rows), len(self.columns)
        return rows * (rows - 1) // 2 if self.plan.is_square else rows * columns

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "settings": asdict(self.plan.settings),
            "pictures": len(self.plan.shared),
            "shared": self.plan.available,
            "matched_by": self.plan.shared.matched_by,
            "sources": [asdict(source) for source in self.plan.shared.sources],
            "given": self.plan.kinds,
            "rows": [{"source": source, "layer": layer} for source, layer in self.rows],
            "columns": [{"source": source, "layer": layer} for source, layer in self.columns],
            "values": _listed(self.values),
            "low": _listed(self.low),
            "high": _listed(self.high),
            "p": _listed(self.p),
            "noise_ceiling": list(self.ceiling) if self.ceiling else None,
            "left_out": self.left_out,
            "seconds": self.seconds,
        }


def _listed(matrix: Matrix | None) -> list[list[float | None]] | None:
    if matrix is None:
        return None
    return [[float(value) if np.isfinite(value) else None for value in row] for row in matrix]


def plan_comparison(
    sets: Sequence[FeatureSet], layers: Sequence[str], matrices: Sequence[GivenMatrix], settings: Settings
) -> Plan:
    """Find out what can be compared.

    One set: its layers with each other; two: the layers of the first with those of the second; more: all with all.
    With matrices: all layers with each of them.

    Args:
        sets: one or more.
        layers: which; all where none are named. A set that lacks one of them gives those it has.
        matrices: see `read_matrix`.
        settings: how.

    Raises:
        CompareError: too few pictures in common, or settings that do not go together.
        UnknownName: no such measure or layer.
    """
    _check(settings, matrices)
    shared = share(sets, matrices)
    drawn = shared.some(settings.pictures, settings.seed)
    by_set = [
        tuple(_layer(features, rows, layer) for layer in _chosen(features, layers))
        for features, rows in zip(sets, drawn.of_sets, strict=True)
    ]
    if absent := set(layers) - {one.layer for group in by_set for one in group}:
        raise UnknownName(f"no set has a layer {min(absent)!r}: they have {', '.join(_all_layers(sets))}")
    given = tuple(_given(matrix, rows, settings) for matrix, rows in zip(matrices, drawn.of_matrices, strict=True))
    rows = by_set[0] if len(sets) == 2 and not given else sum(by_set, ())
    columns = given or (by_set[1] if len(sets) == 2 else rows)
    if not rows or not columns:
        raise UnknownName(f"one of the sets has none of the layers named: they have {', '.join(_all_layers(sets))}")
    plan = Plan(rows, columns, drawn, len(shared), settings, {matrix.file: matrix.kind for matrix in matrices})
    _check_memory(plan)
    return plan


def _check(settings: Settings, matrices: Sequence[GivenMatrix]) -> None:
    if settings.measure not in get_args(Measure):
        raise UnknownName(f"no measure {settings.measure!r}: use one of {', '.join(get_args(Measure))}")
    rdm = next((matrix for matrix in matrices if matrix.is_rdm), None)
    if rdm is not None and settings.measure != "rsa":
        raise CompareError(f"{rdm.file} holds dissimilarities, which only RSA compares: pass --measure rsa")
    for number in (settings.pictures, settings.resamples - 1, settings.seed):
        if number < 0:
            raise UnknownName(f"a negative number of pictures, resamples or seed ({number}): use a positive one")


def _chosen(features: FeatureSet, layers: Sequence[str]) -> tuple[str, ...]:
    return tuple(layer for layer in features.layers if not layers or layer in layers)


def _all_layers(sets: Sequence[FeatureSet]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(layer for features in sets for layer in features.layers))


def _layer(features: FeatureSet, rows: NDArray[np.intp], layer: str) -> Representation:
    size = math.prod(features.shape(layer))
    return Representation(str(features.folder), layer, size, partial(_read_layer, features[rows], layer))


def _read_layer(features: FeatureSet, layer: str) -> Floats:
    return features.X(layer)


def _given(matrix: GivenMatrix, rows: NDArray[np.intp], settings: Settings) -> Representation:
    def read() -> Floats:
        if not matrix.is_rdm:
            return matrix.values[rows]
        return upper_triangle(matrix.values[np.ix_(rows, rows)])

    return Representation(matrix.file, Path(matrix.file).stem, matrix.values.shape[1], read, matrix.is_rdm)


def _check_memory(plan: Plan) -> None:
    n = len(plan.shared)
    things = {id(one): one for one in (*plan.rows, *plan.columns)}.values()
    if plan.settings.measure == "rsa":  # dissimilarities and their ranks, and a few more of them while they are sorted
        numbers = count_pairs(n) * (2 * len(things) + 6)
    else:  # vectors or products, whichever is smaller; and the vectors of one while it is made
        numbers = n * (sum(min(one.size, n) for one in things) + 2 * max(one.size for one in things))
    needed = numbers * np.dtype(stored_type(n)).itemsize
    if needed > _MOST_MEMORY:
        raise CompareError(
            f"comparing {n:,} pictures takes {needed / 1e9:.1f} GB of memory: pass a smaller --pictures, or name some "
            "of the layers with --layer"
        )


def run(plan: Plan, step: Callable[[], None] = nothing) -> Comparison:
    """Read, compare, and where asked for say how sure it is.

    Args:
        plan: see `plan_comparison`.
        step: called after each of `plan.steps`, or fewer.

    Raises:
        CompareError: nothing is left to compare.
    """
    started = time.monotonic()
    left_out: dict[str, str] = {}
    rows = _read_all(plan, plan.rows, left_out, step)
    columns = rows if plan.is_square else _read_all(plan, plan.columns, left_out, step)
    if not rows or not columns:
        name, why = next(iter(left_out.items()))
        raise CompareError(f"nothing is left to compare: {name}: {why}")
    compare = _compare_rdms if plan.settings.measure == "rsa" else _compare_kernels
    values, low, high, p, ceiling = compare(plan, [one for _, one in rows], [one for _, one in columns], step)
    names = [tuple((one.source, one.layer) for one, _ in group) for group in (rows, columns)]
    took = round(time.monotonic() - started, 3)
    return Comparison(plan, names[0], names[1], values, low, high, p, ceiling, left_out, took)


Read = list[tuple[Representation, Any]]
Compared = tuple[Matrix, Matrix | None, Matrix | None, Matrix | None, tuple[float, float] | None]


def _read_all(plan: Plan, wanted: Sequence[Representation], left_out: dict[str, str], step: Callable[[], None]) -> Read:
    """What measures take, made of each representation; why not, where it cannot be."""
    made: Read = []
    for one in wanted:
        try:
            made.append((one, _made(one, plan.settings)))
        except CompareError as error:
            left_out[f"{one.source} {one.layer}"] = str(error)
        step()
    return made


def _made(one: Representation, settings: Settings) -> Any:
    values = one.read()
    if settings.measure != "rsa":
        return _kernel(values, settings.measure == "cka-debiased")
    rdm = values if one.is_rdm else dissimilarities(values, settings.dissimilarity)
    check_finite(rdm[None])
    if rdm.max() - rdm.min() <= 1e-12 * np.abs(rdm).max():
        raise CompareError("all pairs of pictures are equally dissimilar: no correlation is defined; leave it out")
    return rdm


def _kernel(values: Floats, debiased: bool) -> Any:
    from decaf.compare.cka import Kernel, cka

    kernel = Kernel.of(values)
    if np.isnan(cka([kernel], [kernel], debiased)).any():
        raise CompareError("all pictures are equally far from each other: no debiased CKA is defined; leave it out")
    return kernel


def _compare_kernels(plan: Plan, rows: list[Any], columns: list[Any], step: Callable[[], None]) -> Compared:
    from decaf.compare.cka import cka, jackknife

    if plan.is_square:
        columns = rows
    debiased, seed = plan.settings.measure == "cka-debiased", plan.settings.seed
    values = cka(rows, columns, debiased)
    low, high = jackknife(rows, columns, debiased, seed, step) if plan.settings.intervals else (None, None)
    return values, low, high, None, None


def _compare_rdms(plan: Plan, rows: list[Any], columns: list[Any], step: Callable[[], None]) -> Compared:
    from decaf.compare.rsa import bootstrap, correlations, noise_ceiling, permutation_p

    if plan.is_square:
        columns = rows
    settings = plan.settings
    values = correlations(rows, columns, settings.correlation)
    ceiling = None
    if plan.kinds and len(columns) > 1:
        found = noise_ceiling(columns, settings.correlation)
        ceiling = (found.lower, found.upper)
    if not settings.intervals:
        return values, None, None, None, ceiling
    chance = (settings.correlation, settings.resamples, settings.seed, step)
    low, high = np.nanquantile(bootstrap(rows, columns, *chance), [0.025, 0.975], axis=0)
    return values, low, high, permutation_p(rows, columns, *chance), ceiling
