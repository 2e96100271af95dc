"""The words of the classes networks were trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


def ilsvrc_labels() -> tuple[str, ...]:
    """The 1000 classes of ILSVRC-2012 in order: the words of each WordNet 3.0 synset, sorted by its offset."""
    return tuple(words for _, words in _lines(Path(__file__).parent / "ilsvrc2012.tsv"))


@dataclass(frozen=True)
class Synset:
    """A node of WordNet 3.0: its words, and the ids of the more general nodes directly above it."""

    words: str
    above: tuple[str, ...]


def ilsvrc_synsets() -> dict[str, Synset]:
    """Id, such as `n02084071`, -> the node: the 1000 classes of ILSVRC-2012, in their order, then all above them."""
    folder = Path(__file__).parent
    classes = dict(_lines(folder / "ilsvrc2012.tsv"))
    nodes = {name: (above.split(), words) for name, above, words in _lines(folder / "wordnet_ancestors.tsv")}
    order = [*classes, *(name for name in nodes if name not in classes)]
    return {name: Synset(classes.get(name) or nodes[name][1], tuple(nodes[name][0])) for name in order}


def _lines(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
