"""Splits of labelled pictures: a fixed number of each class to train on, written to a file others can use."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import ProbeError
from decaf.files import write_atomically

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Rows to train on, to validate on (perhaps none) and to test on: disjoint, sorted, (n,) int each."""

    train: Rows
    validation: Rows
    test: Rows


def per_class(
    labels: Sequence[Any] | NDArray[Any],
    n_train: int,
    n_validation: int = 0,
    n_test: int | None = None,
    n_splits: int = 1,
    seed: int = 0,
) -> list[Split]:
    """Random splits with the same number of each class, as in the DeCAF paper's Caltech-101 and SUN-397.

    Args:
        labels: (n,) one for each row. Rows of label None are left out.
        n_train: of each class for training, 1 or more.
        n_validation: of each class for validation; not among the training rows.
        n_test: of each class for testing; None: all that remain.
        n_splits: how many.
        seed: the same seed gives the same splits. Split i does not depend on how many there are.

    Raises:
        ProbeError: a class has too few; the message names it.
    """
    for name, number, least in (("n_train", n_train, 1), ("n_validation", n_validation, 0), ("n_splits", n_splits, 1)):
        if number < least:
            raise ProbeError(f"{name} = {number}: give {least} or more")
    groups = _groups(labels)
    _enough(groups, n_train + n_validation + (1 if n_test is None else n_test))
    return [_draw(groups, n_train, n_validation, n_test, np.random.default_rng([seed, i])) for i in range(n_splits)]


def _groups(labels: Sequence[Any] | NDArray[Any]) -> dict[Any, Rows]:
    found: dict[Any, list[int]] = {}
    for row, label in enumerate(labels):
        if label is not None:
            found.setdefault(label, []).append(row)
    return {label: np.array(found[label], np.intp) for label in sorted(found)}


def _enough(groups: dict[Any, Rows], needed: int) -> None:
    if not groups:
        raise ProbeError("no row has a label: nothing to split")
    few = [label for label, rows in groups.items() if len(rows) < needed]
    if few:
        others = f" ({len(few)} classes are as small)" if len(few) > 1 else ""
        message = (
            f"class {few[0]!r} has {len(groups[few[0]])} rows, the split needs {needed}{others}: take fewer of each"
        )
        raise ProbeError(message)


def _draw(groups: dict[Any, Rows], train: int, validation: int, test: int | None, random: np.random.Generator) -> Split:
    parts: tuple[list[Rows], list[Rows], list[Rows]] = ([], [], [])
    for rows in groups.values():
        shuffled = random.permutation(rows)
        end = None if test is None else train + validation + test
        bounds = (slice(0, train), slice(train, train + validation), slice(train + validation, end))
        for part, bound in zip(parts, bounds, strict=True):
            part.append(shuffled[bound])
    return Split(*(np.sort(np.concatenate(part)) for part in parts))


def write_splits(path: str | os.PathLike[str], splits: Sequence[Split], names: Sequence[str]) -> None:
    """Write splits by the names (paths) of the rows: `.json`, or `.csv` with the columns split, part, name.

    Raises ProbeError where two rows have one name, or the ending is another.
    """
    if len(set(names)) != len(names):
        raise ProbeError("two rows have the same name: a split by name could not be read back")
    listed = [{part: [str(names[row]) for row in rows] for part, rows in vars(split).items()} for split in splits]
    kind = Path(path).suffix
    if kind == ".json":
        text = json.dumps({"splits": listed}, indent=1) + "\n"
    elif kind == ".csv":
        text = _csv(listed)
    else:
        raise ProbeError(f"{os.fspath(path)}: splits are written as .json or .csv")
    write_atomically(Path(path), text.encode())


def _csv(listed: list[dict[str, list[str]]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["split", "part", "name"])
    for number, parts in enumerate(listed):
        writer.writerows([number, part, name] for part, names in parts.items() for name in names)
    return text.getvalue()


def read_splits(path: str | os.PathLike[str], names: Sequence[str]) -> list[Split]:
    """Read splits for rows with these names, whatever their order now.

    Raises ProbeError where the file is not a split, or names a row that is not among `names`.
    """
    place = {str(name): row for row, name in enumerate(names)}
    try:
        text = Path(path).read_text(encoding="utf-8")
        listed = _from_csv(text) if Path(path).suffix == ".csv" else json.loads(text)["splits"]
        return [_by_place(parts, place, path) for parts in listed]
    except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError, json.JSONDecodeError, csv.Error) as error:
        raise ProbeError(f"{os.fspath(path)} is not a file of splits ({type(error).__name__}: {error})") from None


def _from_csv(text: str) -> list[dict[str, list[str]]]:
    listed: dict[str, dict[str, list[str]]] = {}
    for line in csv.DictReader(io.StringIO(text, newline="")):
        listed.setdefault(line["split"], {}).setdefault(line["part"], []).append(line["name"])
    return list(listed.values())


def _by_place(parts: dict[str, list[str]], place: dict[str, int], path: str | os.PathLike[str]) -> Split:
    unknown = set(parts) - {"train", "validation", "test"}
    if unknown or "train" not in parts:
        raise ProbeError(f"{os.fspath(path)}: the parts of a split are train, validation and test, not {sorted(parts)}")
    missing = [name for names in parts.values() for name in names if name not in place]
    if missing:
        raise ProbeError(f"{os.fspath(path)}: {len(missing)} names are not among the rows, the first is {missing[0]!r}")
    rows = {part: np.sort(np.array([place[name] for name in names], np.intp)) for part, names in parts.items()}
    empty = np.empty(0, np.intp)
    split = Split(rows["train"], rows.get("validation", empty), rows.get("test", empty))
    every = np.concatenate([split.train, split.validation, split.test])
    if len(np.unique(every)) != len(every):
        raise ProbeError(f"{os.fspath(path)}: a name is in two parts of one split, or twice in one")
    return split
