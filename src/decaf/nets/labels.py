"""The words of the classes networks were trained on."""

from __future__ import annotations

from pathlib import Path


def ilsvrc_labels() -> tuple[str, ...]:
    """The 1000 classes of ILSVRC-2012 in order: the words of each WordNet 3.0 synset, sorted by its offset."""
    lines = (Path(__file__).parent / "ilsvrc2012.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(line.split("\t")[1] for line in lines)
