"""What a source names is found whole, in one order, with its labels, whatever the names and the links."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from tests.conftest import ordinary_user

from decaf.errors import ImageError
from decaf.images.find import SUFFIXES, find_images
from decaf.images.listing import Found, Listing

# Bytes that sort, print, split or decode badly; a name never starts with the dot that hides it.
_ASCII = [b"a", b"B", b"0", b" ", b"\n", b"\r", b"\t", b"-", b"~", b"*", b"'", b"\\", b"\x7f"]
_NOT_ASCII = [b"\xff", b"\xe2\x80", "é".encode(), "\uff21".encode(), "🐈".encode()]
_PIECES = st.sampled_from(_ASCII + _NOT_ASCII)
_NAMES = st.lists(_PIECES, min_size=1, max_size=6).map(b"".join)
_FILES = st.tuples(
    st.lists(_NAMES, max_size=3),
    st.builds(lambda name, suffix: name + suffix, _NAMES, st.sampled_from([b".jpg", b".PNG", b".x.jpeg"])),
).map(lambda parts: b"/".join([*parts[0], parts[1]]))

_PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=5)
_ROWS = st.lists(st.tuples(_PATHS | st.binary(min_size=1, max_size=3).map(os.fsdecode), st.booleans()), max_size=4)

Rows = list[tuple[str, str | None]]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def below(folder: Path, listing: Listing) -> list[str]:
    return [os.path.relpath(path, folder) for path in listing.paths]


def listed(pictures: list[tuple[str, bool]]) -> Listing:
    """Paths with a label or without."""
    return Listing(Found(path, "label" if labelled else None) for path, labelled in pictures)


def rows(listing: Listing) -> Rows:
    """Paths and labels side by side."""
    assert len(listing) == len(listing.paths) == len(listing.labels)
    assert all(listing.path(row) == path for row, path in enumerate(listing.paths))
    assert all(listing.label(row) == label for row, label in enumerate(listing.labels))
    return list(zip(listing.paths, listing.labels, strict=True))


def reason(source: Any) -> str:
    """The message of the ImageError, known to be one line."""
    with pytest.raises(ImageError) as caught:
        find_images(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@settings(max_examples=100, deadline=None, database=None)
@given(st.sets(_FILES, min_size=1, max_size=12))
def test_folder_is_listed_whole_in_the_order_of_its_bytes(files: set[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            path = Path(os.fsdecode(os.path.join(os.fsencode(folder), file)))
            try:
                touch(path)
            except OSError:  # some file systems take only UTF-8
                reject()
        listing = find_images(folder)
    expected = sorted(os.fsencode(folder) + b"/" + file for file in files)
    assert [os.fsencode(path) for path in listing.paths] == expected
    assert listing.labels == tuple(os.fsdecode(path.split(b"/")[-2]) for path in expected)


def test_order_is_neither_natural_nor_of_letters(tmp_path: Path) -> None:
    names = ["10.jpg", "2.jpg", "B.jpg", "a b/1.jpg", "a.jpg", "a/1.jpg", "b.jpg", "é.jpg", "\uff21.jpg", "\udcff.jpg"]
    try:
        touch(*(tmp_path / name for name in reversed(names)))
    except OSError:
        pytest.skip("the file system takes only UTF-8")
    assert below(tmp_path, find_images(tmp_path)) == names


def test_label_is_the_folder_a_picture_lies_in(tmp_path: Path) -> None:
    touch(tmp_path / "deep" / "cat" / "1.jpg", tmp_path / "dog" / "2.jpg", tmp_path / "3.jpg")
    assert find_images(tmp_path).labels == (tmp_path.name, "cat", "dog")


@pytest.mark.parametrize("source", ["flat", "flat/", "flat/../flat", "./flat"])
def test_flat_folder_has_its_own_name_as_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    touch(tmp_path / "flat" / "1.jpg")
    monkeypatch.chdir(tmp_path)
    assert rows(find_images(source)) == [(os.path.join(source, "1.jpg"), "flat")]


def test_current_folder_has_its_own_name_as_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "flat" / "1.jpg")
    monkeypatch.chdir(tmp_path / "flat")
    assert rows(find_images(".")) == [("./1.jpg", "flat")]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".JPG", ".Png"])
def test_pictures_of_a_folder_are_known_by_their_suffix(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path / f"1{suffix}", tmp_path / "notes.txt", tmp_path / "1.jpg.bak", tmp_path / "jpg", tmp_path / "2.ppm")
    assert below(tmp_path, find_images(tmp_path)) == [f"1{suffix}"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    touch(
        tmp_path / ".1.jpg",
        tmp_path / ".trash" / "2.jpg",
        tmp_path / "a" / ".cache" / "b" / "3.jpg",
        tmp_path / "4.jpg",
    )
    assert below(tmp_path, find_images(tmp_path)) == ["4.jpg"]


def test_hidden_things_that_are_named_are_taken(tmp_path: Path) -> None:
    touch(tmp_path / ".hidden" / "1.jpg", tmp_path / ".2.jpg")
    listing = find_images([tmp_path / ".hidden", tmp_path / ".2.jpg"])
    assert below(tmp_path, listing) == [".hidden/1.jpg", ".2.jpg"]
    assert listing.labels == (".hidden", None)


@pytest.mark.parametrize("name", ["1.jpg", "picture", "1.gif", "no suffix.", ".txt.jpg"])
def test_named_file_is_taken_whatever_its_name_without_a_label(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name)
    assert rows(find_images(tmp_path / name)) == [(str(tmp_path / name), None)]


@pytest.mark.parametrize("name", ["list.txt", "LIST.TXT"])
def test_list_gives_a_path_a_line_without_labels(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"b.jpg\r\n\r\n \t\n\n a b.png \n\xff\xc3\xa9.jpg\r\nb.jpg\n/abs/last")
    expected = ["b.jpg", " a b.png ", os.fsdecode(b"\xff\xc3\xa9.jpg"), "b.jpg", "/abs/last"]
    assert rows(find_images(tmp_path / name)) == [(path, None) for path in expected]


def test_folder_named_like_a_list_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path / "list.txt" / "1.jpg")
    assert find_images(tmp_path / "list.txt").labels == ("list.txt",)


def test_sources_follow_one_another_and_may_repeat(tmp_path: Path) -> None:
    touch(tmp_path / "z" / "1.jpg", tmp_path / "a" / "2.jpg", tmp_path / "3.jpg")
    (tmp_path / "list.txt").write_text("4.jpg\n")
    z, a, file, listed = (tmp_path / name for name in ("z", "a", "3.jpg", "list.txt"))
    listing = find_images([z, str(file), a, z, listed, file])
    expected = [(z / "1.jpg", "z"), (file, None), (a / "2.jpg", "a"), (z / "1.jpg", "z"), ("4.jpg", None), (file, None)]
    assert rows(listing) == [(str(path), label) for path, label in expected]


def test_linked_folder_is_followed_under_the_name_of_the_link(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "1.jpg", tmp_path / "photos" / "2.jpg")
    (tmp_path / "photos" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "3.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    listing = find_images(tmp_path / "photos")
    assert below(tmp_path, listing) == ["photos/2.jpg", "photos/3.jpg", "photos/cat/1.jpg"]
    assert listing.labels == ("photos", "photos", "cat")


def test_link_to_a_folder_beside_it_is_followed_too(tmp_path: Path) -> None:
    touch(tmp_path / "b" / "deep" / "1.jpg")
    (tmp_path / "a").symlink_to("b/deep")
    (tmp_path / "c").symlink_to("b/deep")
    assert below(tmp_path, find_images(tmp_path)) == ["a/1.jpg", "b/deep/1.jpg", "c/1.jpg"]


@pytest.mark.parametrize("target", [".", "..", "../..", "../b"])
def test_loops_of_links_end_and_lose_nothing(tmp_path: Path, target: str) -> None:
    touch(tmp_path / "a" / "deep" / "1.jpg", tmp_path / "a" / "b" / "2.jpg")
    (tmp_path / "a" / "deep" / "loop").symlink_to(target)
    (tmp_path / "a" / "b" / "back").symlink_to("../deep")
    found = below(tmp_path, find_images(tmp_path))
    assert {"a/deep/1.jpg", "a/b/2.jpg"} <= set(found)
    assert len(found) == len(set(found)) <= 6


def _mutual(folder: Path) -> None:
    (folder / "a" / "to_b").symlink_to("../b")
    (folder / "b" / "to_a").symlink_to("../a")


def _inward(folder: Path) -> None:
    (folder / "shortcut").symlink_to("a")
    (folder / "z").symlink_to("b/deep")


class _Entries:
    """What os.scandir gives, in a chosen order."""

    def __init__(self, entries: list[Any]) -> None:
        self._left = iter(entries)

    def __iter__(self) -> Iterator[Any]:
        return self._left

    def __next__(self) -> Any:
        return next(self._left)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@pytest.mark.parametrize("links", [_mutual, _inward])
def test_listing_does_not_depend_on_the_order_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: Callable[[Path], None]
) -> None:
    touch(tmp_path / "a" / "1.jpg", tmp_path / "b" / "deep" / "2.jpg")
    links(tmp_path)
    scandir = os.scandir
    listings = []
    for reverse in (False, True):
        scanned: list[str] = []

        def ordered(path: str, reverse: bool = reverse, scanned: list[str] = scanned) -> _Entries:
            scanned.append(path)
            with scandir(path) as entries:
                return _Entries(sorted(entries, key=lambda entry: entry.name, reverse=reverse))

        monkeypatch.setattr(os, "scandir", ordered)
        listings.append(below(tmp_path, find_images(tmp_path)))
        assert scanned
    assert listings[0] == listings[1]


def test_broken_links_among_pictures_are_listed(tmp_path: Path) -> None:
    touch(tmp_path / "2.jpg")
    (tmp_path / "1.jpg").symlink_to("nowhere")
    (tmp_path / "3.jpg").symlink_to("3.jpg")
    assert below(tmp_path, find_images(tmp_path)) == ["1.jpg", "2.jpg", "3.jpg"]
    assert find_images(tmp_path / "1.jpg").labels == (None,)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.jpg", "nowhere.txt", "a\0b.jpg"])
def test_missing_source_is_named(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "1.jpg")
    missing = str(tmp_path / name)
    assert missing in reason(missing)
    assert missing in reason([tmp_path / "1.jpg", missing])


@pytest.mark.parametrize("others", [(), ("notes.txt", ".hidden.jpg", ".trash/1.jpg")])
def test_folder_without_pictures_is_named(tmp_path: Path, others: tuple[str, ...]) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    touch(full / "1.jpg", *(empty / other for other in others))
    assert str(empty) in reason(empty)
    assert str(empty) in reason([full, empty])


@pytest.mark.parametrize("text", [b"", b"\n\r\n  \n"])
def test_empty_list_file_is_named(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "list.txt").write_bytes(text)
    assert str(tmp_path / "list.txt") in reason(tmp_path / "list.txt")


def test_no_sources_at_all_are_an_error() -> None:
    assert "empty list" in reason([])


# Without r a folder cannot be listed; without x what is listed cannot be looked at.
@pytest.mark.parametrize("mode", [0o000, 0o311, 0o644])
def test_closed_folder_is_named(public_folder: Path, mode: int) -> None:
    touch(public_folder / "closed" / "deep" / "1.jpg", public_folder / "open" / "2.jpg")
    (public_folder / "closed").chmod(mode)
    with ordinary_user():
        assert len(find_images(public_folder / "open")) == 1
        assert str(public_folder / "closed") in reason(public_folder)


def test_closed_list_is_named(public_folder: Path) -> None:
    (public_folder / "list.txt").write_text("1.jpg\n")
    (public_folder / "list.txt").chmod(0)
    with ordinary_user():
        assert str(public_folder / "list.txt") in reason(public_folder / "list.txt")


def test_link_in_a_closed_folder_is_named(public_folder: Path) -> None:
    touch(public_folder / "closed" / "1.jpg")
    (public_folder / "closed" / "2.jpg").symlink_to("1.jpg")
    (public_folder / "closed").chmod(0o644)
    with ordinary_user():
        assert str(public_folder / "closed") in reason(public_folder)


def test_very_deep_folders_are_searched_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depth = 1200  # more than Python lets functions call one another
    monkeypatch.chdir(tmp_path)
    for _ in range(depth):
        os.mkdir("a")
        os.chdir("a")
    touch(Path("1.jpg"))
    try:
        assert len(find_images(tmp_path)) == 1
    except ImageError as error:
        assert str(tmp_path) in str(error)
    finally:  # by hand, as shutil.rmtree gives up too
        os.unlink("1.jpg")
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("a")


def test_labels_stay_when_the_program_goes_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "cat" / "1.jpg")
    monkeypatch.chdir(tmp_path / "cat")
    listing = find_images(".")
    monkeypatch.chdir("/")
    assert listing.labels == ("cat",)


@settings(max_examples=300, deadline=None, database=None)
@given(_ROWS, _ROWS)
def test_digests_differ_where_listings_do(some: list[tuple[str, bool]], others: list[tuple[str, bool]]) -> None:
    assert (listed(some).digest() == listed(others).digest()) == (some == others)


@pytest.mark.parametrize(
    "other",
    [
        [("b", True), ("a", False)],
        [("a", False), ("b", True)],
        [("a", False), ("b", False)],
        [("a", True), ("c", False)],
        [("ab", True), ("", False)],
        [("", True), ("ab", False)],
        [("a", True)],
        [("a", True), ("b", False), ("b", False)],
        [],
    ],
)
def test_digest_changes_with_path_order_label_and_length(other: list[tuple[str, bool]]) -> None:
    digest = listed([("a", True), ("b", False)]).digest()
    assert re.fullmatch("[0-9a-f]{16}", digest)
    assert listed([("a", True), ("b", False)]).digest() == digest != listed(other).digest()


def test_digest_changes_with_the_label_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {}
    for folder in ("cat", "dog"):
        touch(tmp_path / folder / "1.jpg")
        monkeypatch.chdir(tmp_path / folder)
        listing = find_images(".")
        digests[rows(listing)[0]] = listing.digest()
    assert list(digests) == [("./1.jpg", "cat"), ("./1.jpg", "dog")]
    assert len(set(digests.values())) == 2


def test_digest_tells_a_named_picture_from_a_found_one(tmp_path: Path) -> None:
    touch(tmp_path / "1.jpg")
    named, found = find_images(tmp_path / "1.jpg"), find_images(tmp_path)
    assert named.paths == found.paths
    assert named.digest() != found.digest()
