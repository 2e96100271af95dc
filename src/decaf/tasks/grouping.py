"""What classes have in common: a group for each label, from a table or from WordNet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from decaf.errors import TableError, UnknownName
from decaf.images.tables import read_csv
from decaf.nets.labels import Synset, ilsvrc_synsets

TABLES = {
    "caltech101": "our own grouping of the Caltech-101 classes; the background has no group",
    "sun397": "our own grouping of the SUN-397 classes into indoor, outdoor man-made and outdoor natural",
}
WORDNET = "wordnet"
# Nodes that split the 1000 classes of ILSVRC-2012; a class belongs to the nearest of them above it.
CUT = (
    "dog", "mammal", "bird", "vertebrate", "invertebrate", "conveyance", "structure", "covering", "instrumentality",
    "commodity", "matter", "natural object", "geological formation",
)  # fmt: skip
_SHOWN = {
    "mammal": "mammal, no dog",
    "vertebrate": "fish, reptile, amphibian",
    "conveyance": "vehicle",
    "covering": "covering, clothing",
    "instrumentality": "instrument, device, furniture",
    "commodity": "household goods",
    "matter": "food, material",
    "natural object": "fruit, natural object",
    "geological formation": "landscape",
}
_NODE = re.compile(r"n\d{8}")
_MOST_UNKNOWN = 0.1  # of the classes, for a table to be taken unasked


@dataclass(frozen=True)
class Groups:
    """Which group a class is in.

    Attributes:
        name: of the table, or the file.
        source: where the grouping comes from, as a clause.
        of: label -> group. A label may be the last folder of a picture's path, or the last two: `apse/indoor`.
    """

    name: str
    source: str
    of: Mapping[str, str]

    def of_rows(self, paths: Iterable[object], labels: Iterable[object]) -> NDArray[np.object_]:
        """(n,) the group of each row; None where the table says nothing."""
        found = [self._of(str(path), label) for path, label in zip(paths, labels, strict=True)]
        groups = np.empty(len(found), dtype=object)
        groups[:] = found
        return groups

    def _of(self, path: str, label: object) -> str | None:
        both = "/".join(PurePath(path).parts[-3:-1])
        return None if label is None else self.of.get(both, self.of.get(str(label)))


def read_groups(spec: str) -> Groups:
    """Groups by what the user names: a CSV file, `caltech101`, `sun397`, `wordnet` or `wordnet:NODE,NODE,...`.

    Raises:
        TableError: the file cannot be read or says two things of a label.
        UnknownName: no such node of WordNet.
    """
    if spec in TABLES:
        return _table(spec)
    if spec == WORDNET or spec.startswith(f"{WORDNET}:"):
        nodes = spec.partition(":")[2]
        return _wordnet(tuple(part.strip() for part in nodes.split(",")) if nodes else CUT)
    name = Path(spec).name
    return Groups(name, f"groups from {name}", _read(spec))


def known_groups(paths: Iterable[object], labels: Iterable[object]) -> Groups | None:
    """The table that knows nine in ten of the labels; None where none does, or they are fewer than two groups."""
    classes = {
        (str(PurePath(str(path)).parent / "x"), label) for path, label in zip(paths, labels, strict=True) if label
    }
    if not classes:
        return None
    for groups in (*map(_table, TABLES), _wordnet(CUT)):
        found = groups.of_rows(*zip(*classes, strict=True))
        if sum(group is None for group in found) <= _MOST_UNKNOWN * len(classes) and len(set(found) - {None}) > 1:
            return groups
    return None


def readable(labels: NDArray[np.object_]) -> NDArray[np.object_]:
    """(n,) labels, ids of WordNet nodes as their first word; the same array where there are none."""
    found = {label for label in set(labels) if label is not None and _NODE.fullmatch(str(label))}
    if not found:
        return labels
    synsets = ilsvrc_synsets()
    words = {label: synsets[label].words.split(",")[0] for label in found if label in synsets}
    return np.array([words.get(label, label) for label in labels], dtype=object)


@cache
def _table(name: str) -> Groups:
    return Groups(name, TABLES[name], _read(str(Path(__file__).parent / "groups" / f"{name}.csv")))


def _read(file: str) -> dict[str, str]:
    of: dict[str, str] = {}
    for line, cells in read_csv(file, ["label", "group"]):
        label, group = cells["label"].strip(), cells["group"].strip()
        if label and group and of.setdefault(label, group) != group:
            raise TableError(
                f"{file} line {line} puts {label} into {group}, an earlier line into {of[label]}: keep one"
            )
    if not of:
        raise TableError(f"{file} names no group: write lines of label,group")
    return of


@cache
def _wordnet(cut: tuple[str, ...]) -> Groups:
    """A class is in the nearest node above it (or that it is itself), the first of `cut` where several are as near."""
    synsets = ilsvrc_synsets()
    nodes = {_node(synsets, word): _SHOWN.get(word, word) if cut == CUT else word for word in reversed(cut)}
    of: dict[str, str] = {}
    for name in list(synsets)[:1000]:
        if (nearest := _nearest(synsets, name, list(nodes)[::-1])) is not None:
            of[name] = of[synsets[name].words] = nodes[nearest]
    return Groups(WORDNET, f"nearest of {len(cut)} nodes of WordNet 3.0 above each class: {', '.join(cut)}", of)


def _node(synsets: Mapping[str, Synset], word: str) -> str:
    """The id a user means: an id, or the first word of a node; of several such the one with the most classes below."""
    if word in synsets:
        return word
    fitting = [name for name, synset in synsets.items() if word.lower() in synset.words.lower().split(", ")]
    if not fitting:
        raise UnknownName(
            f"WordNet has no {word!r} above the classes of ILSVRC-2012: name nodes such as bird, structure"
        )
    below = _classes_below(synsets)
    return max(fitting, key=lambda name: below[name])


def _nearest(synsets: Mapping[str, Synset], name: str, wanted: Sequence[str]) -> str | None:
    level = [name]
    while level:
        for node in wanted:
            if node in level:
                return node
        level = list(dict.fromkeys(above for node in level for above in synsets[node].above))
    return None


def _classes_below(synsets: Mapping[str, Synset]) -> dict[str, int]:
    counts = dict.fromkeys(synsets, 0)
    for name in list(synsets)[:1000]:
        above, level = {name}, [name]
        while level:
            level = [node for one in level for node in synsets[one].above if node not in above]
            above.update(level)
        for node in above:
            counts[node] += 1
    return counts
