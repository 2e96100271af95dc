"""What is done to vectors before anything is learned, in each domain by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from decaf.adapt.domains import UNLABELLED, Domains
from decaf.adapt.prepare import PREPARATIONS, Preparation
from decaf.tasks.office.domain import SURF, Domain
from decaf.tasks.office.splits import UNSUPERVISED

__all__ = ["PREPARATIONS", "default_preparation", "in_words", "prepared", "sees_whole_domains"]

_WORDS = {
    "none": "as they are",
    "l1": "magnitudes of each vector summing to 1",
    "l2": "each vector of length 1",
    "zscore": "each number to mean 0 and deviation 1 over its domain",
}


def in_words(preparation: str) -> str:
    """What it does."""
    return ", then ".join(_WORDS[step] for step in preparation.split("-"))


def default_preparation(kind: str, protocol: str) -> str:
    """As the tables of Office-Caltech10 have it (L1, then z-scores); by Saenko's protocol nothing that sees a domain
    as a whole, so that (S) knows nothing of the target: histograms of length 1, activations as they are.
    """
    if protocol == UNSUPERVISED:
        return "l1-zscore"
    return "l2" if kind == SURF else "none"


def sees_whole_domains(preparation: str) -> bool:
    """Whether a picture's vector depends on the other pictures of its domain, test pictures among them."""
    return preparation.endswith("zscore")


def prepared(source: Domain, target: Domain, preparation: str) -> tuple[Domain, Domain]:
    """Both domains with prepared vectors, (n, d) float32; scales are those of all rows of each domain."""
    X = np.concatenate([source.X, target.X])
    of_target = np.arange(len(X)) >= len(source.X)
    nothing = np.full(len(X), UNLABELLED)
    rows = Domains(X, of_target, nothing != UNLABELLED, nothing, np.empty(0))
    X = np.asarray(Preparation.fit(preparation, rows, "this")(X, of_target), np.float32)
    return replace(source, X=X[~of_target]), replace(target, X=X[of_target])
