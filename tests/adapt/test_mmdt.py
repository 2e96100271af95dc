"""Max-margin domain transforms against a solver of quadratic programs, and against what they promise."""

import time

import numpy as np
import pytest
import quadprog
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from sklearn.svm import LinearSVC

from decaf.adapt import CORAL, MMDT, SourceAndTarget, SourceOnly
from decaf.adapt.domain_transform import LowRank, best_transform
from decaf.errors import AdaptError
from decaf.probe import LinearProbe
from tests.adapt.domains import Pair, rotated


def objective(W, planes, X, signs, cost, weight):
    margins = signs * (planes @ W @ X.T)
    return weight / 2 * np.sum((W - np.eye(len(W))) ** 2) + cost * np.sum(np.maximum(0, 1 - margins) ** 2)


def gradient(W, planes, X, signs, cost, weight):
    slack = np.maximum(0, 1 - signs * (planes @ W @ X.T))
    return weight * (W - np.eye(len(W))) - 2 * cost * planes.T @ (signs * slack) @ X


def by_quadratic_program(planes, X, signs, cost, weight):
    """Over vec(W) and the slacks: weight / 2 |W - I|^2 + cost |s|^2 where each margin + slack >= 1."""
    e, count = X.shape[1], signs.size
    G = np.diag(np.concatenate([np.full(e * e, weight), np.full(count, 2 * cost)]))
    a = np.concatenate([weight * np.eye(e).ravel(), np.zeros(count)])
    rows = [sign * np.outer(plane, x).ravel() for plane, of_plane in zip(planes, signs, strict=True)
            for sign, x in zip(of_plane, X, strict=True)]  # fmt: skip
    C = np.hstack([np.array(rows), np.eye(count)]).T
    return quadprog.solve_qp(G, a, C, np.ones(count))[0][: e * e].reshape(e, e)


def problem(seed, classes, n, e, size=1.0):
    random = np.random.default_rng(seed)
    planes, X = random.normal(size=(classes, e)), random.normal(size=(n, e)) * size
    X[:, -1] = 1
    signs = np.where(random.integers(0, max(classes, 2), n) == np.arange(classes)[:, None], 1.0, -1.0)
    return planes, X, signs


@pytest.mark.parametrize(("classes", "n", "e"), [(1, 6, 4), (3, 5, 7), (4, 12, 5), (6, 3, 9)])
@pytest.mark.parametrize(("cost", "weight"), [(1.0, 1.0), (0.05, 3.0), (40.0, 1.0), (1.0, 2e4), (1.0, 0.01)])
def test_the_transform_is_that_of_a_quadratic_program(classes, n, e, cost, weight):
    given = (*problem(classes + n, classes, n, e), cost, weight)
    W = best_transform(*given, 1e-14).matrix()
    expected = by_quadratic_program(*given)
    assert objective(W, *given) == pytest.approx(objective(expected, *given), rel=1e-8)
    np.testing.assert_allclose(W, expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 14), st.integers(2, 20),
       st.floats(-3, 3), st.floats(-2, 2), st.sampled_from([1e-2, 1, 30]))  # fmt: skip
def test_nothing_is_better_than_the_transform(seed, classes, n, e, log_cost, log_weight, size):
    given = (*problem(seed, classes, n, e, size), 10**log_cost, 10**log_weight)
    W = best_transform(*given, 1e-10).matrix()
    J = objective(W, *given)
    slope = gradient(W, *given)
    assert np.sum(slope**2) / (2 * given[-1]) <= 2e-10 * J + 1e-20  # J is weight-strongly convex: a bound of the gap
    random = np.random.default_rng(seed)
    for reach in (1e-6, 1e-3, 1):
        assert objective(W + reach * random.normal(size=W.shape), *given) >= J * (1 - 1e-9)


@pytest.mark.parametrize(("classes", "n", "e"), [(1, 6, 4), (4, 12, 5), (6, 3, 9)])
def test_the_numeric_gradient_vanishes_at_the_transform(classes, n, e):
    given = (*problem(n, classes, n, e), 1.0, 1.0)
    at = [optimize.approx_fprime(W.ravel(), lambda flat: objective(flat.reshape(e, e), *given), 1e-8)
          for W in (best_transform(*given, 1e-14).matrix(), np.eye(e))]  # fmt: skip
    assert np.linalg.norm(at[0]) < 1e-5 * np.linalg.norm(at[1])


def test_rows_of_zeros_and_copies_of_rows_and_planes():
    planes, X, signs = problem(0, 4, 10, 6)
    planes[1], X[3], X[4] = planes[0], 0, X[5]
    given = (planes, X, signs, 1.0, 1.0)
    np.testing.assert_allclose(best_transform(*given, 1e-14).matrix(), by_quadratic_program(*given), atol=1e-6)
    zero = best_transform(np.zeros_like(planes), X, signs, 1.0, 1.0, 1e-8)
    np.testing.assert_array_equal(zero.matrix(), np.eye(6))


