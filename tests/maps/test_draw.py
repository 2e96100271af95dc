"""Maps: the same bits again, the same as openTSNE's, every row accounted for, new rows where they belong."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from decaf.errors import MapError
from decaf.maps import MapSettings, draw_map, place
from decaf.maps import tsne as tsne_module
from decaf.maps.reduce import Reduction

QUICK = MapSettings(perplexity=8)


def clusters(n: int = 60, d: int = 12, k: int = 3, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    middles = random.normal(0, 1, (k, d))
    of = np.arange(n) % k
    return (middles[of] + random.normal(0, 0.15, (n, d))).astype(np.float32), of


@pytest.fixture(autouse=True)
def few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsne_module, "EARLY", 60)
    monkeypatch.setattr(tsne_module, "LATER", 60)
    monkeypatch.setattr(tsne_module, "PLACED", 60)
    monkeypatch.setattr(tsne_module, "available_cores", lambda: 1)  # small maps are slower with more


def test_a_seed_gives_the_same_bits_whatever_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _ = clusters(70)
    monkeypatch.setattr(tsne_module, "EARLY", 15)
    monkeypatch.setattr(tsne_module, "LATER", 15)
    maps = []
    for jobs in (1, 2, 2):
        monkeypatch.setattr(tsne_module, "available_cores", lambda jobs=jobs: jobs)
        monkeypatch.setattr(tsne_module, "_quickest", lambda embedding, jobs=jobs: jobs)
        maps.append(draw_map(X, QUICK).coordinates)
    assert all((drawn == maps[0]).all() for drawn in maps)
    pca_start = draw_map(X, MapSettings(perplexity=8, seed=1)).coordinates
    assert not (pca_start == maps[0]).all()  # the jitter of the start is drawn anew


def test_it_is_what_opentsne_lays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from openTSNE import TSNE

    monkeypatch.setattr(tsne_module, "EARLY", 250)
    monkeypatch.setattr(tsne_module, "LATER", 500)
    X, _ = clusters(80)
    ours = draw_map(X, MapSettings(perplexity=8, seed=3, transform="none")).coordinates
    Z = Reduction(X, MapSettings(transform="none", seed=3))(X)
    theirs = np.array(TSNE(perplexity=8, random_state=3, neighbors="exact", n_jobs=1).fit(Z))
    assert (ours == theirs - (theirs.max(axis=0) + theirs.min(axis=0)) / 2).all()


def test_places_of_new_rows_are_those_of_opentsne(monkeypatch: pytest.MonkeyPatch) -> None:
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    monkeypatch.setattr(tsne_module, "PLACED", 250)
    Z, _ = clusters(80)
    layout = np.random.default_rng(0).normal(0, 10, (70, 2))
    layout -= (layout.max(axis=0) + layout.min(axis=0)) / 2
    affinities = PerplexityBasedNN(Z[:70], 10, method="exact")
    theirs = TSNEEmbedding(layout, affinities, negative_gradient_method="bh").transform(Z[70:], perplexity=5, k=25)
    assert np.allclose(tsne_module.place_new(Z[70:], Z[:70], layout), theirs, atol=1e-9)


def test_clusters_come_apart() -> None:
    X, of = clusters(90)
    places = draw_map(X, QUICK).coordinates
    middles = np.array([places[of == k].mean(axis=0) for k in range(3)])
    nearest = np.linalg.norm(places[:, None] - middles[None], axis=2).argmin(axis=1)
    assert (nearest == of).all()


def test_rows_that_are_not_finite_have_no_place_and_change_no_other() -> None:
    X, _ = clusters(40)
    with_broken = np.insert(X, [0, 7, 40], np.nan, axis=0)
    with_broken[8, 0] = np.inf
    drawn = draw_map(with_broken, QUICK)
    broken = ~np.isfinite(with_broken).all(axis=1)
    assert broken.sum() >= 3 and broken[8] and (np.isnan(drawn.coordinates).all(axis=1) == broken).all()
    assert (drawn.landmark == ~broken).all() and (drawn.drawn == ~broken).all()
    assert (drawn.coordinates[~broken] == draw_map(with_broken[~broken], QUICK).coordinates).all()
    assert f"{broken.sum()} of {len(broken)} rows have no features and no place." in drawn.notes


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 9])
def test_a_few_rows_have_places_and_the_map_says_what_it_is(n: int) -> None:
    X, _ = clusters(n)
    drawn = draw_map(X)
    assert np.isfinite(drawn.coordinates).all() and drawn.coordinates.shape == (n, 2)
    assert any(
        ("too few" if 1 < n < 5 else "same features" if n == 1 else "Perplexity") in note for note in drawn.notes
    )
    assert np.isfinite(place(X[:1], X, drawn)).all()


def test_equal_features_share_one_place() -> None:
    drawn = draw_map(np.ones((30, 4), np.float32))
    assert (drawn.coordinates == drawn.coordinates[0]).all() and "same features" in drawn.notes[0]
    assert (place(np.ones((2, 4)), np.ones((30, 4)), drawn) == drawn.coordinates[0]).all()


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_many_equal_rows_among_others(method: str) -> None:
    X, _ = clusters(60)
    X[10:50] = X[10]
    drawn = draw_map(X, MapSettings(method=method, perplexity=8))  # type: ignore[arg-type]
    assert np.isfinite(drawn.coordinates).all()


def test_zero_vectors_and_single_numbers() -> None:
    X = np.zeros((20, 1), np.float32)
    X[10:] = np.arange(10)[:, None]
    for settings in (QUICK, MapSettings(method="pca"), MapSettings(transform="standardize", perplexity=5)):
        assert np.isfinite(draw_map(X, settings).coordinates).all()


def test_the_rest_is_placed_among_landmarks() -> None:
    X, of = clusters(150)
    drawn = draw_map(X, MapSettings(perplexity=8, landmarks=60, seed=2))
    assert drawn.landmark.sum() == 60 and drawn.drawn.all()
    assert "60 rows, drawn at random, make the map; the other 90 are placed into it." in drawn.notes
    middles = np.array([drawn.coordinates[drawn.landmark & (of == k)].mean(axis=0) for k in range(3)])
    rest = ~drawn.landmark
    nearest = np.linalg.norm(drawn.coordinates[rest][:, None] - middles[None], axis=2).argmin(axis=1)
    assert (nearest == of[rest]).all()
    assert (drawn.landmark == draw_map(X, MapSettings(perplexity=8, landmarks=60, seed=2)).landmark).all()


@pytest.mark.parametrize("by_grid", [False, True])
def test_a_new_row_lies_by_its_like_wherever_the_others_go(by_grid: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tsne_module, "_BY_GRID", 0 if by_grid else 10**9)
    X, of = clusters(90)
    drawn = draw_map(X[:80], QUICK)
    together = place(X[80:], X[:80], drawn)
    assert (together[3] == place(X[83:84], X[:80], drawn)[0]).all()
    middles = np.array([drawn.coordinates[of[:80] == k].mean(axis=0) for k in range(3)])
    assert (np.linalg.norm(together[:, None] - middles[None], axis=2).argmin(axis=1) == of[80:]).all()
    with_broken = X[80:].copy()
    with_broken[1] = np.nan
    again = place(with_broken, X[:80], drawn)
    assert np.isnan(again[1]).all() and (np.delete(again, 1, 0) == np.delete(together, 1, 0)).all()


def test_a_map_of_principal_components_places_exactly() -> None:
    X, _ = clusters(50)
    settings = MapSettings(method="pca", transform="none")
    drawn = draw_map(X, settings)
    _, _, axes = np.linalg.svd(X - X.mean(axis=0))
    expected = (X - X.mean(axis=0)) @ axes[:2].T
    assert np.abs(np.abs(drawn.coordinates) - np.abs(expected)).max() < 1e-4
    assert np.allclose(place(X[:5], X, drawn), drawn.coordinates[:5], atol=1e-6)


def test_progress_counts_up_to_the_end() -> None:
    X, _ = clusters(60)
    told: list[tuple[int, int]] = []
    draw_map(X, MapSettings(perplexity=8, landmarks=40), lambda done, total: told.append((done, total)))
    iterations = [done for done, total in told if total == 120]
    assert iterations == sorted(iterations) and iterations[-1] > 60 and told[-1] == (20, 20)


def test_shorter_vectors_keep_their_distances() -> None:
    X, _ = clusters(40, d=2000)
    at_random = Reduction(X, MapSettings(project="random"))
    assert at_random.size == 512 and Reduction(X[:, :100], MapSettings(project="random")).size == 100
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    before = np.linalg.norm(unit[:, None] - unit[None], axis=2)
    after = np.linalg.norm(at_random(X)[:, None] - at_random(X)[None], axis=2)
    off = ~np.eye(40, dtype=bool)
    assert np.abs(after[off] / before[off] - 1).max() < 0.2  # 5 deviations of sqrt(2 / 512) / 2
    components = Reduction(X, MapSettings())
    assert components.size == 40 and np.allclose(
        np.linalg.norm(components(X)[:, None] - components(X)[None], axis=2), before, atol=1e-4
    )
    assert Reduction(X, MapSettings(components=7)).size == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "umap"}, "method 'umap' is unknown: use one of tsne, pca"),
        ({"project": "ica"}, "use one of pca, random"),
        ({"transform": "log"}, "use one of none, sqrt, l2, standardize"),
        ({"perplexity": float("nan")}, "perplexity nan"),
        ({"perplexity": 0.5}, "give 1 or more"),
        ({"landmarks": 3}, "give 10 or more"),
        ({"components": 1}, "give 2 or more"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(MapError, match=said):
        MapSettings(**settings)  # type: ignore[arg-type]


def test_impossible_vectors_are_refused() -> None:
    X, _ = clusters(20)
    with pytest.raises(MapError, match="none of 3 rows has finite features"):
        draw_map(np.full((3, 4), np.nan))
    for shape in ((3,), (3, 0), (0, 4)):
        with pytest.raises(MapError):
            draw_map(np.ones(shape))
    drawn = draw_map(X, QUICK)
    with pytest.raises(MapError, match="vectors of the same layer"):
        place(X[:, :4], X, drawn)
    with pytest.raises(MapError, match="a map of 20 rows"):
        place(X, X[:10], drawn)


def test_settings_as_plain_values() -> None:
    for settings in (QUICK, MapSettings(project="random", components=9), MapSettings(method="pca", transform="sqrt")):
        assert MapSettings.from_dict(settings.to_dict()).to_dict() == settings.to_dict()
    assert MapSettings().to_dict() == MapSettings(components=50).to_dict()
