"""The methods of Table 1 and of the Office-Caltech10 tables, each from labelled rows to predictions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import UnknownName
from decaf.probe.team import calm_blas
from decaf.tasks.office.chosen import ChosenProbe
from decaf.tasks.office.splits import SAENKO

_FOLDS_OF_SOURCE = 5
_MMDT_DIMENSION = 20
_UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Sides:
    """What a method is given: vectors (n, d) float32, classes (n,) int from 0 on.

    Attributes:
        source, source_y: labelled.
        target, target_y: labelled; none in the unsupervised protocol.
        test: the target's other vectors; their classes are not here.
        seed: of the folds.
    """

    source: NDArray[np.float32]
    source_y: NDArray[np.intp]
    target: NDArray[np.float32]
    target_y: NDArray[np.intp]
    test: NDArray[np.float32]
    seed: int


@dataclass(frozen=True, eq=False)
class Answer:
    """Of one method on one split.

    Attributes:
        predicted: (test rows,) classes.
        C: relative, as chosen; None: there is nothing to choose.
        dimension: of the subspaces; None: there are none.
        seconds: choosing, fitting and predicting.
    """

    predicted: NDArray[np.intp]
    C: float | None
    dimension: int | None
    seconds: float


Probe = Callable[[str], ChosenProbe]  # loss -> a probe
Make = Callable[[Probe, int], Any]


@dataclass(frozen=True)
class Method:
    """A line of the table.

    Attributes:
        key: what the command line calls it; several lines may share one.
        name: of the line.
        learns_from: `S`, `T` or `ST`: whose labels.
        make: (makes a probe, length of the vectors) -> an estimator.
        adapts: whether it is told which domain a row is of.
        sees_test: whether it is given the target's unlabelled vectors, those it is tested on.
        labels_target: whether it is nothing without labels of the target, though it is given the other vectors too.
        baselines: the lines it is compared with, by Saenko's protocol and by the other; empty: with none.
        about: what is fixed in it.
    """

    key: str
    name: str
    learns_from: str
    make: Make
    adapts: bool = False
    sees_test: bool = False
    labels_target: bool = False
    baselines: tuple[str, str] = ("SVM (ST)", "SVM (S)")
    about: str = ""

    def in_protocol(self, protocol: str) -> bool:
        """Whether its labels are there."""
        return protocol == SAENKO or self.learns_from == "S" or (self.sees_test and not self.labels_target)

    def baseline(self, protocol: str) -> str:
        """The line it is compared with."""
        name = self.baselines[0 if protocol == SAENKO else 1]
        return "" if name == self.name else name


def _nearest(probe: Probe, size: int) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(1, algorithm="brute")


def _linear(loss: str) -> Make:
    return lambda probe, size: probe(loss)


def _adapted(name: str, loss: str = "") -> Make:
    """An estimator of `decaf.adapt`, around a probe where a loss is named."""

    def make(probe: Probe, size: int) -> Any:
        import decaf.adapt

        kind = getattr(decaf.adapt, name)
        return kind(probe(loss)) if loss else kind()

    return make


def _aligned_nearest(probe: Probe, size: int) -> Any:
    import decaf.adapt

    return decaf.adapt.SubspaceAlignment(_nearest(probe, size))


def _mmdt(probe: Probe, size: int) -> Any:
    """Hoffman et al.'s code: `Config.m` and the weight of slacks in its step for W, gamma / 2 = 1 / 2e4."""
    import decaf.adapt

    dimension = min(_MMDT_DIMENSION, size)
    return decaf.adapt.MMDT(prepare="l2-zscore", dimension=dimension, transform_weight=2e4)


_LOGISTIC = ("LogReg (ST)", "LogReg (S)")
_NEAREST = ("SVM (ST)", "1-NN (S)")
METHODS: tuple[Method, ...] = (
    Method("NN", "1-NN (S)", "S", _nearest, baselines=("SVM (ST)", "")),
    Method("S", "LogReg (S)", "S", _linear("logistic"), baselines=_LOGISTIC),
    Method("S", "SVM (S)", "S", _linear("svm")),
    Method("T", "LogReg (T)", "T", _linear("logistic"), baselines=_LOGISTIC),
    Method("T", "SVM (T)", "T", _linear("svm")),
    Method("ST", "LogReg (ST)", "ST", _linear("logistic"), baselines=_LOGISTIC),
    Method("ST", "SVM (ST)", "ST", _linear("svm")),
    Method(
        "Daume",
        "Daumé III 2007",
        "ST",
        _adapted("DaumeAugmentation", "svm"),
        adapts=True,
        about="features shared and of each domain; SVM",
    ),
    Method(
        "MMDT",
        "Hoffman et al. 2013 (MMDT)",
        "ST",
        _mmdt,
        adapts=True,
        sees_test=True,
        labels_target=True,
        about="as the authors' code: vectors of length 1, z-scores of each domain, 20 principal directions of all "
        "rows; losses weighed 0.05 (source) and 1 (target)",
    ),
    Method(
        "GFK",
        "Gong et al. 2012 (GFK)",
        "ST",
        _adapted("GFK"),
        adapts=True,
        sees_test=True,
        baselines=_NEAREST,
        about="nearest neighbour by the geodesic flow kernel, PCA subspaces",
    ),
    Method(
        "SA",
        "Fernando et al. 2013 (SA), 1-NN",
        "ST",
        _aligned_nearest,
        adapts=True,
        sees_test=True,
        baselines=_NEAREST,
        about="nearest neighbour, PCA subspaces",
    ),
    Method(
        "CORAL",
        "Sun et al. 2016 (CORAL), SVM",
        "ST",
        _adapted("CORAL", "svm"),
        adapts=True,
        sees_test=True,
        about="z-scores of each domain and 1 added to the covariances, as in the paper; SVM",
    ),
)


