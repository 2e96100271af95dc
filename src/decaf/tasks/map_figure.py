"""The figure of `decaf map`, and its numbers as tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import MapError, UnknownName
from decaf.maps import Quality
from decaf.maps.measures import K
from decaf.tasks.grouping import readable
from decaf.tasks.mapping import Mapped, Points
from decaf.tasks.model_file import check_target
from decaf.tasks.pictures import Pictures
from decaf.viz.figures import ENDINGS
from decaf.viz.map import Drawn, Panel, save_map
from decaf.viz.map_thumbnails import MOST, Thumbnail


def check_figure(out: str) -> Path:
    """The figure's file. Raises MapError where it is none, before anything is computed for it."""
    if Path(out).suffix.lower() not in ENDINGS:
        raise MapError(f"{out} is no figure decaf can write: name one that ends in {', '.join(ENDINGS)}, or a folder/")
    check_target(out)
    return Path(out)


def draw_maps(
    points: Points, maps: Sequence[Mapped], colour: str, out: Path, dark: bool = False, enlarged: str = ""
) -> Drawn:
    """Draw a panel for each map.

    Args:
        points: the rows.
        maps: of the same rows.
        colour: what decides the colours: `label`, `group`, `domain` or `prediction`.
        out: .png, .svg or .pdf.
        dark: light points on dark.
        enlarged: a class whose pictures are shown; empty: none.

    Raises:
        UnknownName: no such class, or nothing to colour by.
    """
    colours = readable(points.of(colour))
    shapes = points.domains if points.has_domains and colour != "domain" else None
    names = readable(points.labels) if points.has_labels else None
    panels = [
        Panel(
            f"{mapped.layer}, {mapped.size:,} numbers" + (f"; pictures: {enlarged}" if enlarged else ""),
            panel_note(mapped, colour),
            mapped.drawn.coordinates,
            colours,
            shapes,
            names,
            _thumbnails(points, mapped, colours, enlarged) if enlarged else (),
        )
        for mapped in maps
    ]
    return save_map(panels, out, dark, _legend(points, colour))


def _legend(points: Points, colour: str) -> str:
    if colour == "group" and points.grouping:
        return f"groups: {points.grouping.name}"
    return {"domain": "", "label": "", "prediction": "taken for", "group": ""}[colour]


def panel_note(mapped: Mapped, colour: str) -> str:
    """One line: of the nearest neighbours on the map, how many are of the same class and group."""
    wanted = ("label", "across") if colour == "domain" else ("label", "group")
    said = {"label": "same class", "group": "same group", "across": "same class across domains"}
    found = {said[kind]: mapped.places[kind] for kind in wanted if kind in mapped.places}
    parts = [f"{quality.purity:.0%} {words} (chance {_chance(quality)})" for words, quality in found.items()]
    return f"of {K} neighbours: " + ", ".join(parts) if parts else ""


_WORDS = {"label": "class", "group": "group", "domain": "domain", "across": "class, in other domains"}


def _chance(quality: Quality) -> str:
    return f"{quality.chance:.1%}" if quality.chance < 0.095 else f"{quality.chance:.0%}"


def _thumbnails(points: Points, mapped: Mapped, colours: NDArray[np.object_], enlarged: str) -> list[Thumbnail]:
    rows = np.flatnonzero(points.labels == enlarged)
    if not len(rows):
        known = sorted({str(label) for label in points.labels if label is not None})
        raise UnknownName(f"no class {enlarged!r} to enlarge: name one of {', '.join(known[:20])}")
    rows = rows[mapped.drawn.drawn[rows]]
    rows = rows[np.linspace(0, len(rows) - 1, min(MOST, len(rows))).astype(int)]
    starts = np.cumsum([0, *map(len, points.sets)])
    pictures = [Pictures(features) for features in points.sets]
    found = []
    for row in rows:
        number = int(np.searchsorted(starts, row, side="right")) - 1
        x, y = mapped.drawn.coordinates[row]
        found.append(Thumbnail((x, y), partial(pictures[number].load, int(row - starts[number])), colours[row]))
    return found


# -- numbers ------------------------------------------------------------------------------------------------------

HEADER = ("layer", "same", "purity: features", "map", "chance", "silhouette: features", "map", "trustworthiness")


def table(maps: Sequence[Mapped]) -> list[list[str]]:
    """A line for each layer and kind of class, under HEADER."""
    lines = []
    for mapped in maps:
        for kind, of_map in mapped.places.items():
            of_features = mapped.features[kind]
            lines.append(
                [
                    mapped.layer,
                    _WORDS[kind],
                    *(f"{value:.3f}" for value in (of_features.purity, of_map.purity, of_map.chance)),
                    _number(of_features.silhouette),
                    _number(of_map.silhouette),
                    _number(mapped.trust),
                ]
            )
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def about(points: Points, maps: Sequence[Mapped]) -> dict[str, Any]:
    """All that is known, ready for JSON."""
    return {
        "folders": [str(features.folder) for features in points.sets],
        "rows": len(points.labels),
        "broken": int(points.broken.sum()),
        "unlabelled": int(sum(label is None for label in points.labels)),
        "classes": len({label for label in points.labels if label is not None}),
        "groups": {"name": points.grouping.name, "source": points.grouping.source} if points.grouping else None,
        "maps": [
            {
                "layer": mapped.layer,
                "size": mapped.size,
                "settings": mapped.drawn.settings.to_dict(),
                "file": str(mapped.file),
                "made": mapped.made,
                "landmarks": int(mapped.drawn.landmark.sum()),
                "notes": list(mapped.drawn.notes),
                "features": {kind: quality.to_dict() for kind, quality in mapped.features.items()},
                "map": {kind: quality.to_dict() for kind, quality in mapped.places.items()},
                "trustworthiness": mapped.trust,
            }
            for mapped in maps
        ],
    }
