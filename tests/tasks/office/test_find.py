"""Names of domains and classes, and what is recognised below a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from decaf.errors import TaskError
from decaf.tasks.office.find import find_domains
from decaf.tasks.office.names import TEN, THIRTY_ONE, arrow, class_name, domain_name, letters, split_stem
from tests.tasks.office.worlds import write_archive, write_mat, write_pictures, write_surf


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("back_pack", "back_pack"),
        ("backpack", "back_pack"),
        ("003.backpack", "back_pack"),
        ("Laptop", "laptop_computer"),
        ("127.laptop-101", "laptop_computer"),
        ("041.coffee-mug", "mug"),
        ("101.head-phones", "headphones"),
        ("224.touring-bike", "bike"),
        ("Desk Lamp", "desk_lamp"),
        ("Größe <b>", "Größe <b>"),
    ],
)
def test_a_class_has_one_name(folder: str, name: str) -> None:
    assert class_name(folder) == name


def test_the_ten_are_among_the_thirty_one_and_sorted() -> None:
    assert len(THIRTY_ONE) == 31 and set(TEN) <= set(THIRTY_ONE)
    assert list(TEN) == sorted(TEN) and list(THIRTY_ONE) == sorted(THIRTY_ONE)
    assert {class_name(name) for name in THIRTY_ONE} == set(THIRTY_ONE)


def test_domains_are_told_by_their_names() -> None:
    assert [domain_name(one) for one in ("Amazon", "WEBCAM", "Caltech-256", "caltech", "dslr ", "amazonia")] == [
        "amazon", "webcam", "caltech10", "caltech10", "dslr", None,
    ]  # fmt: skip
    assert split_stem("Caltech10_SURF_L10") == ("caltech10", "surf_l10")
    assert split_stem("amazon") == ("amazon", "") and split_stem("webcam-decaf") == ("webcam", "decaf")
    assert split_stem("amazonia") is split_stem("labels") is None
    assert arrow("amazon", "webcam") == "Amazon → Webcam" and letters("dslr", "caltech10") == "D → C"


def test_everything_at_once(tmp_path: Path) -> None:
    write_pictures(tmp_path / "images", {"Amazon": {"mug": 1}, "webcam": {"mug": 1}})
    write_surf(tmp_path / "surf", ("amazon", "dslr"), 2)
    for name in ("dslr", "webcam"):
        write_mat(tmp_path / "decaf6" / f"{name}.mat", name, [3, 3], ("feas", "labels"))
    write_mat(tmp_path / "decaf6" / "dslr_caffenet_fc6_relu.mat", "dslr", [3, 3])
    (tmp_path / "notes.mat").write_bytes(b"not looked at")
    found = find_domains([tmp_path])
    assert [(one.kind, one.name, one.form, list(one.places)) for one in found] == [
        ("pictures", "pictures", "folders", ["amazon", "webcam"]),
        ("surf", "SURF", "files", ["amazon", "dslr"]),
        ("decaf", "DeCAF6", "files", ["dslr", "webcam"]),
        ("other", "caffenet_fc6_relu", "files", ["dslr"]),
    ]


def test_office_31_as_it_unpacks(tmp_path: Path) -> None:
    counts = {"amazon": {"back_pack": 1}, "dslr": {"back_pack": 1}}
    write_pictures(tmp_path / "domain_adaptation_images", counts, images=True)
    write_archive(tmp_path / "features", "interest_points", ("amazon", "dslr"), {"histogram": 800})
    write_archive(tmp_path / "decaf", "decaf-fts", ("amazon", "dslr"), {"fc6": 4})
    found = {one.kind: one for one in find_domains([tmp_path])}
    assert found["pictures"].places["dslr"] == tmp_path / "domain_adaptation_images" / "dslr" / "images"
    assert {kind: one.form for kind, one in found.items()} == {
        "pictures": "folders", "surf": "archive", "decaf": "archive",
    }  # fmt: skip


def test_domains_may_be_named_one_by_one_and_from_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path, {"amazon": {"mug": 1}, "webcam": {"mug": 1}})
    monkeypatch.chdir(tmp_path / "amazon")
    (found,) = find_domains([Path(), Path("../webcam")])
    assert list(found.places) == ["amazon", "webcam"]


def test_what_cannot_be_told_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="nowhere is not a folder: name the one the domains lie in"):
        find_domains([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(TaskError, match="holds no pictures or vectors of amazon, webcam, dslr or caltech10"):
        find_domains([tmp_path / "empty"])
    write_pictures(tmp_path / "one", {"amazon": {"mug": 1}})
    write_pictures(tmp_path / "two", {"Amazon": {"mug": 1}})
    with pytest.raises(TaskError, match=r"amazon is in .*one/amazon and in .*two/Amazon: name one"):
        find_domains([tmp_path / "one", tmp_path / "two"])
    write_surf(tmp_path / "a" / "surf", ("dslr",), 1)
    write_surf(tmp_path / "b" / "SURF", ("webcam",), 1)
    with pytest.raises(TaskError, match="SURF lies in two places"):
        find_domains([tmp_path / "a", tmp_path / "b"])
