"""The geodesic flow kernel (Gong et al., CVPR 2012), without ever making a d x d matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier

from decaf.adapt.base import Adapter
from decaf.adapt.domains import Domains, Mask
from decaf.adapt.subspaces import bases_of, check_dimension, greatest_dimension, pls_basis, principal_angles
from decaf.errors import AdaptError
from decaf.probe.losses import Floats

SUBSPACES = ("pca", "pls")


def flow_factor(source: Floats, target: Floats) -> Floats:
    """F such that F F^T is the geodesic flow kernel: the integral of Phi(t) Phi(t)^T for t from 0 to 1.

    The flow turns each principal vector of the source into that of the target. In the plane of such a pair, spanned by
    the source's vector a and the direction b towards the target's, its integral is the matrix
    1/2 [[1 + sinc, s], [s, 1 - sinc]] with sinc = sin(2 angle) / (2 angle) and s = (1 - cos(2 angle)) / (2 angle): Gong
    et al. 2012, equation 5, with b = -R U2.

    Args:
        source, target: (d, k) orthonormal columns.

    Returns:
        (d, 2 k) float64. Columns of an angle of 0 are a vector of the source and zeros.
    """
    angles, a, target_vectors = principal_angles(source, target)
    sines = np.sin(angles)
    b = (target_vectors - a * np.cos(angles)) / np.where(sines > 0, sines, 1)
    twice = 2 * angles
    sinc = np.sinc(twice / np.pi)
    cross = np.sin(angles) ** 2 / np.where(angles > 0, angles, 1) / 2
    # Cholesky of each 2 x 2 matrix: its determinant is not negative, as it is an integral of squares.
    top = np.sqrt((1 + sinc) / 2)
    lower = cross / top
    rest = np.sqrt(np.clip((1 - sinc) / 2 - lower**2, 0, None))
    return np.concatenate([a * top + b * lower, b * rest], axis=1)


def nearest_neighbour() -> KNeighborsClassifier:
    """What the paper classifies with: the label of the nearest labelled row."""
    return KNeighborsClassifier(n_neighbors=1)


class GFK(Adapter):
    """Geodesic flow kernel (Gong et al., CVPR 2012): features compared along the way from source to target.

    The kernel is x^T G z with G = F F^T, and F has twice as many columns as the subspaces have dimensions: rows become
    coordinates x F, in which a nearest neighbour by distance is the paper's, and any classifier works. Time and memory
    grow with d, not with its square.

    Args:
        estimator: any scikit-learn classifier; None: the nearest neighbour, as in the paper. `LinearProbe()` is the
            support vector machine on the kernel.
        dimension: of the subspaces; None: by the subspace disagreement measure.
        subspace: of the source: `pca`, or `pls`, which looks at its labels. The target's is `pca`.
        source_weight, target_weight: of each labelled row, where the classifier takes weights.
        prepare: see `SourceOnly`; the paper's is `l1-zscore` for histograms.

    Attributes:
        dimension_: what was taken.
        factor_: (d, 2 dimension_) F.
        angles_: (dimension_,) principal angles in radians.

    Example:
        >>> model = GFK(prepare="l1-zscore").fit(X, y, sample_domain=domain)   # y = -1 for targets without a label
        >>> model.predict(X_target)
    """

    def __init__(
        self,
        estimator: Any = None,
        dimension: int | None = None,
        subspace: str = "pca",
        source_weight: float = 1.0,
        target_weight: float = 1.0,
        prepare: str = "none",
    ) -> None:
        self.estimator = estimator
        self.dimension = dimension
        self.subspace = subspace
        self.source_weight = source_weight
        self.target_weight = target_weight
        self.prepare = prepare

    def classifier(self) -> Any:
        """A fresh classifier for the coordinates."""
        return nearest_neighbour() if self.estimator is None else clone(self.estimator)

    def _align(self, domains: Domains) -> None:
        if self.subspace not in SUBSPACES:
            raise AdaptError(f"subspace {self.subspace!r} is unknown: use {' or '.join(SUBSPACES)}")
        source, target = domains.rows(False), domains.rows(True)
        most = greatest_dimension(source, target, source.shape[1] // 2)
        self.dimension_, bases = bases_of(self.dimension, source, target, most)
        if self.subspace == "pls":
            bases[0] = pls_basis(source, domains.y[~domains.target], self.dimension_)
            check_dimension(self.dimension_, bases)
        self.angles_ = principal_angles(*bases)[0]
        self.factor_ = flow_factor(*bases)

    def _coordinates(self, X: Floats, target: Mask) -> Floats:
        return np.asarray(X @ self.factor_.astype(X.dtype))
