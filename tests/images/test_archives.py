"""Pictures in tar and Parquet files: all of them, byte for byte, in order, or a reason in words."""

from __future__ import annotations

import gc
import io
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decaf.errors import ImageError
from decaf.images.archives import Archive, Member, ParquetArchive, TarArchive, open_archive

BLOCK = 512
LARGEST = 2**20
Files = Iterable[tuple[str, bytes]]
_PARQUET: Any = sys.modules[ParquetArchive.__module__]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

_SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


# --- tar ---


def tar_bytes(files: Files, format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, errors="surrogateescape") as tar:
        for name, data in files:
            add(tar, name, data)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    tar.addfile(info, io.BytesIO(data))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE, format: int = tarfile.GNU_FORMAT) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(format)


def with_checksum(block: bytes) -> bytes:
    """The block, its checksum made right."""
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def opened(path: Path, data: bytes | None = None, column: str = "") -> Archive:
    if data is not None:
        path.write_bytes(data)
    archive = open_archive(str(path), column)
    assert archive is not None
    return archive


def contents(archive: Archive) -> list[tuple[str, str | None, bytes]]:
    return [(m.name, m.label, archive.read(m.place, m.size, LARGEST)) for m in archive.members()]


def labels(archive: Archive) -> list[str | None]:
    return [member.label for member in archive.members()]


def reasons(archive: Archive) -> list[str]:
    """Why each picture cannot be read, '' where it can."""

    def reason(member: Member) -> str:
        try:
            archive.read(member.place, member.size, LARGEST)
        except ImageError as error:
            assert "\n" not in str(error)
            return str(error)
        return ""

    return [reason(member) for member in archive.members()]


def refusal(archive: Archive) -> str:
    with pytest.raises(ImageError) as caught:
        list(archive.members())
    assert "\n" not in str(caught.value)
    assert archive.path in str(caught.value)
    return str(caught.value)


_ALL_FORMATS = pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])


@_ALL_FORMATS
def test_tar_gives_every_picture_in_file_order(tmp_path: Path, format: int) -> None:
    files = [("b/2.jpg", b"two"), ("b", b""), ("a/1.PNG", b"one" * 1000), ("a/notes.txt", b"no"), ("top.webp", b"")]
    archive = opened(tmp_path / "x", tar_bytes(files, format))
    assert contents(archive) == [("b/2.jpg", "b", b"two"), ("a/1.PNG", "a", b"one" * 1000), ("top.webp", None, b"")]
    assert contents(archive) == contents(archive)


def test_tar_of_the_seventies_is_told_by_its_checksum(tmp_path: Path) -> None:
    block = with_checksum(header("a.jpg", 3)[:257] + bytes(255))
    assert contents(opened(tmp_path / "x", block + padded(b"abc"))) == [("a.jpg", None, b"abc")]


def test_tar_written_by_the_system(tmp_path: Path) -> None:
    """GNU or BSD tar, from a folder: names begin with ./ and folders are members."""
    (tmp_path / "in" / "cat").mkdir(parents=True)
    (tmp_path / "in" / "cat" / "1.jpg").write_bytes(b"cat")
    (tmp_path / "in" / "2.jpg").write_bytes(b"top")
    try:
        subprocess.run(["tar", "-cf", str(tmp_path / "x.tar"), "-C", str(tmp_path / "in"), "."], check=True)
    except FileNotFoundError:
        pytest.skip("no tar command here")
    found = sorted(contents(opened(tmp_path / "x.tar")))
    assert found == [("./2.jpg", None, b"top"), ("./cat/1.jpg", "cat", b"cat")]


@pytest.mark.parametrize(
    "name",
    [
        *("a\nb.jpg", "../../etc/x.jpg", "/abs/x.jpg", "a/./b//c.jpg", "é🐈.jpg", "x" * 300 + "/y.jpg"),
        *(os.fsdecode(b"\xff\xfe/\xe9.jpg"), os.fsdecode(b"\xff" * 200 + b".jpg"), " .jpg", "a b.JpG"),
    ],
)
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_are_only_names(tmp_path: Path, name: str, format: int) -> None:
    archive = opened(tmp_path / "x.tar", tar_bytes([(name, b"data"), ("z.jpg", b"z")], format))
    assert [(found, data) for found, _, data in contents(archive)] == [(name, b"data"), ("z.jpg", b"z")]
    assert os.listdir(tmp_path) == ["x.tar"]


def test_pax_names_that_are_no_utf8(tmp_path: Path) -> None:
    """As GNU tar writes them: raw bytes, without a word on their charset."""
    record = b" path=" + b"\xff" * 120 + b".jpg\n"
    record = b"%d" % (len(record) + 3) + record
    data = header("h", len(record), tarfile.XHDTYPE) + padded(record) + header("short.jpg", 1) + padded(b"!")
    assert contents(opened(tmp_path / "x", data)) == [(os.fsdecode(b"\xff" * 120 + b".jpg"), None, b"!")]


