"""Scores over splits, and whether one run is better than another on the same splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from decaf.errors import ProbeError


def mean_class_accuracy(truth: Sequence[Any] | NDArray[Any], predicted: Sequence[Any] | NDArray[Any]) -> float:
    """Accuracy of each class that occurs in `truth`, averaged over the classes: every class counts the same."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape or truth.ndim != 1 or not len(truth):
        raise ProbeError(
            f"truth {truth.shape} and predicted {predicted.shape}: give two lists of one length, not empty"
        )
    _, index = np.unique(truth, return_inverse=True)
    return float(np.mean(np.bincount(index, truth == predicted) / np.bincount(index)))


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation (n - 1; NaN of one score) of scores over splits."""

    mean: float
    std: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.4f} +- {self.std:.4f} ({self.n} splits)"


def summarise(scores: Sequence[float]) -> Summary:
    """Mean and standard deviation over splits. Raises ProbeError where there is no score."""
    if not len(scores):
        raise ProbeError("there are no scores to summarise")
    return Summary(
        float(np.mean(scores)), float(np.std(scores, ddof=1)) if len(scores) > 1 else float("nan"), len(scores)
    )


@dataclass(frozen=True)
class Comparison:
    """A paired comparison a - b over the same splits.

    Attributes:
        difference: mean of a - b.
        standard_error: of that mean.
        interval: confidence interval of the mean, by Student's t.
        p_value: of the two-sided paired t-test. Splits of one data set overlap, so that p is too small: the corrected
            test of Nadeau and Bengio (2003) is used where `test_share` was given.
    """

    difference: float
    standard_error: float
    interval: tuple[float, float]
    p_value: float


def compare(
    a: Sequence[float], b: Sequence[float], confidence: float = 0.95, test_share: float | None = None
) -> Comparison:
    """Compare two runs on the same splits.

    Args:
        a, b: one score for each split, in the same order.
        confidence: of the interval.
        test_share: test rows / training rows; corrects the variance for splits that share rows, factor
            1/n + test/train instead of 1/n (Nadeau and Bengio 2003, Inference for the generalization error).

    Raises:
        ProbeError: not two scores or more, as many on each side.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ProbeError(f"{len(a)} and {len(b)} scores: give two or more, as many on each side")
    differences = np.asarray(a, float) - np.asarray(b, float)
    mean = float(differences.mean())
    error = float(differences.std(ddof=1) * np.sqrt(1 / len(a) + (test_share or 0)))
    reach = float(student.ppf((1 + confidence) / 2, len(a) - 1)) * error
    p = float(mean == 0)  # where all differences are equal
    if error > 0:
        p = float(2 * student.sf(abs(mean) / error, len(a) - 1))
    return Comparison(mean, error, (mean - reach, mean + reach), p)
