"""A domain: labelled vectors of pictures of one origin; and kinds of features, each of several domains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from decaf.errors import TaskError
from decaf.tasks.office.names import DOMAINS, TEN

PICTURES, SURF, DECAF, OTHER = "pictures", "surf", "decaf", "other"
KINDS = (PICTURES, SURF, DECAF, OTHER)

Pair = tuple[str, str]  # source, target


@dataclass(frozen=True, eq=False)
class Domain:
    """Labelled vectors of one origin.

    Attributes:
        name: `amazon`, `webcam`, `dslr` or `caltech10`.
        X: (n, d) float32, finite.
        y: (n,) str, names of classes.
        names: of the rows, each once in all domains of a kind.
        source: the file or folder it was read from.
    """

    name: str
    X: NDArray[np.float32]
    y: NDArray[np.object_]
    names: Sequence[str]
    source: str

    def __post_init__(self) -> None:
        if not len(self.X) == len(self.y) == len(self.names):
            counts = f"{len(self.X)} vectors, {len(self.y)} labels and {len(self.names)} names"
            raise TaskError(f"{self.source} has {counts}: get it again")
        bad = np.flatnonzero(~np.isfinite(self.X).all(axis=1))
        if len(bad):
            what = (
                f"{len(bad)} of {len(self.X)} vectors of {self.source} hold NaN or inf, the first is row {bad[0] + 1}"
            )
            raise TaskError(f"{what}: repair it or leave it out")

    def only(self, classes: Iterable[str]) -> Domain:
        """The rows of some classes."""
        rows = np.flatnonzero(np.isin(self.y, list(classes)))
        return replace(self, X=self.X[rows], y=self.y[rows], names=[self.names[int(row)] for row in rows])


@dataclass(frozen=True, eq=False)
class Features:
    """One kind of vectors, of several domains.

    Attributes:
        name: `SURF`, `DeCAF6`, or a layer of a network.
        kind: one of KINDS.
        rows: what the rows are called after: features with the same `rows` have the same rows.
        domains: by name.
        origin: what made them, in words.
    """

    name: str
    kind: str
    rows: str
    domains: Mapping[str, Domain]
    origin: str

    def __post_init__(self) -> None:
        sizes = {name: domain.X.shape[1] for name, domain in self.domains.items()}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise TaskError(f"vectors of {self.name} differ in length ({listed}): give features of one kind")

    def has(self, pair: Pair) -> bool:
        """Whether both domains are there."""
        return set(pair) <= set(self.domains)

    def of(self, pair: Pair) -> tuple[Domain, Domain]:
        """Source and target. Raises TaskError unless they have the same classes."""
        source, target = self.domains[pair[0]], self.domains[pair[1]]
        for one, other in ((source, target), (target, source)):
            if missing := sorted(set(one.y) - set(other.y)):
                others = f" ({len(missing) - 1} others neither)" if len(missing) > 1 else ""
                remedy = "pass --classes 10" if set(TEN) <= set(one.y) & set(other.y) else "add it"
                where = f"{self.name}: class {missing[0]!r} is in {one.name} and not in {other.name}{others}"
                raise TaskError(f"{where}: {remedy}")
        if len(set(source.y)) < 2:
            raise TaskError(f"{source.source} has {len(set(source.y))} class: two or more are needed")
        return source, target

    def limited_to(self, classes: Sequence[str]) -> Features:
        """Only some classes. Raises TaskError where a domain has none of them."""
        kept = {name: domain.only(classes) for name, domain in self.domains.items()}
        for name, domain in kept.items():
            if not len(domain.y):
                raise TaskError(f"{self.domains[name].source} has none of the {len(classes)} classes: name another")
        return replace(self, domains=kept)


def in_order(domains: Iterable[str]) -> list[str]:
    """Names of domains in the order of the tables."""
    return sorted(domains, key=DOMAINS.index)


def count_of_each(domain: Domain) -> Counter[str]:
    """Rows of each class."""
    return Counter(domain.y)
