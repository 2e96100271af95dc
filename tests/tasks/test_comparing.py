"""Comparisons of feature sets: which pictures they share, what is compared with what, what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

import decaf
from decaf.compare.cka import Kernel, cka
from decaf.errors import CompareError, TableError, UnknownName
from decaf.tasks.comparing import Settings, plan_comparison, run
from decaf.tasks.comparison_files import names_of, nearest
from decaf.tasks.given_matrix import GivenMatrix
from decaf.tasks.shared_rows import share
from tests.tasks.folders import write_features

N = 20
RANDOM = np.random.default_rng(0)
HIDDEN = RANDOM.normal(size=(N, 4))
PATHS = [f"photos/{row:02}.png" for row in range(N)]


def representation(d: int, noise: float = 0.5, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (HIDDEN @ random.normal(size=(4, d)) + noise * random.normal(size=(N, d))).astype(np.float32)


def folder(path: Path, rows: Any = slice(None), paths: Any = None, **options: Any) -> decaf.FeatureSet:
    chosen = np.arange(N)[rows]
    X = options.pop("X", representation(6))
    more = {name: values[chosen] for name, values in options.pop("more", {"deep": representation(9, seed=2)}).items()}
    names = [PATHS[row] for row in chosen] if paths is None else paths
    return write_features(path, X[chosen], ["a"] * len(chosen), names, more=more, **options)


def given(values: np.ndarray, names: Any = None, is_rdm: bool = False) -> GivenMatrix:
    return GivenMatrix("mine.npy", np.asarray(values, np.float64), is_rdm, names)


def compared(sets: Any, *matrices: GivenMatrix, layers: Any = (), **settings: Any) -> Any:
    return run(plan_comparison(sets, layers, matrices, Settings(**settings)))


def test_one_set_compares_its_layers(tmp_path: Path) -> None:
    a = folder(tmp_path / "a")
    found = compared([a])
    kernels = [Kernel.of(a.X(layer)) for layer in ("vector", "deep")]
    np.testing.assert_allclose(found.values, cka(kernels, kernels))
    assert names_of(found.rows) == names_of(found.columns) == ["vector", "deep"]
    assert nearest(found) == [(0, 1), (1, 0)] and found.pairs == 1


def test_two_sets_over_the_pictures_they_share_in_any_order(tmp_path: Path) -> None:
    shuffled = np.random.default_rng(3).permutation(N)[:15]
    a = folder(tmp_path / "a", errors=["torn" if row == 4 else None for row in range(N)])
    b = folder(tmp_path / "b", shuffled, X=representation(7, seed=5))
    found = compared([a, b], measure="rsa")
    both = [row for row in range(N) if row in shuffled and row != 4]
    for i, x in enumerate((representation(6), representation(9, seed=2))):
        for j, y in enumerate((representation(7, seed=5), representation(9, seed=2))):
            expected = spearmanr(pdist(x[both], "correlation"), pdist(y[both], "correlation")).statistic
            assert found.values[i, j] == pytest.approx(expected, abs=1e-6)
    first, second = found.plan.shared.sources
    assert (first.broken, first.not_shared) == (1, N - 1 - len(both)) and first.first in PATHS
    assert (second.rows, second.not_shared) == (15, 15 - len(both))
    assert found.plan.available == len(both) and found.pairs == 4


def test_paths_as_they_look_from_their_sources(tmp_path: Path) -> None:
    a = folder(tmp_path / "a")
    elsewhere = [f"/home/me/pictures/{row:02}.png" for row in range(N)]
    b = folder(tmp_path / "b", paths=elsewhere)
    meta = json.loads((b.folder / "decaf.json").read_text())
    meta["source"]["given"] = ["/home/me/pictures/"]
    (b.folder / "decaf.json").write_text(json.dumps(meta))
    shared = share([a, decaf.FeatureSet.open(b.folder)])
    assert shared.matched_by == "path within the source" and len(shared) == N


def test_other_pictures_under_the_same_names_are_other_pictures(tmp_path: Path) -> None:
    sums = [f"{row:064x}" for row in range(N)]
    a = folder(tmp_path / "a", sha256=sums)
    changed = [*sums[:5], *(f"{row + 99:064x}" for row in range(5, N))]
    some = share([a, folder(tmp_path / "b", sha256=changed)])
    assert len(some) == 5 and some.sources[1].not_shared == N - 5
    unknown = share([a, folder(tmp_path / "c", sha256=[None] * N)])
    assert len(unknown) == N
    with pytest.raises(CompareError, match="1 usable pictures in common"):
        share([a, folder(tmp_path / "d", sha256=sums[::-1][:1] * N)])


def test_pictures_that_were_renamed_are_known_by_their_content(tmp_path: Path) -> None:
    sums = [f"{row:064x}" for row in range(N)]
    a = folder(tmp_path / "a", sha256=sums)
    b = folder(tmp_path / "b", sha256=sums[::-1], paths=[f"new/{row}.png" for row in range(N)])
    shared = share([a, b])
    assert shared.matched_by == "content"
    assert shared.of_sets[1].tolist() == list(range(N))[::-1]


def test_a_picture_that_is_listed_twice_is_two_rows(tmp_path: Path) -> None:
    twice = [*PATHS[:-1], PATHS[0]]
    shared = share([folder(tmp_path / "a", paths=twice), folder(tmp_path / "b", paths=twice[::-1])])
    assert len(shared) == N
    assert shared.of_sets[1][[0, N - 1]].tolist() == [0, N - 1]  # the first here with the first there


def test_three_sets_compare_all_with_all(tmp_path: Path) -> None:
    sets = [folder(tmp_path / name / "f", X=representation(5, seed=i)) for i, name in enumerate("abc")]
    found = compared(sets, layers=["vector"])
    assert found.values.shape == (3, 3) and found.plan.is_square
    assert names_of(found.rows) == [f"{tmp_path / name / 'f'} vector" for name in "abc"]  # their last parts are alike
    np.testing.assert_allclose(np.diag(found.values), 1)


def test_other_pictures_regions_or_views_are_refused(tmp_path: Path) -> None:
    a = folder(tmp_path / "a")
    for name, b, message in (
        ("p", folder(tmp_path / "p", paths=[f"other/{i}" for i in range(N)]), "0 usable pictures in common .only in"),
        ("q", folder(tmp_path / "q", slice(0, 2)), "2 usable pictures in common"),
        ("r", folder(tmp_path / "r", regions="boxes x 1.5"), "regions whole, .* boxes x 1.5"),
        ("v", folder(tmp_path / "v", views="ten-mean"), "views center, .* ten-mean"),
    ):
        with pytest.raises(CompareError, match=message):
            compared([a, b])
        assert name in str(b.folder)


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(CompareError, match="1 usable pictures, 3 are needed: extract more"):
        compared([folder(tmp_path / "a", slice(0, 1))])


def test_pictures_are_drawn_with_a_seed(tmp_path: Path) -> None:
    a = folder(tmp_path / "a")
    some = [compared([a], pictures=8, seed=seed) for seed in (0, 0, 1)]
    assert [len(one.plan.shared) for one in some] == [8] * 3 and some[0].plan.available == N
    np.testing.assert_array_equal(some[0].values, some[1].values)
    assert (some[0].values != some[2].values).any()
    assert len(compared([a], pictures=0).plan.shared) == N


def test_a_layer_that_cannot_be_compared_is_left_out_and_named(tmp_path: Path) -> None:
    nan, dead = representation(3), np.ones((N, 3))
    nan[7, 1] = np.nan
    a = folder(tmp_path / "a", more={"dead": dead, "nan": nan, "good": representation(4)})
    for settings, why in (({}, "same vector"), ({"measure": "rsa"}, "equal numbers")):
        found = compared([a], **settings)
        assert [layer for _, layer in found.rows] == ["vector", "good"] and np.isfinite(found.values).all()
        assert why in found.left_out[f"{a.folder} dead"] and "1 of 20 rows" in found.left_out[f"{a.folder} nan"]
    assert "equally dissimilar" in compared([a], measure="rsa", dissimilarity="euclidean").left_out[f"{a.folder} dead"]
    with pytest.raises(CompareError, match=r"nothing is left to compare: .* dead: all pictures have the same vector"):
        compared([a], layers=["dead"])
    assert (
        "equally far" in compared([folder(tmp_path / "b", more={"eye": np.eye(N)})]).left_out[f"{tmp_path / 'b'} eye"]
    )


def test_responses_and_dissimilarities_of_other_origin(tmp_path: Path) -> None:
    a = folder(tmp_path / "a")
    brain = representation(30, 2, 8).astype(np.float64)
    rdm = squareform(pdist(brain, "correlation"))
    order = np.random.default_rng(0).permutation(N)
    names = tuple(f"{row:02}.png" for row in order)  # as they look from the source, in another order
    found = [
        compared([a], matrix, measure="rsa")
        for matrix in (
            given(brain),
            given(rdm, None, True),
            given(brain[order], names),
            given(rdm[np.ix_(order, order)], names, True),
        )
    ]
    expected = spearmanr(pdist(representation(6), "correlation"), pdist(brain, "correlation")).statistic
    for one in found:
        assert one.values.shape == (2, 1) and one.values[0, 0] == pytest.approx(expected, abs=1e-6)
    assert compared([a], given(brain)).values[0, 0] == pytest.approx(
        cka([Kernel.of(representation(6))], [Kernel.of(brain)])[0, 0], abs=1e-6
    )


def test_rows_of_a_matrix_without_numbers_are_left_out(tmp_path: Path) -> None:
    brain = representation(5, seed=3).astype(np.float64)
    brain[[2, 9], 1] = np.nan
    found = compared([folder(tmp_path / "a")], given(brain))
    assert len(found.plan.shared) == N - 2 and found.plan.shared.sources[1].broken == 2


def test_a_matrix_must_have_the_rows_of_the_set(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", errors=["torn" if row == 4 else None for row in range(N)])
    whole = representation(5, seed=3)
    without = np.delete(whole, 4, axis=0)
    np.testing.assert_array_equal(compared([a], given(whole)).values, compared([a], given(without)).values)
    with pytest.raises(CompareError, match=f"has {N - 3} rows without names, .* {N}"):
        compared([a], given(whole[3:]))
    with pytest.raises(TableError, match="names none of the pictures"):
        compared([a], given(whole, tuple(map(str, range(N)))))
    with pytest.raises(CompareError, match="dissimilarities, which only RSA compares: pass --measure rsa"):
        compared([a], given(squareform(pdist(whole)), None, True))


def test_several_subjects_have_a_noise_ceiling(tmp_path: Path) -> None:
    subjects = [given(representation(20, noise, seed)) for noise, seed in ((1, 3), (2, 4), (3, 5))]
    found = compared([folder(tmp_path / "a")], *subjects, measure="rsa")
    assert found.values.shape == (2, 3) and found.ceiling is not None and found.ceiling[0] < found.ceiling[1]
    assert compared([folder(tmp_path / "b")], subjects[0], measure="rsa").ceiling is None


def test_how_sure_it_is(tmp_path: Path) -> None:
    a = folder(
        tmp_path / "a", more={"noise": np.random.default_rng(9).normal(size=(N, 6)), "deep": representation(9, 0.1, 2)}
    )
    rsa = compared([a], measure="rsa", intervals=True, resamples=60)
    names = [layer for _, layer in rsa.rows]
    near, far = (names.index("vector"), names.index("deep")), (names.index("vector"), names.index("noise"))
    assert rsa.p[near] == pytest.approx(1 / 61) and rsa.p[far] > 0.02
    assert rsa.low[near] < rsa.values[near] < rsa.high[near] <= 1
    again = compared([a], measure="rsa", intervals=True, resamples=60)
    np.testing.assert_array_equal(rsa.low, again.low)
    for measure in ("cka", "cka-debiased"):
        found = compared([a], measure=measure, intervals=True)
        assert found.p is None and found.low[near] < found.values[near] < found.high[near] <= 1
    json.dumps(rsa.to_dict(), allow_nan=False)


def test_steps_are_as_many_as_planned(tmp_path: Path) -> None:
    sets = [folder(tmp_path / "a"), folder(tmp_path / "b")]
    for settings in (Settings(), Settings(measure="rsa", intervals=True, resamples=3), Settings(intervals=True)):
        for some in (sets, sets[:1]):
            plan, steps = plan_comparison(some, (), (), settings), []
            run(plan, lambda steps=steps: steps.append(1))  # type: ignore[misc]
            assert len(steps) == plan.steps


def test_what_would_not_fit_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decaf.tasks.comparing._MOST_MEMORY", 4_000)
    a = folder(tmp_path / "a")
    for measure in ("rsa", "cka"):
        with pytest.raises(CompareError, match=r"20 pictures takes .* GB of memory: pass a smaller --pictures"):
            compared([a], measure=measure)
        assert compared([a], measure=measure, pictures=6).values.shape == (2, 2)


@pytest.mark.parametrize(
    ("settings", "layers", "message"),
    [
        ({"measure": "cca"}, (), "no measure 'cca'"),
        ({"measure": "rsa", "dissimilarity": "x"}, (), "no dissimilarity 'x'"),
        ({"measure": "rsa", "correlation": "x"}, (), "no correlation 'x'"),
        ({}, ("fc9",), "no set has a layer 'fc9': they have vector, deep"),
        ({"seed": -1}, (), "negative number"),
    ],
)
def test_settings_nobody_has_heard_of(tmp_path: Path, settings: Any, layers: Any, message: str) -> None:
    with pytest.raises((UnknownName, CompareError), match=message):
        compared([folder(tmp_path / "a")], layers=layers, **settings)
