"""SUN-397 (Xiao et al. 2010) as in the DeCAF paper, section 4.4 and Table 3."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from decaf.errors import TaskError
from decaf.probe import Split, per_class
from decaf.tasks.task import Protocol, Published, Sample, Task, validation_count

FOLDER = "SUN397"
CLASSES = 397
TRAIN = TEST = 50
RANDOM = "random"

PUBLISHED = Published(
    source="Donahue et al. 2014, Table 3",
    network="the paper's own network (AlexNet's shape, trained on ILSVRC-2012)",
    layers=("DeCAF6", "DeCAF7"),
    table={
        ("logistic", True): ((40.94, 0.3), (40.84, 0.3)),
        ("svm", True): ((39.36, 0.3), (40.66, 0.3)),
    },
    others=(("Xiao et al. 2010", 38.0, "Table 3"),),
    best="40.94; the text calls it SVM on DeCAF7",
    doubts=(
        "The paper's text says SVM on DeCAF7 gave 40.94, its caption marks logistic regression on DeCAF7, and its "
        "table has 40.94 at logistic regression on DeCAF6.",
        "Table 3 does not say that dropout was used; section 4.4 does.",
    ),
)

_LIST = re.compile(r"Training_(\d+)\.txt", re.IGNORECASE)


def find_classes(data: Path) -> Path:
    """The folder the class folders lie in: `SUN397` in `data` or one level below, else `data` itself.

    Raises TaskError where `data` is no folder.
    """
    if not data.is_dir():
        raise TaskError(f"{data} is not a folder: name the one that holds {FOLDER}")
    found = sorted(path for pattern in (FOLDER, f"*/{FOLDER}") for path in data.glob(pattern) if path.is_dir())
    return (found[0] if found else data).resolve()


def sample(paths: Sequence[str], folder: Path, protocol: Protocol) -> Sample:
    """The official splits, of the pictures that are here; or random ones of the same kind.

    Raises:
        TaskError: there are no official lists, or none of their pictures is here.
        ProbeError: a class has too few pictures for random splits.
    """
    if protocol.partitions == RANDOM:
        return _random(paths, folder, protocol)
    lists = _find_lists(folder, protocol.partitions)
    if len(lists) < protocol.n_splits:
        raise TaskError(f"there are {len(lists)} official splits in {lists[0].parent}: pass --splits {len(lists)}")
    return _official(paths, lists[: protocol.n_splits], protocol)


def _find_lists(folder: Path, given: str) -> list[Path]:
    """The files Training_NN.txt, in order, each with its Testing_NN.txt beside it."""
    places = [Path(given)] if given else [folder, folder / "Partitions", folder.parent, folder.parent / "Partitions"]
    for place in places:
        found = sorted(path for path in place.glob("*.txt") if _LIST.fullmatch(path.name))
        if found:
            return found
    where = given or f"{folder} or beside it"
    raise TaskError(
        f"no Training_01.txt in {where}: name the folder of the official splits with --partitions, "
        f"or pass --partitions {RANDOM}"
    )


def _read(path: Path) -> list[PurePath]:
    """The pictures of a list: /a/abbey/sun_x.jpg. Raises TaskError where it is no such list."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        why = f"cannot read {path} ({error.strerror})"
        raise TaskError(f"{why}: every Training_NN.txt needs its Testing_NN.txt") from None
    except UnicodeDecodeError:
        raise TaskError(f"{path} is no list of pictures: get the official one again") from None
    for number, line in enumerate(lines, 1):
        if (line := line.strip()) and (not line.startswith("/") or line.count("/") < 2):
            what = f"{path} line {number} is no picture such as /a/abbey/sun_x.jpg"
            raise TaskError(f"{what}: get the official list again")
    return [PurePath(line.strip()) for line in lines if line.strip()]


def _testing(path: Path) -> Path:
    return path.with_name(re.sub("^training", "Testing" if path.name[0] == "T" else "testing", path.name, flags=re.I))


def _official(paths: Sequence[str], lists: Sequence[Path], protocol: Protocol) -> Sample:
    at = {PurePath(path).name: row for row, path in enumerate(paths)}  # the official names are unique
    if len(at) < len(paths):
        name, times = Counter(PurePath(path).name for path in paths).most_common(1)[0]
        raise TaskError(f"{times} pictures are called {name}: the official splits tell pictures by their names")
    listed = [(_read(path), _read(_testing(path))) for path in lists]
    for training, (train, test) in zip(lists, listed, strict=True):
        if twice := set(train) & set(test):
            raise TaskError(f"{training} and its test list share {min(twice)}: get the official lists again")
    class_of = {at[p.name]: str(p.parent) for pair in listed for part in pair for p in part if p.name in at}
    if not class_of:
        raise TaskError(f"no picture of {lists[0]} is here: name the folder of SUN-397, or other lists")
    rows = np.array(sorted(class_of), np.intp)
    place = {int(row): index for index, row in enumerate(rows)}
    y = np.array([class_of[int(row)] for row in rows], dtype=object)
    here = [tuple([place[at[p.name]] for p in part if p.name in at] for part in pair) for pair in listed]
    kept = _usable(y, here)
    splits = [_split(y, pair, kept, protocol, number) for number, pair in enumerate(here)]
    notes = _notes(splits, y, kept, listed)
    return Sample(rows, y, splits, notes, comparable=not notes)