def test_what_floating_point_cannot_solve_is_said():
    planes, X, signs = problem(0, 3, 12, 15)
    with pytest.raises(AdaptError, match=r"from its optimum, not .*: scale the features, or raise tol"):
        best_transform(planes * 1e8, X * np.geomspace(1, 1e8, 15), signs, 1e8, 1e-8, 1e-12)


def test_a_transform_of_low_rank_maps_rows_as_its_matrix_does():
    W = best_transform(*problem(3, 4, 9, 12), 1.0, 1.0, 1e-8)
    X = np.random.default_rng(0).normal(size=(7, 12))
    np.testing.assert_allclose(W(X), X @ W.matrix().T, atol=1e-12)
    assert W.distance() == pytest.approx(np.linalg.norm(W.matrix() - np.eye(12)))
    assert W(X.astype(np.float32)).dtype == np.float32
    assert W.core.shape == (4, 9)
    np.testing.assert_array_equal(LowRank.identity(12)(X), X)


def J_of(model, pair, source_weight=0.05, target_weight=1.0, transform_weight=1.0):
    """The objective, written out."""
    W, planes = model.transform_matrix(), model.estimator_.coef_
    X = np.hstack([pair.X, np.ones((len(pair.X), 1))])
    total = transform_weight / 2 * np.sum((W - np.eye(len(W))) ** 2)
    for k, theta in enumerate(planes):
        total += theta @ theta / 2
        for x, label, of_target in zip(X, pair.seen, pair.target, strict=True):
            if label < 0:
                continue
            y = 1 if label == (k if len(planes) > 1 else 1) else -1
            score = theta @ W @ x if of_target else theta @ x
            total += (target_weight if of_target else source_weight) * max(0, 1 - y * score) ** 2
    return total


@pytest.mark.parametrize("classes", [2, 3])
def test_the_objective_is_the_sum_it_says(classes):
    pair = rotated(classes=classes)
    for weights in ({}, {"source_weight": 0.3, "target_weight": 0.7, "transform_weight": 5.0}):
        model = MMDT(**weights).fit(pair.X, pair.seen, sample_domain=pair.domain)
        assert model.objective_[-1] == pytest.approx(J_of(model, pair, **weights), rel=1e-10)
        assert len(model.estimator_.coef_) == (1 if classes == 2 else classes)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(1, 25), st.floats(0, 3), st.integers(1, 3),
       st.sampled_from([1e-2, 1, 1e2]), st.sampled_from([1e-2, 1, 2e4]))  # fmt: skip
def test_the_objective_never_rises(seed, classes, d, angle, labelled, scale, transform_weight):
    pair = rotated(seed, d, classes, source=6, target=4, labelled=labelled, angle=angle)
    model = MMDT(transform_weight=transform_weight, max_iter=4).fit(scale * pair.X, pair.seen, pair.domain)
    assert (np.diff(model.objective_) <= 0).all()
    assert 1 <= model.n_iter_ <= 4
    assert len(model.objective_) == 1 + 2 * model.n_iter_


def test_both_steps_are_at_their_optimum_where_the_alternation_ends():
    pair = rotated()
    model = MMDT(max_iter=500, tol=1e-9).fit(pair.X, pair.seen, sample_domain=pair.domain)
    assert 2 < model.n_iter_ < 500
    used = pair.seen >= 0
    Z = model._coordinates(pair.X, pair.target)[used]
    weights = np.where(pair.target, 1.0, 0.05)[used]
    peer = LinearSVC(C=1, fit_intercept=False, dual=False, tol=1e-12, max_iter=10**5).fit(Z, pair.seen[used], weights)
    np.testing.assert_allclose(model.estimator_.coef_, peer.coef_, atol=1e-4)
    rows = pair.target & used
    X = np.hstack([pair.X[rows], np.ones((rows.sum(), 1))])
    signs = np.where(pair.seen[rows] == np.arange(3)[:, None], 1.0, -1.0)
    expected = by_quadratic_program(peer.coef_, X, signs, 1.0, 1.0)
    np.testing.assert_allclose(model.transform_matrix(), expected, atol=1e-3)


