"""A map of vectors: where each lies in two dimensions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from decaf.errors import MapError
from decaf.maps.reduce import Reduction
from decaf.maps.settings import MapSettings
from decaf.maps.tsne import FEWEST, Progress, lay_out, place_new, possible_perplexity


@dataclass(frozen=True, eq=False)
class Map:
    """Where each row lies.

    Attributes:
        coordinates: (n, 2) float64; NaN for a row without finite features.
        landmark: (n,) bool, which rows the map was made of; other rows with coordinates were placed afterwards.
        settings: as asked for.
        notes: what else there is to know, in sentences.
    """

    coordinates: NDArray[np.float64]
    landmark: NDArray[np.bool_]
    settings: MapSettings
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.coordinates)

    @property
    def drawn(self) -> NDArray[np.bool_]:
        """(n,) which rows have a place."""
        return np.isfinite(self.coordinates[:, 0])


def draw_map(X: ArrayLike, settings: MapSettings | None = None, progress: Progress | None = None) -> Map:
    """Make a map.

    Args:
        X: (n, d) vectors; a row that is not finite gets NaN for a place.
        settings: how.
        progress: called with (done, of all) iterations, then with (done, of all) rows that are placed.

    Returns:
        The same map, bit for bit, for the same vectors, settings and machine, whatever the number of threads.

    Raises:
        MapError: no row is finite, or X is no table of numbers.

    Example:
        >>> drawn = draw_map(features.X("pool"), MapSettings(seed=1))
        >>> drawn.coordinates.shape
        (9144, 2)
    """
    settings = settings or MapSettings()
    X = _table(X)
    finite = np.flatnonzero(_finite(X))
    if not len(finite):
        raise MapError(f"none of {len(X)} rows has finite features: there is nothing to map")
    landmarks, notes = _landmarks(finite, settings), []
    of_landmarks = X[landmarks]
    if broken := len(X) - len(finite):
        notes.append(f"{broken:,} of {len(X):,} rows have no features and no place.")
    effective, said = effective_settings(of_landmarks, settings)
    coordinates = np.full((len(X), 2), np.nan)
    coordinates[landmarks] = _lay_out(of_landmarks, effective, progress)
    drawn = Map(coordinates, np.isin(np.arange(len(X)), landmarks), settings, (*notes, *said))
    rest = np.setdiff1d(finite, landmarks)
    if len(rest):
        coordinates[rest] = place(X[rest], X, drawn, progress)
        said = (f"{len(landmarks):,} rows, drawn at random, make the map; the other {len(rest):,} are placed into it.",)
        drawn = replace(drawn, notes=drawn.notes + said)
    return drawn


def place(new: ArrayLike, X: ArrayLike, drawn: Map, progress: Progress | None = None) -> NDArray[np.float64]:
    """Places for new vectors in a map that stays as it is.

    Args:
        new: (m, d) vectors.
        X: (n, d), what the map was made of.
        drawn: the map.
        progress: called with (done, of all) rows.

    Returns:
        (m, 2), NaN for a row that is not finite. A place does not depend on which other rows are placed.

    Raises:
        MapError: vectors of another length, or another map's.
    """
    new, X = _table(new), _table(X)
    if new.shape[1] != X.shape[1] or len(X) != len(drawn):
        raise MapError(
            f"{len(X):,} rows of {X.shape[1]} numbers and a map of {len(drawn):,} rows cannot place rows of "
            f"{new.shape[1]} numbers: give what the map was made of, and vectors of the same layer"
        )
    finite = _finite(new)
    of_landmarks, places = X[drawn.landmark], drawn.coordinates[drawn.landmark]
    effective, _ = effective_settings(of_landmarks, drawn.settings)
    reduction = Reduction(of_landmarks, effective)
    reduced = reduction(new[finite])
    found = np.full((len(new), 2), np.nan)
    if effective.method == "pca":
        found[finite] = _two(reduced)
    elif len(reduced):
        found[finite] = place_new(reduced, reduction(of_landmarks), places, progress)
    return found


def _table(X: ArrayLike) -> NDArray[np.float32]:
    table = np.asarray(X, np.float32)
    if table.ndim != 2 or not table.shape[1]:
        raise MapError(f"vectors of shape {table.shape}: give a table of rows and numbers")
    return table


def _finite(X: NDArray[np.float32]) -> NDArray[np.bool_]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.isfinite(np.einsum("ij,ij->i", X, X, dtype=np.float64)))


def _landmarks(finite: NDArray[np.intp], settings: MapSettings) -> NDArray[np.intp]:
    if len(finite) <= settings.landmarks:
        return finite
    return np.sort(np.random.default_rng(settings.seed).choice(finite, settings.landmarks, replace=False))


def effective_settings(X: NDArray[np.float32], settings: MapSettings) -> tuple[MapSettings, tuple[str, ...]]:
    """What is really done with these rows, (n, d), and why it is not what was asked for."""
    if settings.method == "pca":
        return settings, ()
    plain = replace(settings, method="pca")
    if not (X[0] != X).any():
        return plain, (f"All {len(X):,} rows have the same features: they share one place.",)
    if len(X) < FEWEST:
        return plain, (f"{len(X)} rows are too few for t-SNE: they are shown by their principal components.",)
    perplexity = possible_perplexity(settings.perplexity, len(X))
    if perplexity == settings.perplexity:
        return settings, ()
    return settings, (f"Perplexity {perplexity:.3g} in place of {settings.perplexity:g}: {len(X)} rows allow no more.",)


def _lay_out(X: NDArray[np.float32], settings: MapSettings, progress: Progress | None) -> NDArray[np.float64]:
    Z = Reduction(X, settings)(X)
    if settings.method == "pca":
        return _two(Z)
    return lay_out(Z, settings.perplexity, settings.seed, progress)


def _two(Z: NDArray[Any]) -> NDArray[np.float64]:
    """Two columns, zeros where there is one."""
    return np.pad(Z[:, :2].astype(np.float64), ((0, 0), (0, 2 - min(Z.shape[1], 2))))