def test_hidden_files_and_folders_are_no_pictures(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("._a.jpg", "d/._b.jpg", ".jpg"):
            add(tar, name, b"apple")
        add(tar, "folder.jpg", kind=tarfile.DIRTYPE)
        add(tar, ".hidden/c.jpg", b"c")
    assert contents(opened(tmp_path / "x", buffer.getvalue())) == [(".hidden/c.jpg", ".hidden", b"c")]


@pytest.mark.parametrize("kind", [".cls", ".CLS", ".cls.txt"])
@pytest.mark.parametrize("first", [True, False])
def test_the_label_of_a_sample_is_its_cls(tmp_path: Path, kind: str, first: bool) -> None:
    files: list[tuple[str, bytes]] = []
    for index in range(3):
        sample = [(f"train/{index}.left.jpg", b"l"), (f"train/{index}.json", b"{}"), (f"train/{index}.right.png", b"r")]
        sample.insert(0 if first else 3, (f"train/{index}{kind}", f" {index} é\n".encode()))
        files += sample
    assert labels(opened(tmp_path / "x", tar_bytes(files))) == ["0 é", "0 é", "1 é", "1 é", "2 é", "2 é"]


def test_a_sample_is_one_folder_and_one_name(tmp_path: Path) -> None:
    """The same name in another folder is another sample; hidden and nameless files end none."""
    files = [("a/1.cls", b"A"), ("a/._1.jpg", b""), ("a/1.jpg", b""), ("b/1.jpg", b""), ("1.jpg", b""), ("1x.jpg", b"")]
    assert labels(opened(tmp_path / "x", tar_bytes(files))) == ["A", "b", None, None]


@pytest.mark.parametrize(("text", "label"), [(b"", "in"), (b" \n", "in"), (b"x" * 200, "x" * 200), (b"x" * 201, "in")])
def test_what_is_no_class_is_no_label(tmp_path: Path, text: bytes, label: str) -> None:
    assert labels(opened(tmp_path / "x", tar_bytes([("in/1.cls", text), ("in/1.jpg", b"")]))) == [label]


def test_of_two_classes_the_first_counts(tmp_path: Path) -> None:
    files = [("1.cls", b"one"), ("1.jpg", b""), ("1.cls.txt", b"two"), ("1.png", b"")]
    assert labels(opened(tmp_path / "x", tar_bytes(files))) == ["one", "one"]


def test_a_huge_sample_does_not_wait_for_its_label(tmp_path: Path) -> None:
    files = [(f"in/1.{index}.jpg", b"") for index in range(1002)] + [("in/1.cls", b"late")]
    assert labels(opened(tmp_path / "x", tar_bytes(files))) == ["in"] * 1000 + ["late"] * 2


def test_class_bytes_that_are_no_utf8_survive(tmp_path: Path) -> None:
    found = labels(opened(tmp_path / "x", tar_bytes([("1.cls", b"\xff"), ("1.jpg", b"")])))
    assert found == [os.fsdecode(b"\xff")]


def test_a_class_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        add(tar, "1.jpg", b"x")
        add(tar, "1.cls", kind=tarfile.LNKTYPE, link="0.cls")
    assert "label 1.cls" in refusal(opened(tmp_path / "x", buffer.getvalue()))


@pytest.mark.parametrize(
    ("name", "label"),
    [("a/b/1.jpg", "b"), ("1.jpg", None), ("./1.jpg", None), ("/1.jpg", None), ("../1.jpg", None), ("a/./1.jpg", "a")],
)
def test_else_the_label_is_the_folder(tmp_path: Path, name: str, label: str | None) -> None:
    assert labels(opened(tmp_path / "x", tar_bytes([(name, b"")]))) == [label]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"Z"])
def test_what_has_no_data_is_a_row_with_a_reason(tmp_path: Path, kind: bytes) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        add(tar, "0.jpg", b"x")
        add(tar, "1.jpg", kind=kind, link="0.jpg")
        add(tar, "1.txt", kind=kind, link="0.jpg")
        add(tar, "2.jpg", b"x")
    first, second, third = reasons(opened(tmp_path / "x", buffer.getvalue()))
    assert (first, third) == ("", "")
    link = kind in (tarfile.LNKTYPE, tarfile.SYMTYPE)
    assert second.startswith("a link inside its archive: pack" if link else "not a regular file")


def pax(records: dict[str, str], kind: bytes = tarfile.XHDTYPE) -> bytes:
    body = b""
    for key, value in records.items():
        line = f" {key}={value}\n".encode()
        length = next(n for n in range(len(line), len(line) + 20) if n == len(line) + len(str(n)))
        body += str(length).encode() + line
    return header("pax", len(body), kind) + padded(body)


def sparse_members(name: str = "s.jpg", stored: int = 4) -> dict[str, bytes]:
    old = bytearray(header(name, stored, tarfile.GNUTYPE_SPARSE))
    old[386:410] = b"%011o\0%011o\0" % (1024, 4)
    old[483:495] = b"%011o\0" % 1028
    versions = {"0.0": {"GNU.sparse.size": "9", "GNU.sparse.offset": "5", "GNU.sparse.numbytes": "4"}}
    versions["0.1"] = {"GNU.sparse.map": "5,4", "GNU.sparse.size": "9"}
    found = {version: pax(keys) + header(name, 4) + padded(b"data") for version, keys in versions.items()}
    found["old"] = with_checksum(bytes(old)) + padded(b"data")
    found["1.0"] = pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"})
    found["1.0"] += header(name, BLOCK + 4) + padded(b"1\n5\n4\n") + padded(b"data")
    return found


@pytest.mark.parametrize("version", ["old", "0.0", "0.1", "1.0"])
def test_sparse_members_are_refused_and_their_neighbours_read(tmp_path: Path, version: str) -> None:
    data = tar_bytes([("a.jpg", b"a")])[: 2 * BLOCK] + sparse_members()[version] + tar_bytes([("z.jpg", b"z")])
    assert [reason[:17] for reason in reasons(opened(tmp_path / "x", data))] == ["", "stored with holes", ""]


@pytest.mark.parametrize("left", [0, 1, 1999])
def test_a_picture_cut_short_is_a_row_with_a_reason(tmp_path: Path, left: int) -> None:
    whole = tar_bytes([("a.jpg", b"a"), ("b.jpg", bytes(2000)), ("c.jpg", b"c")])
    archive = opened(tmp_path / "x", whole[: 3 * BLOCK + left])
    assert reasons(archive) == ["", f"cut short: its archive ends {2000 - left} bytes too early"]


@pytest.mark.parametrize("name", ["b.json", "b.cls", ".jpg", "b.txt"])
def test_another_file_cut_short_is_an_error(tmp_path: Path, name: str) -> None:
    whole = tar_bytes([("a.jpg", b"a"), (name, bytes(200)), ("c.jpg", b"c")])
    text = refusal(opened(tmp_path / "x", whole[: 3 * BLOCK + 199]))
    assert "damaged at byte 1024 (it ends in the middle of a file)" in text


