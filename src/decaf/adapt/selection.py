"""Which method and which settings, without the labels of the target: three ways to validate, and how domains differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from decaf.adapt.domains import UNLABELLED, Domains, Mask, need_both, read_domains
from decaf.errors import AdaptError
from decaf.probe import LinearProbe, mean_class_accuracy
from decaf.probe.losses import Floats

APART_CS = tuple(float(C) for C in 10.0 ** np.linspace(-4, 1, 5))
_NEVER = -1  # the part of rows that are never held out


@dataclass(frozen=True, eq=False)
class Apartness:
    """How well a classifier tells two domains apart, on rows it was not fitted on.

    Attributes:
        probability: (n,) of being a target row, were there as many of each domain.
        target: (n,) which rows are of the target.
        C: of the classifier, that of the least held-out log loss.
    """

    probability: Floats
    target: Mask
    C: float

    @property
    def accuracy(self) -> float:
        """Mean over the two domains: 0.5 where they cannot be told apart, 1 where they always can."""
        return mean_class_accuracy(self.target, self.probability > 0.5)

    @property
    def a_distance(self) -> float:
        """Proxy A-distance, 2 (1 - 2 error): 0 to 2 (Ben-David et al., NIPS 2007, section 4)."""
        return max(2 * (2 * self.accuracy - 1), 0.0)

    def weights(self) -> Floats:
        """(source rows,) how many times likelier each is in the target than in the source; mean 1.

        Bayes' rule on the probabilities (Bickel et al., JMLR 2009, section 3), cut off at sqrt(rows) times their mean,
        so that the variance stays bounded (Ionides, JCGS 2008).
        """
        odds = self.probability[~self.target] / (1 - self.probability[~self.target])
        cut = np.minimum(odds, odds.mean() * np.sqrt(len(odds)))
        return np.asarray(cut / cut.mean())


def effective_rows(weights: Floats) -> float:
    """How many rows of equal weight say as much (Kish 1965): 1 to len(weights)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def tell_apart(X: Any, sample_domain: Any, folds: int = 5, seed: int = 0) -> Apartness:
    """Learn to tell source rows from target rows, by logistic regression on standardised features.

    Both domains count the same. C is that of the least log loss over the folds; the probabilities are those of the
    folds' classifiers, each for the rows it did not see.

    Args:
        X: (n, d) finite numbers, rows of both domains in any order.
        sample_domain: (n,) int, positive for source, negative for target.
        folds: 2 or more; no more than a domain has rows.
        seed: of the folds.

    Raises:
        AdaptError: a domain has fewer than 2 rows, or a setting cannot be used.
        ProbeError: X cannot be used.
    """
    domains = _read(X, np.where(np.asarray(sample_domain) > 0, 0, 1), sample_domain)
    need_both(domains, "tell_apart", 2)
    index = domains.target.astype(np.intp)
    _check_folds(folds)
    parts = _parts(index, min(folds, int(np.bincount(index).min())), seed)
    found = [(C, _held_out_probability(domains.X, index, parts, C)) for C in APART_CS]
    C, p = min(found, key=lambda one: _log_loss(index, one[1]))
    return Apartness(p, domains.target, C)


def _held_out_probability(X: Floats, index: NDArray[np.intp], parts: NDArray[np.intp], C: float) -> Floats:
    p = np.empty(len(X))
    for part in range(parts.max() + 1):
        out = parts == part
        probe = LinearProbe("logistic", C=C, transform="standardize", class_weight="balanced")
        p[out] = probe.fit(X[~out], index[~out]).predict_proba(X[out])[:, 1]
    return np.clip(p, 1e-12, 1 - 1e-12)


def _log_loss(index: NDArray[np.intp], p: Floats) -> float:
    losses = -np.log(np.where(index == 1, p, 1 - p))
    return float(np.mean([losses[index == domain].mean() for domain in (0, 1)]))


def importance_weighted_validation(
    estimator: Any,
    X: Any,
    y: Any,
    sample_domain: Any,
    weights: Any = None,
    folds: int = 3,
    seed: int = 0,
) -> float:
    """Accuracy on held-out source rows, each counted as much likelier as it is in the target.

    Importance-weighted cross-validation (Sugiyama, Krauledat and Müller, JMLR 2007, section 3.2). It is right where
    domains differ in which pictures they have, not in what a picture of a class looks like, and where they overlap: see
    `effective_rows`.

    Args:
        estimator: with `fit(X, y, sample_domain=)` and `predict(X, sample_domain=, allow_source=)`, as SKADA's.
        X: (n, d) rows of both domains.
        y: (n,) labels; -1 or None for target rows that have none.
        sample_domain: (n,) int, positive for source, negative for target.
        weights: (source rows,), >= 0, in the order of X; None: those of `tell_apart(X, sample_domain)`.
        folds: of the source, 2 or more. The target is in each fit.
        seed: of the folds.

    Raises:
        AdaptError: labels, domains, weights or a setting cannot be used.
    """
    _check_folds(folds)
    domains = _read(X, y, sample_domain)
    need_both(domains, "importance-weighted validation", 2)
    given = tell_apart(X, sample_domain, seed=seed).weights() if weights is None else _checked(weights, domains)
    everywhere = np.zeros(len(domains.X))
    everywhere[~domains.target] = given
    right = total = 0.0
    for held, predicted in _held_out(estimator, domains, ~domains.target, folds, seed):
        right += float(everywhere[held] @ (predicted == domains.y[held]))
        total += float(everywhere[held].sum())
    if not total:
        raise AdaptError("no source row with a weight above 0 can be held out: give weights, or more source rows")
    return right / total


