"""The methods `decaf adapt` knows: one line each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.adapt import (
    CORAL,
    GFK,
    Adapter,
    DaumeAugmentation,
    SourceAndTarget,
    SourceOnly,
    SubspaceAlignment,
    TargetOnly,
)
from decaf.errors import UnknownName
from decaf.probe import LinearProbe, LinearProbeCV
from decaf.tasks.splitting import held_out

AUTO = "auto"


@dataclass(frozen=True)
class Method:
    """A method of adaptation, or of doing without.

    Attributes:
        name: what the command line calls it.
        make: its estimator.
        words: what it does, in a few.
        linear: it takes a linear classifier; else it brings its own.
        of_dimension: it works in subspaces, whose dimension is to be chosen.
        needs_labels: of the target.
        learns_from: rows of these domains teach its classifier.
        reversible: it can go the way back of a circular validation, on which there are no labels to meet it.
    """

    name: str
    make: Callable[..., Adapter]
    words: str
    linear: bool = True
    of_dimension: bool = False
    needs_labels: bool = False
    learns_from: tuple[str, ...] = ("source", "target")
    reversible: bool = True


METHODS = {
    method.name: method
    for method in (
        Method("source-only", SourceOnly, "learns from the source", learns_from=("source",)),
        Method("target-only", TargetOnly, "learns from the target's few labels", needs_labels=True,
               learns_from=("target",), reversible=False),
        Method("source-and-target", SourceAndTarget, "learns from both as if they were one", needs_labels=True),
        Method("daume", DaumeAugmentation, "a shared copy of the features and one for each domain", needs_labels=True),
        Method("subspace-alignment", SubspaceAlignment, "principal directions turned onto the target's",
               of_dimension=True),
        Method("coral", CORAL, "the source's covariance made the target's"),
        Method("gfk", GFK, "nearest neighbour by the geodesic flow kernel", linear=False, of_dimension=True),
        Method("gfk-svm", GFK, "linear classifier on the geodesic flow kernel", of_dimension=True),
    )
}  # fmt: skip


def methods_named(names: tuple[str, ...], labels: bool) -> list[Method]:
    """The methods that are meant; `auto`, or none: all that can be used.

    Args:
        names: of METHODS, or `auto`.
        labels: whether some of the target's labels may be learned from.

    Raises:
        UnknownName: no such method, or one that needs labels where there are none.
    """
    if not names or AUTO in names:
        return [method for method in METHODS.values() if labels or not method.needs_labels]
    for name in names:
        if name not in METHODS:
            raise UnknownName(f"no method {name!r}: use {AUTO} or one of {', '.join(METHODS)}")
        if METHODS[name].needs_labels and not labels:
            raise UnknownName(
                f"{name} needs labels of the target to learn from: name a few with --target-labelled CSV, or draw them "
                "with --target-train-per-class N"
            )
    return [METHODS[name] for name in dict.fromkeys(names)]


@dataclass(frozen=True)
class Classifier:
    """How the linear classifiers are made.

    Attributes:
        loss: `svm` or `logistic`.
        Cs: to choose from, on labelled rows; none: those of `LinearProbeCV`.
        seed: of what is held out for the choice.
    """

    loss: str = "svm"
    Cs: tuple[float, ...] = ()
    seed: int = 0

    def choosing(self, y: NDArray[Any], picture: NDArray[np.intp]) -> LinearProbeCV:
        """One that chooses C on these rows; all rows of a picture are learned from, or none.

        Args:
            y: (n,) labels.
            picture: (n,) which picture each row shows.
        """
        grouped = len(np.unique(picture)) < len(picture)
        folds = held_out(y, picture, self.seed) if grouped else []
        return LinearProbeCV(self.loss, Cs=self.Cs or None, cv=folds or None, random_state=self.seed)

    def fixed(self, C: float) -> LinearProbe:
        """One of this C."""
        return LinearProbe(self.loss, C=C, random_state=self.seed)


@dataclass(frozen=True)
class Candidate:
    """A method with its settings; None: as the estimator has it, for a dimension the disagreement measure."""

    method: Method
    dimension: int | None = None
    prepare: str | None = None

    def estimator(self, classifier: Any) -> Adapter:
        """A fresh one."""
        given = {"estimator": classifier if self.method.linear else None, "prepare": self.prepare}
        if self.method.of_dimension:
            given["dimension"] = self.dimension
        return self.method.make(**{name: value for name, value in given.items() if value is not None})

    def settled(self, fitted: Adapter) -> Candidate:
        """With the dimension that a fit took."""
        return replace(self, dimension=getattr(fitted, "dimension_", None))
