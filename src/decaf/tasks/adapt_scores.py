"""How sure an accuracy is, and a change of it: the tested pictures, and the splits, drawn anew many times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Labels = NDArray[np.object_]

DRAWS = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Change:
    """What one method has over another, on the same test rows.

    Attributes:
        difference: of the accuracies.
        interval: of it.
        mended, spoiled: test rows that only the one, only the other has right; the mean over the splits.
        p: of the exact test of McNemar (1947): as many mended as spoiled; NaN of several splits, which share pictures.
    """

    difference: float
    interval: tuple[float, float]
    mended: float
    spoiled: float
    p: float


@dataclass(frozen=True)
class Score:
    """Accuracy of a method, mean over the classes and then over the splits.

    Attributes:
        accuracy: 0 to 1.
        interval: of it.
        splits: the accuracy of each split.
        change: against the method that does without adaptation; None for that one.
    """

    accuracy: float
    interval: tuple[float, float]
    splits: tuple[float, ...]
    change: Change | None


def score_methods(
    predicted: Mapping[str, Sequence[Labels]],
    truth: Labels,
    tested: Bools,
    picture: NDArray[np.intp],
    baseline: str,
    seed: int = 0,
) -> dict[str, Score]:
    """Accuracy of several methods with intervals, and what each has over the baseline.

    Bootstrap (Efron 1979), percentiles: of each class as many pictures are drawn with replacement as were tested, the
    same for all methods; where there are several splits, these are drawn as well, and a test row counts by the product
    of both draws (Owen and Eckles, AOAS 2012: cautious for data that cross in this way).

    Args:
        predicted: of each method and each split (m,) labels.
        truth: (m,) labels; None where none is known.
        tested: (splits, m) which rows are tested in a split.
        picture: (m,) which picture each row shows; rows of one are drawn together.
        baseline: the method that the others are compared with.
        seed: of the draws.
    """
    names = list(predicted)
    right = np.array([[labels == truth for labels in predicted[name]] for name in names], bool)
    of_rows = _accuracies(right, tested, truth, np.ones((1, len(truth))))[0]  # (methods, splits)
    drawn = _drawn(right, tested, truth, picture, seed)  # (draws, methods)
    base = names.index(baseline)
    scores = {}
    for k, name in enumerate(names):
        change = None if k == base else _change(of_rows, drawn, right, tested, k, base)
        scores[name] = Score(float(of_rows[k].mean()), _interval(drawn[:, k]), tuple(of_rows[k].tolist()), change)
    return scores


def _change(of_rows: Floats, drawn: Floats, right: Bools, tested: Bools, k: int, base: int) -> Change:
    mended = (right[k] & ~right[base] & tested).sum(axis=1)
    spoiled = (~right[k] & right[base] & tested).sum(axis=1)
    difference = float((of_rows[k] - of_rows[base]).mean())
    interval = _interval(drawn[:, k] - drawn[:, base])
    p = _mcnemar(int(mended[0]), int(spoiled[0])) if len(tested) == 1 else float("nan")
    return Change(difference, interval, float(mended.mean()), float(spoiled.mean()), p)


def _mcnemar(mended: int, spoiled: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(mended, mended + spoiled).pvalue) if mended + spoiled else 1.0


def _interval(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _drawn(right: Bools, tested: Bools, truth: Labels, picture: NDArray[np.intp], seed: int) -> Floats:
    """(draws, methods) accuracies of drawn pictures and splits."""
    random = np.random.default_rng(seed)
    splits = len(tested)
    counts = np.zeros((DRAWS, len(truth)))
    for rows in _classes(truth, _ever(tested)):
        pictures, of_row = np.unique(picture[rows], return_inverse=True)
        drawn = random.multinomial(len(pictures), np.full(len(pictures), 1 / len(pictures)), DRAWS)
        counts[:, rows] = drawn[:, of_row]
    of_splits = random.multinomial(splits, np.full(splits, 1 / splits), DRAWS) / splits
    each = _accuracies(right, tested, truth, counts)  # (draws, methods, splits)
    return np.asarray(np.einsum("dms,ds->dm", each, of_splits))


def _accuracies(right: Bools, tested: Bools, truth: Labels, counts: Floats) -> Floats:
    """(draws, methods, splits) mean over the classes that were drawn of the share that is right, rows counted so."""
    shape = (len(counts), *right.shape[:2])
    total, classes = np.zeros(shape), np.zeros((shape[0], 1, shape[2]))
    for rows in _classes(truth, _ever(tested)):
        among = counts[:, rows] @ tested[:, rows].T.astype(float)  # (draws, splits)
        hits = (right & tested)[:, :, rows].astype(float)
        found = np.einsum("dr,msr->dms", counts[:, rows], hits, optimize=True)
        total += found / np.maximum(among, 1)[:, None]
        classes += (among > 0)[:, None]
    return total / np.maximum(classes, 1)


def _ever(tested: Bools) -> Bools:
    return np.asarray(tested.any(axis=0), bool)


def _classes(truth: Labels, tested: Bools) -> list[NDArray[np.intp]]:
    """The tested rows of each class."""
    rows = np.flatnonzero(tested)
    labels = truth[rows].astype(str)
    return [rows[labels == label] for label in np.unique(labels)]
