"""`LinearProbeCV`: C, and the transform, chosen on a validation part of the training set, as in the DeCAF paper."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.utils import check_random_state

from decaf.errors import ProbeError
from decaf.probe.expected import ExpectedPath
from decaf.probe.inputs import Transform, indices
from decaf.probe.linear import (
    LinearClassifier,
    check_C,
    checked_settings,
    class_weights,
    make_path,
    prepared,
    take,
    training_set,
)
from decaf.probe.losses import Floats
from decaf.probe.path import Labelled, Path, Settings
from decaf.probe.team import calm_blas

DEFAULT_CS = tuple(float(C) for C in 10.0 ** np.linspace(-4, -1, 7))
_ROUNDING = 1e-9
HELD_OUT = 6  # one image in six is held out: 5 of 30, 8 of 50

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


class NothingToValidate(UserWarning):
    """Every class has one image: C cannot be chosen, `C_fixed` is taken. Choose it from experience."""


class LinearProbeCV(LinearClassifier):
    """`LinearProbe` with C and the transform chosen by accuracy on held-out training images, then refitted on all.

    Only the training set is seen. By default one image in six of each class is held out, at random: 25 / 5 of 30 and
    42 / 8 of 50, as in the DeCAF paper. All values of C are one warm-started path, all folds share one Gram or
    covariance matrix, and the refit starts from the solution of a fold. Accuracy is the mean over the classes;
    of equal ones the smaller C (or the one nearest to `C_preferred`), and the earlier transform, wins.

    Args:
        loss: `svm` or `logistic`; see `LinearProbe`.
        Cs: the values to choose from; None: 1e-4 to 1e-1 in 7 steps for svm, ten times those for logistic.
        cv: None: as above; a number of stratified folds (6 folds of 30 images are 25 / 5 each); index pairs
            (train, validation); or a scikit-learn splitter.
        transforms: the transforms to choose from.
        C_fixed: C where there is nothing to validate on: one image per class. A NothingToValidate warning says so.
        dropout, dropout_form, n_copies, class_weight, fit_intercept, tol, max_iter, n_jobs: as in `LinearProbe`.
        random_state: seed of the held-out images and of the dropout masks.
        C_preferred: of values with equal accuracy take the one with the smallest ratio to this; None: the smallest.
            With a few held-out images many are equal, and the smallest is far from what they cannot tell apart.

    Attributes:
        C_: the chosen C.
        transform_: the chosen transform; `transform_.name`.
        scores_: (transforms, Cs) mean accuracy over the folds; None where nothing was validated.
        coef_, intercept_, classes_, gap_, n_iter_, badly_scaled_: of the refit, as in `LinearProbe`.
    """

    def __init__(
        self,
        loss: str = "svm",
        Cs: Sequence[float] | None = None,
        cv: Any = None,
        transforms: Sequence[str] = ("none",),
        C_fixed: float = 0.01,
        dropout: float = 0.0,
        dropout_form: str = "copies",
        n_copies: int = 4,
        class_weight: str | Mapping[Any, float] | None = None,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_iter: int = 1000,
        n_jobs: int | None = None,
        random_state: Any = None,
        C_preferred: float | None = None,
    ) -> None:
        self.loss = loss
        self.Cs = Cs
        self.cv = cv
        self.transforms = transforms
        self.C_fixed = C_fixed
        self.dropout = dropout
        self.dropout_form = dropout_form
        self.n_copies = n_copies
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.C_preferred = C_preferred

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LinearProbeCV:
        """Choose and refit.

        Args:
            X: (n, d) finite numbers.
            y: (n,) labels, two classes or more.
            sample_weight: (n,), >= 0; counts in the fit and in the validation. Index pairs are of rows of X.

        Raises:
            ProbeError: X, y or a setting is unusable.
        """
        settings, Cs = checked_settings(self), self._Cs()
        rows = None if sample_weight is None else np.flatnonzero(np.asarray(sample_weight) > 0)
        X, y, weights = training_set(self, X, y, sample_weight)
        self.classes_, index = indices(y)
        random = check_random_state(self.random_state)
        folds = _within(self._folds(X, index, random, rows), rows)
        of_classes = class_weights(self, self.classes_, y, weights)
        search = _Search(self, settings, X, Labelled(X, index, weights, of_classes), folds)
        with calm_blas(X.size):
            self.scores_ = search.scores(Cs) if folds else None
            search.refit(Cs)
        return self

    def _Cs(self) -> list[float]:
        scale = 10 if self.loss == "logistic" else 1
        Cs = [C * scale for C in DEFAULT_CS] if self.Cs is None else list(self.Cs)
        for C in (*Cs, self.C_fixed, *(() if self.C_preferred is None else (self.C_preferred,))):
            check_C(C)
        if not Cs or not len(self.transforms):
            raise ProbeError("Cs and transforms must name at least one each")
        return sorted(float(C) for C in Cs)

    def _folds(self, X: Floats, index: NDArray[np.intp], random: Any, rows: NDArray[np.intp] | None) -> list[Fold]:
        counts = np.bincount(index)
        given = self.cv
        if given is not None and not isinstance(given, int):
            return [(np.asarray(a), np.asarray(b)) for a, b in check_cv(given).split(X, index)]
        if counts.max() == 1:
            message = f"every class has one image: nothing to validate on, C = {self.C_fixed:g} is taken as it is"
            warnings.warn(message, NothingToValidate, stacklevel=3)
            return []
        if given is None:
            return _in_all_rows([hold_out(index, random)], rows)
        if given < 2 or given > counts.min():
            name = self.classes_[counts.argmin()]
            raise ProbeError(f"cv = {given}: class {name!r} has {counts.min()} images; give 2 to as many folds")
        splitter = StratifiedKFold(given, shuffle=True, random_state=random.randint(2**31))
        return _in_all_rows(list(splitter.split(X, index)), rows)


def hold_out(index: NDArray[np.intp], random: Any) -> Fold:
    """One image in HELD_OUT of each class, at least one where there are two: rows to train on, rows to validate on."""
    held = []
    for k in range(index.max() + 1):
        rows = random.permutation(np.flatnonzero(index == k))
        held.append(rows[: max(len(rows) // HELD_OUT, 1 if len(rows) > 1 else 0)])
    validation = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(index)), validation), validation


def _in_all_rows(folds: list[Fold], rows: NDArray[np.intp] | None) -> list[Fold]:
    """Folds of the rows that have a weight, as rows of X."""
    return folds if rows is None else [(rows[a], rows[b]) for a, b in folds]


def _within(folds: list[Fold], rows: NDArray[np.intp] | None) -> list[Fold]:
    """Folds of the rows of X, as positions among the rows that have a weight."""
    if rows is None:
        return folds
    place = np.full(max(rows.max(initial=0), max((max(a.max(), b.max()) for a, b in folds), default=0)) + 1, -1)
    place[rows] = np.arange(len(rows))
    return [(place[a][place[a] >= 0], place[b][place[b] >= 0]) for a, b in folds]


class _Search:
    """One search: every transform, every fold, every C."""

    def __init__(self, owner: LinearProbeCV, settings: Settings, X: Floats, data: Labelled, folds: list[Fold]) -> None:
        self.owner, self.settings, self.X, self.data, self.folds = owner, settings, X, data, folds
        self.best = (-1.0, 0, 0)  # accuracy, transform, C
        self.starts: dict[tuple[int, int], Floats] = {}
        self.path: Path | ExpectedPath | None = None  # of the best transform so far
        self.transform = Transform.fit(owner.transforms[0], X, data.weights)

    def scores(self, Cs: list[float]) -> Floats:
        """(transforms, Cs) mean accuracy; remembers the best."""
        table = np.zeros((len(self.owner.transforms), len(Cs)))
        for number, name in enumerate(self.owner.transforms):
            transform = Transform.fit(name, self.X, self.data.weights)
            path, features = self._path(transform)
            starts: list[Floats] = []
            for fold in self.folds:
                got, starts = self._fold(path, features, fold, Cs)
                table[number] += got / len(self.folds)
            C = self._best_C(table[number], Cs)
            if table[number, C] > self.best[0]:
                self.best, self.path, self.transform = (table[number, C], number, C), path, transform
                self.starts = {(number, C): starts[C]}
        return table

    def _best_C(self, accuracies: Floats, Cs: list[float]) -> int:
        """Of equal ones the first, or the nearest to the preferred one; sums in another order are equal as well."""
        preferred = self.owner.C_preferred
        if preferred is None:
            return int(accuracies.argmax())
        best = np.flatnonzero(accuracies >= accuracies.max() - _ROUNDING)
        return int(best[np.abs(np.log(np.array(Cs)[best] / preferred)).argmin()])

    def refit(self, Cs: list[float]) -> None:
        """Fit the chosen C and transform on all rows, from the solution of the last fold."""
        _, number, C = self.best
        self.owner.C_ = Cs[C] if self.folds else float(self.owner.C_fixed)
        path = self.path or self._path(self.transform)[0]
        (found,) = path.solve([self.owner.C_], start=self.starts.get((number, C)))
        self.owner.transform_ = self.transform
        take(self.owner, found, path)

    def _path(self, transform: Transform) -> tuple[Path | ExpectedPath, Floats]:
        features = transform(self.X)
        data = self.data
        prepared_data = prepared(self.owner, features, data.y, data.weights, data.class_weights)
        return make_path(self.owner, prepared_data, self.settings), features

    def _fold(
        self, path: Path | ExpectedPath, features: Floats, fold: Fold, Cs: list[float]
    ) -> tuple[Floats, list[Floats]]:
        train, validation = fold
        missing = np.setdiff1d(np.unique(self.data.y[validation]), self.data.y[train])
        if len(missing):
            name = self.owner.classes_[missing[0]]
            raise ProbeError(f"class {name!r} is in a validation part and not in its training part: give other folds")
        copies = len(path.data.y) // len(self.data.y)
        rows = np.concatenate([train + copy * len(self.data.y) for copy in range(copies)])
        scores, starts = [], []
        for found in path.solve(Cs, rows):
            score = (1 - self.owner.dropout) * (features[validation] @ found.coef.T.astype(features.dtype)) + found.bias
            best = (score[:, 0] > 0).astype(int) if score.shape[1] == 1 else score.argmax(axis=1)
            scores.append(_accuracy(best, self.data.y[validation], self.data.weights[validation]))
            starts.append(found.weights)
        return np.array(scores), starts


def _accuracy(predicted: NDArray[Any], y: NDArray[np.intp], weights: Floats) -> float:
    """Weighted accuracy of each class that occurs, averaged."""
    right = np.bincount(y, weights * (predicted == y))
    total = np.bincount(y, weights)
    return float(np.mean(right[total > 0] / total[total > 0]))
