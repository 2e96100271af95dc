"""Groups of classes: tables, WordNet, and which is taken unasked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from decaf.errors import TableError, UnknownName
from decaf.nets.labels import ilsvrc_labels, ilsvrc_synsets
from decaf.tasks import caltech101
from decaf.tasks.grouping import CUT, TABLES, known_groups, read_groups, readable


def classes() -> list[str]:
    return list(ilsvrc_synsets())[:1000]


def test_every_class_leads_to_the_top_of_wordnet() -> None:
    synsets = ilsvrc_synsets()
    assert [synsets[name].words for name in classes()] == list(ilsvrc_labels())
    assert all(above in synsets for synset in synsets.values() for above in synset.above)
    tops = [name for name, synset in synsets.items() if not synset.above]
    assert [synsets[name].words for name in tops] == ["entity"]


@pytest.mark.parametrize(
    ("node", "first", "last", "count"),
    [  # the list of classes is in this order: goldfish 1, Chihuahua 151, African hunting dog 275, panda 388
        ("dog", 151, 268, 118),
        ("bird", 7, 146, 59),
        ("fish", 0, 397, 16),
        ("animal", 0, 397, 398),
    ],
)
def test_nodes_have_the_classes_everyone_counts(node: str, first: int, last: int, count: int) -> None:
    of = read_groups(f"wordnet:{node}").of
    numbers = [number for number, name in enumerate(classes()) if of.get(name) == node]
    assert (numbers[0], numbers[-1], len(numbers)) == (first, last, count)


def test_the_nearest_node_wins() -> None:
    of = read_groups("wordnet:dog,hunting dog,animal").of
    assert of["n02085620"] == "dog" and of["n02088094"] == "hunting dog" and of["n01440764"] == "animal"
    assert of["tench, Tinca tinca"] == "animal" and of["Afghan hound, Afghan"] == "hunting dog"
    assert read_groups("wordnet:n02084071").of["n02085620"] == "n02084071"


def test_the_usual_cut_covers_nearly_all_and_no_group_is_the_rest() -> None:
    of = read_groups("wordnet").of
    counts = Counter(of.get(name) for name in classes())
    assert len(counts) == len(CUT) + 1 and counts[None] < 30 and max(counts.values()) < 300
    assert counts["dog"] == 118 and counts["mammal, no dog"] == 100 and counts["bird"] == 59


def test_tables_name_each_class_once() -> None:
    folder = Path(read_groups.__code__.co_filename).parent / "groups"
    for name, (n_labels, n_groups) in {"caltech101": (101, 11), "sun397": (397, 3)}.items():
        lines = (folder / f"{name}.csv").read_text().splitlines()
        of = read_groups(name).of
        assert len(lines) - 1 == len(of) == n_labels and len(set(of.values())) == n_groups
    assert set(TABLES) == {path.stem for path in folder.glob("*.csv")}
    assert caltech101.BACKGROUND not in read_groups("caltech101").of


def test_a_table_is_taken_where_it_knows_nine_in_ten() -> None:
    labels = [*list(read_groups("caltech101").of)[:18], "BACKGROUND_Google", None]
    paths = [f"x/{label}/1.jpg" for label in labels]
    found = known_groups(paths, labels)
    assert found is not None and found.name == "caltech101"
    assert known_groups([*paths, "a/b/c.jpg", "a/d/c.jpg"], [*labels, "b", "d"]) is None
    assert known_groups(["a/b.jpg"], [None]) is None and known_groups(["cup/b.jpg"], ["cup"]) is None
    wnids = classes()[::50]
    found = known_groups([f"val/{name}/1.jpg" for name in wnids], wnids)
    assert found is not None and found.name == "wordnet"


def test_ids_are_shown_as_words() -> None:
    labels = np.array(["n01440764", None, "n99999999", "cat", "n02084071"], dtype=object)
    assert readable(labels).tolist() == ["tench", None, "n99999999", "cat", "dog"]
    assert readable(labels[3:4]).tolist() == ["cat"]


def test_classes_of_two_folders() -> None:
    paths = ["SUN397/a/apse/indoor/1.jpg", "SUN397/b/booth/indoor/1.jpg", "SUN397/b/bow_window/outdoor/2.jpg"]
    labels = ["indoor", "indoor", "outdoor"]
    found = known_groups([*paths, "SUN397/b/beach/1.jpg"], [*labels, "beach"])
    assert found is not None and found.name == "sun397"
    groups = found.of_rows([*paths, "SUN397/b/beach/1.jpg", "x.jpg"], [*labels, "beach", None])
    assert groups.tolist() == ["indoor", "indoor", "outdoor, man-made", "outdoor, natural", None]


def test_a_file_of_groups(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("label,group\ncat, tame \ndog,tame\nwolf,wild\nowl,\n")
    groups = read_groups(str(tmp_path / "g.csv"))
    assert groups.of == {"cat": "tame", "dog": "tame", "wolf": "wild"}
    assert groups.of_rows(["a/cat/1", "a/owl/2"], ["cat", "owl"]).tolist() == ["tame", None]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("label,group\ncat,a\ncat,b\n", "line 3 puts cat into b, an earlier line into a"),
        ("label,group\n", "names no group"),
        ("name,group\ncat,a\n", "no column label"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(TableError, match=said):
        read_groups(str(tmp_path / "g.csv"))


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match="no 'unicorn' above the classes"):
        read_groups("wordnet:unicorn")
    with pytest.raises(TableError, match="cannot read nowhere"):
        read_groups("nowhere")
