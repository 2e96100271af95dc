"""What is done to features before domains are compared: lengths of rows, then scales of each domain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decaf.adapt.domains import Domains, Mask, need_both
from decaf.errors import AdaptError
from decaf.probe.losses import Floats

PREPARATIONS = ("none", "l1", "l2", "zscore", "l1-zscore", "l2-zscore")


@dataclass(frozen=True, eq=False)
class Preparation:
    """Rows divided by their l1 or l2 norm; then each domain by its own mean and deviation (Gong et al. 2012, 4.1).

    Attributes:
        norm: `none`, `l1` or `l2`.
        means, scales: (2, d) of source and target; None without z-scores.
    """

    norm: str
    means: Floats | None = None
    scales: Floats | None = None

    @classmethod
    def fit(cls, name: str, domains: Domains, who: str) -> Preparation:
        """Learn the scales from all rows of each domain, labelled or not. Raises AdaptError."""
        if name not in PREPARATIONS:
            raise AdaptError(f"prepare {name!r} is unknown: use one of {', '.join(PREPARATIONS)}")
        norm = name.partition("-")[0] if name != "zscore" else "none"
        if not name.endswith("zscore"):
            return cls(norm)
        need_both(domains, f"{who} with prepare={name!r}", 2)
        parts = [_unit(domains.rows(of_target), norm) for of_target in (False, True)]
        means = np.stack([part.mean(axis=0) for part in parts])
        spreads = np.stack([part.std(axis=0, ddof=1) for part in parts])
        noise = 10 * np.finfo(domains.X.dtype).eps * np.abs(means)
        return cls(norm, means, np.where(spreads <= noise, 1, spreads))

    def __call__(self, X: Floats, target: Mask) -> Floats:
        """(n, d) prepared rows, of the same dtype."""
        X = _unit(X, self.norm)
        if self.means is None or self.scales is None:
            return X
        which = target.astype(int)
        return np.asarray((X - self.means[which]) / self.scales[which], X.dtype)


def _unit(X: Floats, norm: str) -> Floats:
    if norm == "none":
        return X
    length = np.abs(X).sum(axis=1) if norm == "l1" else np.sqrt(np.einsum("ij,ij->i", X, X))
    return np.asarray(X / np.where(length > 0, length, 1)[:, None], X.dtype)
