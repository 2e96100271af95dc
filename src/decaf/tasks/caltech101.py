"""Caltech-101 (Fei-Fei et al. 2004) as in the DeCAF paper, section 4.1 and Figure 4."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from decaf.errors import TaskError
from decaf.probe import per_class
from decaf.tasks.task import Protocol, Published, Sample, Task, validation_count

FOLDER = "101_ObjectCategories"
BACKGROUND = "BACKGROUND_Google"
CLASSES = 102  # the background is one of them
TRAIN = 30

PUBLISHED = Published(
    source="Donahue et al. 2014, Figure 4",
    network="the paper's own network (AlexNet's shape, trained on ILSVRC-2012)",
    layers=("DeCAF5", "DeCAF6", "DeCAF7"),
    table={
        ("logistic", False): ((63.29, 6.6), (84.30, 1.6), (84.87, 0.6)),
        ("logistic", True): (None, (86.08, 0.8), (85.68, 0.6)),
        ("svm", False): ((77.12, 1.1), (84.77, 1.2), (83.24, 1.2)),
        ("svm", True): (None, (86.91, 0.7), (85.51, 0.9)),
    },
    others=(("Yang et al. 2009", 84.3, "Figure 4"), ("Jarrett et al. 2009", 65.5, "Figure 4")),
    best="SVM with dropout on DeCAF6, chosen by validation accuracy: 86.91",
    one_shot=("SVM on DeCAF6 with dropout", 33.0),
)


def find_classes(data: Path) -> Path:
    """The folder whose subfolders are the classes: `data` itself, or `101_ObjectCategories` up to two levels below.

    Raises:
        TaskError: `data` is no folder, or holds no such folder.
    """
    if not data.is_dir():
        raise TaskError(f"{data} is not a folder: name the one that holds {FOLDER}")
    for pattern in (FOLDER, f"*/{FOLDER}", f"*/*/{FOLDER}"):
        if found := sorted(path for path in data.glob(pattern) if path.is_dir()):
            return found[0].resolve()
    if data.name == FOLDER or (data / BACKGROUND).is_dir():
        return data.resolve()
    raise TaskError(f"{data} holds no {FOLDER}: name the folder the archive was unpacked in")


def sample(paths: Sequence[str], folder: Path, protocol: Protocol) -> Sample:
    """Random splits: of each class 30 pictures to train on, of these 5 to choose C on, the rest to test on.

    Raises:
        TaskError: there are not two classes.
        ProbeError: a class has too few pictures; the message names it.
    """
    y = np.array([PurePath(path).parent.name for path in paths], dtype=object)
    classes = set(y)
    if len(classes) < 2:
        raise TaskError(f"{folder} has pictures in {len(classes)} folder: a class is a folder, give two or more")
    train = protocol.train_per_class or TRAIN
    held = validation_count(train)
    splits = per_class(y, train - held, held, n_splits=protocol.n_splits, seed=protocol.seed)
    notes = _notes(y, train)
    return Sample(np.arange(len(y)), y, splits, notes, comparable=not notes)


def _notes(y: NDArray[np.object_], train: int) -> list[str]:
    classes = set(y)
    notes = []
    if len(classes) != CLASSES or BACKGROUND not in classes:
        without = "" if BACKGROUND in classes else f", and no {BACKGROUND}"
        notes.append(
            f"The paper has {CLASSES} classes, here are {len(classes)}{without}: the published numbers do not compare."
        )
    if train != TRAIN:
        notes.append(f"The paper trains on {TRAIN} pictures of each class, this run on {train}.")
    return notes


TASK = Task(
    name="caltech101",
    title="Caltech-101",
    protocol=(
        "Of each class, the background included, 30 pictures drawn at random train the classifier and the rest test "
        "it. C is chosen on 25 of the 30 against the other 5, and the classifier is then fitted on all 30. "
        "Accuracy is the mean over the classes."
    ),
    train_per_class=TRAIN,
    published=PUBLISHED,
    find=find_classes,
    sample=sample,
    curve=(1, 3, 5, 10, 15, 20, 25, 30),
)
