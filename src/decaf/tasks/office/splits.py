"""Who is trained on and who is tested on: Saenko's protocol, all of the source, or the original package's splits."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decaf.errors import TaskError
from decaf.files import write_atomically
from decaf.tasks.office.domain import Domain, Features, Pair
from decaf.tasks.office.matlab import Value, read_matlab
from decaf.tasks.office.names import AMAZON, CALTECH, DOMAINS, domain_name

SAENKO, UNSUPERVISED = "saenko", "unsupervised"
PROTOCOLS = (SAENKO, UNSUPERVISED)
OF_TARGET = 3  # labelled pictures of each class
OF_LARGE_SOURCE, OF_SMALL_SOURCE = 20, 8
_ORIGINAL = re.compile(r"SameCategory_(.+)-(.+)_\d+RandomTrials_10Categories\.mat", re.IGNORECASE)

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class DomainSplit:
    """Rows, sorted: of the source to train on; of the target to train on (perhaps none) and to test on."""

    source: Rows
    target: Rows
    test: Rows


def of_source(name: str) -> int:
    """Labelled pictures of each class a source gives: 20 of Amazon and Caltech, 8 of Webcam and Dslr."""
    return OF_LARGE_SOURCE if name in (AMAZON, CALTECH) else OF_SMALL_SOURCE


def all_of_source(source: Domain, target: Domain) -> list[DomainSplit]:
    """All of the source to train on, no label of the target, all of the target to test on."""
    return [DomainSplit(np.arange(len(source.y)), np.empty(0, np.intp), np.arange(len(target.y)))]


def draw(source: Domain, target: Domain, n_splits: int, seed: int) -> list[DomainSplit]:
    """Random splits as Saenko et al. (2010) made them; a class of the source with fewer pictures gives all.

    Split i depends on the seed, the pair and the rows of each class alone.

    Raises:
        TaskError: a class of the target has no picture left to test on.
    """
    counts = Counter(target.y)
    few = sorted(name for name, count in counts.items() if count <= OF_TARGET)
    if few:
        needed = f"{OF_TARGET} to train on and one to test on are needed"
        have = f"{counts[few[0]]} picture{'s' if counts[few[0]] > 1 else ''}"
        raise TaskError(f"class {few[0]!r} of {target.name} has {have}, {needed}: add pictures or leave it out")
    place = [DOMAINS.index(source.name), DOMAINS.index(target.name)]
    splits = []
    for number in range(n_splits):
        random = np.random.default_rng([seed, number, *place])
        rows = _some_of_each(source.y, of_source(source.name), random)
        labelled = _some_of_each(target.y, OF_TARGET, random)
        splits.append(DomainSplit(rows, labelled, np.setdiff1d(np.arange(len(target.y)), labelled)))
    return splits


def _some_of_each(y: NDArray[np.object_], count: int, random: np.random.Generator) -> Rows:
    chosen = [random.permutation(np.flatnonzero(y == name))[:count] for name in sorted(set(y))]
    return np.sort(np.concatenate(chosen))


# -- the original package's ---------------------------------------------------------------------------------------


def read_original(folder: Path, features: Features, pair: Pair, n_splits: int) -> list[DomainSplit]:
    """The splits that came with MMDT (Hoffman et al. 2013), for the ten classes in their original order.

    Raises:
        TaskError: there is no file for the pair, it is damaged, has fewer splits, or does not fit these rows.
    """
    path = _file_of(folder, pair)
    variables = read_matlab(path)
    parts = {
        name: _trials(path, variables, *name.split(".")) for name in ("train.source", "train.target", "test.target")
    }
    counts = {len(trials) for trials in parts.values()}
    if len(counts) > 1 or min(counts) < n_splits:
        raise TaskError(f"{path} has {min(counts)} splits of every part: pass --splits {min(counts)} or fewer")
    source, target = features.of(pair)
    splits = []
    for number in range(n_splits):
        rows = [
            _rows(path, parts[name][number], domain)
            for name, domain in (("train.source", source), ("train.target", target), ("test.target", target))
        ]
        splits.append(DomainSplit(*rows))
        _refuse_other_rows(path, splits[-1], source, target)
    return splits


def _file_of(folder: Path, pair: Pair) -> Path:
    if not folder.is_dir():
        raise TaskError(f"{folder} is not a folder: name the one with the files SameCategory_*.mat")
    for path in sorted(folder.iterdir()):
        if (found := _ORIGINAL.fullmatch(path.name)) and (domain_name(found[1]), domain_name(found[2])) == pair:
            return path
    name = f"SameCategory_{pair[0]}-{pair[1]}_20RandomTrials_10Categories.mat"
    raise TaskError(f"{folder} has no {name}: leave out the pair or --splits-from")


def _trials(path: Path, variables: dict[str, Value], part: str, side: str) -> list[NDArray[np.generic]]:
    structure = variables.get(part)
    trials = structure.get(side) if isinstance(structure, dict) else None
    if not isinstance(trials, list) or not trials or not all(isinstance(one, np.ndarray) for one in trials):
        raise TaskError(f"{path} has no cells {part}.{side}: get it again")
    return [one for one in trials if isinstance(one, np.ndarray)]


def _rows(path: Path, trial: NDArray[np.generic], domain: Domain) -> Rows:
    """MATLAB counts from 1."""
    numbers = np.asarray(trial, np.float64).ravel()
    n = len(domain.y)
    if not ((numbers >= 1) & (numbers <= n) & (numbers == np.floor(numbers))).all():
        raise TaskError(f"{path} names rows that {domain.name} with its {n} has not: {_remedy()}")
    if len(np.unique(numbers)) != len(numbers):
        raise TaskError(f"{path} names a row of {domain.name} twice in one split: get it again")
    return np.sort(numbers.astype(np.intp) - 1)


def _remedy() -> str:
    return "give the ten classes in their original order (--classes 10), or leave out --splits-from"


def _refuse_other_rows(path: Path, split: DomainSplit, source: Domain, target: Domain) -> None:
    """As many of each class, as the protocol has: else the rows are in another order than the file's."""
    if np.intersect1d(split.target, split.test).size or not split.test.size:
        raise TaskError(f"{path} has nothing to test on, or what it also trains on: get it again")
    for domain, rows in ((source, split.source), (target, split.target)):
        counts = Counter(domain.y[rows])
        if set(counts) != set(domain.y) or len(set(counts.values())) > 1:
            raise TaskError(f"{path} does not take as many rows of each class of {domain.name}: {_remedy()}")