@pytest.mark.parametrize("end", [2 * BLOCK, BLOCK + 3, BLOCK + 4, 3 * BLOCK - 7])
def test_a_missing_end_of_the_archive_harms_nothing(tmp_path: Path, end: int) -> None:
    whole = tar_bytes([("a.jpg", b"abc")])
    assert contents(opened(tmp_path / "x", whole[:end])) == [("a.jpg", None, b"abc")]
    more = whole[: 2 * BLOCK] + tar_bytes([("a.txt", b"abc")])[:end]
    assert contents(opened(tmp_path / "x", more)) == [("a.jpg", None, b"abc")]
    sparse = whole[: 2 * BLOCK] + sparse_members("s.iso")["old"]
    assert contents(opened(tmp_path / "x", sparse)) == [("a.jpg", None, b"abc")]


def test_other_kinds_of_members_cut_short_are_errors(tmp_path: Path) -> None:
    data = tar_bytes([("a.jpg", b"a")])[: 2 * BLOCK] + header("z", 3 * BLOCK, b"Z") + bytes(2 * BLOCK)
    assert "ends in the middle" in refusal(opened(tmp_path / "x", data))


def test_every_damaged_header_byte_is_noticed(tmp_path: Path) -> None:
    """Whatever byte of a header in the middle is changed, no picture is lost without a word."""
    whole = tar_bytes([("a.jpg", b"a"), ("b.jpg", b"b"), ("c.jpg", b"c")], tarfile.USTAR_FORMAT)
    for byte in range(2 * BLOCK, 3 * BLOCK):
        broken = bytearray(whole)
        broken[byte] ^= 0x55
        archive = opened(tmp_path / "x", bytes(broken))
        if 148 <= byte - 2 * BLOCK < 156:
            continue  # the checksum itself: some of its bytes are padding
        text = refusal(archive)
        assert "damaged at byte 1024 (no header where one belongs): fetch it or pack it again" in text


@pytest.mark.parametrize("junk", [b"x" * BLOCK, b"x" * 100, bytes(511) + b"x", b"x" + bytes(10000)])
def test_junk_where_a_header_belongs_is_an_error(tmp_path: Path, junk: bytes) -> None:
    start = tar_bytes([("a.jpg", b"a")])[: 2 * BLOCK]
    assert "damaged at byte 1024" in refusal(opened(tmp_path / "x", start + junk))
    after_zeros = refusal(opened(tmp_path / "x", start + bytes(BLOCK) + junk))
    assert "damaged at byte 1536" in after_zeros


def test_damage_of_the_first_header_is_an_error(tmp_path: Path) -> None:
    broken = bytearray(tar_bytes([("a.jpg", b"a")]))
    broken[0] ^= 1
    assert "damaged at byte 0" in refusal(opened(tmp_path / "x", bytes(broken)))


@pytest.mark.parametrize("zeros", [0, BLOCK, 2 * BLOCK, 3 * 2**20 + BLOCK])
def test_several_archives_in_one_file_are_all_read(tmp_path: Path, zeros: int) -> None:
    first = tar_bytes([("a.jpg", b"a")])[: 2 * BLOCK]
    archive = opened(tmp_path / "x", first + bytes(zeros) + tar_bytes([("b.jpg", b"b")]))
    assert contents(archive) == [("a.jpg", None, b"a"), ("b.jpg", None, b"b")]


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE])
@pytest.mark.parametrize("size", [2**20 + 1, 2**40, 2**80, -1000])
def test_hostile_headers_take_no_memory(tmp_path: Path, kind: bytes, size: int) -> None:
    archive = opened(tmp_path / "x", header("x", size, kind) + bytes(3 * 2**20))
    tracemalloc.start()
    text = refusal(archive)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "damaged at byte 0 (a header of more than 1048576 bytes)" in text
    assert peak < 2 * 2**20


def test_endless_chains_of_headers_are_an_error(tmp_path: Path) -> None:
    link = header("l", 20, tarfile.GNUTYPE_LONGNAME) + padded(b"n" * 20)
    assert "damaged at byte 0" in refusal(opened(tmp_path / "x", link * 5000 + tar_bytes([("a.jpg", b"")])))
    link = header("l", 400_000, tarfile.GNUTYPE_LONGNAME) + padded(b"n" * 400_000)
    assert "(a header of more than" in refusal(opened(tmp_path / "x", link * 3 + tar_bytes([("a.jpg", b"")])))
    block = pax({"comment": "x" * 900_000}, tarfile.XGLTYPE) + header("a", 0)
    other = block.replace(b"comment", b"xomment")
    assert "global headers of more" in refusal(opened(tmp_path / "x", block + other))


@pytest.mark.parametrize("size", [-BLOCK, -2 * BLOCK, -(2**40)])
@pytest.mark.parametrize("how", ["header", "pax"])
def test_negative_sizes_do_not_go_round_in_circles(tmp_path: Path, size: int, how: str) -> None:
    member = header("b.jpg", size) if how == "header" else pax({"size": str(size)}) + header("b.jpg", 0)
    data = tar_bytes([("a.jpg", b"a")])[: 2 * BLOCK] + member + bytes(2 * BLOCK)
    assert "damaged at byte 1024" in refusal(opened(tmp_path / "x", data))


def test_sparse_members_do_not_go_round_in_circles(tmp_path: Path) -> None:
    data = tar_bytes([("a.jpg", b"a")])[: 2 * BLOCK] + sparse_members(stored=-2 * BLOCK)["old"]
    assert "damaged at byte 1024" in refusal(opened(tmp_path / "x", data))


