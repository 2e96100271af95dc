"""The tables: ours beside the published numbers, never mixed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from decaf.tasks.office.domain import Pair
from decaf.tasks.office.methods import methods_of
from decaf.tasks.office.names import arrow, letters
from decaf.tasks.office.published import (
    OTHERS,
    TABLE1,
    TABLE1_FEATURES,
    TABLE1_PAIRS,
    TWELVE,
    UNSUPERVISED_ROWS,
    PublishedRow,
)
from decaf.tasks.office.run import Difference, Office, Result
from decaf.tasks.office.splits import SAENKO
from decaf.tasks.paper_report import as_printed, percent


@dataclass(frozen=True)
class Grid:
    """Text in rows.

    Attributes:
        title: what it is of.
        header, rows: the first column names the row.
        strong: (row, column) of the best of ours in each column.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    strong: list[tuple[int, int]]


def tables_of(found: Office) -> list[Grid]:
    """By Saenko's protocol a table for each pair, laid out like Table 1; else one with all pairs."""
    if found.request.protocol == SAENKO:
        return [_of_pair(found, pair) for pair in found.pairs]
    return [_of_all_pairs(found)]


def names_of_features(found: Office, pair: Pair | None = None) -> list[str]:
    """As the results call them, in their order."""
    return list(dict.fromkeys(one.features for one in found.results if pair in (None, one.pair)))


def _of_pair(found: Office, pair: Pair) -> Grid:
    ours = names_of_features(found, pair)
    with_paper = pair in TABLE1_PAIRS
    header = ["", *(f"ours: {name}" for name in ours)]
    header += [f"paper*: {name}" for name in (*TABLE1_FEATURES, "others")] if with_paper else []
    cells = {(one.method.name, one.features): one for one in found.results if one.pair == pair}
    measured = {name for name, _ in cells}
    lines = [
        method.name
        for method in methods_of(SAENKO)
        if method.name in measured or (with_paper and method.name in TABLE1)
    ]
    rows = []
    for name in lines:
        row = [name, *(_cell(cells.get((name, one))) for one in ours)]
        if with_paper:
            numbers = TABLE1[name][TABLE1_PAIRS.index(pair)] if name in TABLE1 else (None,) * len(TABLE1_FEATURES)
            row += [*(as_printed(number) for number in numbers), ""]
        rows.append(row)
    strong = list(_best_of_columns([[cells.get((name, one)) for one in ours] for name in lines]))
    rows += list(_others(pair, len(ours))) if with_paper else []
    return Grid(arrow(*pair), header, rows, strong)


def _cell(result: Result | None) -> str:
    return percent(result.summary) if result else ""


def _others(pair: Pair, width: int) -> Iterator[list[str]]:
    """Methods with features of their own."""
    for who, numbers, where in OTHERS:
        yield [f"{who}, {where}", *[""] * (width + len(TABLE1_FEATURES)), f"{numbers[pair]:g}"]


def _best_of_columns(cells: Sequence[Sequence[Result | None]]) -> Iterator[tuple[int, int]]:
    for column in range(len(cells[0]) if cells else 0):
        means = [cell.summary.mean if (cell := row[column]) else -math.inf for row in cells]
        if max(means) > -math.inf:
            yield int(np.argmax(means)), column + 1


# -- all of the source, no label of the target --------------------------------------------------------------------


def _of_all_pairs(found: Office) -> Grid:
    pairs = list(found.pairs)
    with_mean = set(pairs) == set(TWELVE)
    header = ["", *(letters(*pair) for pair in pairs), *(["mean"] if with_mean else [])]
    rows: list[list[str]] = []
    strong: list[tuple[int, int]] = []
    for features in names_of_features(found):
        names = list(dict.fromkeys(one.method.name for one in found.results if one.features == features))
        at = {(one.method.name, one.pair): one for one in found.results if one.features == features}
        lines = [[at.get((name, pair)) for pair in pairs] for name in names]
        strong += [(row + len(rows), column) for row, column in _best_of_columns(lines)]
        for name, line in zip(names, lines, strict=True):
            numbers = [100 * one.accuracies[0] if one else None for one in line]
            rows.append([f"{features}: {name}", *_numbers(numbers, with_mean)])
    rows += [
        [f"* {row.features}: {row.method}", *_numbers([row.numbers.get(pair) for pair in pairs], with_mean)]
        for row in published_rows(found)
    ]
    return Grid("All of the source, no label of the target", header, rows, strong)


def published_rows(found: Office) -> list[PublishedRow]:
    """Those for features and pairs that are here."""
    own = {one.plain_features for one in found.results}
    return [row for row in UNSUPERVISED_ROWS if row.features in own and set(row.numbers) & set(found.pairs)]


def _numbers(numbers: Sequence[float | None], with_mean: bool) -> list[str]:
    texts = ["" if number is None else f"{number:.2f}" for number in numbers]
    known = [number for number in numbers if number is not None]
    mean = [f"{np.mean(known):.2f}" if len(known) == len(numbers) else ""]
    return texts + (mean if with_mean else [])


# -- differences --------------------------------------------------------------------------------------------------


def differences_table(found: Office) -> tuple[list[str], list[list[str]]]:
    """Each method minus the line it is compared with, in points."""
    header = ["", "compared with", "difference", "95 %, these pictures", "95 %, other pictures", "verdict"]
    rows = [
        [
            str(one.result), one.baseline.method.name, f"{100 * one.difference:+.2f}", *_intervals(one), one.verdict,
        ]
        for one in found.differences
    ]  # fmt: skip
    return header, rows


def _intervals(difference: Difference) -> list[str]:
    both = (difference.here, difference.elsewhere)
    return ["" if one is None else "{:+.2f} to {:+.2f}".format(*(100 * end for end in one.interval)) for one in both]