def test_equal_domains_are_left_as_they_are():
    random = np.random.default_rng(0)
    y = np.tile(np.arange(3), 40)
    X = random.normal(size=(3, 10))[y] * 4 + random.normal(size=(120, 10))
    domain = np.repeat([1, -1], 60)
    same, far = (MMDT().fit(np.vstack([X[:60], X[60:] @ turn]), y, domain) for turn in (np.eye(10), -np.eye(10)))
    distances = [np.linalg.norm(model.transform_matrix() - np.eye(11)) for model in (same, far)]
    assert distances[0] < 0.2 * distances[1]
    heavy = MMDT(transform_weight=1e9).fit(X, y, domain)
    np.testing.assert_allclose(heavy.transform_matrix(), np.eye(11), atol=1e-6)
    plain = LinearProbe(C=1, tol=1e-10).fit(X, y, np.where(domain < 0, 1, 0.05))
    np.testing.assert_allclose(heavy.decision_function(X[60:]), plain.decision_function(X[60:]), atol=1e-5)


def test_a_turned_target_is_turned_back():
    scores = {}
    for seed in range(5):
        pair = rotated(seed, d=30, classes=8, source=20, target=30, labelled=4, angle=2.5)
        for model in (SourceOnly(), SourceAndTarget(LinearProbe(C=1)), CORAL(), MMDT()):
            model.fit(pair.X, pair.seen, sample_domain=pair.domain)
            unseen = pair.target & (pair.seen < 0)
            scores.setdefault(type(model).__name__, []).append(model.score(pair.X[unseen], pair.y[unseen]))
    means = {name: np.mean(found) for name, found in scores.items()}
    assert max(means, key=means.get) == "MMDT", means


def test_classes_without_labelled_target_rows_are_mapped_too():
    pair = rotated(0, d=6, classes=12, source=20, target=30, labelled=8, angle=1.2)
    hidden = pair.target & (pair.y >= 10)
    seen = np.where(hidden, -1, pair.seen)
    scores = [
        model.fit(pair.X, seen, sample_domain=pair.domain).score(pair.X[hidden], pair.y[hidden])
        for model in (SourceAndTarget(LinearProbe(C=1), 0.05), MMDT(), SourceOnly(LinearProbe(C=0.05)))
    ]
    assert scores[1] > scores[0]


def test_projected_onto_directions_of_both_domains():
    pair = rotated(d=20)
    model = MMDT(dimension=5, prepare="l2-zscore").fit(pair.X, pair.seen, sample_domain=pair.domain)
    assert model.transform_matrix().shape == (6, 6)
    prepared = model.preparation_(pair.X, pair.target)
    centred = prepared - prepared.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:5].T
    by_hand = MMDT().fit(prepared @ directions, pair.seen, sample_domain=pair.domain)
    expected = by_hand.decision_function(prepared[pair.target] @ directions)
    np.testing.assert_allclose(model.decision_function(pair.X[pair.target]), expected, atol=1e-5)


def wide(d, classes, target, source):
    random = np.random.default_rng(0)
    centres = random.normal(size=(classes, d))
    ys, yt = np.arange(source) % classes, np.arange(target) % classes
    Xs, Xt = (np.maximum(centres[y] + 2 * random.normal(size=(len(y), d)), 0) for y in (ys, yt))
    Xt += 0.3 * random.random(d)
    X, domain = np.vstack([Xs, Xt]).astype(np.float32), np.repeat([1, -1], [source, target])
    return Pair(X, np.concatenate([ys, yt]), domain, np.concatenate([ys, yt]))


def test_many_features_are_fast_and_no_matrix_of_their_square_is_made():
    import tracemalloc

    pair = wide(4096, 31, 93, 200)
    tracemalloc.start()
    start = time.process_time()
    model = MMDT().fit(pair.X, pair.seen, sample_domain=pair.domain)
    assert time.process_time() - start < 40
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4096**2 * 8
    assert (np.diff(model.objective_) <= 0).all()
    assert model.transform_matrix().shape == (4097, 4097)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transform_weight": 0}, "transform_weight = 0: give a number above 0"),
        ({"source_weight": 0.0}, r"source_weight = 0\.0: give a number above 0"),
        ({"target_weight": np.inf}, "target_weight = inf"),
        ({"tol": 0.0}, r"tol = 0\.0"),
        ({"max_iter": 0}, "max_iter = 0: give 1 or more"),
        ({"dimension": 13}, "dimension = 13: give 1 to 12"),
        ({"dimension": 0}, "dimension = 0"),
    ],
)
def test_settings_are_refused_in_one_line(settings, message):
    pair = rotated()
    with pytest.raises(AdaptError, match=message):
        MMDT(**settings).fit(pair.X, pair.seen, sample_domain=pair.domain)


def test_a_dimension_in_which_nothing_varies_is_said():
    pair = rotated()
    X = pair.X.copy()
    X[:, 4:] = 1
    with pytest.raises(AdaptError, match="dimension = 5: both domains together varies in 4 directions"):
        MMDT(dimension=5).fit(X, pair.seen, sample_domain=pair.domain)
