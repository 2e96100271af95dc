"""A listing gives back what was put in, reads files and archives alike, and has a digest that notices any change."""

from __future__ import annotations

import hashlib
import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from decaf.errors import ImageError
from decaf.images.archives import Archive, open_archive
from decaf.images.decode import DEFAULT_LIMITS, Limits
from decaf.images.find import find_images
from decaf.images.listing import Found, Listing, in_archive, in_folder

_PATHS = st.binary(min_size=1, max_size=12).map(os.fsdecode)
_PICTURES = st.lists(st.tuples(_PATHS, st.none() | st.text(max_size=3)), max_size=20)


def listing(*pictures: tuple[str, str | None]) -> Listing:
    return Listing(Found(path, label) for path, label in pictures)


def write_tar(path: Path, names: list[str]) -> Archive:
    """A tar of small files; each holds its own name and that of the archive."""
    folder = path.with_suffix("")
    with tarfile.open(path, "w") as tar:
        for name in names:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(f"{path.stem} {name}".encode())
            tar.add(file, name)
    opened = open_archive(str(path))
    assert opened is not None
    return opened


@given(pictures=_PICTURES)
@settings(max_examples=60, deadline=None, database=None)
def test_paths_and_labels_are_given_back_in_order(pictures: list[tuple[str, str | None]]) -> None:
    made = listing(*pictures)
    assert list(zip(made.paths, made.labels, strict=True)) == pictures and len(made) == len(pictures)
    assert [(made.path(row), made.label(row)) for row in range(len(made))] == pictures


@given(one=_PICTURES, other=_PICTURES)
@settings(max_examples=60, deadline=None, database=None)
def test_digests_are_equal_for_equal_pictures_only(
    one: list[tuple[str, str | None]], other: list[tuple[str, str | None]]
) -> None:
    assert listing(*one).digest() == listing(*one).digest()
    assert (listing(*one).digest() == listing(*other).digest()) == (one == other)


@pytest.mark.parametrize(
    "changed",
    [
        [("/a", "x"), ("/b", None)],
        [("/b", None), ("/a", None)],
        [("/a", None)],
        [("/a", None), ("/b", None), ("/b", None)],
        [("/a/b", None), ("", None)],
        [("/a", ""), ("/b", None)],
        [("/a", "None"), ("/b", None)],
    ],
)
def test_a_digest_notices_paths_labels_and_their_order(changed: list[tuple[str, str | None]]) -> None:
    assert listing(("/a", None), ("/b", None)).digest() != listing(*changed).digest()


def test_relative_paths_count_from_where_they_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    relative, mixed, absolute = listing(("a", None)), listing(("/b", None), ("a", None)), listing(("/a", None))
    before = relative.digest(), mixed.digest(), absolute.digest()
    monkeypatch.chdir("/")
    assert (relative.digest(), mixed.digest(), absolute.digest()) == before  # where they were listed counts
    assert listing(("a", None)).digest() != before[0]
    assert listing(("/b", None), ("a", None)).digest() != before[1]
    assert listing(("/a", None)).digest() == before[2]


def test_files_and_archives_in_any_order_are_read_right(tmp_path: Path) -> None:
    left, right = write_tar(tmp_path / "left.tar", ["1.png", "2.png"]), write_tar(tmp_path / "right.tar", ["1.png"])
    again = open_archive(left.path)
    assert again is not None
    loose = tmp_path / "loose.png"
    loose.write_bytes(b"loose")
    file = Found(str(loose))
    parts = [[file], in_archive(left), in_archive(right), [file, file], in_archive(again), [file]]
    made = Listing(picture for part in parts for picture in part)
    contents = [b"loose", b"left 1.png", b"left 2.png", b"right 1.png", b"loose", b"loose", b"left 1.png"]
    contents += [b"left 2.png", b"loose"]
    read = [made.read(row, DEFAULT_LIMITS) for row in range(len(made))]
    assert [data for data, _ in read] == contents
    assert [origin.sha256 for _, origin in read] == [hashlib.sha256(data).hexdigest() for data in contents]
    assert made.paths[2:5] == (f"{left.path}/2.png", f"{right.path}/1.png", str(loose))


def test_the_origin_of_a_picture_is_that_of_its_file_or_archive(tmp_path: Path) -> None:
    packed = write_tar(tmp_path / "packed.tar", ["1.png"])
    loose = tmp_path / "loose.png"
    loose.write_bytes(b"12345")
    os.utime(loose, ns=(1, 1_234_567_891_234_567_891))
    made = Listing([Found(str(loose)), *in_archive(packed)])
    for row, path in enumerate([loose, Path(packed.path)]):
        origin, (_, read) = made.origin(row), made.read(row, DEFAULT_LIMITS)
        assert origin is not None and origin.sha256 == ""
        stat = path.stat()
        assert (origin.size, origin.mtime) == (read.size, read.mtime) == (stat.st_size, stat.st_mtime_ns)


@pytest.mark.parametrize("path", ["/nowhere/at/all.png", "a\0b.png", "x" * 5000])
def test_what_is_gone_has_no_origin_and_says_why_when_it_is_read(path: str) -> None:
    made = listing((path, None))
    assert made.origin(0) is None
    with pytest.raises(ImageError, match="cannot be read"):
        made.read(0, DEFAULT_LIMITS)


def test_files_in_folders_and_in_archives_are_read_up_to_the_limit(tmp_path: Path) -> None:
    packed = write_tar(tmp_path / "packed.tar", ["1.png"])
    loose = tmp_path / "loose.png"
    loose.write_bytes(b"packed 1.png")
    made = Listing([Found(str(loose)), *in_archive(packed)])
    for row in range(2):
        assert len(made.read(row, Limits(file=12))[0]) == 12
        with pytest.raises(ImageError, match=r"more than the \S+ that are read"):
            made.read(row, Limits(file=11))


def test_an_archive_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no pictures in .*empty\.tar: name another"):
        list(in_archive(write_tar(tmp_path / "empty.tar", ["notes.md"])))


def test_the_label_of_a_file_is_the_name_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat").mkdir()
    monkeypatch.chdir(tmp_path / "cat")
    for path in ("a.png", "./a.png", "../cat/a.png", str(tmp_path / "cat" / "a.png"), "/else/where/cat/a.png"):
        assert in_folder(path) == Found(path, "cat")


def test_pictures_take_about_75_bytes_each(tmp_path: Path) -> None:
    paths = [f"photos/{number % 100:02d}/{number:05d}.png" for number in range(20_000)]
    tracemalloc.start()
    made = Listing(Found(path, str(number % 100)) for number, path in enumerate(paths))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made) == 20_000 and held < 75 * 20_000


def test_what_is_found_is_what_is_listed(tmp_path: Path) -> None:
    (tmp_path / "dog").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "dog" / "1.png")
    packed = write_tar(tmp_path / "packed.tar", ["2.png"])
    made = find_images([tmp_path / "dog", packed.path])
    assert made.labels[0] == "dog" and made.paths == (str(tmp_path / "dog" / "1.png"), f"{packed.path}/2.png")
    assert made.read(1, DEFAULT_LIMITS)[0] == b"packed 2.png"
