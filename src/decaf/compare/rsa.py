"""Representational similarity analysis: do two representations find the same pairs of pictures dissimilar?

Kriegeskorte, Mur and Bandettini (2008); the statistics are those of Nili et al. (2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from decaf.compare.pairs import Floats, nothing, pair_places, pair_products, pictures_of
from decaf.errors import CompareError

Correlation = Literal["spearman", "kendall", "pearson"]
Matrix = NDArray[np.float64]

_BLOCK = 2**20  # pairs whose products are added up in float64 at a time


@dataclass(frozen=True, eq=False)
class Ranking:
    """The order of some numbers, found once; then their ranks under any weights take no sorting.

    Attributes:
        order: (N,) int, from the smallest to the largest.
        sizes: how many equal numbers stand together, in that order.
    """

    order: NDArray[Any]
    sizes: NDArray[np.intp]

    @classmethod
    def of(cls, values: Floats) -> Ranking:
        """Sort."""
        order = np.argsort(values, kind="stable").astype(np.int32 if len(values) < 2**31 else np.int64)
        ends = np.flatnonzero(np.diff(values[order])) + 1
        return cls(order, np.diff(np.concatenate([[0], ends, [len(values)]])))

    def ranks(self, counts: Matrix | None = None) -> Matrix:
        """(N,) ranks from 1, equal numbers at their mean rank; `counts`: how many times each number is there."""
        times = np.ones(len(self.order)) if counts is None else counts[self.order]
        up_to = np.cumsum(times)
        if len(self.sizes) < len(times):  # equal numbers count as one that is there as often as all of them
            up_to = up_to[np.cumsum(self.sizes) - 1]
            times = np.diff(up_to, prepend=0.0)
        middle = up_to - (times - 1) / 2
        ranks = np.empty(len(self.order))
        ranks[self.order] = middle if len(middle) == len(ranks) else np.repeat(middle, self.sizes)
        return ranks


def correlations(a: Sequence[Floats], b: Sequence[Floats], by: str = "spearman") -> Matrix:
    """How well dissimilarities agree.

    Args:
        a, b: dissimilarities of the same pairs of pictures, (N,) each.
        by: `spearman`, `pearson`, or `kendall`: tau-a, which Nili et al. recommend where a matrix has ties. It takes
            a second for 2 million pairs.

    Returns:
        (len(a), len(b)).

    Raises:
        CompareError: no such correlation, or dissimilarities that are all equal.
    """
    check_correlation(by)
    if by == "kendall":
        return np.array([[tau_a(one, other) for other in b] for one in a])
    left = _scores(a, by)
    return _dot(left, left if b is a else _scores(b, by))


def check_correlation(by: str) -> None:
    """Raise CompareError where there is no such correlation."""
    if by not in get_args(Correlation):
        raise CompareError(f"no correlation {by!r}: use one of {', '.join(get_args(Correlation))}")


def tau_a(x: Floats, y: Floats) -> float:
    """Kendall's tau-a: (concordant - discordant pairs) / all pairs; SciPy's tau-b without its correction for ties."""
    from scipy.stats import kendalltau

    free = [1 - _tied(values) for values in (x, y)]
    if min(free) == 0:
        return 0.0
    return float(kendalltau(x, y).statistic * np.sqrt(free[0] * free[1]))


def _tied(values: Floats) -> float:
    """Share of pairs of equal numbers."""
    sizes = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((sizes * (sizes - 1)).sum() / (len(values) * (len(values) - 1.0)))


def _scores(rdms: Sequence[Floats], by: str) -> list[Floats]:
    """Numbers whose products add up to the correlation."""
    scores = []
    for values in rdms:
        ranks = Ranking.of(values).ranks() if by == "spearman" else values.astype(np.float64)
        scores.append(_unit(ranks).astype(values.dtype))
    return scores


def _unit(values: Matrix) -> Matrix:
    """Of mean 0 and length 1. Raises CompareError where all are equal."""
    centred = values - values.mean()
    length = float(np.sqrt((centred * centred).sum()))
    if length <= 1e-12 * float(np.abs(values).max(initial=0)) * len(values) ** 0.5:
        raise CompareError("all pairs of pictures are equally dissimilar: no correlation is defined")
    return np.asarray(centred / length)


def _dot(left: Sequence[Floats], right: Sequence[Floats], weights: Matrix | None = None) -> Matrix:
    """Products of all pairs of rows, added up in float64 whatever they are stored in."""
    total = np.zeros((len(left), len(right)))
    for start in range(0, len(left[0]), _BLOCK):
        part = slice(start, start + _BLOCK)
        rows = np.array([row[part] for row in left], np.float64)
        columns = rows if right is left else np.array([row[part] for row in right], np.float64)
        total += (rows if weights is None else rows * weights[part]) @ columns.T
    return total


def bootstrap(
    a: Sequence[Floats],
    b: Sequence[Floats],
    by: str,
    samples: int,
    seed: int,
    step: Callable[[], None] = nothing,
) -> NDArray[np.float64]:
    """Correlations over pictures drawn anew, with replacement; pairs of a picture with itself are left out.

    As in Nili et al. (2014), so that the spread tells what other pictures of the kind would have given.

    Args:
        a, b, by: see `correlations`.
        samples: how many times.
        seed: of all chance.
        step: called after each sample.

    Returns:
        (samples, len(a), len(b)).
    """
    n = pictures_of(len(a[0]))
    random = np.random.default_rng(seed)
    everything = _Resampled([*a, *b], by)
    out = np.empty((samples, len(a), len(b)))
    for number in range(samples):
        counts = np.bincount(random.integers(0, n, n), minlength=n)
        out[number] = everything.correlations(counts, len(a))
        step()
    return out


class _Resampled:
    """Dissimilarities sorted once, for as many samples as are wanted."""

    def __init__(self, rdms: Sequence[Floats], by: str) -> None:
        self._rdms = list(rdms)
        self._by = by
        known: dict[int, Ranking] = {}  # one matrix may stand on both sides
        if by == "spearman":
            known = {id(values): Ranking.of(values) for values in {id(one): one for one in rdms}.values()}
        self._rankings = known

    def correlations(self, counts: NDArray[np.intp], split: int) -> Matrix:
        """Of the first `split` with the others, each picture as often as it was drawn."""
        if self._by == "kendall":
            return self._taus(counts, split)
        weights = pair_products(counts.astype(np.float64))
        made: dict[int, Floats] = {}
        for values in self._rdms:
            if id(values) not in made:
                made[id(values)] = self._centred(values, weights).astype(values.dtype)
        rows = [made[id(values)] for values in self._rdms]
        return _dot(rows[:split], rows[split:], weights)

    def _centred(self, values: Floats, weights: Matrix) -> Matrix:
        ranking = self._rankings.get(id(values))
        x = values.astype(np.float64) if ranking is None else ranking.ranks(weights)
        # sums, not dot products: a library that shares so little among threads waits longer than it computes
        x -= (weights * x).sum() / weights.sum()
        length = np.sqrt((weights * x * x).sum())
        return np.full_like(x, np.nan) if length == 0 else x / length

    def _taus(self, counts: NDArray[np.intp], split: int) -> Matrix:
        drawn = np.flatnonzero(counts)
        places = pair_places(drawn, len(counts))
        repeats = pair_products(counts[drawn].astype(np.float64)).astype(np.intp)
        rows = [np.repeat(values[places], repeats) for values in self._rdms]
        return np.array([[tau_a(one, other) for other in rows[split:]] for one in rows[:split]])


def permutation_p(
    a: Sequence[Floats],
    b: Sequence[Floats],
    by: str,
    samples: int,
    seed: int,
    step: Callable[[], None] = nothing,
) -> Matrix:
    """How often chance does as well: the pictures of `a` are given each other's places, with all their pairs.

    One-sided, as in Nili et al. (2014): (1 + times at least as high) / (1 + samples). Not corrected for the number of
    comparisons.

    Returns:
        (len(a), len(b)).
    """
    observed = correlations(a, b, by)
    higher = np.ones_like(observed)
    for chance in _permuted(a, b, by, samples, seed):
        higher += chance >= observed - 1e-12
        step()
    return np.asarray(higher / (samples + 1))


def _permuted(a: Sequence[Floats], b: Sequence[Floats], by: str, samples: int, seed: int) -> Iterator[Matrix]:
    n = pictures_of(len(a[0]))
    random = np.random.default_rng(seed)
    left, right = (list(a), list(b)) if by == "kendall" else (_scores(a, by), _scores(b, by))
    for _ in range(samples):
        places = pair_places(random.permutation(n), n)
        moved = [values[places] for values in left]
        yield correlations(moved, right, by) if by == "kendall" else _dot(moved, right)


@dataclass(frozen=True)
class NoiseCeiling:
    """What the best possible model could reach, between these two; see `noise_ceiling`."""

    lower: float
    upper: float


def noise_ceiling(subjects: Sequence[Floats], by: str = "spearman") -> NoiseCeiling:
    """The noise ceiling of several subjects' dissimilarities (Nili et al. 2014).

    Upper: the mean correlation of each subject with the mean of all, its own included; lower: with the mean of the
    others. The mean is that of ranks for rank correlations, of standardised numbers for Pearson's.

    Args:
        subjects: (N,) each; two or more.
        by: see `correlations`.

    Raises:
        CompareError: fewer than two, or see `correlations`.
    """
    if len(subjects) < 2:
        raise CompareError("a noise ceiling needs the matrices of two subjects or more: give more, or leave it out")
    # ranks are not scaled: their sums have ties, which rounding would break
    scores = _scores(subjects, "pearson") if by == "pearson" else [Ranking.of(one).ranks() for one in subjects]
    total = np.asarray(np.sum(scores, axis=0, dtype=np.float64))
    upper = [correlations([own], [total], by)[0, 0] for own in scores]
    lower = [correlations([own], [total - own], by)[0, 0] for own in scores]
    return NoiseCeiling(float(np.mean(lower)), float(np.mean(upper)))
