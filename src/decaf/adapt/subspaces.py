"""Subspaces of two domains: bases, angles between them, how many dimensions, which domains suit each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from decaf.errors import AdaptError
from decaf.probe.losses import Floats

DISAGREES = 0.995  # sines that print as 1.00, as in the code of Fernando et al. 2013


def centred(X: Floats) -> Floats:
    """(n, d) float64 with mean 0."""
    X = np.asarray(X, np.float64)
    return np.asarray(X - X.mean(axis=0))


def pca_basis(X: Floats, most: int) -> Floats:
    """Principal directions, greatest variance first.

    Args:
        X: (n, d); centred here.
        most: how many at most; fewer where X has a lower rank.

    Returns:
        (d, k) float64, orthonormal columns.
    """
    directions, _ = principal_directions(X, most)
    if len(X) >= X.shape[1] or not directions.shape[1]:
        return directions
    return np.asarray(linalg.qr(directions, mode="economic")[0])


def principal_directions(X: Floats, most: int) -> tuple[Floats, Floats]:
    """As `pca_basis`, (d, k), and the variance along each, (k,), n - 1.

    Where n < d, directions of a variance v are orthonormal to eps * greatest variance / v only.
    """
    X = centred(X)
    n, d = X.shape
    products = X @ X.T if n < d else X.T @ X
    some = (len(products) - most, len(products) - 1) if most < len(products) // 8 else None  # then faster than all
    values, vectors = linalg.eigh(products, subset_by_index=some, overwrite_a=True)
    order = np.argsort(values)[::-1][:most]
    order = order[values[order] > max(n, d) * np.finfo(np.float64).eps * max(values[-1], 0)]
    directions = vectors[:, order] if n >= d else X.T @ (vectors[:, order] / np.sqrt(values[order]))
    return np.asarray(directions), np.asarray(values[order] / max(n - 1, 1))


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
    return np.fromiter(_disagreements(source, target, most), np.float64)


def _disagreements(source: Floats, target: Floats, most: int) -> Iterator[float]:
    """D(1), D(2), ...: each is worked out when it is asked for."""
    bases = [pca_basis(X, most) for X in (source, target, np.concatenate([source, target]))]
    overlaps = [basis.T @ bases[2] for basis in bases[:2]]
    for k in range(1, min(basis.shape[1] for basis in bases) + 1):
        cosines = [linalg.svdvals(overlap[:k, :k])[-1] for overlap in overlaps]
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
    best, greatest = 0, -1.0
    for k, found in enumerate(_disagreements(source, target, most), 1):
        if found >= DISAGREES:
            return k
        if found > greatest:
            best, greatest = k, found
    if not best:
        raise AdaptError("all rows of a domain are equal: there is no subspace to compare")
    return best


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
    k = dimension_of(dimension, source, target, greatest_dimension(source, target, source.shape[1]))
    bases = [pca_basis(X, k) for X in (source, target)]
    check_dimension(k, bases)
    angles, of_source, of_target = principal_angles(*bases)
    along = [np.asarray(X, np.float64) @ vectors for X, vectors in ((source, of_source), (target, of_target))]
    (m, v), (n, w) = ((projected.mean(axis=0), projected.var(axis=0)) for projected in along)
    apart = (m - n) ** 2
    divergence = (v + apart) / (2 * w) + (w + apart) / (2 * v) - 1
    return float(np.mean(angles * divergence))


def greatest_dimension(source: Floats, target: Floats, room: int) -> int:
    """As many dimensions as there is room for, and fewer than the rows of a domain."""
    return max(min(room, len(source) - 1, len(target) - 1), 1)


def dimension_of(asked: int | None, source: Floats, target: Floats, most: int) -> int:
    """The dimension asked for, or that of the subspace disagreement measure. Raises AdaptError."""
    if asked is None:
        return choose_dimension(source, target, most)
    if not 1 <= asked <= most:
        raise AdaptError(
            f"dimension = {asked!r}: give 1 to {most}; the source has {len(source)} rows, the target {len(target)}, "
            f"of {source.shape[1]} features"
        )
    return asked


def check_dimension(k: int, bases: list[Floats]) -> None:
    """Raise AdaptError unless each basis has k directions."""
    for what, basis in zip(("source", "target"), bases, strict=True):
        if basis.shape[1] < k:
            raise AdaptError(
                f"dimension = {k}: the {what} varies in {basis.shape[1]} directions; give at most that, or more rows"
            )
