"""`decaf search --duplicates`: groups of nearly the same pictures as plain values and as a sheet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from decaf.features.feature_set import FeatureSet
from decaf.search.duplicates import Group
from decaf.tasks.pictures import Pictures

_GROUPS_SHOWN = 24
_COLUMNS = 8


def group_records(features: FeatureSet, groups: Sequence[Group]) -> list[list[dict[str, Any]]]:
    """What the groups are, as plain values."""
    texts = {name: values for name, values in features.texts.items() if name != "error"}
    return [
        [
            {
                "row": row,
                **{name: values[row] for name, values in texts.items()},
                "similarity": similarity,
                "same_file": same,
            }
            for row, similarity, same in zip(group.rows, group.similarities, group.same_file, strict=True)
        ]
        for group in groups
    ]


def write_duplicates_sheet(features: FeatureSet, groups: Sequence[Group], threshold: float, out: Path) -> int:
    """Draw the first groups, each after the other. Returns how many pictures could not be shown."""
    from decaf.viz.sheet import Tile, save_sheet

    pictures = Pictures(features)
    shown = groups[:_GROUPS_SHOWN]
    tiles: list[Tile | None] = []
    for group in shown:
        rows = group.rows[:_COLUMNS]
        left_in_line = -len(tiles) % _COLUMNS
        tiles += [None] * left_in_line if left_in_line < len(rows) else []
        left = len(group.rows) - len(rows)
        paths = features[list(rows)].paths
        for place, (row, path) in enumerate(zip(rows, paths, strict=True)):
            said = f"{group.similarities[place]:.3f}" if place else f"group of {len(group.rows):,}"
            more = f"and {left:,} more" if left and place == len(rows) - 1 else ""
            same = "same file" if group.same_file[place] else ""
            notes = (", ".join(filter(None, (said, same, more))), os.path.basename(os.path.dirname(path)))
            tiles.append(Tile(partial(pictures.load, row), os.path.basename(path), notes, place == 0))
    many = f"{len(shown)} of {len(groups):,} groups" if len(groups) > len(shown) else f"{len(groups)} groups"
    return save_sheet(f"{many} of nearly the same pictures: cosine {threshold:g} or more", tiles, out, _COLUMNS)
