"""What a comparison leaves behind: a figure, or its numbers as CSV; and how things are called in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from decaf.tasks.model_file import check_target
from decaf.tasks.report_files import cells, write_csv
from decaf.viz.figures import check_ending

if TYPE_CHECKING:
    from decaf.tasks.comparing import Comparison, Settings

Name = tuple[str, str]

_CORRELATIONS = {"spearman": "Spearman's rho", "pearson": "Pearson's r", "kendall": "Kendall's tau-a"}


def measure_name(settings: Settings) -> str:
    """The measure in words."""
    if settings.measure == "rsa":
        how = {"spearman": "Spearman's rho", "pearson": "Pearson's r", "kendall": "Kendall's tau-a"}[
            settings.correlation
        ]
        return f"RSA: {how} of {settings.dissimilarity} dissimilarities"
    return "linear CKA" if settings.measure == "cka" else "debiased linear CKA"


def names_of(things: Sequence[Name]) -> list[str]:
    """Short names: the layer where all are of one source, else with the last part of the source."""
    sources = [os.path.basename(os.path.normpath(source)) for source, _ in things]
    whole = {source for source, _ in things}
    if len(whole) == 1:
        return [layer for _, layer in things]
    if len(set(sources)) < len(whole):
        sources = [source for source, _ in things]
    return [
        layer if Path(source).stem == layer else f"{source} {layer}"
        for source, (_, layer) in zip(sources, things, strict=True)
    ]


def nearest(compared: Comparison) -> list[tuple[int, int]]:
    """For each row the column that is most like it, itself apart; rows without a value are left out."""
    values = compared.values.copy()
    if compared.plan.is_square:
        np.fill_diagonal(values, np.nan)
    rows = np.flatnonzero(np.isfinite(values).any(axis=1))
    return [(int(i), int(np.nanargmax(values[i]))) for i in rows]


def check_outs(outs: Sequence[str]) -> None:
    """Raise ModelError or UnknownName for a file that cannot be written, before anything is computed for it."""
    for out in outs:
        check_target(out)
        if Path(out).suffix.lower() != ".csv":
            check_ending(Path(out))


def write_outs(compared: Comparison, outs: Sequence[str], theme: str) -> None:
    """Write each file as its ending says."""
    for out in map(Path, outs):
        if out.suffix.lower() == ".csv":
            _write_numbers(compared, out)
        elif compared.ceiling:
            _draw_subjects(compared, out, theme)
        else:
            _draw(compared, out, theme)


def _write_numbers(compared: Comparison, out: Path) -> None:
    """A line for each pair."""
    extra = [(name, getattr(compared, name)) for name in ("low", "high", "p") if getattr(compared, name) is not None]
    lines = [
        cells([*row, *column, *(float(matrix[i, j]) for matrix in (compared.values, *(m for _, m in extra)))])
        for i, row in enumerate(compared.rows)
        for j, column in enumerate(compared.columns)
    ]
    header = ("row_source", "row_layer", "column_source", "column_layer", "value", *(name for name, _ in extra))
    write_csv(out, header, lines)


def _draw(compared: Comparison, out: Path, theme: str) -> None:
    from decaf.viz.heatmap import Heatmap, save_heatmap

    settings = compared.plan.settings
    shown = Heatmap(
        f"{measure_name(settings)}, {len(compared.plan.shared):,} pictures",
        "CKA" if settings.measure != "rsa" else _CORRELATIONS[settings.correlation],
        names_of(compared.rows),
        names_of(compared.columns),
        _title(compared.rows),
        _title(compared.columns),
        compared.values,
        compared.low,
        compared.high,
        _breaks(compared.rows),
        _breaks(compared.columns),
    )
    save_heatmap(shown, out, theme)


def _title(things: Sequence[Name]) -> str:
    """The source, where the names leave it out."""
    sources = {source for source, _ in things}
    return os.path.basename(os.path.normpath(sources.pop())) if len(sources) == 1 else ""


def _breaks(things: Sequence[Name]) -> list[int]:
    return [number for number in range(1, len(things)) if things[number][0] != things[number - 1][0]]


def _draw_subjects(compared: Comparison, out: Path, theme: str) -> None:
    from decaf.viz.ceiling import Subjects, save_subjects

    assert compared.ceiling is not None
    shown = Subjects(
        f"{measure_name(compared.plan.settings)}, {len(compared.plan.shared):,} pictures, "
        f"{len(compared.columns)} subjects",
        names_of(compared.rows),
        compared.values,
        compared.ceiling,
    )
    save_subjects(shown, out, theme)
