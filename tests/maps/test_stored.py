"""Maps beside features: made once, read after that, made anew when something that decides them changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.tasks.folders import blobs, write_blobs, write_features

import decaf
from decaf.maps import Map, MapSettings, draw_map, map_of, measure, numbers_of, place, placed_in
from decaf.maps.stored import read_map, write_map

PLAIN = MapSettings(method="pca")
LABELS = ["cat", "dog", "owl"] * 7


@pytest.fixture
def features(tmp_path: Path) -> decaf.FeatureSet:
    return write_blobs(tmp_path / "f", LABELS, errors=[None] * 20 + ["torn"])


def made(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "derived").iterdir() if not path.name.startswith("."))


def test_a_map_is_made_once(features: decaf.FeatureSet) -> None:
    first = map_of([features], "vector", PLAIN)
    again = map_of([features], "vector", PLAIN)
    assert first.built and not again.built and first.path == again.path
    assert np.array_equal(first.value.coordinates, again.value.coordinates, equal_nan=True)
    assert again.value.notes == first.value.notes and (again.value.landmark == first.value.landmark).all()
    X = features.X("vector")
    assert np.array_equal(first.value.coordinates, draw_map(X, PLAIN).coordinates, equal_nan=True)
    assert np.isnan(first.value.coordinates[20]).all() and len(first.value) == 21


def test_other_settings_have_a_map_of_their_own(features: decaf.FeatureSet) -> None:
    paths = {
        map_of([features], "vector", settings).path
        for settings in (PLAIN, MapSettings(method="pca", transform="none"), MapSettings(method="pca", seed=1))
    }
    assert len(paths) == 3
    assert map_of([features[:10]], "vector", PLAIN).built  # a selection is another set


def test_other_features_have_a_new_map_and_the_old_one_goes(features: decaf.FeatureSet, tmp_path: Path) -> None:
    before = map_of([features], "vector", PLAIN)
    write_features(tmp_path / "f", blobs(LABELS, seed=1), LABELS)
    after = map_of([decaf.FeatureSet.open(tmp_path / "f")], "vector", PLAIN)
    assert after.built and not before.path.exists() and made(tmp_path / "f") == [after.path.name]


def test_a_damaged_map_is_made_anew(features: decaf.FeatureSet) -> None:
    first = map_of([features], "vector", PLAIN)
    for spoilt in (b"", b"PAR1 no", first.path.read_bytes()[:-9]):
        first.path.write_bytes(spoilt)
        assert map_of([features], "vector", PLAIN).built


def test_the_table_is_read_by_others(features: decaf.FeatureSet) -> None:
    kept = map_of([features], "vector", PLAIN)
    table = pq.read_table(kept.path)
    assert table.column_names == ["x", "y", "landmark"] and len(table) == len(features)
    assert np.array_equal(table["x"].to_numpy(), kept.value.coordinates[:, 0], equal_nan=True)


@pytest.fixture
def others(tmp_path: Path) -> Iterator[decaf.FeatureSet]:
    yield write_features(tmp_path / "g", blobs(LABELS[:9], seed=2), LABELS[:9])


def test_two_sets_share_one_map(features: decaf.FeatureSet, others: decaf.FeatureSet, tmp_path: Path) -> None:
    both = map_of([features, others], "vector", PLAIN)
    X = np.concatenate([features.X("vector"), others.X("vector")])
    assert np.array_equal(both.value.coordinates, draw_map(X, PLAIN).coordinates, equal_nan=True)
    assert not map_of([features, others], "vector", PLAIN).built
    write_features(tmp_path / "g", blobs(LABELS[:9], seed=3), LABELS[:9])
    assert map_of([features, decaf.FeatureSet.open(tmp_path / "g")], "vector", PLAIN).built


def test_one_set_is_placed_in_the_map_of_another(features: decaf.FeatureSet, others: decaf.FeatureSet) -> None:
    alone = map_of([features], "vector", PLAIN).value
    both = placed_in(others, features, "vector", PLAIN)
    assert np.array_equal(both.value.coordinates[:21], alone.coordinates, equal_nan=True)
    assert np.array_equal(both.value.coordinates[21:], place(others.X("vector"), features.X("vector"), alone))
    assert not both.value.landmark[21:].any() and "9 rows of another set" in both.value.notes[-1]
    assert not placed_in(others, features, "vector", PLAIN).built


def test_numbers_are_measured_once(features: decaf.FeatureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = map_of([features], "vector", PLAIN)
    labels = {"label": features.labels}
    first = numbers_of([features], "vector", kept, labels)
    rows = kept.value.drawn
    X = features.X("vector")[rows]
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    assert first.features["label"].purity == measure(unit, {"l": features.labels[rows]})["l"].purity
    assert first.places["label"] == measure(kept.value.coordinates[rows], {"l": features.labels[rows]})["l"]
    with monkeypatch.context() as patched:
        patched.setattr("decaf.maps.stored.number", None)
        assert numbers_of([features], "vector", kept, labels) == first
    others = {"label": np.roll(features.labels, 1)}
    assert numbers_of([features], "vector", kept, others) != first
    domains = np.array(["a", "b", "b"] * 7, dtype=object)
    assert set(numbers_of([features], "vector", kept, labels, domains).places) == {"label", "domain", "across"}
    for path in (features.folder / "derived").glob("numbers-*"):
        path.write_text("[1]")
    assert numbers_of([features], "vector", kept, labels) == first


def test_what_is_no_map_is_refused(tmp_path: Path) -> None:
    write_map(tmp_path / "m", Map(np.zeros((2, 2)), np.ones(2, bool), PLAIN, ("one",)))
    assert read_map(tmp_path / "m", PLAIN).notes == ("one",)
    pq.write_table(pq.read_table(tmp_path / "m").replace_schema_metadata({}), tmp_path / "n")
    with pytest.raises(ValueError, match="is no map"):
        read_map(tmp_path / "n", PLAIN)
