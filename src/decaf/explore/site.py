"""What a page shows, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import ExploreError
from decaf.explore.columns import Column


@dataclass(frozen=True, eq=False)
class Site:
    """What a page shows.

    Attributes:
        title: of the page.
        paths: (n,) of the pictures.
        columns: to colour and filter by; the first one is shown first.
        layouts: layer -> (n, 2) places, NaN for a picture without one; in the order of the slider.
        neighbours: layer -> (n, k) int32, the nearest pictures; -1 where there are fewer. May lack layers.
        layer: which map is shown first; the last one where none is named.
        notes: sentences the page tells on its page of information.
    """

    title: str
    paths: Sequence[str]
    columns: Sequence[Column]
    layouts: Mapping[str, NDArray[np.floating]]
    neighbours: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    layer: str = ""
    notes: Sequence[str] = ()

    def check(self) -> None:
        """Raise ExploreError where the parts do not fit together."""
        n = len(self.paths)
        if not n:
            raise ExploreError("there is no picture to show: name a feature folder that has some")
        parts: dict[str, Any] = {f"column {column.name}": column.values for column in self.columns}
        parts |= {f"map of {layer}": layout for layer, layout in self.layouts.items()}
        parts |= {f"neighbours of {layer}": near for layer, near in self.neighbours.items()}
        for name, part in parts.items():
            if len(part) != n:
                raise ExploreError(f"{name} has {len(part):,} rows for {n:,} pictures: give one row for each")
        if self.layer and self.layer not in self.layouts:
            raise ExploreError(f"there is no map of {self.layer}: name one of {', '.join(self.layouts)}")

    @property
    def label_column(self) -> int:
        """Which column says what a picture is: `label`, else the first of categories; -1 where there is none."""
        categories = [number for number, column in enumerate(self.columns) if column.kind == "category"]
        named = [number for number in categories if self.columns[number].name == "label"]
        return [*named, *categories, -1][0]

    @property
    def first_layer(self) -> str:
        """The layer whose map is shown first."""
        return self.layer or list(self.layouts)[-1]
