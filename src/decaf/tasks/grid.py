"""The paper's table of settings: layers x classifiers x with or without dropout, on the same splits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.probe import (
    Comparison,
    LinearProbe,
    LinearProbeCV,
    Split,
    Summary,
    compare,
    mean_class_accuracy,
    summarise,
)
from decaf.tasks.evaluate import Evaluation, Outcome, evaluate

TOL = 1e-3  # relative gap of the solver: accuracies are those of 1e-4 to 0.03 points, in 3/4 of the time (measured)
CLASSIFIERS = {"logistic": "LogReg", "svm": "SVM"}
TRANSFORMS = {"none": "", "sqrt": "square root", "l2": "unit length", "standardize": "standardised"}

Matrix = NDArray[np.float32]
Labels = NDArray[np.object_]


@dataclass(frozen=True)
class Setting:
    """One way from features to classes.

    Attributes:
        layer: the features.
        loss: `svm` or `logistic`.
        dropout: probability with which a number is set to 0 in training.
        transform: of the features.
        copies: of each training picture, masked anew; 0: the loss averaged over all masks, which is what masks drawn
            anew for ever come to. Without dropout it changes nothing.
    """

    layer: str
    loss: str
    dropout: float
    transform: str
    copies: int = 0

    def options(self, seed: int) -> dict[str, Any]:
        """What `LinearProbe` and `LinearProbeCV` both take."""
        form = {"dropout_form": "copies", "n_copies": self.copies} if self.copies else {"dropout_form": "expected"}
        return {"loss": self.loss, "dropout": self.dropout, "tol": TOL, "random_state": seed} | form

    @property
    def classifier(self) -> str:
        """All but the layer, as the paper writes it."""
        dropout = " with dropout" if self.dropout else ""
        transform = f", {TRANSFORMS[self.transform]}" if TRANSFORMS[self.transform] else ""
        return f"{CLASSIFIERS[self.loss]}{dropout}{transform}"

    def __str__(self) -> str:
        return f"{self.classifier} on {self.layer}"


@dataclass(frozen=True, eq=False)
class Result:
    """A setting on all splits."""

    setting: Setting
    evaluation: Evaluation

    @property
    def test(self) -> Summary:
        """Accuracy on the test pictures."""
        return self.evaluation.summary

    @property
    def validation(self) -> Summary:
        """Accuracy on the pictures held out of the training part, of the C that was chosen on them."""
        return summarise([outcome.validation for outcome in self.evaluation.outcomes])

    @property
    def accuracies(self) -> list[float]:
        """On the test pictures of each split."""
        return [outcome.accuracy for outcome in self.evaluation.outcomes]


OnResult = Callable[[Result], None]


def settings_of(layers: Iterable[str], transforms: Sequence[str], dropout: float, copies: int = 0) -> list[Setting]:
    """Every combination, in the order of the paper's table.

    Args:
        layers: names.
        transforms: of the features; dropout is tried with the first of them.
        dropout: probability; 0 leaves out what has dropout.
        copies: see `Setting`.
    """
    kinds = [
        (loss, mask, transform)
        for transform in transforms
        for loss in CLASSIFIERS
        for mask in ((0.0, dropout) if dropout and transform == transforms[0] else (0.0,))
    ]
    return [Setting(layer, *kind, copies) for layer in layers for kind in kinds]


def run_grid(
    layer: Callable[[str], Matrix],
    y: Labels,
    splits: Sequence[Split],
    settings: Sequence[Setting],
    seed: int,
    on_result: OnResult,
) -> list[Result]:
    """Measure each setting on each split; C is chosen on the validation rows of the split.

    Args:
        layer: name -> (n, d) features; asked once for each run of settings with one layer.
        y: (n,) classes.
        splits: rows, with rows to validate on.
        settings: those of one layer side by side.
        seed: of the dropout masks.
        on_result: told about each.
    """
    results = []
    X, name = np.empty((0, 0), np.float32), ""
    for setting in settings:
        if setting.layer != name:
            X, name = layer(setting.layer), setting.layer
        probe = LinearProbeCV(transforms=(setting.transform,), **setting.options(seed))
        results.append(Result(setting, evaluate(X, y, splits, probe)))
        on_result(results[-1])
    return results


def best(results: Sequence[Result]) -> Result:
    """The setting with the best validation accuracy, as the paper chooses; the earlier of equal ones."""
    return max(results, key=lambda result: result.validation.mean)


def best_of_each_split(results: Sequence[Result]) -> list[tuple[Setting, Outcome]]:
    """For each split the setting that is best on its own validation pictures; no other split is looked at."""
    chosen = []
    for number in range(len(results[0].evaluation.outcomes)):
        one = max(results, key=lambda result: result.evaluation.outcomes[number].validation)
        chosen.append((one.setting, one.evaluation.outcomes[number]))
    return chosen


@dataclass(frozen=True)
class Effect:
    """What dropout does to a setting.

    Attributes:
        setting: with dropout.
        comparison: accuracy with dropout minus without; None of a single split.
        difference: the mean of it.
    """

    setting: Setting
    difference: float
    comparison: Comparison | None

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the 95 % interval leaves out 0, else `unclear`."""
        if self.comparison is None or self.comparison.interval[0] <= 0 <= self.comparison.interval[1]:
            return "unclear"
        return "better" if self.difference > 0 else "worse"


