"""MATLAB files, as SciPy writes and reads them."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.io import loadmat, savemat
from scipy.sparse import eye_array

from decaf.errors import TaskError
from decaf.tasks.office.matlab import read_matlab

DTYPES = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])


def read(content: bytes, folder: Path) -> dict[str, Any]:
    path = folder / "one.mat"
    path.write_bytes(content)
    return read_matlab(path)


@settings(deadline=None, max_examples=60)
@given(
    array=DTYPES.flatmap(lambda d: arrays(d, array_shapes(min_dims=2, max_dims=3, max_side=5))), packed=st.booleans()
)
def test_arrays_are_those_scipy_wrote(
    array: np.ndarray, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = io.BytesIO()
    savemat(file, {"a": array, "another_name_than_short": array.T}, do_compression=packed)
    found = read(file.getvalue(), tmp_path_factory.getbasetemp())
    assert list(found) == ["a", "another_name_than_short"]
    np.testing.assert_array_equal(found["a"], array)
    np.testing.assert_array_equal(found["another_name_than_short"], array.T)


@pytest.mark.parametrize("packed", [False, True])
def test_cells_and_structures_are_lists_and_dictionaries(tmp_path: Path, packed: bool) -> None:
    cells = np.empty((2, 2), dtype=object)
    cells[:] = [[np.ones((1, 2)), np.zeros((0, 0))], ["text", 5.0]]
    several = np.zeros(2, dtype=[("x", object), ("y", object)])
    several[:] = [(1.0, 2.0), (3.0, 4.0)]
    savemat(
        tmp_path / "s.mat",
        {"train": {"source": cells, "n": 3.0}, "several": several, "text": "words", "z": np.ones(2) * 1j,
         "sparse": eye_array(3, format="csc"), "yes": np.array([True, False])},
        do_compression=packed,
    )  # fmt: skip
    found = read_matlab(tmp_path / "s.mat")
    assert found["train"]["n"] == 3 and list(found["train"]) == ["source", "n"]
    first, text, empty, five = found["train"]["source"]  # column by column
    assert first.tolist() == [[1, 1]] and text is None and empty.shape == (0, 0) and five == 5
    assert [v.item() for v in found["several"]["x"]] == [1, 3] and [v.item() for v in found["several"]["y"]] == [2, 4]
    assert found["text"] is found["z"] is found["sparse"] is None and found["yes"].tolist() == [[1, 0]]


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    flags, shape, name = (struct.pack(">II", k, len(b)) + b for k, b in (
        (6, struct.pack(">II", 6, 0)), (5, struct.pack(">ii", 1, 2)), (1, b"variable")))  # fmt: skip
    numbers = struct.pack(">HHhh", 4, 3, 258, -1)  # the small form: size, kind, two int16
    body = flags + shape + name + numbers
    content = b"by hand".ljust(124) + struct.pack(">HH", 0x0100, 0x4D49) + struct.pack(">II", 14, len(body)) + body
    assert read(content, tmp_path)["variable"].tolist() == [[258, -1]]
    assert loadmat(tmp_path / "one.mat")["variable"].tolist() == [[258, -1]]


def test_other_formats_are_refused_with_a_remedy(tmp_path: Path) -> None:
    old = io.BytesIO()
    savemat(old, {"a": np.ones(3)}, format="4")
    for content, message in (
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n", "save it in MATLAB with -v7"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 600, "is a MATLAB 7.3 file, which is HDF5"),
        (old.getvalue().ljust(200, b"\0"), "no MATLAB 5 file: get it again, or save it in MATLAB with -v7"),
        (b"", "no MATLAB 5 file"),
        (b"<html>not found</html>" * 20, "no MATLAB 5 file"),
    ):
        with pytest.raises(TaskError, match=message) as caught:
            read(content, tmp_path)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        read_matlab(tmp_path / "nowhere.mat")
