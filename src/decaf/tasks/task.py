"""What a benchmark of the paper is: where its pictures lie, how they are split, what was published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decaf.probe import Split

Number = tuple[float, float]
"""Mean and standard deviation, per cent, as they were printed."""


@dataclass(frozen=True)
class Published:
    """What the paper printed. All of it was measured with another network than ours.

    Attributes:
        source: which table or figure.
        network: what made the features.
        layers: its columns.
        table: (loss, whether with dropout) -> a number for each layer, None where there is a dash.
        others: (who, accuracy in per cent, where it was printed): methods without such features.
        best: what the paper calls its best, as it says it.
        one_shot: (which setting, per cent) from one training picture per class; None where nothing was printed.
        doubts: where the paper contradicts itself.
    """

    source: str
    network: str
    layers: tuple[str, ...]
    table: Mapping[tuple[str, bool], tuple[Number | None, ...]]
    others: tuple[tuple[str, float, str], ...]
    best: str
    one_shot: tuple[str, float] | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protocol:
    """What the user may choose of how pictures are split.

    Attributes:
        n_splits: how many.
        seed: of everything random.
        train_per_class: pictures of each class to train on, validation among them; 0: as the paper.
        partitions: where lists of official splits lie, or `random`; empty: look beside the pictures.
    """

    n_splits: int = 5
    seed: int = 0
    train_per_class: int = 0
    partitions: str = ""


@dataclass(frozen=True, eq=False)
class Sample:
    """Labelled pictures and their splits.

    Attributes:
        rows: (n,) int, which of the paths that were given are used, in their order.
        y: (n,) classes.
        splits: positions in `rows`: to train on, to validate on (for the choice of C), to test on.
        notes: sentences on how these differ from the paper's.
        comparable: whether the published numbers are of the same pictures, classes and sizes.
    """

    rows: NDArray[np.intp]
    y: NDArray[np.object_]
    splits: Sequence[Split]
    notes: Sequence[str] = ()
    comparable: bool = True


@dataclass(frozen=True)
class Task:
    """One of the paper's benchmarks.

    Attributes:
        name: what the command line calls it.
        title: what people call it.
        protocol: the paper's protocol in a few sentences.
        train_per_class: of the paper.
        published: the paper's numbers.
        find: folder the user names -> the folder the classes lie in. Raises TaskError.
        sample: (paths, folder of the classes, protocol) -> the labelled pictures and their splits. Raises TaskError.
        curve: training pictures per class of the learning curve; empty where the paper has none.
    """

    name: str
    title: str
    protocol: str
    train_per_class: int
    published: Published
    find: Callable[[Path], Path]
    sample: Callable[[Sequence[str], Path, Protocol], Sample]
    curve: tuple[int, ...] = ()


def validation_count(train: int) -> int:
    """How many of a class's training pictures are held out to choose C on: 5 of 30, 8 of 50, as in the paper."""
    from decaf.probe.cv import HELD_OUT

    return max(train // HELD_OUT, 1) if train > 1 else 0