def test_a_size_beyond_any_disk_is_cut_short(tmp_path: Path) -> None:
    archive = opened(tmp_path / "x", header("a.jpg", 2**80) + bytes(10 * BLOCK))
    (member,) = archive.members()
    assert member.size == 2**63 - 1
    assert reasons(archive)[0].startswith("cut short")


def test_pax_sizes_count(tmp_path: Path) -> None:
    data = pax({"size": "3"}) + header("a.jpg", 0) + padded(b"abc") + header("b.jpg", 1) + padded(b"b")
    assert contents(opened(tmp_path / "x", data)) == [("a.jpg", None, b"abc"), ("b.jpg", None, b"b")]


@pytest.mark.parametrize("records", [{"size": "x"}, {"GNU.sparse.map": "a,b"}, {"GNU.sparse.major": "1"}])
def test_nonsense_in_pax_headers_is_one_line(tmp_path: Path, records: dict[str, str]) -> None:
    minor = {"GNU.sparse.minor": "0"} if "GNU.sparse.major" in records else {}
    data = pax(records | minor) + header("a.jpg", 3) + padded(b"abc") + header("b.jpg", 1) + padded(b"b")
    assert "is damaged at byte" in refusal(opened(tmp_path / "x", data))


@_SHARED
@given(data=st.data())
def test_damage_anywhere_never_escapes_as_another_error(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(
        tar_bytes([("d/a.jpg", b"a" * 600), ("é" * 60 + ".png", b"b"), ("d/a.cls", b"7"), ("c.jpg", b"c")])
    )
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 6 * BLOCK), st.integers(0, 255)), max_size=4)):
        whole[place] = value
    (tmp_path / "x.tar").write_bytes(whole[: data.draw(st.integers(BLOCK, len(whole)))])
    archive = open_archive(str(tmp_path / "x.tar"))
    if archive is None:  # then its very first header is damaged, magic number and all
        assert whole[257:262] != b"ustar"
        return
    try:
        found = reasons(archive)
    except ImageError as error:
        assert "is damaged at byte" in str(error) or "label d/a.cls" in str(error)
        return
    assert all(reason == "" or reason.startswith(("cut short", "a link", "not a reg", "stored")) for reason in found)


def test_tar_reads_no_more_than_the_largest(tmp_path: Path) -> None:
    archive = opened(tmp_path / "x", tar_bytes([("a.jpg", b"abc")]))
    (member,) = archive.members()
    assert archive.read(member.place, member.size, 3) == b"abc"
    with pytest.raises(ImageError, match=r"^3 bytes: more than the 2 that are read$"):
        archive.read(member.place, member.size, 2)


def test_an_empty_archive_has_no_pictures(tmp_path: Path) -> None:
    assert list(opened(tmp_path / "x.TAR", tar_bytes([])).members()) == []
    assert list(opened(tmp_path / "x.tar", bytes(2 * BLOCK)).members()) == []
    (tmp_path / "zeros.jpg").write_bytes(bytes(20 * BLOCK))
    assert open_archive(str(tmp_path / "zeros.jpg")) is None


def change(path: Path, how: str) -> None:
    if how == "gone":
        path.unlink()
    elif how == "replaced":
        shutil.copy2(path, path.parent / "new")
        os.replace(path.parent / "new", path)
    elif how == "longer":
        path.write_bytes(path.read_bytes() + bytes(BLOCK))
    else:
        path.write_bytes(path.read_bytes())
        os.utime(path, (1, 1))


_WORDS = {"gone": "No such file", "replaced": "has changed", "longer": "has changed", "rewritten": "has changed"}
_CHANGES = pytest.mark.parametrize("how", list(_WORDS))


@_CHANGES
def test_a_tar_that_changes_while_it_is_used(tmp_path: Path, how: str) -> None:
    archive = opened(tmp_path / "x", tar_bytes([("a.jpg", b"abc")]))
    (member,) = archive.members()
    change(tmp_path / "x", how)
    with pytest.raises(ImageError, match=rf"^cannot be read \(.*{_WORDS[how]}"):
        archive.read(member.place, member.size, 3)
    assert _WORDS[how] in refusal(archive)


def test_memory_for_a_tar_of_many_members_is_flat(tmp_path: Path) -> None:
    """All of one sample, the worst that can be."""

    def peak(count: int) -> int:
        block = header("same.jpg", 0)
        archive = opened(tmp_path / "x", block * count)
        tracemalloc.start()
        assert sum(1 for _ in archive.members()) == count
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    peak(10)
    assert peak(12_000) < 1.3 * peak(3_000)


def open_files() -> int:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no list of open files here")
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_archives_hold_no_open_files(tmp_path: Path, kind: str) -> None:
    write_parquet(tmp_path / "parquet", [b"a", b"b"])
    (tmp_path / "tar").write_bytes(tar_bytes([("a.jpg", b"a"), ("b.jpg", b"b")]))
    before = open_files()
    many = [opened(tmp_path / kind) for _ in range(20)]
    listings = [archive.members() for archive in many]
    firsts = [next(listing) for listing in listings]
    assert {a.read(m.place, m.size, 9) for a, m in zip(many, firsts, strict=True)} == {b"a"}
    del listings, firsts
    assert open_files() == before


# --- Parquet ---


def write_parquet(path: Path, pictures: Sequence[Any], type: Any = None, **columns: Any) -> Path:
    options = {key: columns.pop(key) for key in ("row_group_size", "compression", "data_page_size") if key in columns}
    meta = columns.pop("metadata", None)
    table = pa.table({"image": pa.array(pictures, type or pa.binary()), **columns})
    with open(path, "wb") as file:
        pq.write_table(table.replace_schema_metadata(meta), file, write_page_checksum=True, **options)
    return path