def labelled_validation(estimator: Any, X: Any, y: Any, sample_domain: Any, folds: int = 3, seed: int = 0) -> float:
    """Mean accuracy over the classes on held-out target rows that have a label: plain cross-validation.

    Nothing is assumed; but a few rows say little. Arguments and errors as in `importance_weighted_validation`.
    """
    _check_folds(folds)
    domains = _read(X, y, sample_domain)
    found = list(_held_out(estimator, domains, domains.target & domains.labelled, folds, seed))
    if not found:
        raise AdaptError("no class has two target rows with a label: validate in another way, or label more")
    held, predicted = (np.concatenate(part) for part in zip(*found, strict=True))
    return mean_class_accuracy(domains.y[held], predicted)


def circular_validation(estimator: Any, X: Any, y: Any, sample_domain: Any, folds: int = 3, seed: int = 0) -> float:
    """There and back: mean accuracy over the classes on source rows, learned from what was predicted of the target.

    The estimator labels the target; a copy of it learns from these labels, with source and target exchanged, and labels
    the source (Bruzzone and Marconcini, TPAMI 2010, section 4). The source rows that are scored are held out of the way
    there, as in Zhong et al. (ECML 2010, section 4). Target rows that have a label keep it.

    Arguments and errors as in `importance_weighted_validation`; `folds` = 1 holds nothing out.
    """
    if folds != 1:
        _check_folds(folds)
    domains = _read(X, y, sample_domain)
    need_both(domains, "circular validation", 2)
    parts = _parts_of(domains, ~domains.target, folds, seed) if folds > 1 else np.where(domains.target, _NEVER, 0)
    source, predicted = np.flatnonzero(parts != _NEVER), np.full(len(domains.X), UNLABELLED)
    for part in range(parts.max() + 1):
        held = parts == part
        there = ~held if folds > 1 else np.ones(len(held), bool)
        predicted[held] = _there_and_back(estimator, domains, there, held)
    if not len(source):
        raise AdaptError("no class has two source rows: nothing can be held out, give more")
    return mean_class_accuracy(domains.y[source], predicted[source])


def _there_and_back(estimator: Any, domains: Domains, there: Mask, held: Mask) -> NDArray[np.intp]:
    """What source rows are taken for, learned from target rows that were labelled by way of the rows `there`."""
    target = domains.target
    labels = np.where(domains.labelled, domains.y, UNLABELLED)
    forward = clone(estimator).fit(domains.X[there], domains.y[there], sample_domain=_sign(target[there]))
    unknown = target & ~domains.labelled
    labels[unknown] = forward.predict(domains.X[unknown], sample_domain=_sign(target[unknown]))
    known = np.unique(labels[target])
    if len(known) == 1:  # no classifier learns from one class: it would say that of all rows
        return np.full(int(held.sum()), known[0])
    labels[~target] = UNLABELLED
    back = clone(estimator).fit(domains.X, labels, sample_domain=_sign(~target))
    return np.asarray(back.predict(domains.X[held], sample_domain=_sign(~target[held])))


def _held_out(
    estimator: Any, domains: Domains, rows: Mask, folds: int, seed: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Of each fold the rows held out, and what they are taken for."""
    parts = _parts_of(domains, rows, folds, seed)
    for part in range(parts.max() + 1):
        held = parts == part
        y = np.where(held, UNLABELLED, domains.y)
        fitted = held & domains.target  # stay in the fit, without their label; source rows cannot
        used = ~held | fitted
        model = clone(estimator).fit(domains.X[used], y[used], sample_domain=_sign(domains.target[used]))
        place = _sign(domains.target[held])
        yield np.flatnonzero(held), np.asarray(model.predict(domains.X[held], sample_domain=place, allow_source=True))


def _parts_of(domains: Domains, rows: Mask, folds: int, seed: int) -> NDArray[np.intp]:
    """(n,) in which fold each of some rows is held out; _NEVER for the others."""
    parts = np.full(len(domains.X), _NEVER, np.intp)
    if rows.any():
        parts[rows] = _parts(domains.y[rows], folds, seed)
    return parts


def _parts(y: NDArray[np.intp], folds: int, seed: int) -> NDArray[np.intp]:
    """(n,) each class dealt out to the folds; _NEVER for a class of one row, which nothing else would teach."""
    random = np.random.default_rng(seed)
    parts = np.full(len(y), _NEVER, np.intp)
    start = 0
    for label in np.unique(y):
        rows = random.permutation(np.flatnonzero(y == label))
        if len(rows) > 1:
            parts[rows] = (start + np.arange(len(rows))) % folds
            start += len(rows)
    used = np.unique(parts[parts != _NEVER])
    return np.where(parts == _NEVER, _NEVER, np.searchsorted(used, parts)).astype(np.intp)


def _read(X: Any, y: Any, sample_domain: Any) -> Domains:
    return read_domains(BaseEstimator(), X, y, sample_domain)


def _sign(target: Mask) -> NDArray[np.int_]:
    return np.where(target, -1, 1)


def _checked(weights: Any, domains: Domains) -> Floats:
    found = np.asarray(weights, np.float64)
    rows = int((~domains.target).sum())
    if found.shape != (rows,) or not np.isfinite(found).all() or (found < 0).any():
        raise AdaptError(f"weights of shape {found.shape} for {rows} source rows: give each a number, 0 or above")
    return found


def _check_folds(folds: Any) -> None:
    if not (isinstance(folds, int | np.integer) and folds >= 2):
        raise AdaptError(f"folds = {folds!r}: give 2 or more")
