"""Several targets for each picture: yes or no (one probe each), or numbers (ridge regression)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from decaf.errors import ProbeError
from decaf.probe import LinearProbeCV, Split, Summary, summarise
from decaf.probe.inputs import Transform
from decaf.tasks.evaluate import validate_on
from decaf.tasks.splitting import held_out
from decaf.tasks.targets import Examples

ALPHAS = tuple(float(alpha) for alpha in 10.0 ** np.linspace(-4, 2, 13))  # times the mean squared length of a row
FOLDS = 5
RECALL = np.linspace(0.005, 1, 200)
OnSplit = Callable[["ColumnsOutcome"], None]


@dataclass(frozen=True, eq=False)
class ColumnsOutcome:
    """One split.

    Attributes:
        split: its rows.
        scores: measure -> (columns,): `average_precision`; or `r2`, `root_mean_squared_error`, `mean_absolute_error`.
            NaN where it means nothing: no test row says yes, or all have one value.
        strength: (columns,) the C, or the ridge penalty, chosen on the training part.
        transforms: (columns,) the ones chosen there.
        predicted: (test rows, columns) decision values, or numbers.
        seconds: choosing, fitting and predicting.
    """

    split: Split
    scores: dict[str, NDArray[np.float64]]
    strength: tuple[float, ...]
    transforms: tuple[str, ...]
    predicted: NDArray[np.float64]
    seconds: float

    def mean(self, measure: str) -> float:
        """Over the columns where it means something; NaN where it never does."""
        values = self.scores[measure]
        return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


@dataclass(frozen=True, eq=False)
class ColumnsEvaluation:
    """All splits of one setting."""

    names: tuple[str, ...]
    outcomes: Sequence[ColumnsOutcome]

    @property
    def seconds(self) -> float:
        """In all."""
        return sum(outcome.seconds for outcome in self.outcomes)

    def summary(self, measure: str) -> Summary:
        """The mean over the columns, over the splits."""
        return summarise([outcome.mean(measure) for outcome in self.outcomes])

    def per_column(self, measure: str) -> list[Summary]:
        """Each column, over the splits."""
        return [summarise(column) for column in np.array([outcome.scores[measure] for outcome in self.outcomes]).T]


def evaluate_columns(
    examples: Examples,
    splits: Sequence[Split],
    probe: LinearProbeCV,
    transforms: Sequence[str],
    on_split: OnSplit | None = None,
) -> ColumnsEvaluation:
    """Train on one part of each split, test on the other.

    Args:
        examples: of kind `multilabel` or `regression`.
        splits: rows.
        probe: for `multilabel`: a fresh copy learns each column.
        transforms: for `regression`: to choose from.
        on_split: told about each split when it is done.

    Raises:
        ProbeError: a column says the same of all training rows, or a setting is unusable.
    """
    one = _multilabel if examples.targets.kind == "multilabel" else _regression
    outcomes: list[ColumnsOutcome] = []
    for split in splits:
        outcomes.append(one(examples, split, probe, transforms))
        if on_split:
            on_split(outcomes[-1])
    return ColumnsEvaluation(examples.targets.names, outcomes)


def _multilabel(examples: Examples, split: Split, probe: LinearProbeCV, transforms: Sequence[str]) -> ColumnsOutcome:
    started = time.perf_counter()
    train = np.concatenate([split.train, split.validation])
    fitted = list(fit_columns(examples, train, probe))
    predicted = np.stack([one.decision_function(examples.X[split.test]) for one in fitted], axis=1).astype(np.float64)
    truth = examples.targets.values[split.test]
    scores = {"average_precision": average_precision(truth, predicted)}
    chosen = tuple(one.C_ for one in fitted)
    names = tuple(one.transform_.name for one in fitted)
    return ColumnsOutcome(split, scores, chosen, names, predicted, time.perf_counter() - started)


def fit_columns(
    examples: Examples, train: NDArray[np.intp], probe: LinearProbeCV, on_column: Callable[[str], None] | None = None
) -> Iterator[LinearProbeCV]:
    """A probe for each column: yes against no. `on_column` is told which begins.

    Raises ProbeError for a column that says one thing only.
    """
    for column, name in enumerate(examples.targets.names):
        if on_column:
            on_column(f"choosing C and fitting {name}, {column + 1} of {len(examples.targets.names)}")
        values = examples.targets.values[train, column]
        if values.all() or not values.any():
            raise ProbeError(f"column {name} is {int(values[0])} in all {len(values)} training rows: leave it out")
        fresh = clone(probe)
        if examples.grouped:
            validate_on(fresh, _held_out(values, examples.picture[train], probe.random_state or 0), len(train))
        yield fresh.fit(examples.X[train], values)


def _held_out(values: NDArray[np.bool_], picture: NDArray[np.intp], seed: int) -> Any:
    _, of_row = np.unique(picture, return_inverse=True)
    yes = np.bincount(of_row, values) > 0  # a picture counts as yes where any of its regions does
    return held_out(yes[of_row].astype(object), of_row, seed)


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(columns,) the mean over the yes rows of the precision at their rank; NaN where no row says yes."""
    from sklearn.metrics import average_precision_score

    columns = zip(truth.T, scores.T, strict=True)
    return np.array([average_precision_score(yes, score) if yes.any() else np.nan for yes, score in columns])


