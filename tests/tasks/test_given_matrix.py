"""Matrices of other origin: what they are taken for, and what is no matrix."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from decaf.errors import CompareError
from decaf.tasks.given_matrix import read_matrix

X = np.random.default_rng(0).normal(size=(6, 3))
RDM = squareform(pdist(X))


def save(path: Path, values: np.ndarray) -> Path:
    np.save(path, values)
    return path


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_npy_of_every_kind(tmp_path: Path) -> None:
    responses = read_matrix(save(tmp_path / "a.npy", X.astype(np.float32)))
    assert (responses.is_rdm, responses.names, len(responses)) == (False, None, 6)
    assert responses.kind == "responses, 3 per picture" and responses.values.dtype == np.float64
    for values in (RDM, squareform(RDM), squareform(RDM)[None]):
        rdm = read_matrix(save(tmp_path / "b.npy", values))
        assert rdm.is_rdm and rdm.kind == "dissimilarities"
        np.testing.assert_allclose(rdm.values, RDM)
    for one_number_each in (np.arange(6.0)[:, None], np.arange(5)):
        assert read_matrix(save(tmp_path / "c.npy", one_number_each)).values.shape == (len(one_number_each), 1)
    assert not read_matrix(save(tmp_path / "d.npy", RDM + 1)).is_rdm  # its diagonal is not 0


@pytest.mark.parametrize("first", ["", "path,a,b\n", ",a,b\n", "picture,left,right\n"])
def test_csv_with_and_without_names(tmp_path: Path, first: str) -> None:
    named = read_matrix(write(tmp_path / "a.csv", first + "cat/1.jpg,1,2\ncat/2.jpg,3,\n\n"))
    assert named.names == ("cat/1.jpg", "cat/2.jpg")
    np.testing.assert_array_equal(named.values, [[1, 2], [3, np.nan]])
    np.testing.assert_array_equal(named.broken, [False, True])
    bare = read_matrix(write(tmp_path / "b.csv", "1,2\n3,4\n5,6e-1\n"))
    assert bare.names is None
    np.testing.assert_array_equal(bare.values, [[1, 2], [3, 4], [5, 0.6]])


def test_csv_of_dissimilarities_with_names_on_both_sides(tmp_path: Path) -> None:
    names = [f"p{i}.png" for i in range(6)]
    lines = [
        ",".join(["", *names]),
        *(",".join([n, *map(repr, map(float, row))]) for n, row in zip(names, RDM, strict=True)),
    ]
    found = read_matrix(write(tmp_path / "rdm.csv", "\n".join(lines)))
    assert found.is_rdm and found.names == tuple(names)
    np.testing.assert_array_equal(found.values, RDM)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "no line of numbers"),
        ("a.csv", "a,1,2\nb,1\n", "line 2 of numbers has 1 of them, the first has 2"),
        ("a.csv", "a,1,2\nb,1,x\n", "line 2 of numbers has 'x'"),
        ("a.csv", "a,1\nb,2\n./a,3\n", "two lines a"),
        ("a.csv", "a\nb\n", "has 0 of them"),
        ("a.npy", "no numpy", "is no .npy file of numbers"),
        ("a.txt", "1,2", "neither .npy nor .csv"),
    ],
)
def test_one_line_for_what_is_no_matrix(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(CompareError, match=message) as error:
        read_matrix(write(tmp_path / name, text))
    assert len(str(error.value).splitlines()) == 1


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "p.npy").write_bytes(pickle.dumps([1, 2]))
    save(tmp_path / "s.npy", np.array([["a", "b"]]))
    save(tmp_path / "c.npy", np.ones((3, 3), complex))
    save(tmp_path / "e.npy", np.ones((3, 0)))
    save(tmp_path / "t.npy", np.ones((3, 3, 3)))
    for name in "opscet":
        with pytest.raises(CompareError, match=r"\.npy"):
            read_matrix(tmp_path / f"{name}.npy")
    with pytest.raises(CompareError, match="cannot read"):
        read_matrix(tmp_path / "absent.npy")