def hugging_face(**features: Any) -> dict[bytes, bytes]:
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(), IMAGE])
@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_parquet_gives_every_row(tmp_path: Path, kind: Any, compression: str) -> None:
    data = [b"one", b"", b"two" * 1000]
    rows = [{"bytes": value, "path": None} for value in data] if kind is IMAGE else data
    archive = opened(write_parquet(tmp_path / "x", rows, kind, compression=compression))
    assert contents(archive) == [("0", None, data[0]), ("1", None, data[1]), ("2", None, data[2])]
    assert list(archive.members())[2] == Member("2", None, 2, -1)


def test_any_name_will_do(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff s3:\n.jpg")
    assert contents(opened(write_parquet(path, [b"one"]))) == [("0", None, b"one")]


_SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=40)


@_SHARED
@given(
    sizes=_SIZES,
    group=st.integers(1, 20),
    batch=st.integers(1, 200),
    window=st.integers(1, 3),
    order=st.randoms(use_true_random=False),
)
def test_rows_in_any_order(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[int],
    group: int,
    batch: int,
    window: int,
    order: random.Random,
) -> None:
    monkeypatch.setattr(_PARQUET, "_BATCH", batch)
    monkeypatch.setattr(_PARQUET, "_WINDOW", window)
    rows = [bytes([index]) * size for index, size in enumerate(sizes)]
    archive = opened(write_parquet(tmp_path / "x", rows, row_group_size=group))
    asked = order.choices(range(len(rows)), k=60)
    assert [archive.read(row, -1, 40) for row in asked] == [rows[row] for row in asked]


def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The row groups that are begun from now on."""
    groups: list[int] = []
    rows = _PARQUET._Rows
    start: Callable[[Any, int], None] = rows._start

    def counted(self: Any, group: int) -> None:
        groups.append(group)
        start(self, group)

    monkeypatch.setattr(rows, "_start", counted)
    return groups


def test_starting_in_the_middle_skips_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = started(monkeypatch)
    archive = opened(write_parquet(tmp_path / "x", [bytes([row]) for row in range(100)], row_group_size=10))
    assert archive.read(57, -1, 1) == bytes([57])
    assert [archive.read(row, -1, 1)[0] for row in range(50, 100)] == list(range(50, 100))
    assert groups == [5, 6, 7, 8, 9]


def test_rows_left_behind_at_the_end_of_a_row_group_are_not_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_PARQUET, "_BATCH", 1)
    groups = started(monkeypatch)
    archive = opened(write_parquet(tmp_path / "x", [bytes([row]) for row in range(200)], row_group_size=100))
    order = [0, 97, 100, 98, 101, 99, 96]
    assert [archive.read(row, -1, 1)[0] for row in order] == order
    assert groups == [0, 1]
    assert [archive.read(row, -1, 1)[0] for row in (0, 102)] == [0, 102]  # much is left: not worth it
    decoded = [first for first, _ in archive._rows._window]  # type: ignore[attr-defined]
    assert decoded[-4:] == [0, 100, 101, 102]


def test_the_window_grows_until_it_holds_what_the_threads_work_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight threads at 16 rows each, in step."""
    rows = [os.urandom(50) for _ in range(640)]
    monkeypatch.setattr(_PARQUET, "_BATCH", 300)
    groups = started(monkeypatch)
    archive = opened(write_parquet(tmp_path / "x", rows, row_group_size=640))
    for first in range(0, 640, 128):
        for row in (first + 16 * thread + step for step in range(16) for thread in range(8)):
            assert archive.read(row, -1, 50) == rows[row]
    assert 1 < len(groups) <= 4


@pytest.mark.parametrize("block", [1, 16])
def test_threads_read_nearby_rows_and_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    rows = [os.urandom(50) for _ in range(600)]
    monkeypatch.setattr(_PARQUET, "_BATCH", 1000)
    groups = started(monkeypatch)
    archive = opened(write_parquet(tmp_path / "x", rows, row_group_size=600))
    blocks = [range(first, min(first + block, 600)) for first in range(0, 600, block)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda rows: [archive.read(row, -1, 50) for row in rows], blocks))
    assert [data for some in found for data in some] == rows
    assert len(groups) <= 4  # the window grows where threads are far apart


def test_tar_threads_read_the_right_bytes(tmp_path: Path) -> None:
    files = [(f"{index}.jpg", os.urandom(index * 7)) for index in range(200)]
    archive = opened(tmp_path / "x", tar_bytes(files))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda m: archive.read(m.place, m.size, LARGEST), archive.members()))
    assert found == [data for _, data in files]


def test_few_archives_keep_rows_in_memory(tmp_path: Path) -> None:
    kept = [opened(write_parquet(tmp_path / str(index), [b"x" * 1000])) for index in range(12)]
    for archive in kept:
        assert archive.read(0, -1, 1000) == b"x" * 1000
    assert [archive._rows is not None for archive in kept] == [False] * 8 + [True] * 4  # type: ignore[attr-defined]
    kept[-1].close()
    assert kept[-1]._rows is None  # type: ignore[attr-defined]
    assert kept[-1].read(0, -1, 1000) == kept[0].read(0, -1, 1000)


def test_memory_for_a_large_row_group_is_that_of_a_few_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Arrow's own accounts: 192 MB in one row group, in pages of 8 MB."""
    image = [os.urandom(2**16)] * 32
    schema = pa.schema({"image": pa.binary()})
    with pq.ParquetWriter(tmp_path / "x", schema, use_dictionary=False, write_batch_size=32) as writer:
        batch = pa.record_batch([pa.array(image * 4)], schema=schema)
        writer.write_table(pa.Table.from_batches([batch] * 24), row_group_size=2**30)
    assert pq.read_metadata(tmp_path / "x").num_row_groups == 1
    archive = opened(tmp_path / "x")
    reads: list[int] = []
    read = _PARQUET._Source.read
    monkeypatch.setattr(_PARQUET._Source, "read", lambda self, size: reads.append(size) or read(self, size))
    before = pa.total_allocated_bytes()
    peak = 0
    for member in archive.members():
        assert len(archive.read(member.place, member.size, LARGEST)) == 2**16
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert 0 < peak < 70 * 2**20
    assert 0 < max(reads) < 10 * 2**20
    archive.close()
    assert pa.total_allocated_bytes() - before < 2**20


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no picture in this row"),
        ({"bytes": None, "path": None}, "no picture in this row"),
        ({"bytes": None, "path": ""}, "no picture in this row"),
        ({"bytes": None, "path": "a/b\n.jpg"}, r"no bytes in this row, only a path ('a/b\n.jpg')"),
    ],
)
def test_rows_without_bytes(tmp_path: Path, value: Any, reason: str) -> None:
    rows = [{"bytes": b"x", "path": "p"}, value, {"bytes": b"y", "path": "p"}]
    assert reasons(opened(write_parquet(tmp_path / "x", rows, IMAGE))) == ["", reason, ""]