def _usable(y: NDArray[np.object_], splits: Sequence[Sequence[Sequence[int]]]) -> set[str]:
    """Classes with two pictures to train on and one to test on in every split."""
    kept = set(y)
    for train, test in splits:
        counts = Counter(y[train])
        kept &= {name for name in set(y[test]) if counts[name] > 1}
    if len(kept) < 2:
        raise TaskError(
            "fewer than two classes have pictures in the official splits: add pictures, "
            f"or pass --partitions {RANDOM} to draw splits from those that are here"
        )
    return kept


def _split(
    y: NDArray[np.object_], pair: Sequence[Sequence[int]], kept: set[str], protocol: Protocol, number: int
) -> Split:
    """One official split, its training part divided into pictures to train on and to choose C on."""
    train, test = (np.sort(np.array([row for row in part if y[row] in kept], np.intp)) for part in pair)
    random = np.random.default_rng([protocol.seed, number])
    held = []
    for name in sorted(kept):
        group = random.permutation(train[y[train] == name])
        if protocol.train_per_class:
            group = group[: protocol.train_per_class]
        held.append((group, validation_count(len(group))))
    validation = np.concatenate([group[:count] for group, count in held])
    return Split(np.sort(np.concatenate([group[count:] for group, count in held])), np.sort(validation), test)


def _notes(
    splits: Sequence[Split], y: NDArray[np.object_], kept: set[str], listed: Sequence[tuple[Sequence[object], ...]]
) -> list[str]:
    official = sum(len(part) for pair in listed for part in pair)
    here = sum(len(part) for split in splits for part in vars(split).values())
    if here == official and len(kept) == CLASSES:
        return []
    sizes = {kind: _range(_counts(y, splits, kind)) for kind in ("train", "test")}
    left_out = sorted(set(y) - kept)
    return [
        f"A subset: {len(kept)} of {CLASSES} classes and {here:,} of the {official:,} places in the official lists; "
        f"{sizes['train']} pictures of a class to train on (paper: {TRAIN}) and {sizes['test']} to test on "
        f"(paper: {TEST}). The published numbers do not compare.",
        *([f"Left out, with too few pictures: {', '.join(islice(left_out, 10))}."] if left_out else []),
    ]


def _counts(y: NDArray[np.object_], splits: Sequence[Split], kind: str) -> list[int]:
    parts = [split.test if kind == "test" else np.concatenate([split.train, split.validation]) for split in splits]
    return [count for part in parts for count in Counter(y[part]).values()]


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _random(paths: Sequence[str], folder: Path, protocol: Protocol) -> Sample:
    """50 / 50 of each class, drawn at random; half of each where the smallest class has fewer than 100."""
    y = np.array([_class_of(path, folder) for path in paths], dtype=object)
    counts: Mapping[str, int] = Counter(y)
    if len(counts) < 2:
        raise TaskError(f"{folder} has pictures in {len(counts)} folder: a class is a folder, give two or more")
    smallest = min(counts.values())
    train = protocol.train_per_class or min(TRAIN, smallest // 2)
    test = min(TEST, max(smallest - train, 1))
    held = validation_count(train)
    splits = per_class(y, train - held, held, test, protocol.n_splits, protocol.seed)
    note = f"Random splits, not the official ones: {train} pictures of each class to train on and {test} to test on"
    subset = f", {len(counts)} of {CLASSES} classes" if len(counts) != CLASSES else ""
    notes = [f"{note}{subset}. The published numbers do not compare."]
    return Sample(np.arange(len(y)), y, splits, notes, comparable=False)


def _class_of(path: str, folder: Path) -> str:
    """The folder a picture lies in, below the folder of the classes."""
    parent = PurePath(path).parent
    return str(parent.relative_to(folder)) if parent.is_relative_to(folder) else parent.name


TASK = Task(
    name="sun397",
    title="SUN-397",
    protocol=(
        "The official splits of 50 training and 50 test pictures of each class. C is chosen on 42 of the 50 against "
        "the other 8 (the paper fixed it, and chose the setting so), and the classifier is then fitted on all 50. "
        "Accuracy is the mean over the classes."
    ),
    train_per_class=TRAIN,
    published=PUBLISHED,
    find=find_classes,
    sample=sample,
)
