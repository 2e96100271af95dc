"""How well a probe does: train on one part of each split, test on the other."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from decaf.probe import LinearProbeCV, NothingToValidate, Split, Summary, mean_class_accuracy, summarise
from decaf.tasks.splitting import Fold, held_out

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
        validation: accuracy of C and the transform when they were chosen; NaN where there was no choice.
    """

    split: Split
    accuracy: float
    C: float
    transform: str
    predicted: NDArray[np.object_]
    confidence: NDArray[np.float64]
    seconds: float
    validation: float = math.nan


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
    picture: NDArray[np.intp] | None = None,
) -> Evaluation:
    """Fit a fresh copy of `probe` on the training rows of each split and predict its test rows.

    Where a split has rows to validate on, C is chosen on these, and the probe is then fitted on both parts.

    Args:
        X: (n, d) features.
        y: (n,) classes.
        splits: rows of X.
        probe: chooses C on the training rows alone.
        on_split: told about each split when it is done.
        picture: (n,) which picture each row shows, where several rows show one: none is then both trained on and
            validated on.

    Raises:
        ProbeError: X, y or a setting is unusable.
    """
    outcomes: list[Outcome] = []
    for split in splits:
        outcomes.append(_evaluate_one(X, y, split, clone(probe), picture))
        if on_split:
            on_split(outcomes[-1])
    return Evaluation(outcomes)


def _evaluate_one(
    X: NDArray[np.float32],
    y: NDArray[np.object_],
    split: Split,
    probe: LinearProbeCV,
    picture: NDArray[np.intp] | None,
) -> Outcome:
    started = time.perf_counter()
    train = np.concatenate([split.train, split.validation])
    if len(split.validation):
        validate_on(probe, [(np.arange(len(split.train)), np.arange(len(split.train), len(train)))], len(train))
    elif picture is not None:
        validate_on(probe, held_out(y[train], picture[train], probe.random_state or 0), len(train))
    probe.fit(X[train], y[train])
    scores = probe.decision_function(X[split.test])
    seconds = time.perf_counter() - started
    if scores.ndim == 1:
        scores = np.stack([-scores, scores], axis=1)
    predicted = probe.classes_[scores.argmax(axis=1)]
    second, first = np.partition(scores, -2, axis=1)[:, -2:].T
    accuracy = mean_class_accuracy(y[split.test], predicted)
    scored = probe.scores_
    validation = math.nan if scored is None or scored.size == 1 else float(scored.max())
    return Outcome(split, accuracy, probe.C_, probe.transform_.name, predicted, first - second, seconds, validation)


def validate_on(probe: LinearProbeCV, folds: Sequence[Fold], rows: int) -> None:
    """Have a probe choose on these folds; where there are none, take C and the transform as they are."""
    if not folds:
        message = f"every class has one picture: nothing to validate on, C = {probe.C_fixed:g} is taken as it is"
        warnings.warn(message, NothingToValidate, stacklevel=2)
        every = np.arange(rows)
        probe.set_params(cv=[(every, every)], Cs=[probe.C_fixed], transforms=probe.transforms[:1])
    else:
        probe.set_params(cv=list(folds))
