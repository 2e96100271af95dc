"""Which rows to train on, to validate on and to test on. All rows of one picture are in one part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decaf.errors import ProbeError
from decaf.probe import Split, per_class, read_splits, write_splits
from decaf.probe.cv import hold_out
from decaf.tasks.targets import Examples

MOST_OF_EACH = 30  # pictures of a class to train on where no number is asked for: the DeCAF paper's Caltech-101
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


def draw_splits(examples: Examples, n_train: int | None, n_splits: int, seed: int) -> list[Split]:
    """Random splits of the rows.

    Args:
        examples: of any kind.
        n_train: pictures of each class to train on, the rest to test on. None: half of each class and at most
            MOST_OF_EACH; where there are no classes, half of the pictures.
        n_splits: how many, 1 or more.
        seed: the same seed gives the same splits; split i does not depend on how many there are.

    Raises:
        ProbeError: a class has too few pictures; the message names it.
    """
    if n_splits < 1:
        raise ProbeError(f"n_splits = {n_splits}: give 1 or more")
    if examples.targets.kind != "classes":
        if n_train is not None:
            raise ProbeError("--train-per-class is for classes: leave it out")
        drawn = _halves(np.zeros(len(examples.pictures), int), len(examples.pictures), n_splits, seed)
    elif n_train is None:
        drawn = _halves(examples.label_of_pictures(), MOST_OF_EACH, n_splits, seed)
    else:
        drawn = per_class(examples.label_of_pictures(), n_train, n_splits=n_splits, seed=seed)
    return [_rows_of(examples, split) for split in drawn]


def too_small(examples: Examples) -> dict[str, int]:
    """Classes with one picture, which can be trained on or tested on but not both: class -> rows."""
    labels = examples.label_of_pictures()
    classes, counts = np.unique(labels, return_counts=True)
    return {str(name): int((examples.targets.values == name).sum()) for name in classes[counts < 2]}


def _halves(labels: NDArray[np.object_] | NDArray[np.int_], most: int, n_splits: int, seed: int) -> list[Split]:
    """As `per_class` draws, but of each group half, at most `most`."""
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    splits = []
    for number in range(n_splits):
        random = np.random.default_rng([seed, number])
        train = []
        for group in groups:
            train.append(random.permutation(group)[: min(len(group) // 2, most)])
        chosen = np.sort(np.concatenate(train))
        splits.append(Split(chosen, np.empty(0, np.intp), np.setdiff1d(np.arange(len(labels)), chosen)))
        _refuse_empty(splits[-1], "too few pictures to train on some and test on others")
    return splits


def _refuse_empty(split: Split, why: str) -> None:
    if not len(split.train) or not len(split.test):
        raise ProbeError(f"a split has {len(split.train)} rows to train on and {len(split.test)} to test on: {why}")


def _rows_of(examples: Examples, split: Split) -> Split:
    return Split(*(examples.rows_of(part) for part in (split.train, split.validation, split.test)))


def save_splits(path: str, examples: Examples, splits: Sequence[Split]) -> None:
    """Write splits by the paths of the pictures, .json or .csv."""
    by_picture = [Split(*(np.unique(examples.picture[part]) for part in vars(split).values())) for split in splits]
    try:
        write_splits(path, by_picture, examples.pictures)
    except OSError as error:
        raise ProbeError(f"cannot write {path} ({error.strerror}): make room or name another file") from None


def load_splits(path: str, examples: Examples) -> list[Split]:
    """Read splits by the paths of the pictures. Raises ProbeError where the file does not fit."""
    splits = [_rows_of(examples, split) for split in read_splits(path, examples.pictures)]
    if not splits:
        raise ProbeError(f"{path} has no split: write one, or name a file that is not there")
    for split in splits:
        _refuse_empty(split, f"complete {path}")
    return splits


def obtain_splits(
    examples: Examples, file: str, n_train: int | None, n_splits: int, seed: int
) -> tuple[list[Split], bool]:
    """Read the file of splits where there is one, else draw and write it. Also whether they were read."""
    if file and Path(file).exists():
        return load_splits(file, examples), True
    splits = draw_splits(examples, n_train, n_splits, seed)
    if file:
        save_splits(file, examples, splits)
    return splits, False


def fewer(examples: Examples, split: Split, n: int, seed: int) -> Split:
    """The same split with `n` training pictures of each class: more of them contain fewer. Raises ProbeError."""
    labels = examples.label_of_pictures()
    pictures = np.unique(examples.picture[split.train])
    random = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels[pictures]):
        group = random.permutation(pictures[labels[pictures] == label])
        if len(group) < n:
            raise ProbeError(f"the learning curve asks for {n} of each class, {label!r} has {len(group)} to train on")
        chosen.append(group[:n])
    return Split(examples.rows_of(np.sort(np.concatenate(chosen))), np.empty(0, np.intp), split.test)


def held_out(labels: NDArray[np.object_], picture: NDArray[np.intp], seed: int) -> list[Fold]:
    """Pairs (train, validation) of rows, no picture in both: one picture in six of each class is held out.

    A picture counts for the class of its first row; rows of a class that nothing else teaches are not validated on.

    Args:
        labels: (n,) of the rows.
        picture: (n,) which picture each row shows.
        seed: of what is held out.

    Returns:
        No pair where every class has one picture.
    """
    _, first, of_row = np.unique(picture, return_index=True, return_inverse=True)
    _, index = np.unique(labels[first], return_inverse=True)
    if np.bincount(index).max() == 1:
        return []
    validation = np.isin(of_row, hold_out(index, np.random.RandomState(seed))[1])
    return [_teachable(labels, np.flatnonzero(~validation), np.flatnonzero(validation))]


def _teachable(labels: NDArray[np.object_], train: NDArray[np.intp], validation: NDArray[np.intp]) -> Fold:
    taught = set(labels[train])
    return train, validation[[label in taught for label in labels[validation]]]


def stratified_folds(examples: Examples, n_folds: int, seed: int) -> list[Fold]:
    """Pairs (train, validation) of rows for cross-validation, no picture in both; fewer where a class is small.

    Where a class has one picture: as `held_out`, which see.
    """
    from sklearn.model_selection import StratifiedKFold

    labels = examples.targets.values
    _, first = np.unique(examples.picture, return_index=True)
    _, index = np.unique(labels[first], return_inverse=True)
    smallest = int(np.bincount(index).min())
    if smallest < 2:
        return held_out(labels, examples.picture, seed)
    folds = StratifiedKFold(min(n_folds, smallest), shuffle=True, random_state=seed).split(first, index)
    return [_teachable(labels, examples.rows_of(train), examples.rows_of(validation)) for train, validation in folds]