def precision_curves(examples: Examples, evaluation: ColumnsEvaluation) -> NDArray[np.float64]:
    """(columns, len(RECALL)) precision at each recall, mean over the splits; NaN where no test row says yes."""
    found = np.full((len(evaluation.outcomes), len(evaluation.names), len(RECALL)), np.nan)
    for number, outcome in enumerate(evaluation.outcomes):
        truth = examples.targets.values[outcome.split.test]
        for column in np.flatnonzero(truth.any(axis=0)):
            found[number, column] = precision_at_recall(truth[:, column], outcome.predicted[:, column])
    tested = ~np.isnan(found).all(axis=(0, 2))
    curves = np.full(found.shape[1:], np.nan)
    curves[tested] = np.nanmean(found[:, tested], axis=0)
    return curves


def precision_at_recall(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(len(RECALL),) the precision at the first rank that reaches each recall: their mean is the average precision."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(truth, scores)
    first = np.searchsorted(recall[::-1], RECALL - 1e-9)
    return np.asarray(precision[::-1][first], np.float64)


def _regression(examples: Examples, split: Split, probe: LinearProbeCV, transforms: Sequence[str]) -> ColumnsOutcome:
    started = time.perf_counter()
    train = np.concatenate([split.train, split.validation])
    ridge = fit_ridge(examples, train, transforms)
    predicted = ridge.predict(examples.X[split.test])
    truth = examples.targets.values[split.test]
    scores = {
        "r2": r_squared(truth, predicted),
        "root_mean_squared_error": np.sqrt(((truth - predicted) ** 2).mean(axis=0)),
        "mean_absolute_error": np.abs(truth - predicted).mean(axis=0),
    }
    names = (ridge.transform.name,) * len(examples.targets.names)
    return ColumnsOutcome(split, scores, ridge.alphas, names, predicted, time.perf_counter() - started)


def r_squared(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """(columns,) the share of the variance that is explained; NaN where there is none."""
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    missed = ((truth - predicted) ** 2).sum(axis=0)
    return np.where(spread > 0, 1 - missed / np.where(spread > 0, spread, 1), np.nan)


@dataclass(frozen=True, eq=False)
class Ridge:
    """A fitted ridge regression: `coef` (columns, d), `intercept` (columns,), on transformed features.

    Attributes:
        alphas: (columns,) the chosen penalties.
        validation: mean over the columns of R squared in cross-validation.
    """

    transform: Transform
    coef: NDArray[np.float64]
    intercept: NDArray[np.float64]
    alphas: tuple[float, ...]
    validation: float

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, columns) numbers."""
        return np.asarray(self.transform(X) @ self.coef.T.astype(X.dtype) + self.intercept, np.float64)


def fit_ridge(examples: Examples, train: NDArray[np.intp], transforms: Sequence[str]) -> Ridge:
    """The best of the transforms by cross-validation on the training rows; the penalty is chosen by it, too.

    Each row is left out in turn (scikit-learn's RidgeCV, in closed form) and each column has its penalty; where
    pictures have several rows, FOLDS parts of the pictures are, and the columns share one.

    Raises ProbeError for fewer than three rows, or a column that says one thing only.
    """
    if len(train) < 3:
        raise ProbeError(f"{len(train)} rows to train a regression on: give 3 or more")
    for name, values in zip(examples.targets.names, examples.targets.values[train].T, strict=True):
        if (values == values[0]).all():
            raise ProbeError(f"column {name} is {values[0]:g} in all {len(values)} training rows: leave it out")
    fitted = [_fit_ridge(examples, train, name) for name in transforms]
    return max(fitted, key=lambda ridge: ridge.validation)


def _fit_ridge(examples: Examples, train: NDArray[np.intp], name: str) -> Ridge:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold

    y = examples.targets.values[train]
    transform = Transform.fit(name, examples.X[train], np.ones(len(train)))
    X = transform(examples.X[train]).astype(np.float64)
    length = float(((X - X.mean(axis=0)) ** 2).sum(axis=1).mean()) or 1.0
    alphas = [alpha * length for alpha in ALPHAS]
    spread = np.where(y.var(axis=0) > 0, y.var(axis=0), 1)
    if examples.grouped:
        groups = examples.picture[train]
        folds = GroupKFold(min(FOLDS, len(np.unique(groups)))).split(X, y, groups)
        ridge = RidgeCV(alphas, cv=list(folds), scoring="neg_mean_squared_error").fit(X, y / np.sqrt(spread))
        scale, validation = np.sqrt(spread), 1 + float(ridge.best_score_)
    else:
        ridge = RidgeCV(alphas, alpha_per_target=True).fit(X, y)
        scale, validation = np.ones(y.shape[1]), float(np.mean(1 + ridge.best_score_ / spread))
    chosen = np.broadcast_to(ridge.alpha_, y.shape[1:])
    coef, intercept = np.atleast_2d(ridge.coef_) * scale[:, None], np.atleast_1d(ridge.intercept_) * scale
    return Ridge(transform, coef, intercept, tuple(map(float, chosen)), validation)
