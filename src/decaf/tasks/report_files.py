"""Tables and contact sheets that reports of several kinds have."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from decaf.features.feature_set import FeatureSet
from decaf.files import write_atomically
from decaf.tasks.confusion import Mistake
from decaf.tasks.pictures import Pictures
from decaf.tasks.probing import number

_SHOWN = 24


def write_sheet(mistakes: Sequence[Mistake], features: FeatureSet, out: Path, what: str = "surest mistakes") -> str:
    """Draw the first 24 mistakes with their pictures, and say what the file shows."""
    from decaf.viz.sheet import Shown, save_sheet

    pictures = Pictures(features)
    shown = [
        Shown(
            partial(pictures.load, mistake.row),
            mistake.truth,
            mistake.predicted,
            f"{mistake.measure.format(mistake.confidence)}, in {mistake.times} of {mistake.tested} splits",
        )
        for mistake in mistakes[:_SHOWN]
    ]
    missing = save_sheet(f"The {len(shown)} {what}" if shown else "No mistakes", shown, out)
    return f"the {what}" + (f"; {missing} pictures could not be shown" if missing else "")


def cells(values: Iterable[Any]) -> list[Any]:
    """Numbers short; nothing where there is none."""
    return ["" if value is None else _short(value) for value in values]


def _short(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if number(value) is None else f"{value:.6g}"


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode("utf-8", "backslashreplace"))
