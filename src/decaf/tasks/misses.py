"""Where several targets were missed most: often it is the table of targets that is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.tasks.columns import ColumnsEvaluation
from decaf.tasks.confusion import Mistake
from decaf.tasks.targets import Examples


@dataclass(frozen=True, eq=False)
class _Worst:
    """Of each row and column: the greatest miss over the splits, what was said then, how often it was missed."""

    by: NDArray[np.float64]
    said: NDArray[np.float64]
    times: NDArray[np.int_]
    tested: NDArray[np.int_]


def surest_misses(examples: Examples, evaluation: ColumnsEvaluation) -> list[Mistake]:
    """The worst miss of each picture, the worst first.

    Yes or no: rows on the wrong side, by the decision value (0: undecided). Numbers: every row, by the distance in
    standard deviations of the target, so that targets of different units compare.
    """
    worst = _worst(examples, evaluation)
    column = worst.by.argmax(axis=1)
    greatest = worst.by.max(axis=1)
    order = _one_of_each(examples, np.argsort(-greatest, kind="stable"))
    return [_mistake(examples, worst, int(row), int(column[row])) for row in order if greatest[row] > 0]


def _worst(examples: Examples, evaluation: ColumnsEvaluation) -> _Worst:
    values = examples.targets.values
    unit = values.std(axis=0) if examples.targets.kind == "regression" else None
    by, said, times = np.zeros(values.shape), np.zeros(values.shape), np.zeros(values.shape, int)
    tested = np.zeros(len(values), int)
    for outcome in evaluation.outcomes:
        rows = outcome.split.test
        missed = _missed(values[rows], outcome.predicted, unit)
        said[rows] = np.where(missed > by[rows], outcome.predicted, said[rows])
        by[rows] = np.maximum(by[rows], missed)
        times[rows] += missed > 0
        tested[rows] += 1
    return _Worst(by, said, times, tested)


def _missed(truth: NDArray[Any], predicted: NDArray[np.float64], unit: object) -> NDArray[np.float64]:
    """(rows, columns) how far each is off; 0 where yes or no is right."""
    if unit is None:
        return np.asarray(np.maximum(np.where(truth, -predicted, predicted), 0), np.float64)
    return np.asarray(np.abs(truth - predicted) / unit, np.float64)


def _one_of_each(examples: Examples, order: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first row of each picture in this order."""
    _, first = np.unique(examples.picture[order], return_index=True)
    return np.asarray(order[np.sort(first)])


def _mistake(examples: Examples, worst: _Worst, row: int, column: int) -> Mistake:
    name, truth = examples.targets.names[column], examples.targets.values[row, column]
    if examples.targets.kind == "regression":
        words, measure = (f"{name} {truth:.4g}", f"{worst.said[row, column]:.4g}"), "off by {:.2f} sd"
    else:
        words, measure = (name, f"not {name}") if truth else (f"not {name}", name), "sure by {:.2f}"
    counted = int(worst.times[row, column]), int(worst.tested[row])
    return Mistake(int(examples.targets.rows[row]), *words, float(worst.by[row, column]), *counted, measure)
