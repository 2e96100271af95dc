"""`decaf adapt`: a classifier for pictures that are not like those with labels, and whether adapting it helps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.adapt import Adapter, rank_of_domain
from decaf.adapt.selection import (
    Apartness,
    circular_validation,
    effective_rows,
    importance_weighted_validation,
    labelled_validation,
    tell_apart,
)
from decaf.errors import AdaptError, UnknownName
from decaf.probe import mean_class_accuracy
from decaf.tasks.adapt_methods import METHODS, WITHOUT, Candidate, Classifier, Method, candidates, methods_named
from decaf.tasks.adapt_scores import Score, score_methods
from decaf.tasks.domain_pair import DomainPair, Labels, known
from decaf.tasks.splitting import draw_splits
from decaf.tasks.targets import Examples, Targets

OnStep = Callable[[], None]
SELECTIONS = ("circular", "iw", "labelled", "oracle")
CHOSEN = "chosen"


@dataclass(frozen=True)
class Settings:
    """What `decaf adapt` can be told.

    Attributes:
        methods: names; none or `auto`: all that can be used.
        select: one of SELECTIONS; empty: `labelled` where a class has two labelled target rows to learn from, else
            `circular`.
        dimensions: to choose from, beside that of the disagreement measure; none: see `candidates`.
        prepares: of the features, to choose from; none: those of each method.
        classifier: how linear classifiers are made.
        n_taught: pictures of each class of the target to learn from, drawn; None: none are drawn.
        n_splits: how many times they are drawn.
        model: what is chosen must make a model file: methods that are no linear map are left out.
        seed: of all chance.
    """

    methods: tuple[str, ...] = ()
    select: str = ""
    dimensions: tuple[int, ...] = ()
    prepares: tuple[str, ...] = ()
    classifier: Classifier = field(default_factory=Classifier)
    n_taught: int | None = None
    n_splits: int = 5
    model: bool = False
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Part:
    """Target rows of one split: (m,) labels that may be learned from, None elsewhere, and which rows are tested."""

    taught: Labels
    tested: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Plan:
    """An adaptation that is checked but not begun.

    Attributes:
        pair: the domains.
        settings: as asked for.
        asked: the methods to choose from.
        baselines: those that do without adaptation and are measured in any case; the first is compared with.
        parts: one for each split.
        select: how to choose; empty where there is nothing to choose.
        notes: what was decided on the way.
    """

    pair: DomainPair
    settings: Settings
    asked: Sequence[Method]
    baselines: Sequence[Method]
    parts: Sequence[Part]
    select: str
    notes: tuple[str, ...]

    @property
    def methods(self) -> list[Method]:
        """All that are measured: the baselines, then the others."""
        return [*self.baselines, *(method for method in self.asked if method not in self.baselines)]

    def candidates(self, method: Method) -> list[Candidate]:
        """The settings of a method that are tried."""
        room = min(self.pair.X.shape[1], _fewest(self.pair) // 2)
        return candidates(method, self.settings.prepares, self.settings.dimensions, room)

    @property
    def steps(self) -> int:
        """How many candidates there are to wait for."""
        return len(self.parts) * sum(len(self.candidates(method)) for method in self.methods)


@dataclass(frozen=True, eq=False)
class Fit:
    """A candidate, fitted.

    Attributes:
        candidate: with the dimension that was taken.
        C: of the linear classifier; NaN where none was chosen.
        validation: what it was chosen by; NaN where nothing was chosen.
        predicted: (m,) labels of the target rows.
        sureness: (m,) how sure each is.
        confidence: what that is: `probability`, `margin`, or `nearness`: minus the distance to the nearest one.
    """

    candidate: Candidate
    C: float
    validation: float
    predicted: Labels
    sureness: NDArray[np.float64]
    confidence: str


@dataclass(frozen=True, eq=False)
class Adapted:
    """What was found.

    Attributes:
        plan: what was to be done.
        apart: how well the domains are told apart.
        rank: rank of domain of the pair (Gong et al. 2012), on z-scores.
        fits: of each split, method -> its best candidate.
        chosen: of each split, the method that was chosen.
        adapter: the estimator that was chosen in the first split.
        scores: of each method, and of what was chosen as CHOSEN; empty where nothing is tested.
    """

    plan: Plan
    apart: Apartness
    rank: float
    fits: Sequence[Mapping[str, Fit]]
    chosen: Sequence[str]
    adapter: Adapter
    scores: Mapping[str, Score]

    @property
    def best(self) -> Fit:
        """What was chosen in the first split: the predictions are its."""
        return self.fits[0][self.chosen[0]]

    @property
    def unadapted(self) -> Fit:
        """The same without adaptation."""
        return self.fits[0][self.plan.baselines[0].name]


def plan_adaptation(pair: DomainPair, settings: Settings) -> Plan:
    """Check all that can be checked before the first fit.

    Raises:
        AdaptError, ProbeError: rows or a setting cannot be used.
        UnknownName: no such method or selection, or one that needs labels where there are none.
    """
    parts = _parts(pair, settings)
    labels = bool(known(parts[0].taught).any())
    asked = methods_named(settings.methods, labels)
    without = [METHODS[name] for name in WITHOUT if labels or not METHODS[name].needs_labels]
    plan = Plan(pair, settings, asked, without, parts, "", ())
    several = sum(len(plan.candidates(method)) for method in asked) > 1
    select = _selection(plan, labels) if several else ""
    plan = replace(plan, select=select)
    if settings.model:
        plan = _without(plan, [method for method in asked if not method.linear], "a model file cannot hold")
    if select == "circular":
        plan = _without(plan, [method for method in asked if not method.reversible], "circular validation cannot judge")
    return plan


def _without(plan: Plan, left: Sequence[Method], why: str) -> Plan:
    """Leave methods out of the choice, and say so. Raises UnknownName where none is left."""
    kept = [method for method in plan.asked if method not in left]
    if not left:
        return plan
    said = f"{why} {', '.join(method.name for method in left)}"
    if not kept:
        raise UnknownName(f"{said}: name another --method, or leave out what asks for it")
    return replace(plan, asked=kept, notes=(*plan.notes, f"{said}: not among those to choose from"))


def _parts(pair: DomainPair, settings: Settings) -> list[Part]:
    if settings.n_taught is None:
        return [Part(pair.taught, pair.testable)]
    if known(pair.taught).any():
        raise AdaptError("--target-train-per-class draws what --target-labelled names: give one of them")
    rows = np.flatnonzero(pair.testable)
    if not len(rows):
        raise AdaptError("--target-train-per-class draws from the target's labels, and it has none: name the labelled "
                         "rows with --target-labelled CSV")  # fmt: skip
    splits = draw_splits(_examples(pair, rows), settings.n_taught, settings.n_splits, settings.seed)
    return [_part(pair, rows[split.train], rows[split.test]) for split in splits]


def _examples(pair: DomainPair, rows: NDArray[np.intp]) -> Examples:
    """The labelled target rows, as splits are drawn from."""
    targets = Targets("classes", ("label",), pair.target_rows[rows], pair.truth[rows], 0, 0)
    numbers, picture = np.unique(pair.picture[pair.n + rows], return_inverse=True)
    first = np.zeros(len(numbers), np.intp)
    first[picture[::-1]] = np.arange(len(rows))[::-1]
    pictures = tuple(pair.target.paths[pair.target_rows[rows]][first])
    return Examples(pair.X[pair.n + rows], targets, pictures, picture)


def _part(pair: DomainPair, train: NDArray[np.intp], test: NDArray[np.intp]) -> Part:
    taught, tested = np.full(len(pair.truth), None, object), np.zeros(len(pair.truth), bool)
    taught[train], tested[test] = pair.truth[train], True
    return Part(taught, tested)


def _selection(plan: Plan, labels: bool) -> str:
    select = plan.settings.select
    if select and select not in SELECTIONS:
        raise UnknownName(f"no selection {select!r}: use one of {', '.join(SELECTIONS)}")
    taught = plan.parts[0].taught
    _, counts = np.unique(taught[known(taught)].astype(str), return_counts=True)
    enough = labels and int(counts.max(initial=0)) > 1
    if select == "labelled" and not enough:
        raise AdaptError("--select labelled holds out labelled target rows, and no class has two: use circular or iw")
    if select == "oracle" and not plan.parts[0].tested.any():
        raise AdaptError("--select oracle looks at the test labels, and there are none: use circular or iw")
    return select or ("labelled" if enough else "circular")


def run_adaptation(plan: Plan, on_step: OnStep | None = None) -> Adapted:
    """Fit, choose and measure, calling `on_step` after each candidate."""
    pair = plan.pair
    apart = tell_apart(*_unlabelled(pair), seed=plan.settings.seed)
    fits: list[dict[str, Fit]] = []
    chosen: list[str] = []
    adapters: dict[str, Adapter] = {}
    for number, part in enumerate(plan.parts):
        fits.append({})
        for method in plan.methods:
            tried = _tried(plan, part, method, apart, on_step)
            fit, adapter = max(tried, key=lambda one: _order(one[0]))
            fits[-1][method.name] = fit
            if not number:
                adapters[method.name] = adapter
        chosen.append(_choice(plan, part, fits[-1], apart))
    return Adapted(plan, apart, _rank(pair), fits, chosen, adapters[chosen[0]], _scores(plan, fits, chosen))


def _choice(plan: Plan, part: Part, fits: Mapping[str, Fit], apart: Apartness) -> str:
    """The first method, in the order of METHODS, within one standard error of the best (Breiman et al. 1984, 3.4.3).

    The oracle takes the best.
    """
    asked = [name for name in METHODS if name in {method.name for method in plan.asked}]
    best = max(_order(fits[name]) for name in asked)
    error = 0.0
    if plan.select and plan.select != "oracle":
        error = math.sqrt(max(best * (1 - best), 0) / _validated(plan, part, apart))
    return next(name for name in asked if _order(fits[name]) >= best - error)


def _validated(plan: Plan, part: Part, apart: Apartness) -> float:
    """How many rows the validation counts."""
    if plan.select == "iw":
        return effective_rows(apart.weights())
    return float(plan.pair.n if plan.select == "circular" else known(part.taught).sum())


def _order(fit: Fit) -> float:
    return -math.inf if math.isnan(fit.validation) else fit.validation


def _unlabelled(pair: DomainPair) -> tuple[NDArray[np.float32], NDArray[np.int_]]:
    """X and sample_domain of the rows that take part."""
    rows = _rows(pair)
    return pair.X[rows], np.where(rows < pair.n, 1, -1)


def _rows(pair: DomainPair) -> NDArray[np.intp]:
    return np.concatenate([np.arange(pair.n), pair.n + np.flatnonzero(~pair.foreign)])


def _rank(pair: DomainPair) -> float:
    parts = [pair.X[: pair.n], pair.X[pair.n :][~pair.foreign]]
    scaled = [(X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1) for X in parts]
    return rank_of_domain(*scaled)


def _tried(
    plan: Plan, part: Part, method: Method, apart: Apartness, on_step: OnStep | None
) -> Iterator[tuple[Fit, Adapter]]:
    for candidate in plan.candidates(method):
        yield _fit(plan, part, candidate, apart)
        if on_step:
            on_step()


def _fit(plan: Plan, part: Part, candidate: Candidate, apart: Apartness) -> tuple[Fit, Adapter]:
    pair, teaches = plan.pair, candidate.method.learns_from
    X, domain = _unlabelled(pair)
    y = np.concatenate([pair.y, part.taught[~pair.foreign]])
    learned = known(y) & np.where(domain > 0, "source" in teaches, "target" in teaches)
    classifier = plan.settings.classifier.choosing(y[learned], pair.picture[_rows(pair)][learned])
    adapter = candidate.estimator(classifier).fit(X, y, sample_domain=domain)
    C = getattr(adapter.estimator_, "C_", math.nan)
    fit = Fit(candidate.settled(adapter), C, math.nan, *_say(adapter, pair.X[pair.n :]))
    return replace(fit, validation=_validation(plan, part, fit, (X, y, domain), apart)), adapter


def _validation(plan: Plan, part: Part, fit: Fit, data: tuple[Any, Any, Any], apart: Apartness) -> float:
    """What is chosen by; NaN where nothing is."""
    if not plan.select or fit.candidate.method not in plan.asked:
        return math.nan
    if plan.select == "oracle":
        return mean_class_accuracy(plan.pair.truth[part.tested].astype(str), fit.predicted[part.tested].astype(str))
    classifier = None if math.isnan(fit.C) else plan.settings.classifier.fixed(fit.C)
    estimator, seed = _roomy(fit.candidate, plan.pair).estimator(classifier), plan.settings.seed
    if plan.select == "iw":
        return importance_weighted_validation(estimator, *data, weights=apart.weights(), seed=seed)
    validate = circular_validation if plan.select == "circular" else labelled_validation
    return validate(estimator, *data, seed=seed)


def _fewest(pair: DomainPair) -> int:
    """Rows of the smaller domain."""
    return min(pair.n, int((~pair.foreign).sum()))


def _roomy(candidate: Candidate, pair: DomainPair) -> Candidate:
    """With a dimension that fits where a third of the source is held out."""
    most = max(min(pair.n - -(-pair.n // 3), _fewest(pair)) - 1, 1)
    return candidate if candidate.dimension is None else replace(candidate, dimension=min(candidate.dimension, most))


def _say(adapter: Adapter, X: NDArray[np.float32]) -> tuple[Labels, NDArray[np.float64], str]:
    """(m,) labels, how sure they are, and what that is."""
    predicted = adapter.predict(X)
    if getattr(adapter.estimator_, "loss", "") == "logistic":
        return predicted, adapter.predict_proba(X).max(axis=1), "probability"
    if hasattr(adapter, "decision_function"):
        scores = adapter.decision_function(X)
        return predicted, np.abs(scores) if scores.ndim == 1 else scores.max(axis=1), "margin"
    target = np.ones(len(X), bool)
    distance, _ = adapter.estimator_.kneighbors(adapter._coordinates(adapter.preparation_(X, target), target), 1)
    return predicted, -distance[:, 0], "nearness"


def _scores(plan: Plan, fits: Sequence[Mapping[str, Fit]], chosen: Sequence[str]) -> dict[str, Score]:
    tested = np.stack([part.tested for part in plan.parts])
    if not tested.any():
        return {}
    predicted = {method.name: [of[method.name].predicted for of in fits] for method in plan.methods}
    predicted[CHOSEN] = [of[name].predicted for of, name in zip(fits, chosen, strict=True)]
    picture = plan.pair.picture[plan.pair.n :]
    return score_methods(predicted, plan.pair.truth, tested, picture, plan.baselines[0].name, plan.settings.seed)
