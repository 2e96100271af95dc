"""Boxes come from any honest CSV file, in its order, to the pictures it names; what is no box is said by line."""

from __future__ import annotations

import csv
import io
import os
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decaf.errors import TableError
from decaf.images.boxes import Box, Boxes
from decaf.images.listing import Found, Listing

PICTURES = ("photos/a.png", "photos/b.png", "photos/sub/c.png")

Read = Callable[..., Boxes]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a CSV file of this content."""

    def read(content: str | bytes, pictures: Sequence[str] = PICTURES, sources: Sequence[str] = ("photos",)) -> Boxes:
        path = tmp_path / "boxes.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Boxes(str(path), Listing(map(Found, pictures)), sources)

    return read


def one_line(refusal: pytest.ExceptionInfo[TableError]) -> str:
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


# What a file says


def test_each_picture_has_its_boxes_in_the_order_of_the_file(read: Read) -> None:
    boxes = read(
        "path,x0,y0,x1,y1,id,label\nb.png,1,2,3,4,one,cat\na.png,5,6,7,8,two,\nb.png,-1.5,0,9e1,.5,three,dog\n"
    )
    assert boxes.of(0) == [Box((5, 6, 7, 8), "two", None)]
    assert boxes.of(1) == [Box((1, 2, 3, 4), "one", "cat"), Box((-1.5, 0, 90, 0.5), "three", "dog")]
    assert boxes.of(2) == [] and boxes.ends.tolist() == [0, 1, 3, 3]
    assert [boxes.box(1, number) for number in range(2)] == boxes.of(1)


def test_boxes_without_an_id_are_numbered_within_their_picture(read: Read) -> None:
    boxes = read("path,x0,y0,x1,y1\na.png,1,1,2,2\nb.png,1,1,2,2\na.png,1,1,3,3\n")
    assert [box.id for box in boxes.of(0)] == ["0", "1"] and [box.id for box in boxes.of(1)] == ["0"]
    mixed = read("path,x0,y0,x1,y1,id\na.png,1,1,2,2,\na.png,1,1,3,3,head\na.png,1,1,4,4,\n")
    assert [box.id for box in mixed.of(0)] == ["0", "head", "2"]


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffpath,x0,y0,x1,y1,id,label\na.png,1,2,3,4,i,l\n",
        "path,x0,y0,x1,y1,id,label\r\na.png,1,2,3,4,i,l\r\n",
        "path,x0,y0,x1,y1,id,label\ra.png,1,2,3,4,i,l\r",
        "path,x0,y0,x1,y1,id,label\na.png,1,2,3,4,i,l",
        "path,x0,y0,x1,y1,id,label\n\na.png,1,2,3,4,i,l\n\n\n",
        '"path","x0","y0","x1","y1","id","label"\n"a.png","1","2","3","4","i","l"\n',
        "label,y1,x1,path,y0,x0,id\nl,4,3,a.png,2,1,i\n",
        "score,path,x0,y0,x1,y1,id,label,note\n.9,a.png,1,2,3,4,i,l,\n",
        "Path, X0,Y0 ,x1,y1,ID,Label\na.png, 1,2 ,3,4,i,l\n",
        "path,x0,y0,x1,y1,id,label\na.png,1.0,2e0,+3,04,i,l,more,than,named\n",
    ],
    ids=["bom", "crlf", "cr", "no end", "blank lines", "quoted", "order", "more columns", "case", "ragged"],
)
def test_csv_files_of_all_kinds_say_the_same(read: Read, content: str) -> None:
    assert read(content).of(0) == [Box((1, 2, 3, 4), "i", "l")]


@pytest.mark.parametrize(
    "name", ["a,b.png", 'say "a".png', "new\nline.png", "carriage\r\nreturn.png", " a .png", "あ.png"]
)
def test_any_name_can_be_quoted(read: Read, name: str) -> None:
    line = io.StringIO()
    csv.writer(line).writerow([name, 1, 2, 3, 4])
    boxes = read("path,x0,y0,x1,y1\n" + line.getvalue(), [f"photos/{name}"])
    assert [box.corners for box in boxes.of(0)] == [(1, 2, 3, 4)]


def test_names_that_are_no_utf8_are_found(read: Read) -> None:
    name = b"photos/\xff\xe9.png"
    boxes = read(b"path,x0,y0,x1,y1,id\n" + name + b",1,2,3,4,\xe9\n", [os.fsdecode(name)])
    assert boxes.of(0) == [Box((1, 2, 3, 4), "\udce9", None)]


def test_values_that_no_picture_has_are_left_for_its_row_to_say(read: Read) -> None:
    assert repr(read("path,x0,y0,x1,y1\na.png,nan,inf,-inf,1\n").of(0)[0].corners) == "(nan, inf, -inf, 1.0)"


# What is refused


@pytest.mark.parametrize("column", ["path", "x0", "y0", "x1", "y1"])
def test_a_missing_column_is_named(read: Read, column: str) -> None:
    names = [name for name in ("path", "x0", "y0", "x1", "y1") if name != column]
    first = ",".join(names)
    says = rf"boxes\.csv has no column {column}: its first line is '{first}': write path,x0,y0,x1,y1"
    with pytest.raises(TableError, match=says) as refusal:
        read(first + "\na.png,1,2,3\n")
    one_line(refusal)


@pytest.mark.parametrize(
    "line",
    ["a.png,1,2,3,four", "a.png,1,2,3,", "a.png,1,2,3", "a.png", '"a.png,1,2,3,4', 'a.png,"1,5",2,3,4', ",1,2,3,4"],
)
def test_a_line_that_is_no_box_is_named(read: Read, line: str) -> None:
    start = 'path,x0,y0,x1,y1\na.png,1,2,3,4\n\n"new\nline.png",1,2,3,4\n'
    with pytest.raises(TableError, match=r"boxes\.csv line 6 is no box: it needs a path and four numbers") as refusal:
        read(start + line)
    one_line(refusal)


def test_an_endless_field_is_no_csv(read: Read) -> None:
    with pytest.raises(TableError, match=r"boxes\.csv is no CSV file \(field larger"):
        read("path,x0,y0,x1,y1\n" + "a" * 200_000)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no column path"),
        ("\n\n", "has no column path"),
        ("path,x0,y0,x1,y1\n", r"names none of the pictures \(no box at all\)"),
        ("path;x0;y0;x1;y1\n", "has no column path: its first line is 'path;x0;y0;x1;y1': write path,x0,"),
        (b"\xff\xfep\0a\0t\0h\0", "is not text in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "has no column path"),
    ],
)
def test_a_file_without_boxes_is_refused(read: Read, content: str | bytes, says: str) -> None:
    with pytest.raises(TableError, match=says) as refusal:
        read(content)
    one_line(refusal)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path, says in ((tmp_path, "Is a directory"), (tmp_path / "none.csv", "No such file")):
        with pytest.raises(TableError, match=rf"cannot read {path} \({says}") as refusal:
            Boxes(str(path), Listing(map(Found, PICTURES)), ["photos"])
        one_line(refusal)


@pytest.mark.parametrize("ids", [("head", "head"), ("1", ""), ("0", "0")])
def test_two_boxes_of_one_name_in_a_picture_are_refused(read: Read, ids: tuple[str, str]) -> None:
    lines = [f"photos/b.png,1,1,2,2,{name}" for name in ids]
    with pytest.raises(TableError, match=rf"two boxes '{ids[0]}' of photos/b\.png: give each an id of its own"):
        read("\n".join(["path,x0,y0,x1,y1,id", *lines]))


def test_pictures_may_have_boxes_of_the_same_name(read: Read) -> None:
    boxes = read("path,x0,y0,x1,y1,id\na.png,1,1,2,2,head\nb.png,1,1,2,2,head\n")
    assert [boxes.of(picture)[0].id for picture in (0, 1)] == ["head", "head"]


# Which picture is meant


@pytest.mark.parametrize(
    ("listed", "source", "written"),
    [
        ("photos/a.png", "photos", "a.png"),
        ("photos/a.png", "photos", "photos/a.png"),
        ("photos/a.png", "photos", "./photos//a.png"),
        ("photos/a.png", "photos", "x/../a.png"),
        ("photos/sub/a.png", "photos/", "sub/a.png"),
        ("./photos/a.png", "./photos", "a.png"),
        ("./photos/a.png", "./photos", "photos/a.png"),
        ("../photos/a.png", "../photos", "a.png"),
        ("../photos/a.png", "../photos", "../photos/a.png"),
        ("./a.png", ".", "a.png"),
        ("/data/photos/a.png", "/data/photos", "a.png"),
        ("/data/photos/a.png", "/data/photos", "/data/photos/a.png"),
        ("/a.png", "/", "a.png"),
        ("photos/a.png", "photos/a.png", "photos/a.png"),
        ("photos/a.png", "list.txt", "photos/a.png"),
        ("photos.txt/a.png", "photos.txt", "a.png"),
        ("birds.tar/sub/a.png", "birds.tar", "sub/a.png"),
        ("birds.tar/sub/a.png", "birds.tar", "birds.tar/sub/a.png"),
        ("birds.parquet/7", "birds.parquet", "7"),
    ],
)
def test_a_picture_is_found_as_it_is_listed_or_seen_from_its_source(
    read: Read, listed: str, source: str, written: str
) -> None:
    boxes = read(f"path,x0,y0,x1,y1\n{written},1,2,3,4\n", [listed], [source])
    assert [box.corners for box in boxes.of(0)] == [(1, 2, 3, 4)] and boxes.unused == ()


@pytest.mark.parametrize("written", ["a.pn", "A.PNG", "otos/a.png", "png", "b/../../a.png"])
def test_a_name_that_is_merely_alike_is_another(read: Read, written: str) -> None:
    boxes = read(f"path,x0,y0,x1,y1\nb.png,1,2,3,4\n{written},1,2,3,4\n")
    assert boxes.of(0) == [] and len(boxes.unused) == 1


def test_a_path_that_fits_two_pictures_is_refused(read: Read) -> None:
    pictures, sources = ["left/a.png", "right/a.png"], ["left", "right"]
    with pytest.raises(TableError, match=r"a\.png in .*boxes\.csv fits left/a\.png and right/a\.png: write the whole"):
        read("path,x0,y0,x1,y1\na.png,1,2,3,4\n", pictures, sources)
    whole = read("path,x0,y0,x1,y1\nright/a.png,1,2,3,4\n", pictures, sources)
    assert whole.ends.tolist() == [0, 0, 1]


def test_a_picture_listed_twice_has_its_boxes_twice(read: Read) -> None:
    boxes = read("path,x0,y0,x1,y1\na.png,1,2,3,4\n", ["photos/a.png", "./photos/a.png"], ["photos", "./photos"])
    assert boxes.of(0) == boxes.of(1) != []


def test_a_picture_written_in_two_ways_keeps_the_order_of_the_file(read: Read) -> None:
    names = [f"{number}.png" for number in range(20)]
    lines = [f"{prefix}{name},{x},0,9,9" for x, prefix in enumerate(["photos/", "", "./", ""]) for name in names]
    boxes = read("\n".join(["path,x0,y0,x1,y1", *lines]), [f"photos/{name}" for name in names])
    for picture in range(20):
        assert [(box.corners[0], box.id) for box in boxes.of(picture)] == [(0, "0"), (1, "1"), (2, "2"), (3, "3")]


def test_paths_that_fit_no_picture_are_told_once_each(read: Read) -> None:
    boxes = read("path,x0,y0,x1,y1\ngone.png,1,2,3,4\na.png,1,2,3,4\nold/b.png,1,2,3,4\ngone.png,5,6,7,8\n")
    assert boxes.unused == ("gone.png", "old/b.png")


def test_boxes_that_all_fit_no_picture_are_refused(read: Read) -> None:
    with pytest.raises(
        TableError, match=r"names none of the pictures \(img/a\.png\): write paths as the sources"
    ) as no:
        read("path,x0,y0,x1,y1\nimg/a.png,1,2,3,4\n")
    one_line(no)


# Whole files

_WRITTEN = [*PICTURES, "a.png", "b.png", "sub/c.png", "./photos/a.png", "sub/../b.png", "gone.png", 'q",\n.png']
_NUMBERS = st.floats(width=32)


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, Box]]]:
    """The bytes of a CSV file, and what it says."""
    rows = draw(
        st.lists(st.tuples(st.sampled_from(_WRITTEN), *[_NUMBERS] * 4, st.booleans(), st.text("lé,", max_size=2)))
    )
    columns = draw(st.permutations(["path", "x0", "y0", "x1", "y1", "id", "label", "note"]))
    end, quoting = draw(st.sampled_from(["\n", "\r\n"])), draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator=end, quoting=quoting)
    writer.writeheader()
    says = []
    for number, (path, x0, y0, x1, y1, named, label) in enumerate(rows):
        name = f"id {number}" if named else ""
        writer.writerow({"path": path, "x0": x0, "y0": y0, "x1": x1, "y1": y1, "id": name, "label": label, "note": "x"})
        says.append((os.path.normpath(path), Box((x0, y0, x1, y1), name, label or None)))
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.getvalue().encode(), says


@given(table=tables())
@settings(max_examples=150, deadline=None, database=None)
def test_every_file_says_what_was_written_into_it(tmp_path_factory: pytest.TempPathFactory, table: Any) -> None:
    content, says = table
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    expected = [
        [box for name, box in says if name in (picture, picture.removeprefix("photos/"))] for picture in PICTURES
    ]
    expected = [[box._replace(id=box.id or str(n)) for n, box in enumerate(boxes)] for boxes in expected]
    listing = Listing(map(Found, PICTURES))
    if not any(expected):
        with pytest.raises(TableError, match="names none of the pictures"):
            Boxes(str(path), listing, ["photos"])
        return
    boxes = Boxes(str(path), listing, ["photos"])
    assert repr([boxes.of(picture) for picture in range(len(PICTURES))]) == repr(expected)
    known = {*PICTURES, *(picture.removeprefix("photos/") for picture in PICTURES)}
    assert set(boxes.unused) == {name for name, _ in says} - known


def _many(pictures: int, each: int) -> str:
    lines = (f"{n:05d}.png,{i},2.5,{i + 9.25},40,part{i},bird{n % 50}\n" for n in range(pictures) for i in range(each))
    return "path,x0,y0,x1,y1,id,label\n" + "".join(lines)


@pytest.mark.parametrize(("pictures", "each"), [(10_000, 10), (10, 10_000)])
def test_a_hundred_thousand_boxes_are_read_in_seconds(read: Read, pictures: int, each: int) -> None:
    started = time.process_time()
    boxes = read(_many(pictures, each), [f"photos/{number:05d}.png" for number in range(pictures)])
    last = Box((each - 1, 2.5, each + 8.25, 40), f"part{each - 1}", f"bird{(pictures - 1) % 50}")
    assert boxes.box(pictures - 1, each - 1) == last
    assert boxes.ends[-1] == 100_000 and time.process_time() - started < 4


def test_boxes_take_little_memory(read: Read) -> None:
    content, pictures = _many(1000, 10), [f"photos/{number:05d}.png" for number in range(1000)]
    tracemalloc.start()
    boxes = read(content, pictures)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert boxes.ends[-1] == 10_000 and held < 130 * 10_000 and peak < 260 * 10_000
