"""What two feature sets must have in common, and what their labels may be used for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decaf
from decaf.errors import AdaptError, DecafError, ProbeError, SettingsDiffer, TableError, UnknownName
from decaf.tasks.domain_pair import ALIKE, Labelling, check_alike, known, load_pair
from tests.tasks.folders import SETTINGS, blobs, write_blobs, write_features

CLASSES = ["cat", "dog", "owl"] * 4


def pair_of(tmp_path: Path, target: list[str | None] | None = None, **options: Any):
    source = write_blobs(tmp_path / "source", CLASSES)
    labels = ["dog", "cat", "owl"] * 3 if target is None else target
    return source, write_blobs_at(tmp_path / "target", labels, **options)


def write_blobs_at(folder: Path, labels: list[str | None], **options: Any) -> decaf.FeatureSet:
    return write_features(folder, blobs(labels, seed=3), labels, **options)


def test_folder_names_of_the_target_are_tested_on_and_not_learned_from(tmp_path: Path) -> None:
    source, target = pair_of(tmp_path)
    pair = load_pair(source, target)
    assert pair.y.tolist() == CLASSES and pair.classes == ["cat", "dog", "owl"]
    assert pair.truth.tolist() == ["dog", "cat", "owl"] * 3
    assert not known(pair.taught).any() and pair.testable.all() and not pair.foreign.any()
    np.testing.assert_array_equal(pair.X, np.concatenate([source.X(), target.X()]))
    assert pair.notes == ()


@pytest.mark.parametrize("labels", [["photos"] * 9, [None] * 9, ["2021", "2022", "2023"] * 3])
def test_folder_names_that_are_no_classes_are_no_labels(tmp_path: Path, labels: list[str | None]) -> None:
    pair = load_pair(*pair_of(tmp_path, labels))
    assert not known(pair.truth).any() and not pair.testable.any()
    (note,) = pair.notes
    assert note.startswith("the target is taken to have no labels: ")


def test_a_target_can_be_said_to_have_no_labels(tmp_path: Path) -> None:
    pair = load_pair(*pair_of(tmp_path, ["cat", "kitchen", "hall"] * 3), Labelling(target_has_none=True))
    assert not known(pair.truth).any() and pair.notes == ()


def test_a_class_the_source_lacks_is_refused_and_can_be_left_out(tmp_path: Path) -> None:
    sets = pair_of(tmp_path, ["dog", "cat", "emu"] * 3)
    with pytest.raises(AdaptError) as caught:
        load_pair(*sets)
    assert str(caught.value) == (
        "the source lacks class 'emu' (3 rows of the target) and the target lacks class 'owl' (4 rows of the source): "
        "pass --shared-classes to leave these out, or --no-target-labels where the target's folder names are no labels"
    )
    pair = load_pair(*sets, Labelling(shared_classes=True))
    assert pair.classes == ["cat", "dog"] and pair.n == 8 and len(pair.target_rows) == 9
    assert pair.foreign.tolist() == [False, False, True] * 3 and pair.testable.sum() == 6
    assert pair.notes == (
        "class 'owl': 4 rows of the source are left out, the target lacks them",
        "class 'emu': 3 rows of the target are left out, the source lacks them",
    )
    np.testing.assert_array_equal(pair.X[:8], sets[0].X()[np.array(CLASSES) != "owl"])


def test_one_shared_class_is_too_few(tmp_path: Path) -> None:
    sets = pair_of(tmp_path, ["dog", "emu", "emu"] * 3)
    with pytest.raises(AdaptError, match="the domains share 1 classes: a classifier needs two or more"):
        load_pair(*sets, Labelling(shared_classes=True))


def test_many_missing_classes_are_counted(tmp_path: Path) -> None:
    sets = pair_of(tmp_path, ["dog", "cat", "owl", "a", "b", "c", "d", "e"])
    with pytest.raises(AdaptError, match=r"lacks classes 'a', 'b', 'c' and 2 more \(5 rows of the target\)"):
        load_pair(*sets)


def test_where_some_target_rows_have_no_label_no_class_is_missing(tmp_path: Path) -> None:
    pair = load_pair(*pair_of(tmp_path, ["dog", "cat", None] * 3))
    assert pair.classes == ["cat", "dog", "owl"] and pair.testable.sum() == 6


def test_labels_of_files(tmp_path: Path) -> None:
    source, target = pair_of(tmp_path, ["photos"] * 9)
    (tmp_path / "t.csv").write_text("path,label\n" + "".join(f"photos/{row}.bmp,dog\n" for row in range(4)))
    (tmp_path / "s.csv").write_text(
        "path,label\n" + "".join(f"{path},{'dog' if row % 2 else 'ape'}\n" for row, path in enumerate(source.paths))
    )
    (tmp_path / "few.csv").write_text("path,label\nphotos/0.bmp,dog\nphotos/7.bmp,ape\n")
    target = write_features(
        tmp_path / "target", blobs(["photos"] * 9), ["photos"] * 9, [f"photos/{row}.bmp" for row in range(9)]
    )
    labelling = Labelling(str(tmp_path / "s.csv"), str(tmp_path / "t.csv"), str(tmp_path / "few.csv"))
    pair = load_pair(source, target, labelling)
    assert pair.classes == ["ape", "dog"]
    assert pair.truth.tolist() == ["dog"] * 4 + [None] * 5
    assert np.flatnonzero(known(pair.taught)).tolist() == [0, 7]
    assert np.flatnonzero(pair.testable).tolist() == [1, 2, 3]  # row 0 is learned from
    with pytest.raises(TableError, match="names none of the pictures"):
        (tmp_path / "few.csv").write_text("path,label\nelsewhere.bmp,dog\n")
        load_pair(source, target, labelling)


def test_a_label_to_learn_from_against_that_of_the_folder_is_told(tmp_path: Path) -> None:
    source, target = pair_of(tmp_path)
    (tmp_path / "few.csv").write_text(f"path,label\n{target.paths[0]},owl\n{target.paths[1]},cat\n")
    pair = load_pair(source, target, Labelling(taught=str(tmp_path / "few.csv")))
    assert pair.notes == ("1 target rows are learned from with another label than that of their folder",)
    assert pair.taught[0] == "owl" and pair.testable.sum() == 7


def test_broken_rows_are_left_out_and_told(tmp_path: Path) -> None:
    source = write_blobs(tmp_path / "source", [*CLASSES, "cat", None], errors=[None] * 12 + ["torn", None])
    target = write_blobs_at(tmp_path / "target", ["dog", "cat", "owl"] * 3, errors=["torn", *[None] * 8])
    pair = load_pair(source, target)
    assert (pair.n, pair.target_rows.tolist()) == (12, list(range(1, 9)))
    assert pair.notes == (
        "1 broken rows of the source are left out",
        "1 rows without a label of the source are left out",
        "1 broken rows of the target are left out",
    )


DIFFERENT: dict[str, Any] = {
    "net_sha256": "1" * 64,
    "decoding": "reduced",
    "pool": "avg",
    "precision": "bf16",
    "views": "ten-mean",
    "preprocess": {**SETTINGS["preprocess"], "resize": "warp"},
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_features_made_in_another_way_are_refused_by_name(tmp_path: Path, name: str) -> None:
    sets = pair_of(tmp_path, **{name: DIFFERENT[name]})
    named = {"preprocess": "preprocess.resize", "net_sha256": "net made-up"}.get(name, name)
    with pytest.raises(SettingsDiffer, match=f"was made with {named} .*: the domains would differ for that alone"):
        load_pair(*sets)


def test_all_that_must_be_alike_is_tested() -> None:
    assert set(DIFFERENT) == set(ALIKE)


def test_what_may_differ_is_told(tmp_path: Path) -> None:
    source, target = pair_of(tmp_path, regions="boxes x 1.5", max_bytes=99, column="x", net="a copy")
    told = check_alike(source, target, "vector")
    assert told == ["the source's features have regions whole, the target's boxes x 1.5"]


def test_layers(tmp_path: Path) -> None:
    source = write_features(tmp_path / "s", np.ones((4, 6)), ["a", "b"] * 2)
    target = write_features(tmp_path / "t", np.ones((4, 5)), ["a", "b"] * 2)
    with pytest.raises(SettingsDiffer, match=r"shape of vector \(6,\), .* with \(5,\)"):
        load_pair(source, target)
    with pytest.raises(UnknownName, match="no layer 'fc9': name one of vector"):
        load_pair(source, target, layer="fc9")


def test_one_domain_twice(tmp_path: Path) -> None:
    source, target = pair_of(tmp_path)
    with pytest.raises(AdaptError, match="is the source and the target"):
        load_pair(source, decaf.FeatureSet.open(tmp_path / "target" / ".." / "source"))
    copy = write_blobs(tmp_path / "copy", CLASSES)
    with pytest.raises(AdaptError, match="all features of the target are in the source too"):
        load_pair(source, copy)
    X = np.concatenate([target.X()[:7], source.X()[:2]])
    mixed = write_features(tmp_path / "mixed", X, ["dog", "cat", "owl"] * 3)
    (note,) = load_pair(source, mixed).notes
    assert note == "2 rows of the target have the very features of a source row: the same pictures"


def test_too_few_target_rows_and_numbers_that_are_none(tmp_path: Path) -> None:
    source = write_blobs(tmp_path / "source", CLASSES)
    few = write_blobs_at(tmp_path / "few", ["cat", "dog", "owl"], errors=[None, None, "torn"])
    with pytest.raises(AdaptError, match="has 2 rows with features: a target needs 3 or more"):
        load_pair(source, few)
    X = blobs(["cat", "dog", "owl"] * 2)
    X[4, 2] = np.nan
    broken = write_features(tmp_path / "nan", X, ["cat", "dog", "owl"] * 2)
    with pytest.raises(ProbeError, match=r"features of 1 rows are NaN or infinite, the first is photos/dog/4\.bmp"):
        load_pair(source, broken)
    with pytest.raises(DecafError, match=r"no row of .* has features and a label"):
        load_pair(write_blobs_at(tmp_path / "bare", [None] * 5), few)


def test_rows_of_one_picture_have_one_number(tmp_path: Path) -> None:
    paths = [f"p/{row // 3}" for row in range(9)]
    source, target = pair_of(tmp_path, paths=paths, region=[str(row) for row in range(9)])
    pair = load_pair(source, target)
    assert np.unique(pair.picture[: pair.n]).size == 12 and pair.picture[pair.n :].tolist() == np.repeat(
        [12, 13, 14], 3
    ).tolist()  # fmt: skip
