"""Linear centred kernel alignment (Kornblith, Norouzi, Lee and Hinton 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decaf.compare.pairs import Floats, check_finite, nothing, stored_type
from decaf.errors import CompareError

Matrix = NDArray[np.float64]

_TILE = 1024  # rows of a kernel in work at a time
_GROUPS = 20  # of a jackknife
_LEAST = 1e-12  # of the squared length of the vectors: less variance than this is rounding


@dataclass(frozen=True, eq=False)
class Kernel:
    """The centred linear kernel of a representation, in whichever form is smaller.

    Attributes:
        factor: (n, d) centred vectors; None where the kernel itself is kept.
        gram: (n, n) products of centred vectors; None where the vectors are kept.
        squares: (n,) the kernel's diagonal.
    """

    factor: Floats | None
    gram: Floats | None
    squares: Matrix

    @classmethod
    def of(cls, X: Floats) -> Kernel:
        """Of vectors, one per picture.

        Args:
            X: (n, d) vectors, n >= 2.

        Raises:
            CompareError: numbers that are not finite, or the same vector for all pictures.
        """
        check_finite(X)
        kind = stored_type(len(X))
        lengths = float(np.einsum("ij,ij->", X, X, dtype=np.float64))
        centred = (X - X.mean(axis=0, dtype=np.float64)).astype(kind)
        squares = np.einsum("ij,ij->i", centred, centred, dtype=np.float64)
        if squares.sum() <= _LEAST * lengths or not squares.any():
            raise CompareError("all pictures have the same vector: no alignment is defined; leave the layer out")
        if X.shape[1] <= len(X):
            return cls(centred, None, squares)
        return cls(None, centred @ centred.T, squares)

    def of_some(self, pictures: NDArray[np.intp]) -> Kernel:
        """Of some of the pictures, centred among themselves."""
        if self.factor is not None:
            return Kernel.of(self.factor[pictures])
        assert self.gram is not None
        gram = self.gram[np.ix_(pictures, pictures)]
        means = gram.mean(axis=0, dtype=np.float64)
        gram = (gram - means - means[:, None] + means.mean()).astype(gram.dtype)
        return Kernel(None, gram, np.diag(gram).astype(np.float64))

    def rows(self, part: slice) -> Floats:
        """Rows of the n x n kernel."""
        if self.gram is not None:
            return self.gram[part]
        assert self.factor is not None
        return np.asarray(self.factor[part] @ self.factor.T)


def product(a: Kernel, b: Kernel) -> float:
    """tr(K L): of the vectors' covariances where both are narrow (feature space), else over pairs of pictures."""
    n = len(a.squares)
    if a.factor is not None and b.factor is not None and a.factor.shape[1] * b.factor.shape[1] <= n * n:
        covariance = np.asarray(a.factor.T @ b.factor, np.float64)
        return float(np.vdot(covariance, covariance))
    parts = (slice(start, start + _TILE) for start in range(0, n, _TILE))
    return sum(float(np.einsum("ij,ij->", a.rows(part), b.rows(part), dtype=np.float64)) for part in parts)


def hsic(a: Kernel, b: Kernel, debiased: bool) -> float:
    """The Hilbert-Schmidt independence criterion of two kernels, up to a factor that cancels in CKA.

    Args:
        a, b: of the same n pictures.
        debiased: the unbiased estimator of Song et al. (2012), equation 5, which is 0 on average for independent
            representations, however many numbers they have. With centred vectors the sum over the rows of a kernel
            whose diagonal was set to 0 is minus that diagonal, so that tr(K L) and the two diagonals are enough.
    """
    if not debiased:
        return product(a, b)
    n = len(a.squares)
    diagonals, sums = float(a.squares @ b.squares), float(a.squares.sum() * b.squares.sum())
    return product(a, b) - n / (n - 2) * diagonals + sums / ((n - 1) * (n - 2))


def cka(a: Sequence[Kernel], b: Sequence[Kernel], debiased: bool = True) -> Matrix:
    """Linear CKA of representations of the same pictures: 1 where one is a rotated and scaled copy of the other.

    Args:
        a, b: kernels.
        debiased: with the estimator of `hsic` (Nguyen, Raghu and Kornblith 2021, section 3), which needs 4 pictures;
            else equation 3 of Kornblith et al. (2019), which grows towards 1 as vectors get longer than there are
            pictures, whatever they hold.

    Returns:
        (len(a), len(b)); NaN where the pictures of a representation are all equally far from each other, in which the
        debiased estimator sees nothing.

    Raises:
        CompareError: fewer than 4 pictures for the debiased estimator.
    """
    if debiased and len(a[0].squares) < 4:
        raise CompareError("debiased CKA needs 4 pictures or more: give more, or use cka")
    own = {id(one): _own(one, debiased) for one in {id(one): one for one in [*a, *b]}.values()}
    out = np.full((len(a), len(b)), np.nan)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            if min(own[id(one)], own[id(other)]) > 0:
                mirrored = a is b and j < i
                out[i, j] = (
                    out[j, i] if mirrored else hsic(one, other, debiased) / np.sqrt(own[id(one)] * own[id(other)])
                )
    return out


def _own(kernel: Kernel, debiased: bool) -> float:
    """HSIC with itself, which is never negative; 0 where it is rounding."""
    value = hsic(kernel, kernel, debiased)
    return value if value > _LEAST * float(kernel.squares @ kernel.squares) else 0.0


def jackknife(
    a: Sequence[Kernel], b: Sequence[Kernel], debiased: bool, seed: int, step: Callable[[], None] = nothing
) -> tuple[Matrix, Matrix]:
    """95 % intervals of CKA over pictures: the delete-a-group jackknife (Efron and Tibshirani 1993, chapter 11).

    Not the bootstrap: a picture that was drawn twice is like itself in every representation, which pulls CKA up.

    Args:
        a, b, debiased: see `cka`.
        seed: of the 20 groups; fewer than 40 pictures are left out one by one.
        step: called after each group.

    Returns:
        Lower and upper ends, (len(a), len(b)) each.
    """
    n = len(a[0].squares)
    values = cka(a, b, debiased)
    groups = np.array_split(np.random.default_rng(seed).permutation(n), _GROUPS if n >= 2 * _GROUPS else n)
    left_out = []
    for group in groups:
        kept = np.setdiff1d(np.arange(n), group)
        made = {id(one): one.of_some(kept) for one in [*a, *b]}
        rows = [made[id(one)] for one in a]
        left_out.append(cka(rows, rows if b is a else [made[id(one)] for one in b], debiased))
        step()
    return _interval(values, np.array(left_out))


def _interval(values: Matrix, left_out: NDArray[np.float64]) -> tuple[Matrix, Matrix]:
    from scipy.stats import t

    count = len(left_out)
    spread = ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
    half = t.ppf(0.975, count - 1) * np.sqrt((count - 1) / count * spread)
    return values - half, np.minimum(values + half, 1.0)
