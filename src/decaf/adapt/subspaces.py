"""Subspaces of two domains: bases, angles between them, how many dimensions, which domains suit each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from decaf.errors import AdaptError
from decaf.probe.losses import Floats

DISAGREES = 0.995  # sines that print as 1.00, as in the code of Fernando et al. 2013
FIRST_LOOK = 64  # directions that are tried before all are


def centred(X: Floats) -> Floats:
    """(n, d) float64 with mean 0."""
    X = np.asarray(X, np.float64)
    return np.asarray(X - X.mean(axis=0))


def principal(X: Floats, most: int | None = None) -> tuple[Floats, Floats]:
    """Eigenvalues of the scatter X^T X and its eigenvectors, greatest first, those of rounding left out.

    Args:
        X: (n, d), float64; centred before.
        most: how many at most; None: all.

    Returns:
        (k,) above 0; (d, k) float64, orthonormal to rounding times the first eigenvalue over a column's own.
    """
    n, d = X.shape
    small = X @ X.T if n < d else X.T @ X
    subset = None if most is None or most >= len(small) else (len(small) - most, len(small) - 1)
    values, vectors = linalg.eigh(small, subset_by_index=subset, overwrite_a=True, check_finite=False)
    kept = np.flatnonzero(values > max(n, d) * np.finfo(np.float64).eps * max(values[-1], 0))[::-1]
    values, vectors = values[kept], vectors[:, kept]
    return values, X.T @ (vectors / np.sqrt(values)) if n < d else vectors


def pca_basis(X: Floats, most: int) -> Floats:
    """Principal directions, greatest variance first.

    Args:
        X: (n, d); centred here.
        most: how many at most; fewer where X has a lower rank.

    Returns:
        (d, k) float64, orthonormal columns.
    """
    directions = principal(centred(X), most)[1]
    return np.asarray(linalg.qr(directions, mode="economic")[0]) if directions.size else directions


def pls_basis(X: Floats, y: NDArray[np.intp], most: int) -> Floats:
    """Directions of greatest covariance with the classes: partial least squares on indicators (Gong et al. 2012, 3.4).

    Args:
        X: (n, d) labelled rows; centred here.
        y: (n,) index of the class.
        most: how many at most; fewer where nothing is left to explain.

    Returns:
        (d, k) float64, orthonormal columns.
    """
    X = centred(X)
    Y = centred(np.eye(int(y.max()) + 1)[y])
    directions: list[Floats] = []
    scale = float(np.abs(X.T @ Y).max(initial=0))
    for _ in range(min(most, len(X) - 1, X.shape[1])):
        cross = X.T @ Y
        if np.abs(cross).max(initial=0) <= 1e-10 * scale:
            break
        _, vectors = linalg.eigh(cross.T @ cross)
        w = cross @ vectors[:, -1]
        w /= np.linalg.norm(w)
        score = X @ w
        X -= np.outer(score, X.T @ score) / (score @ score)
        directions.append(w)
    return np.stack(directions, axis=1) if directions else np.empty((X.shape[1], 0))


def principal_angles(P: Floats, Q: Floats) -> tuple[Floats, Floats, Floats]:
    """Angles between two subspaces and the principal vectors that make them.

    Args:
        P, Q: (d, k) orthonormal columns.

    Returns:
        (k,) angles in radians, 0 to pi / 2, ascending; (d, k) principal vectors in P; (d, k) those in Q.
    """
    U, cosines, Vt = linalg.svd(P.T @ Q)
    of_P, of_Q = P @ U, Q @ Vt.T
    sines = np.linalg.norm(of_Q - of_P * cosines, axis=0)  # arccos alone is wrong by 1e-8 where angles are small
    return np.arctan2(sines, np.clip(cosines, 0, None)), of_P, of_Q


def subspace_disagreement(source: Floats, target: Floats, most: int) -> Floats:
    """D(k), k = 1 ... most: mean sine of the k-th angles of source and of target against both together.

    1 means that a k-th direction of one domain is orthogonal to what both share (Gong et al. 2012, equation 9).

    Args:
        source: (n, d).
        target: (m, d).
        most: how many dimensions to look at; fewer where a domain has fewer.

    Returns:
        (k,) in 0 to 1.
    """
    return np.array(list(_disagreements(_three_bases(source, target, most))), np.float64)


def _three_bases(source: Floats, target: Floats, most: int) -> list[Floats]:
    return [pca_basis(X, most) for X in (source, target, np.concatenate([source, target]))]


def _disagreements(bases: list[Floats]) -> Iterator[float]:
    """D(1), D(2), ... from the bases of source, target and both together."""
    overlaps = [basis.T @ bases[2] for basis in bases[:2]]
    for k in range(1, min(basis.shape[1] for basis in bases) + 1):
        cosines = [linalg.svdvals(overlap[:k, :k], check_finite=False)[-1] for overlap in overlaps]
        yield float(np.mean(np.sqrt(np.clip(1 - np.square(cosines), 0, 1))))


def choose_dimension(source: Floats, target: Floats, most: int) -> int:
    """The least dimension at which the domains disagree in full, else the one at which they disagree most.

    Subspace disagreement measure (Gong et al. 2012, section 3.5).

    Args:
        source: (n, d).
        target: (m, d).
        most: the greatest dimension that may be taken.

    Raises:
        AdaptError: a domain does not vary.
    """
    return _chosen(source, target, most)[0]


def _chosen(source: Floats, target: Floats, most: int) -> tuple[int, list[Floats]]:
    """The dimension, and bases of source and target of at least as many directions.

    Domains disagree in full early: a few directions are looked at first, the time of all grows with their square.
    """
    few = min(FIRST_LOOK, most)
    while True:
        bases = _three_bases(source, target, few)
        found: list[float] = []
        for disagreement in _disagreements(bases):
            found.append(disagreement)
            if disagreement >= DISAGREES:
                return len(found), bases[:2]
        if not found:
            raise AdaptError("all rows of a domain are equal: there is no subspace to compare")
        if few == most:
            return int(np.argmax(found)) + 1, bases[:2]
        few = min(4 * few, most)


def rank_of_domain(source: Floats, target: Floats, dimension: int | None = None) -> float:
    """How ill a source suits a target, 0 or above; of several sources the least suits best (Gong et al. 2012, 3.6).

    The mean over principal angles of angle times the symmetric divergence of Kullback and Leibler between the domains'
    Gaussians along the pair of principal vectors. The features should be prepared alike, by z-scores for instance.

    Args:
        source: (n, d).
        target: (m, d).
        dimension: of the subspaces; None: by the subspace disagreement measure.

    Raises:
        AdaptError: too few rows for the dimension.
    """
    most = greatest_dimension(source, target, source.shape[1])
    _, bases = bases_of(dimension, source, target, most)
    angles, of_source, of_target = principal_angles(*bases)
    along = [np.asarray(X, np.float64) @ vectors for X, vectors in ((source, of_source), (target, of_target))]
    (m, v), (n, w) = ((projected.mean(axis=0), projected.var(axis=0)) for projected in along)
    apart = (m - n) ** 2
    divergence = (v + apart) / (2 * w) + (w + apart) / (2 * v) - 1
    return float(np.mean(angles * divergence))


def greatest_dimension(source: Floats, target: Floats, room: int) -> int:
    """As many dimensions as there is room for, and fewer than the rows of a domain."""
    return max(min(room, len(source) - 1, len(target) - 1), 1)


def bases_of(asked: int | None, source: Floats, target: Floats, most: int) -> tuple[int, list[Floats]]:
    """Bases (d, k) of source and target, k as asked for or by the subspace disagreement measure. Raises AdaptError."""
    if asked is None:
        k, bases = _chosen(source, target, most)
    else:
        k = check_asked(asked, source, target, most)
        bases = [pca_basis(part, k) for part in (source, target)]
    check_dimension(k, bases)
    return k, [basis[:, :k] for basis in bases]


def check_asked(asked: int, source: Floats, target: Floats, most: int) -> int:
    """The dimension asked for. Raises AdaptError unless there is room for it."""
    if not 1 <= asked <= most:
        raise AdaptError(
            f"dimension = {asked!r}: give 1 to {most}; the source has {len(source)} rows, the target {len(target)}, "
            f"of {source.shape[1]} features"
        )
    return asked


def check_dimension(k: int, bases: list[Floats], names: tuple[str, ...] = ("the source", "the target")) -> None:
    """Raise AdaptError unless each basis has k directions."""
    for what, basis in zip(names, bases, strict=True):
        if basis.shape[1] < k:
            raise AdaptError(
                f"dimension = {k}: {what} varies in {basis.shape[1]} directions; give at most that, or more rows"
            )