def test_null_bytes_and_structures_without_a_path(tmp_path: Path) -> None:
    assert reasons(opened(write_parquet(tmp_path / "x", [b"x", None]))) == ["", "no picture in this row"]
    rows = [{"bytes": b"x"}, {"bytes": None}]
    kind = pa.struct([("bytes", pa.large_binary())])
    assert reasons(opened(write_parquet(tmp_path / "x", rows, kind))) == ["", "no picture in this row"]


def test_parquet_reads_no_more_than_the_largest(tmp_path: Path) -> None:
    archive = opened(write_parquet(tmp_path / "x", [b"abc"]))
    assert archive.read(0, -1, 3) == b"abc"
    with pytest.raises(ImageError, match=r"^3 bytes: more than the 2 that are read$"):
        archive.read(0, -1, 2)
    for row in (-1, 1):
        with pytest.raises(ImageError, match=f"no row {row} "):
            archive.read(row, -1, 3)


def table_of(path: Path, types: dict[str, Any]) -> Path:
    value = {pa.binary(): b"x", pa.large_binary(): b"x", IMAGE: {"bytes": b"x", "path": None}, pa.string(): "x"}
    columns = {}
    for index, (name, kind) in enumerate(types.items()):
        data = value[kind]
        marked = {**data, "bytes": b"%d" % index} if isinstance(data, dict) else b"%d" % index if data == b"x" else data
        columns[name] = pa.array([marked], kind)
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("types", "column", "found"),
    [
        ({"text": pa.string(), "anything": pa.binary()}, "", b"1"),
        ({"other": pa.binary(), "img": IMAGE}, "", b"1"),
        ({"jpg": pa.binary(), "Image": pa.large_binary(), "img": IMAGE}, "", b"1"),
        ({"jpg": pa.binary(), "image": pa.string(), "bytes": pa.binary()}, "", b"2"),
        ({"jpg": pa.binary(), "image": IMAGE, "mask.png": pa.binary()}, "mask.png", b"2"),
        ({"image": IMAGE, "image.bytes": pa.binary(), "image.path": pa.binary()}, "image", b"0"),
        ({"image.x": pa.binary(), "image": IMAGE}, "image.x", b"0"),
    ],
)
def test_the_column_of_pictures(tmp_path: Path, types: dict[str, Any], column: str, found: bytes) -> None:
    archive = opened(table_of(tmp_path / "x", types), column=column)
    assert archive.read(0, -1, 9) == found


@pytest.mark.parametrize(
    ("types", "column", "words"),
    [
        (
            {"a": pa.binary(), "b": IMAGE, "t": pa.string()},
            "",
            "several columns of bytes: choose one of a, b with --column",
        ),
        (
            {"a": pa.binary(), "b": IMAGE, "t": pa.string()},
            "t",
            "no column t of picture bytes .* one of a, b with --column",
        ),
        ({"a": pa.binary()}, "z", "no column z of picture bytes .* one of a with --column"),
        ({"t": pa.string(), "u": pa.string()}, "", "no column of .* holds bytes of pictures: its columns are t, u"),
        ({"t": pa.string(), "u": pa.string()}, "t", "no column of .* holds bytes of pictures: its columns are t, u"),
    ],
)
def test_no_clear_column_of_pictures(tmp_path: Path, types: dict[str, Any], column: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        opened(table_of(tmp_path / "x", types), column=column)


@pytest.mark.parametrize(
    ("values", "kind", "names", "found"),
    [
        (["cat", "", None], pa.string(), None, ["cat", "", None]),
        (["cat", "", None], pa.large_string(), ["no", "use"], ["cat", "", None]),
        (["cat", "dog", "cat"], pa.dictionary(pa.int8(), pa.string()), None, ["cat", "dog", "cat"]),
        ([0, 7, None], pa.int32(), None, ["0", "7", None]),
        ([1, 0, None], pa.int64(), ["cat", "dog"], ["dog", "cat", None]),
        ([-1, 2, 1], pa.int64(), ["cat", "dog"], [None, "2", "dog"]),
        ([-1, 2, 1], pa.int64(), None, ["-1", "2", "1"]),
        ([True, False, None], pa.bool_(), None, ["True", "False", None]),
        ([0.5, 1.5, None], pa.float64(), None, [None, None, None]),
        ([["a"], [], None], pa.list_(pa.string()), None, [None, None, None]),
    ],
)
def test_labels_of_rows(tmp_path: Path, values: list[Any], kind: Any, names: Any, found: list[str | None]) -> None:
    meta = hugging_face(image={"_type": "Image"}, label={"names": names, "_type": "ClassLabel"}) if names else None
    path = write_parquet(tmp_path / "x", [b""] * 3, label=pa.array(values, kind), metadata=meta)
    assert labels(opened(path)) == found


@pytest.mark.parametrize(
    "meta", [b"{", b"[]", b"{}", b'{"info": {"features": {"label": {"_type": "Value"}}}}', b"\xff"]
)
def test_numbers_without_names_stay_numbers(tmp_path: Path, meta: bytes) -> None:
    path = write_parquet(tmp_path / "x", [b""], label=[1], metadata={b"huggingface": meta})
    assert labels(opened(path)) == ["1"]


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"category": ["e"], "labels": ["b"], "text": ["t"]}, "b"),
        ({"category": ["e"], "cls": ["d"], "class": ["c"]}, "c"),
        ({"labels": [["a", "b"]], "Category": ["e"]}, "e"),
        ({"text": ["t"]}, None),
    ],
)
def test_the_column_of_labels(tmp_path: Path, columns: dict[str, list[Any]], found: str | None) -> None:
    assert labels(opened(write_parquet(tmp_path / "x", [b""], **columns))) == [found]