def dropout_effects(results: Sequence[Result]) -> list[Effect]:
    """Each setting with dropout against the same without, over the same splits (Nadeau and Bengio's test)."""
    return list(_effects(results))


def _effects(results: Sequence[Result]) -> Iterator[Effect]:
    plain = {_key(result): result for result in results if not result.setting.dropout}
    for result in results:
        if not result.setting.dropout or _key(result) not in plain:
            continue
        a, b = result.accuracies, plain[_key(result)].accuracies
        split = result.evaluation.outcomes[0].split
        share = len(split.test) / (len(split.train) + len(split.validation))
        comparison = compare(a, b, test_share=share) if len(a) > 1 else None
        yield Effect(result.setting, float(np.mean(a) - np.mean(b)), comparison)


def _key(result: Result) -> tuple[str, str, str]:
    return result.setting.layer, result.setting.loss, result.setting.transform


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy of a setting against training pictures per class: (pictures, accuracy of each split)."""

    setting: Setting
    points: Sequence[tuple[int, Sequence[float]]]


def learning_curve(result: Result, X: Matrix, y: Labels, sizes: Sequence[int], seed: int) -> Curve:
    """Train on fewer pictures of each class, nested, with the C of each split as it was chosen on all of them.

    Args:
        result: the setting on all training pictures; it gives the splits and C, and is the last point.
        X: (n, d) features of its layer.
        y: (n,) classes.
        sizes: training pictures per class; the test pictures stay the same.
        seed: of the order in which training pictures are taken, and of dropout masks.
    """
    points: list[tuple[int, Sequence[float]]] = []
    for size in sizes:
        outcomes = enumerate(result.evaluation.outcomes)
        points.append((size, [_fewer(result.setting, o, X, y, size, [seed, number]) for number, o in outcomes]))
    return Curve(result.setting, points)


def _fewer(setting: Setting, outcome: Outcome, X: Matrix, y: Labels, size: int, seed: list[int]) -> float:
    rows = first_of_each(np.concatenate([outcome.split.train, outcome.split.validation]), y, size, seed)
    if len(rows) == len(outcome.split.train) + len(outcome.split.validation):
        return outcome.accuracy
    probe = LinearProbe(C=outcome.C, transform=setting.transform, **setting.options(seed[0]))
    test = outcome.split.test
    return mean_class_accuracy(y[test], probe.fit(X[rows], y[rows]).predict(X[test]))


def first_of_each(rows: NDArray[np.intp], y: Labels, size: int, seed: list[int]) -> NDArray[np.intp]:
    """`size` rows of each class in a random order that does not depend on `size`: larger ones contain smaller ones."""
    order = np.random.default_rng(seed).permutation(np.sort(rows))
    _, index = np.unique(y[order], return_inverse=True)
    chosen = [order[index == k][:size] for k in range(index.max() + 1)]
    return np.sort(np.concatenate(chosen))
