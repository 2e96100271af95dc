"""Maps of several layers in one frame, so that points move no more than they must from one to the next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from decaf.errors import ExploreError

Layout = NDArray[np.float32]


def in_one_frame(layouts: Mapping[str, NDArray[np.floating]]) -> dict[str, Layout]:
    """Scale each map into the square from -1 to 1, and turn and mirror it to lie as the one before.

    A t-SNE map says nothing by its orientation: the orthogonal Procrustes problem (Schoenemann, 1966) finds the turn or
    mirror image that brings it nearest to the map before.

    Args:
        layouts: layer -> (n, 2), NaN for a row without a place.

    Returns:
        layer -> (n, 2) float32, rows without a place NaN.

    Raises:
        ExploreError: there is no map, or one that is not (n, 2), or without any place.
    """
    if not layouts:
        raise ExploreError("there is no map to show: name a layer")
    framed: dict[str, Layout] = {}
    before: NDArray[np.float64] | None = None
    for layer, layout in layouts.items():
        places = _centred(layer, np.asarray(layout, np.float64))
        if before is not None:
            places = places @ _turn(places, before)
        before = places
        framed[layer] = (places / np.nanmax(np.abs(places), initial=1e-9)).astype(np.float32)
    return framed


def _centred(layer: str, layout: NDArray[np.float64]) -> NDArray[np.float64]:
    if layout.ndim != 2 or layout.shape[1] != 2:
        raise ExploreError(f"the map of {layer} has the shape {layout.shape}: give x and y of each picture")
    finite = np.asarray(np.isfinite(layout).all(axis=1))
    if not finite.any():
        raise ExploreError(f"no picture has a place on the map of {layer}: take pictures that can be read")
    places = np.where(finite[:, None], layout, np.nan)
    middle = (places[finite].min(axis=0) + places[finite].max(axis=0)) / 2
    return np.asarray(places - middle)


def _turn(places: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """The orthogonal matrix nearest to taking `places` to `before`."""
    both = np.isfinite(places[:, 0]) & np.isfinite(before[:, 0])
    u, _, vt = np.linalg.svd(places[both].T @ before[both])
    return np.asarray(u @ vt)


def local_order(layout: Layout, leaf: int) -> NDArray[np.int32]:
    """Rows in an order in which each run of `leaf` rows lies together on a map: leaves of a balanced k-d tree.

    Pictures of such a run share a file, so that a part of the map needs few files. (Bentley, 1975)

    Args:
        layout: (n, 2); rows without a place come last.
        leaf: rows of a run.

    Returns:
        (n,) int32, a permutation.
    """
    finite = np.isfinite(layout[:, 0])
    runs: list[NDArray[np.intp]] = []
    parts = [np.flatnonzero(finite)]
    while parts:
        rows = parts.pop()
        if len(rows) <= leaf:
            runs.append(rows)
            continue
        places = layout[rows]
        axis = int(np.ptp(places, axis=0).argmax())
        half = -(-len(rows) // (2 * leaf)) * leaf  # whole runs on the left side
        order = np.argpartition(places[:, axis], half - 1)
        parts += [rows[order[half:]], rows[order[:half]]]
    return np.concatenate([*runs, np.flatnonzero(~finite)]).astype(np.int32)