def test_a_label_for_every_row(tmp_path: Path) -> None:
    archive = opened(write_parquet(tmp_path / "x", [b""] * 3, label=["a"] * 3))
    archive._count = 4  # type: ignore[attr-defined]
    assert "3 labels for 4 rows" in refusal(archive)


def test_labels_are_streamed(tmp_path: Path) -> None:
    values = [f"class {row}" for row in range(10_000)]
    path = write_parquet(tmp_path / "x", [b"x"] * 10_000, label=values, row_group_size=3000)
    assert labels(opened(path)) == values


def test_damage_in_one_row_group_costs_its_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [bytes([row]) * 1000 for row in range(30)]
    write_parquet(tmp_path / "x", rows, row_group_size=10, compression="none")
    data = bytearray((tmp_path / "x").read_bytes())
    place = data.index(bytes([15]) * 1000)
    data[place + 10] ^= 1
    archive = opened(tmp_path / "x", bytes(data))
    groups = started(monkeypatch)
    found = reasons(archive)
    assert found[:10] == found[20:] == [""] * 10
    assert all(
        re.fullmatch(r"cannot be read \(row group 1 of its Parquet file is damaged: .+\)", x) for x in found[10:20]
    )
    assert groups == [0, 1, 2]  # not begun again for each row that is lost
    assert archive.read(9, -1, 1000) == rows[9]
    assert archive.read(25, -1, 1000) == rows[25]


def write_pages(path: Path, rows: list[bytes]) -> Path:
    """One row a page, not compressed, in one row group."""
    table = pa.table({"image": pa.array(rows, pa.binary())})
    options: dict[str, Any] = {"write_batch_size": 1, "data_page_size": 1, "compression": "none"}
    pq.write_table(table, path, use_dictionary=False, write_page_checksum=True, **options)
    return path


def test_rows_before_the_damage_stay_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_PARQUET, "_BATCH", 1)
    monkeypatch.setattr(_PARQUET, "_WINDOW", 1)
    rows = [bytes([row]) * 1000 for row in range(30)]
    data = bytearray(write_pages(tmp_path / "x", rows).read_bytes())
    data[data.rindex(rows[15]) + 10] ^= 1  # before it lie the statistics of its page
    archive = opened(tmp_path / "x", bytes(data))
    assert [bool(reason) for reason in reasons(archive)] == [False] * 15 + [True] * 15
    assert archive.read(3, -1, 1000) == rows[3]


def test_row_groups_shorter_than_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = opened(write_parquet(tmp_path / "x", [b"a"] * 100))
    monkeypatch.setattr(_PARQUET, "_BATCH", 1)
    assert archive.read(2, -1, 1) == b"a"
    archive._rows._batches = iter(())  # type: ignore[attr-defined]
    with pytest.raises(ImageError, match="damaged: it ends too early"):
        archive.read(50, -1, 1)


@_SHARED
@given(data=st.data())
def test_damaged_parquet_is_one_line(tmp_path: Path, data: st.DataObject) -> None:
    rows = [bytes([row]) * 100 for row in range(20)]
    write_parquet(tmp_path / "x", rows, row_group_size=5, label=["é"] * 20)
    whole = bytearray((tmp_path / "x").read_bytes())
    (length,) = struct.unpack("<I", whole[-8:-4])
    for place in data.draw(st.lists(st.integers(4, len(whole) - length - 9), min_size=1, max_size=4)):
        whole[place] ^= data.draw(st.integers(1, 255))
    archive = opened(tmp_path / "x", bytes(whole))
    try:
        found = reasons(archive)
    except ImageError as error:
        assert "is damaged" in str(error) and "\n" not in str(error)
        return
    assert all(reason == "" or reason.startswith("cannot be read (row group") for reason in found)
    for row, reason in enumerate(found):
        assert reason or archive.read(row, -1, 100) == rows[row]


def test_column_names_and_counts_are_checked(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path / "x", [b"x"] * 3, row_group_size=2, label=["l"] * 3).read_bytes()
    with pytest.raises(ImageError, match="is damaged"):
        opened(tmp_path / "x", whole.replace(b"label", b"lab\xff\xff"))
    start = len(whole) - 8 - struct.unpack("<I", whole[-8:-4])[0]
    broken = [
        whole[:place] + b"\x08" + whole[place + 1 :] for place in range(start, len(whole) - 8) if whole[place] == 6
    ]
    texts = []
    for data in broken:  # 6 is the number three as Thrift writes it, 8 four: one of them is that of all rows
        try:
            opened(tmp_path / "x", data)
        except ImageError as error:
            texts.append(str(error))
    assert any("row groups of 3 rows, 4 rows in all" in text for text in texts)


@pytest.mark.parametrize("footer", [b"", b"\x15\x04" + b"\xff" * 30, bytes(40)])
def test_broken_footers_are_one_line(tmp_path: Path, footer: bytes) -> None:
    data = b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"
    with pytest.raises(ImageError, match=r"Parquet file .* is damaged \(.+\): fetch it or write it again$"):
        opened(tmp_path / "x", data)


