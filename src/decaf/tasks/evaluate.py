"""How well a probe does: train on one part of each split, test on the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from decaf.probe import LinearProbeCV, Split, Summary, mean_class_accuracy, summarise

OnSplit = Callable[["Outcome"], None]


@dataclass(frozen=True, eq=False)
class Outcome:
    """One split.

    Attributes:
        split: its rows.
        accuracy: mean over the classes, 0 to 1.
        C: the value chosen on the training part.
        transform: the one chosen there.
        predicted: (test rows,) classes.
        confidence: (test rows,) score of the predicted class minus that of the next.
        seconds: choosing, fitting and predicting.
    """

    split: Split
    accuracy: float
    C: float
    transform: str
    predicted: NDArray[np.object_]
    confidence: NDArray[np.float64]
    seconds: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All splits of one setting."""

    outcomes: Sequence[Outcome]

    @property
    def summary(self) -> Summary:
        """Mean and standard deviation of the accuracy over the splits."""
        return summarise([outcome.accuracy for outcome in self.outcomes])

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(outcome.seconds for outcome in self.outcomes)


def evaluate(
    X: NDArray[np.float32],
    y: NDArray[np.object_],
    splits: Sequence[Split],
    probe: LinearProbeCV,
    on_split: OnSplit | None = None,
) -> Evaluation:
    """Fit a fresh copy of `probe` on the training rows of each split and predict its test rows.

    Args:
        X: (n, d) features.
        y: (n,) classes.
        splits: rows of X.
        probe: chooses C on the training rows alone.
        on_split: told about each split when it is done.

    Raises:
        ProbeError: X, y or a setting is unusable.
    """
    outcomes: list[Outcome] = []
    for split in splits:
        outcomes.append(_evaluate_one(X, y, split, clone(probe)))
        if on_split:
            on_split(outcomes[-1])
    return Evaluation(outcomes)


def _evaluate_one(X: NDArray[np.float32], y: NDArray[np.object_], split: Split, probe: LinearProbeCV) -> Outcome:
    started = time.perf_counter()
    probe.fit(X[split.train], y[split.train])
    scores = probe.decision_function(X[split.test])
    seconds = time.perf_counter() - started
    if scores.ndim == 1:
        scores = np.stack([-scores, scores], axis=1)
    predicted = probe.classes_[scores.argmax(axis=1)]
    second, first = np.partition(scores, -2, axis=1)[:, -2:].T
    accuracy = mean_class_accuracy(y[split.test], predicted)
    return Outcome(split, accuracy, probe.C_, probe.transform_.name, predicted, first - second, seconds)
