"""Single places: those of openTSNE, which builds a tree for each step, in a hundredth of the time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.maps.test_draw import clusters

from decaf.errors import MapError
from decaf.maps import LivePlaces, MapSettings, draw_map, place
from decaf.maps import tsne as tsne_module

QUICK = MapSettings(perplexity=8)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tsne_module, "available_cores", lambda: 1)  # small maps are slower with more
        yield


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return clusters(150, 12, 3)[0]


@pytest.mark.parametrize("settings", [QUICK, MapSettings(perplexity=8, transform="none"), MapSettings(method="pca")])
def test_places_are_those_of_place(X: np.ndarray, settings: MapSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw_map(X, settings)
    new = X[:12] + clusters(12, 12, 3, seed=5)[0] * 0.1
    standing = tsne_module._standing

    def exactly(places: np.ndarray) -> Any:
        reference = standing(places)
        reference.gradient_descent_params["theta"] = 0  # no approximation of the repulsion
        return reference

    monkeypatch.setattr(tsne_module, "_standing", exactly)
    np.testing.assert_allclose(LivePlaces(X, drawn)(new), place(new, X, drawn), atol=1e-6 * np.ptp(drawn.coordinates))


def test_a_row_of_the_map_comes_to_lie_beside_itself(X: np.ndarray) -> None:
    drawn = draw_map(X, QUICK)
    live = LivePlaces(X, drawn)
    apart = np.linalg.norm(live(X[:20]) - drawn.coordinates[:20], axis=1)
    assert np.median(apart) < 0.05 * np.ptp(drawn.coordinates)


def test_one_vector_or_several_and_none(X: np.ndarray) -> None:
    live = LivePlaces(X, draw_map(X, QUICK))
    both = live(X[:2])
    assert live(X[0]).shape == (1, 2) and (live(X[1]) == both[1]).all()
    broken = X[:3].copy()
    broken[1, 0] = np.nan
    assert np.isnan(live(broken)[1]).all() and (live(broken)[[0, 2]] == live(X[[0, 2]])).all()
    assert live(np.empty((0, 12), np.float32)).shape == (0, 2)


def test_maps_of_few_or_equal_rows(X: np.ndarray) -> None:
    for rows in (X[:1], X[:3], X[:6], np.repeat(X[:1], 9, axis=0)):
        assert np.isfinite(LivePlaces(rows, draw_map(rows, QUICK))(X[:2])).all()


def test_what_does_not_fit_is_refused(X: np.ndarray) -> None:
    drawn = draw_map(X, QUICK)
    with pytest.raises(MapError, match="150 rows is no map of 10"):
        LivePlaces(X[:10], drawn)
    with pytest.raises(MapError, match="3 numbers for a map of 12"):
        LivePlaces(X, drawn)(np.zeros(3))
