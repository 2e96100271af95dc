"""MATLAB files made to break the reader: one line and little memory, whatever is in them."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from decaf.errors import TaskError
from decaf.tasks.office import matlab, vectors
from decaf.tasks.office.matlab import read_matlab
from decaf.tasks.office.vectors import read_domain

MIB = 2**20
HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def variable(shape: tuple[int, ...], data: bytes, of_class: int = 6) -> bytes:
    inner = element(6, struct.pack("<II", of_class, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, inner + element(1, b"fts") + data)


def packed(content: bytes) -> bytes:
    squeezed = zlib.compress(content, 9)
    return struct.pack("<II", 15, len(squeezed)) + squeezed


def refused(content: bytes, folder: Path, memory: int = 4 * MIB) -> str:
    path = folder / "hostile.mat"
    path.write_bytes(content)
    started = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(TaskError) as caught:
            read_matlab(path)
        assert tracemalloc.get_traced_memory()[1] < memory + len(content)
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 10
    assert "\n" not in str(caught.value) and "get it again" in str(caught.value)
    return str(caught.value)


def sample(compressed: bool) -> bytes:
    cells = np.empty((1, 2), dtype=object)
    cells[0] = [np.arange(4.0)[None], np.arange(3)[None]]
    file = io.BytesIO()
    content = {
        "fts": np.arange(24.0).reshape(6, 4),
        "labels": np.arange(6)[:, None],
        "train": {"source": cells},
        "t": "x",
    }
    savemat(file, content, do_compression=compressed)
    return file.getvalue()


SAMPLES = (sample(False), sample(True))


def outcome(content: bytes, folder: Path) -> None:
    """A dictionary or a TaskError: nothing else ever."""
    path = folder / "mutated.mat"
    path.write_bytes(content)
    try:
        assert isinstance(read_matlab(path), dict)
    except TaskError as error:
        assert "\n" not in str(error)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.sampled_from(SAMPLES),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(0, 400),
)
def test_a_few_wrong_bytes(which: bytes, changes: list[tuple[int, int]], cut: int, tmp_path: Path) -> None:
    content = bytearray(which[: len(which) - cut if cut < 200 else len(which)])
    for place, value in changes:
        content[place % len(content)] = value
    outcome(bytes(content), tmp_path)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_domain_with_wrong_bytes(changes: list[tuple[int, int]], tmp_path: Path) -> None:
    content = bytearray(SAMPLES[0])
    for place, value in changes:
        content[place % len(content)] = value
    path = tmp_path / "amazon.mat"
    path.write_bytes(bytes(content))
    try:
        assert np.isfinite(read_domain(path, "amazon").X).all()
    except TaskError as error:
        assert "amazon.mat" in str(error) and "\n" not in str(error)


def test_vectors_that_would_be_too_large_as_floats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    savemat(tmp_path / "amazon.mat", {"fts": np.ones((600, 600), np.uint8), "labels": np.ones(600)})
    monkeypatch.setattr(vectors, "LARGEST_CONTENT", MIB)
    with pytest.raises(TaskError, match="has vectors 600x600, which is more than 1,048,576 bytes"):
        read_domain(tmp_path / "amazon.mat", "amazon")


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.integers(0, 20) | st.integers(0, 2**32 - 1), max_size=40), compressed=st.booleans())
def test_words_of_the_format_in_any_order(words: list[int], compressed: bool, tmp_path: Path) -> None:
    content = struct.pack(f"<{len(words)}I", *words)
    outcome(HEADER + (packed(content) if compressed else element(14, content)), tmp_path)


def test_places_it_may_be_cut_at(tmp_path: Path) -> None:
    for which in SAMPLES:
        for length in range(0, len(which), 3):
            outcome(which[:length], tmp_path)


def test_a_stated_size_is_not_believed(tmp_path: Path) -> None:
    data = element(9, b"\0" * 64)
    assert "8 numbers for the shape 100000x100000" in refused(HEADER + variable((100_000, 100_000), data), tmp_path)
    assert "bytes are announced" in refused(HEADER + struct.pack("<II", 14, 2**31), tmp_path)
    lie = struct.pack("<II", 14, 2**29) + b"\0" * 100
    assert "says it has 536,870,912 bytes and has 100" in refused(HEADER + packed(lie), tmp_path)
    huge = struct.pack("<II", 14, 2**31) + b"\0" * 100
    assert "at most 1,073,741,824 are read" in refused(HEADER + packed(huge), tmp_path)


def test_a_bomb_is_not_unpacked_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab, "LARGEST_CONTENT", MIB)
    bomb = packed(variable((1, 8 * MIB), element(9, b"\0" * 64 * MIB)))
    assert len(bomb) < MIB // 10 and "at most" in refused(HEADER + bomb, tmp_path)
    many = packed(variable((1, 2**16), element(9, b"\0" * 2**19))) * 3  # each is allowed
    assert "at most" in refused(HEADER + many, tmp_path, 8 * MIB)


def test_a_million_cells_of_nothing_and_cells_in_cells(tmp_path: Path) -> None:
    cells = variable((1, 2**21), struct.pack("<II", 14, 0) * 2**12, of_class=1)
    assert "more than 1,000,000 cells" in refused(HEADER + packed(cells), tmp_path)
    nested = element(9, struct.pack("<d", 1))
    nested = variable((1, 1), nested)
    for _ in range(300):
        nested = variable((1, 1), nested, of_class=1)
    assert "more than 8 deep" in refused(HEADER + nested, tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.mat").open("wb") as file:
        file.truncate(matlab.LARGEST_FILE + 1)
    with pytest.raises(TaskError, match="has more than 1,073,741,824 bytes: save one domain a file"):
        read_matlab(tmp_path / "large.mat")
