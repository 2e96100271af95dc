"""Numbers of maps against scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import NearestNeighbors

from decaf.maps import Quality, measure, measure_across, trustworthiness
from decaf.maps import measures as module


def data(n: int, d: int, classes: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    random = np.random.default_rng(seed)
    codes = random.integers(0, classes, n)
    X = random.normal(0, 1, (classes, d))[codes] + random.normal(0, 0.7, (n, d))
    return X, np.array([f"class {code}" for code in codes], dtype=object)


def purity_of(X: NDArray[np.float64], labels: NDArray[np.object_], k: int) -> NDArray[np.float64]:
    near = NearestNeighbors(n_neighbors=k, algorithm="kd_tree").fit(X).kneighbors(return_distance=False)
    return np.asarray((labels[near] == labels[:, None]).mean(axis=1))


def flat(quality: Quality) -> dict[str, float]:
    said = quality.to_dict()
    return said.pop("of_class") | said


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 80), st.integers(1, 9), st.integers(1, 6), st.integers(1, 12), st.integers(0, 10**6))
def test_against_scikit_learn(n: int, d: int, classes: int, k: int, seed: int) -> None:
    X, labels = data(n, d, classes, seed)
    found = measure(X, {"label": labels}, k)["label"]
    each = purity_of(X, labels, min(k, n - 1))
    assert found.purity == pytest.approx(each.mean()) and found.k == min(k, n - 1) and found.rows == n
    assert dict(found.of_class) == pytest.approx({str(name): each[labels == name].mean() for name in set(labels)})
    pairs = labels[:, None] == labels[None]
    assert found.chance == pytest.approx((pairs.sum() - n) / (n * (n - 1)))
    if 2 <= len(set(labels)) < n:
        assert found.silhouette == pytest.approx(silhouette_samples(X, labels.astype(str)).mean(), abs=1e-5)
    else:
        assert found.silhouette is None


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 60), st.integers(1, 9), st.integers(1, 12), st.integers(0, 10**6))
def test_trustworthiness_against_scikit_learn(n: int, d: int, k: int, seed: int) -> None:
    X, _ = data(n, d, 3, seed)
    places = np.random.default_rng(seed).normal(size=(n, 2)) + X[:, :1]
    k = min(k, -(-n // 2) - 1)
    assert trustworthiness(X, places, k) == pytest.approx(sklearn_trustworthiness(X, places, n_neighbors=k))


def test_float32_gives_the_same_to_four_digits() -> None:
    X, labels = data(400, 50, 5, 0)
    one, other = (measure(X.astype(kind), {"label": labels})["label"] for kind in (np.float32, np.float64))
    assert one.purity == pytest.approx(other.purity, abs=1e-4)
    assert one.silhouette == pytest.approx(other.silhouette, abs=1e-4)


def test_rows_without_a_label_are_nobodys_neighbours() -> None:
    X, labels = data(80, 4, 3, 1)
    known = np.random.default_rng(1).random(80) < 0.6
    partly = np.where(known, labels, None)
    found = measure(X, {"partly": partly, "all": labels, "none": np.full(80, None)})
    alone = measure(X[known], {"partly": labels[known]})["partly"]
    assert flat(found["partly"]) == pytest.approx(flat(alone))
    assert set(found) == {"partly", "all"} and found["all"].rows == 80


def test_equal_rows_are_neighbours_and_a_row_is_not_its_own() -> None:
    X = np.zeros((30, 2))
    labels = np.array(["a"] * 15 + ["b"] * 15, dtype=object)
    found = measure(X, {"label": labels}, k=5)["label"]
    assert 0 <= found.purity <= 1 and found.silhouette == 0
    lonely = measure(np.eye(3), {"label": np.array(["a", "b", "c"], dtype=object)})["label"]
    assert lonely.purity == 0 and lonely.chance == 0 and lonely.silhouette is None
    assert trustworthiness(X, X) is not None and trustworthiness(X[:2], X[:2]) is None


def test_of_many_rows_some_are_looked_at_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    X, labels = data(600, 5, 4, 2)
    whole = measure(X, {"label": labels})["label"]
    trust = trustworthiness(X, X[:, :2])
    monkeypatch.setattr(module, "MOST_QUERIES", 599)
    monkeypatch.setattr(module, "DRAWN", 250)
    part = measure(X, {"label": labels}, seed=1)["label"]
    assert part.rows == 250 and part.chance == whole.chance
    rows = module.queries_of(600, 1)
    assert part.purity == pytest.approx(purity_of(X, labels, 10)[rows].mean())
    assert part.silhouette == pytest.approx(silhouette_samples(X, labels.astype(str))[rows].mean(), abs=1e-6)
    assert trustworthiness(X, X[:, :2], seed=1) == pytest.approx(trust, abs=0.02)


def test_across_domains_by_brute_force() -> None:
    X, labels = data(70, 4, 3, 3)
    domains = np.array(["w", "a", "a"] * 23 + ["w"], dtype=object)
    labels[5] = None
    found = measure_across(X, labels, domains, k=4)
    shares, chances = [], []
    for row in range(70):
        others = [other for other in range(70) if domains[other] != domains[row] and labels[other] is not None]
        if labels[row] is not None:
            near = sorted(others, key=lambda other: np.linalg.norm(X[other] - X[row]))[:4]
            shares.append(np.mean(labels[near] == labels[row]))
            chances.append(np.mean(labels[others] == labels[row]))
    assert found is not None and found.rows == 69 and found.silhouette is None
    assert found.purity == pytest.approx(np.mean(shares)) and found.chance == pytest.approx(np.mean(chances))
    assert measure_across(X, labels, np.full(70, "w", object)) is None


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    X, labels = data(90, 6, 4, 5)
    whole = flat(measure(X, {"label": labels})["label"])
    monkeypatch.setattr(module, "_AT_ONCE", 700)
    assert flat(measure(X, {"label": labels})["label"]) == pytest.approx(whole)