def methods_of(protocol: str, keys: Sequence[str] = ()) -> list[Method]:
    """The lines of a protocol, in the order of the table.

    Args:
        protocol: one of PROTOCOLS.
        keys: only these, in any case; those a line is compared with are added.

    Raises:
        UnknownName: no such method in this protocol.
    """
    known = [method for method in METHODS if method.in_protocol(protocol)]
    wanted = {key.casefold() for key in keys}
    names = list(dict.fromkeys(method.key for method in known))
    for key in keys:
        if key.casefold() not in {name.casefold() for name in names}:
            raise UnknownName(f"{key!r} is no method of the {protocol} protocol: use one of {', '.join(names)}")
    if not wanted:
        return known
    chosen = [method for method in known if method.key.casefold() in wanted]
    needed = {method.baseline(protocol) for method in chosen}
    return [method for method in known if method in chosen or method.name in needed]


def answer(method: Method, sides: Sides) -> Answer:
    """Fit a method on one split and predict what it is tested on.

    C is chosen on labelled training rows alone, by the accuracy that is asked for as far as these can tell it: with
    labels of the target, on each third of its pictures in turn, the source always trained on; with labels of the
    source alone (`S`, and everything where the target has no labels), on fifths of the source. Of values that are
    equally good there, the one nearest to PREFERRED_CS is taken: three pictures of a class decide little.
    """
    started = time.perf_counter()
    folds = _folds(method, sides)
    size = sides.source.shape[1]
    estimator = method.make(lambda loss: ChosenProbe(loss, folds, sides.seed), size)
    with calm_blas(sides.source.size + sides.target.size + sides.test.size):
        fitted = _fit_adapting(method, estimator, sides) if method.adapts else estimator.fit(*_labelled(method, sides))
        predicted = np.asarray(fitted.predict(sides.test), np.intp)
    seconds = time.perf_counter() - started
    C = getattr(getattr(fitted, "estimator_", fitted), "C_", None)
    return Answer(predicted, C, getattr(fitted, "dimension_", None), seconds)


def _labelled(method: Method, sides: Sides) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Rows and classes of the source, the target or both, in this order."""
    parts = {"S": (sides.source, sides.source_y), "T": (sides.target, sides.target_y)}
    X, y = zip(*(parts[side] for side in method.learns_from), strict=True)
    return np.concatenate(X), np.concatenate(y)


def _fit_adapting(method: Method, estimator: Any, sides: Sides) -> Any:
    X, y = _labelled(method, sides)
    domain = np.where(np.arange(len(X)) < len(sides.source), 1, -2)  # as SKADA marks source and target
    if method.sees_test:
        X = np.concatenate([X, sides.test])
        y = np.concatenate([y, np.full(len(sides.test), _UNLABELLED)])
        domain = np.concatenate([domain, np.full(len(sides.test), -2)])
    return estimator.fit(X, y, sample_domain=domain)


def _folds(method: Method, sides: Sides) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]] | None:
    """Pairs (train, validation) of the rows of `_labelled`; None where a class has one row: see `LinearProbeCV`."""
    from sklearn.model_selection import StratifiedKFold

    by_target = "T" in method.learns_from and len(sides.target) > 0
    y = sides.target_y if by_target else sides.source_y
    count = int(np.bincount(y).min())
    if count < 2:
        return None
    n_folds = count if by_target else min(count, _FOLDS_OF_SOURCE)
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=sides.seed)
    before = np.arange(len(sides.source) if by_target and "S" in method.learns_from else 0)  # always trained on
    return [(np.concatenate([before, len(before) + a]), len(before) + b) for a, b in splitter.split(y, y)]
