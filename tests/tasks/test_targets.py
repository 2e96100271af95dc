"""Labels come to the right rows; what says nothing is counted; what says nonsense is refused by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import decaf
from decaf.errors import DecafError, ProbeError, TableError, UnknownName
from decaf.tasks.targets import Targets, load_examples, read_targets
from tests.tasks.folders import blobs, write_blobs, write_features

PATHS = ["photos/a.png", "photos/b.png", "photos/sub/c.png", "photos/d.png"]


@pytest.fixture
def features(tmp_path: Path) -> decaf.FeatureSet:
    """Four rows, the last of them broken."""
    X = np.arange(8, dtype=np.float32).reshape(4, 2)
    return write_features(tmp_path / "f", X, ["x", "x", None, "y"], PATHS, [None, None, None, "torn"])


def read(features: decaf.FeatureSet, content: str, *columns: str, kind: str = "classes") -> Targets:
    file = features.folder / "t.csv"
    file.write_text(content, newline="", encoding="utf-8")
    return read_targets(features, str(file), columns, kind)


def test_folders_give_labels_and_what_has_none_is_counted(features: decaf.FeatureSet) -> None:
    targets = read_targets(features)
    assert targets.rows.tolist() == [0, 1] and targets.values.tolist() == ["x", "x"]
    assert (targets.broken, targets.unlabelled, targets.absent) == (1, 1, ())


def test_a_csv_overrides_folders_by_path_in_any_order(features: decaf.FeatureSet) -> None:
    targets = read(features, "note,label,path\n,C,sub/c.png\n,A,photos/a.png\n,D,d.png\n,G,gone.png\n,,b.png\n")
    assert targets.rows.tolist() == [0, 2] and targets.values.tolist() == ["A", "C"]
    assert targets.exclusions() == {
        "broken": 1, "unlabelled": 1, "labels_without_picture": 1, "classes_left_out": {},
    }  # fmt: skip
    assert targets.absent == ("gone.png",)


@pytest.mark.parametrize("label", ["new\nline", "<b>&amp;</b>", "日本語", "$x$", 'a "b", c', "=1+1", "00", "two words"])
def test_labels_are_kept_as_they_are(features: decaf.FeatureSet, label: str) -> None:
    quoted = label.replace('"', '""')
    assert read(features, f'path,label\na.png,"{quoted}"\n').values.tolist() == [label]


def test_spaces_around_a_label_make_no_other_class(features: decaf.FeatureSet) -> None:
    assert read(features, "path, label\na.png, x\nb.png,x \nsub/c.png,x\n").values.tolist() == ["x"] * 3


def test_columns_are_chosen_and_kinds_are_read(features: decaf.FeatureSet) -> None:
    content = "path,big,red,size\na.png,1,0,-1.5\nb.png,0,,2e1\nsub/c.png,1.0,1,3\n"
    assert read(features, content, "big").values.tolist() == ["1", "0", "1.0"]
    many = read(features, content, "big", "red", kind="multilabel")
    assert many.rows.tolist() == [0, 2] and many.values.tolist() == [[True, False], [True, True]]
    assert many.unlabelled == 1 and many.names == ("big", "red")
    numbers = read(features, content, "size", kind="regression")
    assert numbers.values.tolist() == [[-1.5], [20], [3]] and numbers.values.dtype == np.float64


@pytest.mark.parametrize(
    ("content", "columns", "kind", "says"),
    [
        ("path,label\na.png,x\n./photos/a.png,x\na.png,y\n", (), "classes", "line 4 says otherwise of a.png"),
        ("path,label\na.png,x\nphotos/a.png,y\n", (), "classes", r"says two things of a\.png \(photos/a\.png\)"),
        ("path,n\na.png,2\n", ("n",), "multilabel", "line 2 has '2' as n: write 0 or 1"),
        ("path,n\na.png,yes\n", ("n",), "multilabel", "line 2 has 'yes' as n: write 0 or 1"),
        ("path,n\na.png,1\nb.png,tall\n", ("n",), "regression", "line 3 has 'tall' as n: write a number"),
        ("path,n\na.png,nan\n", ("n",), "regression", "line 2 has 'nan' as n: write a number"),
        ("path,n\na.png,inf\n", ("n",), "regression", "line 2 has 'inf' as n: write a number"),
        ("path,n\na.png,1\n", ("m",), "regression", "has no column m"),
        ("path,label\n,x\n", (), "classes", "line 2 names no picture"),
        ("path,label\na.png\n", (), "classes", "line 2 is cut short"),
        ("path,label\nz.png,x\n", (), "classes", r"names none of the pictures \(z\.png\)"),
    ],
)  # fmt: skip
def test_a_line_that_says_nonsense_is_named(
    features: decaf.FeatureSet, content: str, columns: tuple[str, ...], kind: str, says: str
) -> None:
    with pytest.raises(TableError, match=says) as refusal:
        read(features, content, *columns, kind=kind)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("csv", "columns", "kind", "says"),
    [
        ("", ("n",), "classes", "--target needs a CSV file"),
        ("", (), "regression", "--kind regression needs a CSV file"),
        ("x.csv", ("a", "b"), "classes", "2 target columns: pass --kind"),
        ("x.csv", ("path",), "classes", "path is the column that names the pictures"),
        ("x.csv", (), "ranking", "no kind 'ranking': use one of classes, multilabel, regression"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    features: decaf.FeatureSet, csv: str, columns: tuple[str, ...], kind: str, says: str
) -> None:
    with pytest.raises(UnknownName, match=says):
        read_targets(features, csv, columns, kind)


def test_no_label_at_all_is_refused(tmp_path: Path) -> None:
    features = write_features(tmp_path / "f", np.ones((2, 3)), [None, "x"], ["a.png", "b.png"], [None, "torn"])
    with pytest.raises(ProbeError, match=r"no row of .* has features and a label"):
        read_targets(features)


def test_features_that_are_not_finite_name_their_picture(tmp_path: Path) -> None:
    X = blobs(["a", "b"] * 3)
    X[[2, 4], [0, 1]] = np.nan, np.inf
    features = write_features(tmp_path / "f", X, ["a", "b"] * 3)
    with pytest.raises(ProbeError, match=r"features of 2 rows are NaN or infinite, the first is photos/a/2\.bmp"):
        load_examples(features, read_targets(features))


def test_rows_stand_beside_their_features_and_pictures(tmp_path: Path) -> None:
    paths = ["p/a", "p/b", "p/a", "p/c", "p/b"]
    features = write_features(
        tmp_path / "f", np.arange(5).reshape(5, 1), ["x", None, "x", "y", "y"], paths, region=list("01234")
    )
    examples = load_examples(features, read_targets(features))
    assert examples.X[:, 0].tolist() == [0, 2, 3, 4] and examples.grouped
    assert examples.pictures == ("p/a", "p/c", "p/b") and examples.picture.tolist() == [0, 0, 1, 2]
    assert examples.rows_of(np.array([2, 0])).tolist() == [0, 1, 3]
    assert examples.label_of_pictures().tolist() == ["x", "y", "y"]


def test_a_picture_of_two_classes_has_no_class_of_its_own(tmp_path: Path) -> None:
    features = write_features(tmp_path / "f", np.ones((2, 2)), ["x", "y"], ["p/a", "p/a"], region=["0", "1"])
    with pytest.raises(ProbeError, match=r"regions of p/a are of several classes \(x, y\): .* --splits-file"):
        load_examples(features, read_targets(features)).label_of_pictures()


def test_an_unknown_layer_is_named(tmp_path: Path) -> None:
    features = write_blobs(tmp_path / "f", ["a", "b"])
    with pytest.raises(DecafError, match="no layer 'nope': name one of vector"):
        load_examples(features, read_targets(features), "nope")