# -- written ------------------------------------------------------------------------------------------------------

Written = tuple[Features, Pair, Sequence[DomainSplit]]


def write_domain_splits(path: Path, protocol: str, seed: int, splits: Sequence[Written]) -> None:
    """Write splits by the names of the rows, once for features with the same rows.

    Raises:
        TaskError: two rows have one name.
    """
    listed = {}
    for features, pair, own in splits:
        source, target = features.of(pair)
        for domain in (source, target):
            if len(set(domain.names)) < len(domain.names):
                twice = next(name for name, times in Counter(domain.names).items() if times > 1)
                raise TaskError(f"{twice} is there twice: name each folder of pictures or features once")
        listed[features.rows, pair] = {
            "rows": features.rows, "source": pair[0], "target": pair[1],
            "splits": [_named(split, source, target) for split in own],
        }  # fmt: skip
    about = {"protocol": protocol, "seed": seed, "pairs": list(listed.values())}
    write_atomically(path, (json.dumps(about, indent=1) + "\n").encode())


def _named(split: DomainSplit, source: Domain, target: Domain) -> dict[str, list[str]]:
    return {
        "train_source": [source.names[row] for row in split.source],
        "train_target": [target.names[row] for row in split.target],
        "test": [target.names[row] for row in split.test],
    }
