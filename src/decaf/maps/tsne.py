"""t-SNE by openTSNE: a layout of points, and places for new points in a layout that stays as it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.engines.base import available_cores

Progress = Callable[[int, int], None]
Layout = NDArray[np.float64]

EARLY, LATER = 250, 500  # iterations with exaggeration 12, and without (Belkina et al. 2019; openTSNE's defaults)
_TRIED = 4  # iterations that are timed
_TOLD = 25  # iterations between two calls of the progress function
PLACED = 250  # iterations of a new point
ATTENDS = 5.0  # perplexity of a new point
_AT_ONCE = 10_000  # new points
_BY_GRID = 10_000  # points of a layout from which forces are interpolated on a grid
GENTLY = {"learning_rate": 0.1, "exaggeration": 1.5, "momentum": 0.8, "max_grad_norm": 0.25}  # openTSNE's defaults
FEWEST = 5  # points that t-SNE can lay out


def possible_perplexity(wanted: float, n: int) -> float:
    """The perplexity, at most a third of the other points."""
    return min(wanted, (n - 1) / 3)


def lay_out(Z: NDArray[np.float32], perplexity: float, seed: int, progress: Progress | None = None) -> Layout:
    """(n, 2) places of (n, d) points, the middle of their bounding box at 0, 0.

    The places are those of `openTSNE.TSNE(neighbors="exact").fit`, centred. Neighbours are found exactly and threads
    never add into one number, so that the same points and seed give the same places, bit for bit, whatever the number
    of threads; of which, therefore, as many are used as are quickest.
    """
    from openTSNE import TSNE

    perplexity = possible_perplexity(perplexity, len(Z))
    told = {"callbacks": [_Told(progress)], "callbacks_every_iters": _TOLD} if progress else {}
    method = TSNE(perplexity=perplexity, neighbors="exact", random_state=seed, n_jobs=available_cores(), **told)
    embedding = method.prepare_initial(np.pad(Z, ((0, 0), (0, max(2 - Z.shape[1], 0)))))  # it starts from two columns
    for n_iter, exaggeration in ((EARLY, method.early_exaggeration), (LATER, method.exaggeration)):
        jobs = _quickest(embedding)
        embedding.optimize(n_iter, exaggeration=exaggeration, inplace=True, n_jobs=jobs, propagate_exception=True)
    places: Layout = np.array(embedding)
    places -= (places.max(axis=0) + places.min(axis=0)) / 2
    return places


def _quickest(embedding: Any) -> int:
    """One thread or all, whichever takes less time for a few iterations, which are thrown away.

    openTSNE's threads spin while they wait, thousands of times a second: with a core each they are worth having, but
    where something else wants one of the cores, all are slowed down together, up to twentyfold.
    """
    seconds = {}
    for jobs in (1, available_cores()):
        start = time.perf_counter()
        embedding.optimize(_TRIED, exaggeration=1, inplace=False, n_jobs=jobs)  # another would round what is shared
        seconds[jobs] = time.perf_counter() - start
    return min(seconds, key=lambda jobs: seconds[jobs])


class _Told:
    """Passes on how many of all iterations are done; openTSNE counts each phase anew."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._before, self._last = progress, 0, 0

    def __call__(self, iteration: int, error: float, embedding: Any) -> None:
        if iteration < self._last:
            self._before += self._last
        self._last = iteration
        self._progress(self._before + iteration, EARLY + LATER)


def place_new(
    new: NDArray[np.float32], Z: NDArray[np.float32], places: Layout, progress: Progress | None = None
) -> Layout:
    """(m, 2) places of new points in a layout; each is attracted by its neighbours there and by no other new point.

    Poličar, Stražar and Zupan 2021, "Embedding to reference t-SNE space". Where a point comes to lie does not depend on
    which others are placed with it. As `openTSNE.TSNEEmbedding.transform`, without the neighbours of all points of the
    layout, which that finds again although they stay.
    """
    from openTSNE.affinity import joint_probabilities_nn
    from openTSNE.tsne import PartialTSNEEmbedding
    from sklearn.neighbors import NearestNeighbors

    perplexity = possible_perplexity(ATTENDS, len(Z))
    index = NearestNeighbors(n_neighbors=min(len(Z), int(3 * perplexity)), n_jobs=-1).fit(Z)
    reference, jobs = _standing(places), 1
    found = np.empty((len(new), 2))
    for start in range(0, len(new), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        distances, near = index.kneighbors(new[part])
        P = joint_probabilities_nn(near, distances, [perplexity], False, "point-wise", len(Z))
        begin = np.ascontiguousarray(np.median(places[near], axis=1))
        partial = PartialTSNEEmbedding(begin, reference, P, **reference.gradient_descent_params)
        jobs = _quickest(partial) if start == 0 else jobs
        partial.optimize(PLACED, n_jobs=jobs, inplace=True, **GENTLY)
        found[part] = partial
        if progress:
            progress(min(start + _AT_ONCE, len(new)), len(new))
    return found


def _standing(places: Layout) -> Any:
    """A layout for new points to be placed in."""
    from openTSNE import TSNEEmbedding

    by_grid = len(places) > _BY_GRID
    of_itself = SimpleNamespace(P=places)  # only its length is asked for
    reference = TSNEEmbedding(places, of_itself, negative_gradient_method="fft" if by_grid else "bh", n_jobs=1)
    if by_grid:  # over the layout alone: a grid over the new points would make them depend on each other
        reference.prepare_interpolation_grid()
    return reference
