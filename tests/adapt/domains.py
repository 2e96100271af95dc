"""Two small domains that tests adapt between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pair:
    """Rows of both domains: X (n, d), the true labels, the domain, and the labels a fit may see."""

    X: NDArray[Any]
    y: NDArray[Any]
    domain: NDArray[np.int_]
    seen: NDArray[Any]

    @property
    def target(self) -> NDArray[np.bool_]:
        """(n,) which rows are of the target."""
        return self.domain < 0


def rotated(
    seed: int = 0,
    d: int = 12,
    classes: int = 3,
    source: int = 30,
    target: int = 20,
    labelled: int = 3,
    angle: float = 0.8,
) -> Pair:
    """Gaussian classes whose target is turned in some planes and moved: `source` and `target` rows of each class."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, d)) * 3
    turn = np.eye(d)
    c, s = np.cos(angle), np.sin(angle)
    for first in range(0, d - 1, 4):
        turn[first : first + 2, first : first + 2] = [[c, -s], [s, c]]
    ys, yt = np.repeat(np.arange(classes), source), np.repeat(np.arange(classes), target)
    Xs = centres[ys] + random.normal(size=(len(ys), d))
    Xt = (centres[yt] + random.normal(size=(len(yt), d))) @ turn + 0.5
    seen = np.where(np.tile(np.arange(target), classes) < labelled, yt, -1)
    domain = np.repeat([1, -1], [len(ys), len(yt)])
    return Pair(np.vstack([Xs, Xt]), np.concatenate([ys, yt]), domain, np.concatenate([ys, seen]))
