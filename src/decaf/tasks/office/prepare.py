"""What is done to vectors before anything is learned, in each domain by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from decaf.tasks.office.domain import SURF, Domain
from decaf.tasks.office.splits import UNSUPERVISED

PREPARATIONS = {
    "none": "as they are",
    "l1": "each vector's magnitudes sum to 1",
    "l2": "each vector of length 1",
    "zscore": "each number to mean 0 and deviation 1 over its domain",
    "l1-zscore": "each vector's magnitudes sum to 1, then each number to mean 0 and deviation 1 over its domain",
    "l2-zscore": "each vector of length 1, then each number to mean 0 and deviation 1 over its domain",
}


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


def prepared(domain: Domain, preparation: str) -> Domain:
    """The domain with prepared vectors, (n, d) float32."""
    X = domain.X
    for step in preparation.split("-"):
        X = _STEPS[step](X)
    return replace(domain, X=X)


def _l1(X: NDArray[np.float32]) -> NDArray[np.float32]:
    return _divided(X, np.abs(X).sum(axis=1, keepdims=True))


def _l2(X: NDArray[np.float32]) -> NDArray[np.float32]:
    return _divided(X, np.sqrt(np.einsum("ij,ij->i", X, X))[:, None])


def _zscore(X: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = X.mean(axis=0, dtype=np.float64)
    deviation = X.std(axis=0, dtype=np.float64)
    constant = deviation <= 10 * np.finfo(np.float32).eps * np.abs(mean)
    return np.asarray((X - mean) / np.where(constant, 1, deviation) * ~constant, np.float32)


def _divided(X: NDArray[np.float32], by: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of zeros stay so."""
    return np.asarray(X / np.where(by > 0, by, 1), np.float32)


_STEPS = {"none": lambda X: X, "l1": _l1, "l2": _l2, "zscore": _zscore}
