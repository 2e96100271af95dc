"""The geodesic flow kernel against the integral that defines it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from decaf.adapt import GFK, choose_dimension, flow_factor, principal_angles, rank_of_domain, subspace_disagreement
from decaf.adapt.subspaces import pca_basis, pls_basis
from decaf.errors import AdaptError
from tests.adapt.domains import rotated


def basis(random, d, k):
    return linalg.qr(random.normal(size=(d, k)), mode="economic")[0]


def integrated(P, Q):
    """The integral of Phi(t) Phi(t)^T by quadrature; the geodesic Phi is a matrix exponential."""
    U, _, Vt = linalg.svd(P.T @ Q)
    angles = np.arccos(np.clip(linalg.svdvals(P.T @ Q), -1, 1))
    R = linalg.null_space(P.T)
    # direction of the geodesic in the complement: R^T Q V = U2 sin(angle)
    tangent = R @ (R.T @ Q @ Vt.T)
    lengths = np.linalg.norm(tangent, axis=0)
    H = tangent / np.where(lengths > 0, lengths, 1) * angles

    def phi(t):
        generator = H @ (P @ U).T
        whole = generator - generator.T
        return linalg.expm(t * whole) @ P

    nodes, weights = np.polynomial.legendre.leggauss(24)
    return sum(w / 2 * phi((x + 1) / 2) @ phi((x + 1) / 2).T for x, w in zip(nodes, weights, strict=True))


@pytest.mark.parametrize(("d", "k"), [(5, 1), (12, 3), (40, 6), (30, 15)])
def test_the_closed_form_is_the_integral_of_the_flow(d, k):
    random = np.random.default_rng(d)
    P, Q = basis(random, d, k), basis(random, d, k)
    F = flow_factor(P, Q)
    assert F.shape == (d, 2 * k)
    np.testing.assert_allclose(F @ F.T, integrated(P, Q), atol=1e-10)


def test_each_entry_by_adaptive_quadrature():
    random = np.random.default_rng(3)
    P, Q = basis(random, 6, 2), basis(random, 6, 2)
    angles, a, q = principal_angles(P, Q)
    b = (q - a * np.cos(angles)) / np.sin(angles)
    F = flow_factor(P, Q)
    for i, j in [(0, 0), (1, 4), (5, 2)]:

        def at(t, i=i, j=j):
            phi = a * np.cos(t * angles) + b * np.sin(t * angles)
            return phi[i] @ phi[j]

        assert (F @ F.T)[i, j] == pytest.approx(integrate.quad(at, 0, 1, epsabs=1e-13)[0], abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, np.pi / 2))
def test_one_plane_turned_by_any_angle(seed, angle):
    P = np.eye(4)[:, :1]
    Q = np.array([[np.cos(angle)], [np.sin(angle)], [0], [0]])
    turn = basis(np.random.default_rng(seed), 4, 4)
    F = flow_factor(turn @ P, turn @ Q)
    expected = np.zeros((4, 4))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    for x, w in zip((nodes + 1) / 2, weights / 2, strict=True):
        v = np.array([np.cos(x * angle), np.sin(x * angle), 0, 0])
        expected += w * np.outer(v, v)
    np.testing.assert_allclose(F @ F.T, turn @ expected @ turn.T, atol=1e-10)


def test_equal_subspaces_give_their_projection():
    P = basis(np.random.default_rng(0), 9, 4)
    turned = P @ basis(np.random.default_rng(1), 4, 4)
    F = flow_factor(P, turned)
    np.testing.assert_allclose(F @ F.T, P @ P.T, atol=1e-12)


def test_angles_are_those_of_scipy_also_small_ones():
    random = np.random.default_rng(5)
    P = basis(random, 20, 5)
    for Q in (basis(random, 20, 5), linalg.qr(P + 1e-9 * random.normal(size=P.shape), mode="economic")[0]):
        found = principal_angles(P, Q)[0]
        expected = np.sort(linalg.subspace_angles(P, Q))
        np.testing.assert_allclose(np.linalg.norm(found), np.linalg.norm(expected), rtol=1e-6)
        if expected[0] > 1e-3:
            np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_neighbours_are_those_of_the_kernel_distance():
    pair = rotated()
    model = GFK(dimension=4).fit(pair.X, pair.seen, sample_domain=pair.domain)
    G = model.factor_ @ model.factor_.T
    labelled = (pair.seen >= 0) | ~pair.target
    A, B = pair.X[pair.target], pair.X[labelled]
    distance = np.einsum("ij,jk,ik->i", A, G, A)[:, None] + np.einsum("ij,jk,ik->i", B, G, B) - 2 * A @ G @ B.T
    np.testing.assert_array_equal(model.predict(A), pair.y[labelled][distance.argmin(axis=1)])


@pytest.mark.parametrize("n", [30, 8])
def test_pca_is_that_of_the_singular_values(n):
    X = np.random.default_rng(n).normal(size=(n, 12)) * np.arange(1, 13)
    P = pca_basis(X, 5)
    expected = linalg.svd(X - X.mean(axis=0), full_matrices=False)[2][:5]
    np.testing.assert_allclose(np.abs(np.sum(P.T * expected, axis=1)), 1, atol=1e-9)
    np.testing.assert_allclose(P.T @ P, np.eye(5), atol=1e-12)
    assert pca_basis(X, 100).shape[1] == min(n - 1, 12)


def test_pls_is_that_of_scikit_learn():
    from sklearn.cross_decomposition import PLSRegression

    pair = rotated(classes=4)
    X, y = pair.X[~pair.target], pair.y[~pair.target]
    expected = PLSRegression(n_components=3, scale=False, tol=1e-12, max_iter=5000).fit(X, np.eye(4)[y]).x_weights_
    found = pls_basis(X, y, 3)
    np.testing.assert_allclose(np.abs(np.sum(found * expected, axis=0)), 1, atol=1e-6)
    np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-9)


def test_disagreement_grows_to_one_where_domains_share_nothing():
    random = np.random.default_rng(0)
    source, target = np.zeros((50, 20)), np.zeros((60, 20))
    shared = random.normal(size=(110, 3)) * 5
    source[:, :3], target[:, :3] = shared[:50], shared[50:]
    source[:, 3:6], target[:, 6:9] = random.normal(size=(50, 3)), random.normal(size=(60, 3))
    found = subspace_disagreement(source, target, 9)
    assert (found[:3] < 0.6).all()
    assert (found[3:5] > 0.6).all()
    assert choose_dimension(source, target, 9) >= 4


@pytest.mark.parametrize("first_look", [1, 3, 64])
@pytest.mark.parametrize(("d", "source", "target"), [(30, 9, 5), (12, 30, 20), (50, 4, 4)])
def test_a_first_look_at_few_directions_changes_nothing(monkeypatch, first_look, d, source, target):
    from decaf.adapt import subspaces

    monkeypatch.setattr(subspaces, "FIRST_LOOK", first_look)
    found = []
    for seed in range(6):
        pair = rotated(seed, d=d, source=source, target=target)
        domains = pair.X[~pair.target], pair.X[pair.target]
        most = min(d, 3 * min(source, target) - 1)
        D = subspace_disagreement(*domains, most)
        full = np.flatnonzero(D >= subspaces.DISAGREES)
        assert choose_dimension(*domains, most) == (full[0] if len(full) else D.argmax()) + 1
        k, bases = subspaces.bases_of(None, *domains, most)
        for basis, rows in zip(bases, domains, strict=True):
            np.testing.assert_allclose(np.abs(np.sum(basis * pca_basis(rows, k), axis=0)), 1, atol=1e-9)
        found.append(k)
    assert len(set(found)) > 1


def test_a_turned_target_is_a_worse_source():
    near, far = (rotated(angle=angle) for angle in (0.1, 1.4))
    ranks = [rank_of_domain(p.X[~p.target], p.X[p.target], 3) for p in (near, far)]
    assert 0 <= ranks[0] < ranks[1]


def test_supervised_subspace_and_other_classifiers():
    pair = rotated()
    plain = GFK(KNeighborsClassifier(3), dimension=2).fit(pair.X, pair.seen, sample_domain=pair.domain)
    for model in (
        GFK(dimension=2, subspace="pls"),
        GFK(LinearSVC(), dimension=4, target_weight=2.0),
    ):
        score = model.fit(pair.X, pair.seen, sample_domain=pair.domain).score(pair.X[pair.target], pair.y[pair.target])
        assert score > 0.8
    assert not np.allclose(plain.factor_, GFK(dimension=2, subspace="pls").fit(pair.X, pair.seen, pair.domain).factor_)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dimension": 7}, "dimension = 7: give 1 to 6; the source has 90 rows"),
        ({"dimension": 0}, "dimension = 0"),
        ({"subspace": "ica"}, "subspace 'ica' is unknown: use pca or pls"),
        ({"prepare": "l3"}, "prepare 'l3' is unknown"),
        ({"target_weight": 2.0}, "KNeighborsClassifier takes no weights"),
    ],
)
def test_settings_are_refused_in_one_line(settings, message):
    pair = rotated()
    with pytest.raises(AdaptError, match=message):
        GFK(**settings).fit(pair.X, pair.seen, sample_domain=pair.domain)


def test_more_dimensions_than_rows_is_said():
    pair = rotated(d=40, source=30, target=3)
    with pytest.raises(AdaptError, match="dimension = 10: give 1 to 8; the source has 90 rows, the target 9, of 40"):
        GFK(dimension=10).fit(pair.X, pair.seen, sample_domain=pair.domain)
