"""The methods `decaf adapt` knows: one line each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.adapt import (
    CORAL,
    GFK,
    MMDT,
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
DIMENSIONS = (20, 80)


@dataclass(frozen=True)
class Method:
    """A method of adaptation, or of doing without.

    Attributes:
        name: what the command line calls it.
        make: its estimator.
        words: what it does, in a few.
        classifier: `linear`: of the user's choice; `own`: a linear one it brings along; `nearest`: nearest neighbour.
        directions: of the features, that each dimension of its subspaces takes up; 0: it has none to choose.
        prepares: how features are prepared, to choose from.
        needs_labels: of the target.
        learns_from: rows of these domains teach its classifier.
        reversible: it can go the way back of a circular validation, on which there are no labels to meet it.
    """

    name: str
    make: Callable[..., Adapter]
    words: str
    classifier: str = "linear"
    directions: int = 0
    prepares: tuple[str, ...] = ("none",)
    needs_labels: bool = False
    learns_from: tuple[str, ...] = ("source", "target")
    reversible: bool = True

    @property
    def linear(self) -> bool:
        """Whether scores are a linear map of the target's features."""
        return self.classifier != "nearest"


_BOTH = ("none", "zscore")

# From the simplest on: of methods that validation does not tell apart, the first is taken.
METHODS = {
    method.name: method
    for method in (
        Method("source-and-target", SourceAndTarget, "learns from both as if they were one", needs_labels=True),
        Method("source-only", SourceOnly, "learns from the source", learns_from=("source",)),
        Method("target-only", TargetOnly, "learns from the target's few labels", needs_labels=True,
               learns_from=("target",), reversible=False),
        Method("zscore", SourceAndTarget, "each feature of each domain to mean 0 and deviation 1",
               prepares=("zscore",)),
        Method("daume", DaumeAugmentation, "a shared copy of the features and one for each domain", needs_labels=True,
               prepares=_BOTH),
        Method("mmdt", MMDT, "hyperplanes and a map of the target, learned together", classifier="own",
               needs_labels=True, reversible=False, prepares=("l2-zscore",)),
        Method("subspace-alignment", SubspaceAlignment, "principal directions turned onto the target's", directions=1,
               prepares=_BOTH),
        Method("coral", CORAL, "the source's covariance made the target's", prepares=_BOTH),
        Method("gfk-svm", GFK, "linear classifier on the geodesic flow kernel", directions=2, prepares=_BOTH),
        Method("gfk", GFK, "nearest neighbour by the geodesic flow kernel", classifier="nearest", directions=2,
               prepares=_BOTH),
    )
}  # fmt: skip
WITHOUT = ("source-and-target", "source-only", "target-only")  # they adapt nothing: to compare with


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


def candidates(method: Method, prepares: Sequence[str], dimensions: Sequence[int], room: int) -> list[Candidate]:
    """The settings of a method that are tried.

    Args:
        method: any.
        prepares: asked for; none: those of the method. What adapts nothing gets no z-scores, and `zscore` no other.
        dimensions: asked for; none: DIMENSIONS, as far as there is room. That of the disagreement measure comes first.
        room: how many directions there are.
    """
    if method.name in WITHOUT:
        named = list(dict.fromkeys("none" if name == "zscore" else name.removesuffix("-zscore") for name in prepares))
    else:
        named = [name for name in prepares if name.endswith("zscore") or method.name != "zscore"]
    asked = dimensions or [k for k in DIMENSIONS if k * method.directions <= room]
    tried = (None, *asked) if method.directions else (None,)
    return [Candidate(method, prepare, k) for prepare in named or method.prepares for k in tried]


@dataclass(frozen=True)
class Candidate:
    """A method with its settings. `dimension`: None: that of the disagreement measure, where there is one."""

    method: Method
    prepare: str = "none"
    dimension: int | None = None

    def estimator(self, classifier: Any) -> Adapter:
        """A fresh one."""
        given: dict[str, Any] = {"prepare": self.prepare}
        if self.method.classifier == "linear":
            given["estimator"] = classifier
        if self.method.directions:
            given["dimension"] = self.dimension
        return self.method.make(**given)

    def settled(self, fitted: Adapter) -> Candidate:
        """With the dimension that a fit took."""
        return replace(self, dimension=getattr(fitted, "dimension_", self.dimension))
