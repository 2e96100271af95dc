"""Which classes are taken for which, and the mistakes a probe was surest of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decaf.tasks.evaluate import Evaluation
from decaf.tasks.targets import Examples


@dataclass(frozen=True, eq=False)
class Confusion:
    """Test rows counted by what they are and what they were taken for, over all splits.

    Attributes:
        classes: (k,) sorted; those that occur or are predicted.
        counts: (splits, k, k) int: [split, truth, predicted].
    """

    classes: NDArray[np.object_]
    counts: NDArray[np.int_]

    @property
    def shares(self) -> NDArray[np.float64]:
        """(k, k) rows sum to 1; a class that was never tested is a row of zeros."""
        total = self.counts.sum(axis=0)
        return np.asarray(total / np.maximum(total.sum(axis=1, keepdims=True), 1))

    def strongest(self, n: int) -> list[tuple[int, int, float]]:
        """The `n` greatest shares off the diagonal: truth, predicted, share."""
        shares = self.shares.copy()
        np.fill_diagonal(shares, 0)
        order = np.argsort(-shares, axis=None, kind="stable")[:n]
        pairs = zip(*np.unravel_index(order, shares.shape), strict=True)
        return [(int(i), int(j), float(shares[i, j])) for i, j in pairs if shares[i, j] > 0]


def confusion(y: NDArray[np.object_], evaluation: Evaluation) -> Confusion:
    """Count all test rows of all splits."""
    parts = [(y[outcome.split.test], outcome.predicted) for outcome in evaluation.outcomes]
    classes = np.unique(np.concatenate([np.concatenate(part) for part in parts]).astype(object))
    counts = np.zeros((len(parts), len(classes), len(classes)), int)
    for number, (truth, predicted) in enumerate(parts):
        np.add.at(counts[number], (np.searchsorted(classes, truth), np.searchsorted(classes, predicted)), 1)
    return Confusion(classes, counts)


@dataclass(frozen=True)
class OfClass:
    """How one class fares.

    Attributes:
        name: the class.
        tested: test rows, over all splits.
        accuracy: mean over the splits that test it.
        std: n - 1; NaN of one split.
        confused_with: the class it is most often taken for, None where it never is for another.
        confused: the share of its rows that are.
    """

    name: str
    tested: int
    accuracy: float
    std: float
    confused_with: str | None
    confused: float


def per_class_table(found: Confusion) -> list[OfClass]:
    """A line for each class that was tested, the worst first."""
    tested = found.counts.sum(axis=2)  # (splits, k)
    right = np.diagonal(found.counts, axis1=1, axis2=2)
    table = []
    for k, name in enumerate(found.classes):
        some = tested[:, k] > 0
        if not some.any():
            continue
        scores = right[some, k] / tested[some, k]
        others = np.where(np.arange(len(found.classes)) == k, 0, found.shares[k])
        other = int(others.argmax())
        std = float(scores.std(ddof=1)) if len(scores) > 1 else float("nan")
        taken_for = str(found.classes[other]) if others[other] > 0 else None
        table.append(
            OfClass(str(name), int(tested[:, k].sum()), float(scores.mean()), std, taken_for, float(others[other]))
        )
    return sorted(table, key=lambda line: line.accuracy)


@dataclass(frozen=True)
class Mistake:
    """A test row that was taken for another class.

    Attributes:
        row: of the feature set.
        truth: its class.
        predicted: what it was taken for.
        confidence: the greatest over the splits: score of the predicted class minus that of the next.
        times: in how many splits.
        tested: of how many that tested the row.
        measure: how to say the confidence.
    """

    row: int
    truth: str
    predicted: str
    confidence: float
    times: int
    tested: int
    measure: str = "ahead by {:.2f}"


def surest_mistakes(examples: Examples, evaluation: Evaluation) -> list[Mistake]:
    """The mistakes, the surest first, one for each picture."""
    y = examples.targets.values
    tested = np.zeros(len(y), int)
    found: dict[tuple[int, str], list[float]] = {}
    for outcome in evaluation.outcomes:
        tested[outcome.split.test] += 1
        wrong = outcome.predicted != y[outcome.split.test]
        rows, taken_for = outcome.split.test[wrong], outcome.predicted[wrong]
        for row, predicted, confidence in zip(rows, taken_for, outcome.confidence[wrong], strict=True):
            found.setdefault((int(row), str(predicted)), []).append(float(confidence))
    order = sorted(found.items(), key=lambda item: -max(item[1]))
    seen: set[int] = set()
    mistakes = []
    for (row, predicted), confidences in order:
        if examples.picture[row] not in seen:
            seen.add(int(examples.picture[row]))
            of_set = int(examples.targets.rows[row])
            mistakes.append(
                Mistake(of_set, str(y[row]), predicted, max(confidences), len(confidences), int(tested[row]))
            )
    return mistakes