def test_broken_labels_are_one_line(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x", [b"x"], label=["label"], compression="none")
    data = (tmp_path / "x").read_bytes().replace(b"label", b"\xff\xff\xff\xff\xff", 1)
    assert "is damaged" in refusal(opened(tmp_path / "x", data))


def test_a_cut_parquet_file_is_no_picture(tmp_path: Path) -> None:
    whole = write_parquet(tmp_path / "x", [b"abc"]).read_bytes()
    for end in (4, 8, len(whole) - 1):
        with pytest.raises(ImageError, match="is cut short: fetch or write it again"):
            opened(tmp_path / "x", whole[:end])


@_CHANGES
def test_a_parquet_file_that_changes_while_it_is_used(tmp_path: Path, how: str) -> None:
    path = write_parquet(tmp_path / "x", [b"a", b"b"], label=["l", "m"], row_group_size=1)
    archive, unread = opened(path), opened(path)
    assert archive.read(0, -1, 1) == b"a"
    change(path, how)
    for reader in (archive, unread):
        with pytest.raises(ImageError, match=rf"^cannot be read \(.*{_WORDS[how]}"):
            reader.read(1, -1, 1)
        assert _WORDS[how] in refusal(reader)


def test_a_parquet_file_that_comes_back_is_read_again(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x", [b"a", b"b"], row_group_size=1)
    archive = opened(path)
    os.rename(path, tmp_path / "y")
    assert reasons(archive) == ["cannot be read (No such file or directory)"] * 2
    os.rename(tmp_path / "y", path)
    assert reasons(archive) == ["", ""]


def test_a_parquet_file_that_is_away_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one row group, which is not given up for it."""
    rows = [os.urandom(3 * 2**20) for _ in range(3)]
    monkeypatch.setattr(_PARQUET, "_BATCH", 1)
    archive = opened(write_pages(tmp_path / "x", rows))
    assert archive.read(0, -1, 2**22) == rows[0]
    os.rename(tmp_path / "x", tmp_path / "y")
    with pytest.raises(ImageError, match="No such file"):
        archive.read(1, -1, 2**22)
    os.rename(tmp_path / "y", tmp_path / "x")
    assert archive.read(1, -1, 2**22) == rows[1]


def test_what_pyarrow_reads_from_is_a_file(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x", [b"a"])
    source = _PARQUET._Source(str(path), opened(path)._identity)  # type: ignore[attr-defined]
    assert source.read(2) + source.read(2) == b"PAR1"
    assert source.seek(-2, os.SEEK_CUR) == 2
    assert source.read(2) == b"R1"
    assert source.seek(-4, os.SEEK_END) == source.tell() == path.stat().st_size - 4
    assert (source.read(), source.read(1), source.readable(), source.seekable()) == (b"PAR1", b"", True, True)


# --- which is which ---


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PAR",
        b"\xff\xd8\xff" + bytes(1000),
        b"\x89PNG\r\n\x1a\n" + b"x" * 2000,
        b"text " * 500,
        b"xxxxPAR1",
        b"ustar",
    ],
)
@pytest.mark.parametrize("name", ["x.tar", "x.parquet", "x.jpg"])
def test_other_content_is_no_archive(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert open_archive(str(tmp_path / name)) is None


def test_what_cannot_be_read_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("missing", "fifo", ".", "zero\0byte"):
        assert open_archive(f"{tmp_path}/{name}") is None


@pytest.mark.parametrize("magic", [b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"])
@pytest.mark.parametrize("name", ["x.tar.gz", "x.TGZ", "x.tar.zst", "a\nb.tar.xz", "x.tbz2"])
def test_compressed_archives_are_refused_with_the_remedy(tmp_path: Path, magic: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(magic + bytes(2000))
    with pytest.raises(ImageError, match=r"is a compressed tar archive, which is not read: decompress it first$"):
        open_archive(str(tmp_path / name))


@pytest.mark.parametrize("name", ["x.gz", "x.jpg", "x.tar", "x.tar.d/y.gz"])
def test_other_compressed_files_are_no_archives(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\x1f\x8b\x08" + bytes(2000))
    assert open_archive(str(tmp_path / name)) is None


def test_a_plain_tar_with_a_compressed_name_is_read(tmp_path: Path) -> None:
    assert isinstance(open_archive(str(tmp_path / "x.tar.gz")), type(None))
    assert isinstance(opened(tmp_path / "x.tar.gz", tar_bytes([("a.jpg", b"")])), TarArchive)


# --- everything at once ---

_STEMS = st.sampled_from(["a", "b", "d/a", "d/b", "d/.h", "e/f/a"])
_KINDS = st.sampled_from([".jpg", ".x.PNG", ".cls", ".cls.txt", ".json", ".tar", ""])
_TARS = st.lists(st.tuples(_STEMS, _KINDS, st.binary(max_size=600)), max_size=12)


def expected(files: list[tuple[str, str, bytes]]) -> list[tuple[str, str | None, bytes]]:
    """By the words of the documentation, in the plainest way."""
    seen = [file for file in files if file[1] in (".jpg", ".x.PNG", ".cls", ".cls.txt") and "/." not in file[0]]
    found: list[tuple[str, str | None, bytes]] = []
    for stem, group in groupby(seen, key=lambda file: file[0]):
        sample = list(group)
        texts = (data for _, kind, data in sample if kind.startswith(".cls") and len(data) <= 200)
        words = [text for data in texts if (text := data.decode("utf-8", "surrogateescape").strip())]
        folder = os.path.basename(os.path.dirname(stem)) or None
        label = words[0] if words else folder
        found += [(stem + kind, label, data) for _, kind, data in sample if not kind.startswith(".cls")]
    return found


@_SHARED
@given(files=_TARS, format=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_any_tar(tmp_path: Path, files: list[tuple[str, str, bytes]], format: int) -> None:
    data = tar_bytes([(stem + kind, body) for stem, kind, body in files], format)
    assert contents(opened(tmp_path / "x.tar", data)) == expected(files)
