"""Validation without labels of the target, against SKADA's scorers, closed forms and loops by hand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import sklearn
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.metrics import balanced_accuracy_score

from decaf.adapt import CORAL, GFK, DaumeAugmentation, SourceOnly, SubspaceAlignment, TargetOnly, selection
from decaf.adapt.selection import (
    circular_validation,
    effective_rows,
    importance_weighted_validation,
    labelled_validation,
    tell_apart,
)
from decaf.errors import AdaptError, ProbeError
from decaf.probe import LinearProbe
from tests.adapt.domains import rotated

METHODS = [
    SourceOnly(LinearProbe(C=0.1)),
    CORAL(LinearProbe(C=0.1)),
    SubspaceAlignment(LinearProbe(C=0.1), dimension=2),
    GFK(dimension=2),
    DaumeAugmentation(LinearProbe(C=0.1)),
]


@pytest.fixture
def routing() -> Iterator[None]:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def hard(labelled: int = 0, seed: int = 0):
    return rotated(seed=seed, d=5, classes=6, source=15, angle=1.3, labelled=labelled)


@pytest.mark.parametrize("model", METHODS, ids=lambda model: type(model).__name__)
def test_circular_validation_without_folds_is_that_of_skada(routing, model):
    from skada.metrics import CircularValidation

    pair = hard()
    fitted = sklearn.clone(model).fit(pair.X, pair.seen, sample_domain=pair.domain)
    expected = CircularValidation()._score(None, fitted, pair.X, pair.seen, sample_domain=pair.domain)
    assert circular_validation(model, pair.X, pair.seen, pair.domain, folds=1) == pytest.approx(expected)
    assert expected < 1  # else it would say nothing


class Told(BaseEstimator):
    """A density whose logarithm SKADA is told: that of the weights in the target, 0 in the source."""

    def __init__(self, table=None):
        self.table = table

    def fit(self, X):
        self.of_source = np.array([row.tobytes() in self.table for row in np.asarray(X, float)]).all()
        return self

    def score_samples(self, X):
        return np.zeros(len(X)) if self.of_source else np.log([self.table[row.tobytes()] for row in X])


@pytest.mark.parametrize("model", METHODS, ids=lambda model: type(model).__name__)
def test_importance_weighted_validation_is_that_of_skada_on_each_fold(routing, model):
    from skada.metrics import ImportanceWeightedScorer

    pair = hard()
    source = ~pair.target
    weights = np.random.default_rng(0).gamma(1, size=source.sum())
    table = {row.tobytes(): weight for row, weight in zip(pair.X[source], weights, strict=True)}
    scorer = ImportanceWeightedScorer(weight_estimator=Told(table))
    parts = selection._parts(pair.y[source], 3, 0)
    total = 0.0
    for part in range(3):
        held = np.zeros(len(source), bool)
        held[source] = parts == part
        fitted = sklearn.clone(model).fit(pair.X[~held], pair.seen[~held], sample_domain=pair.domain[~held])
        fitted.set_score_request(sample_weight=True)
        seen = held | pair.target
        score = scorer._score(None, fitted, pair.X[seen], pair.seen[seen], sample_domain=pair.domain[seen])
        total += score * weights[parts == part].sum()
    found = importance_weighted_validation(model, pair.X, pair.seen, pair.domain, weights=weights)
    assert found == pytest.approx(total / weights.sum())


def test_circular_validation_by_hand_holds_out_what_it_scores():
    pair = hard(labelled=2)
    source, model = ~pair.target, SourceOnly(LinearProbe(C=0.1))
    parts = selection._parts(pair.y[source], 3, 5)
    predicted = np.empty(source.sum(), int)
    known = pair.target & (pair.seen >= 0)
    for part in range(3):
        Xs, ys = pair.X[source][parts != part], pair.y[source][parts != part]
        there = LinearProbe(C=0.1).fit(Xs, ys)
        labels = np.where(known, pair.y, there.predict(pair.X))[pair.target]
        back = LinearProbe(C=0.1).fit(pair.X[pair.target], labels)
        predicted[parts == part] = back.predict(pair.X[source][parts == part])
    expected = balanced_accuracy_score(pair.y[source], predicted)
    assert circular_validation(model, pair.X, pair.seen, pair.domain, seed=5) == pytest.approx(expected)


def test_a_target_that_is_taken_for_one_class_gives_chance():
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(0, 1, (20, 3)), random.normal(5, 1, (20, 3)), random.normal(5, 0.1, (10, 3))])
    y, domain = np.repeat([0, 1, -1], [20, 20, 10]), np.repeat([1, -1], [40, 10])
    assert circular_validation(SourceOnly(), X, y, domain) == 0.5


def test_labelled_validation_by_hand():
    pair = hard(labelled=6)
    known = np.flatnonzero(pair.target & (pair.seen >= 0))
    parts = selection._parts(pair.seen[known], 3, 0)
    predicted = np.empty(len(known), int)
    for part in range(3):
        rows = known[parts != part]
        model = LinearProbe(C=0.1).fit(pair.X[rows], pair.seen[rows])
        predicted[parts == part] = model.predict(pair.X[known[parts == part]])
    expected = balanced_accuracy_score(pair.seen[known], predicted)
    found = labelled_validation(TargetOnly(LinearProbe(C=0.1)), pair.X, pair.seen, pair.domain)
    assert found == pytest.approx(expected)


def test_every_class_is_dealt_out_and_single_rows_stay():
    y = np.repeat([0, 1, 2, 3], [7, 2, 1, 5])
    parts = selection._parts(y, 3, 0)
    assert parts[y == 2].tolist() == [-1] and (parts[y != 2] >= 0).all()
    assert [np.unique(parts[y == label]).size for label in (0, 1, 3)] == [3, 2, 3]
    for part in range(3):
        assert set(y[parts != part]) == {0, 1, 2, 3}
    np.testing.assert_array_equal(np.sort(np.bincount(parts[parts >= 0])), [4, 5, 5])


def normal_domains(shift: float, n: int = 1500):
    random = np.random.default_rng(1)
    X = random.normal(0, 1, (2 * n, 2))
    X[n:, 0] += shift
    return X, np.repeat([1, -1], n)


def test_apartness_of_two_normal_distributions_is_that_of_bayes():
    X, domain = normal_domains(0.8)
    found = tell_apart(X, domain)
    accuracy = norm.cdf(0.4)
    assert found.accuracy == pytest.approx(accuracy, abs=0.02)
    assert found.a_distance == pytest.approx(2 * (1 - 2 * (1 - accuracy)), abs=0.08)
    exact = np.exp(0.8 * X[:1500, 0] - 0.32)
    np.testing.assert_allclose(found.weights(), exact / exact.mean(), rtol=0.35)
    assert np.corrcoef(found.weights(), exact)[0, 1] > 0.99
    assert found.weights().mean() == pytest.approx(1)


def test_domains_of_one_distribution_cannot_be_told_apart():
    X, domain = normal_domains(0)
    found = tell_apart(X, domain)
    assert found.accuracy == pytest.approx(0.5, abs=0.04) and found.a_distance < 0.15
    assert effective_rows(found.weights()) > 1400


def test_sizes_of_domains_do_not_count():
    X, domain = normal_domains(0.8)
    few = np.concatenate([np.arange(1500), np.arange(1500, 1700)])
    assert tell_apart(X[few], domain[few]).accuracy == pytest.approx(norm.cdf(0.4), abs=0.04)


def test_weights_are_cut_off():
    X, domain = normal_domains(4, 400)
    weights = tell_apart(X, domain).weights()
    assert weights.max() < 400 / 4 and 1 < effective_rows(weights) < 200
    assert effective_rows(np.ones(7)) == 7 and effective_rows(np.array([0, 3.0])) == 1


def test_weights_estimate_the_accuracy_on_another_mixture_of_pictures():
    """Where only the mixture differs, and overlaps, the weighted accuracy is that of the target."""
    random = np.random.default_rng(0)

    def drawn(n, centre):
        x = random.normal(centre, 1, (n, 1))
        noise = np.where(x[:, 0] > 0, 0.4, 0.05)  # labels right of 0 are worse
        y = (np.abs(x[:, 0]) > 1) ^ (random.random(n) < noise)
        return np.hstack([x, np.abs(x)]), y.astype(int)

    (Xs, ys), (Xt, yt) = drawn(3000, -0.4), drawn(3000, 0.5)
    X, y, domain = np.vstack([Xs, Xt]), np.concatenate([ys, np.full(3000, -1)]), np.repeat([1, -1], 3000)
    model = SourceOnly(LinearProbe(C=1.0))
    truth = np.mean(model.fit(X, y, sample_domain=domain).predict(Xt) == yt)
    weighted = importance_weighted_validation(model, X, y, domain)
    plain = importance_weighted_validation(model, X, y, domain, weights=np.ones(3000))
    assert abs(plain - truth) > 0.08
    assert abs(weighted - truth) < 0.03


def test_weights_in_the_order_of_the_rows():
    pair = hard()
    order = np.random.default_rng(0).permutation(len(pair.y))
    weights = np.zeros(len(pair.y))
    weights[~pair.target] = pair.y[~pair.target] == 0
    found = importance_weighted_validation(
        SourceOnly(), pair.X[order], pair.seen[order], pair.domain[order], weights[order][~pair.target[order]]
    )
    every = importance_weighted_validation(SourceOnly(), pair.X, pair.seen, pair.domain, np.ones(90))
    assert found != every  # class 0 alone counts
    words = np.array([None if label < 0 else f"class {label}" for label in pair.seen], object)
    assert circular_validation(SourceOnly(), pair.X, words, pair.domain) == circular_validation(
        SourceOnly(), pair.X, pair.seen, pair.domain
    )


BAD = {
    "weights": ({"weights": np.ones(3)}, r"weights of shape \(3,\) for 90 source rows"),
    "negative": ({"weights": -np.ones(90)}, "0 or above"),
    "nothing": ({"weights": np.zeros(90)}, "no source row with a weight above 0"),
    "folds": ({"folds": 1}, "folds = 1: give 2 or more"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_one_line(case):
    pair = hard()
    settings, message = BAD[case]
    with pytest.raises(AdaptError, match=message):
        importance_weighted_validation(SourceOnly(), pair.X, pair.seen, pair.domain, **settings)


def test_missing_rows_are_said():
    pair = hard()
    with pytest.raises(AdaptError, match="no class has two target rows with a label"):
        labelled_validation(SourceOnly(), pair.X, pair.seen, pair.domain)
    with pytest.raises(AdaptError, match="all labels are of one class"):
        tell_apart(pair.X, np.ones(len(pair.y)))
    with pytest.raises(AdaptError, match="the target has 0 rows"):
        circular_validation(SourceOnly(), pair.X, pair.y, np.ones(len(pair.y)))
    with pytest.raises(ProbeError, match="NaN"):
        tell_apart(np.where(pair.X > 3, np.nan, pair.X), pair.domain)
