"""Run the Office benchmarks: features x pairs of domains x methods x splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decaf.probe import Comparison, Summary, compare, mean_class_accuracy, summarise
from decaf.tasks.office.domain import Domain, Features, Pair, in_order
from decaf.tasks.office.gather import Request, Splits, gather_features, pairs_of, splits_of
from decaf.tasks.office.methods import Method, Sides, answer, methods_of
from decaf.tasks.office.names import arrow
from decaf.tasks.office.prepare import default_preparation, prepared
from decaf.tasks.office.splits import (
    SAENKO,
    UNSUPERVISED,
    DomainSplit,
    of_source,
    write_domain_splits,
)
from decaf.tasks.steps import Clock, Step, counted, noted
from decaf.tasks.warped import Show

SPLITS = "splits.json"
CLASSES = 31  # of Table 1


@dataclass(frozen=True, eq=False)
class Result:
    """A method on a pair, with one kind of features.

    Attributes:
        features: their name, with the preparation where there are several.
        preparation: of the features.
        pair: source and target.
        method: the line of the table.
        accuracies: of each split, shares of 1.
        Cs: relative, as chosen in each split; None where there is nothing to choose.
        dimensions: of subspaces, as chosen in each split; None where there are none.
        seconds: of all splits.
    """

    features: str
    preparation: str
    pair: Pair
    method: Method
    accuracies: Sequence[float]
    Cs: Sequence[float | None]
    dimensions: Sequence[int | None]
    seconds: float

    @property
    def summary(self) -> Summary:
        """Mean and standard deviation over the splits."""
        return summarise(self.accuracies)

    @property
    def plain_features(self) -> str:
        """Their name without the preparation."""
        return self.features.removesuffix(f", {self.preparation}")

    def __str__(self) -> str:
        return f"{arrow(*self.pair)}, {self.features}, {self.method.name}"


@dataclass(frozen=True, eq=False)
class Difference:
    """A method minus the line it is compared with, on the same splits.

    Attributes:
        result, baseline: the two.
        difference: the mean of it, share of 1.
        here: over draws of labelled pictures from these domains; None of a single split.
        elsewhere: the same, allowing for the test pictures the splits share: for other pictures of such domains.
    """

    result: Result
    baseline: Result
    difference: float
    here: Comparison | None
    elsewhere: Comparison | None

    @property
    def verdict(self) -> str:
        """`better` or `worse`, where the corrected interval takes in 0 `on these pictures`; else `unclear`."""
        direction = "better" if self.difference > 0 else "worse"
        if _leaves_out_zero(self.elsewhere):
            return direction
        return f"{direction} on these pictures" if _leaves_out_zero(self.here) else "unclear"


def _leaves_out_zero(comparison: Comparison | None) -> bool:
    return comparison is not None and not comparison.interval[0] <= 0 <= comparison.interval[1]


@dataclass(frozen=True, eq=False)
class Office:
    """All that was found.

    Attributes:
        request: what was asked.
        features: the kinds of vectors, with their domains.
        pairs: those measured, in order.
        splits: (rows of the features, pair) -> splits.
        results: one for each kind of features, preparation, pair and method.
        differences: of each result that is compared.
        computed: pictures whose features were computed in this run.
        broken: (path, reason) of pictures that could not be read.
        notes: how this differs from what was published.
        warnings: what was warned of, and how often.
        steps: what took how long.
    """

    request: Request
    features: Sequence[Features]
    pairs: Sequence[Pair]
    splits: Splits
    results: Sequence[Result]
    differences: Sequence[Difference]
    computed: int
    broken: Sequence[tuple[str, str]]
    notes: Sequence[str]
    warnings: Sequence[str]
    steps: Sequence[Step]

    @property
    def comparable(self) -> bool:
        """Whether these are the classes of Table 1."""
        return _numbers_of_classes(self.features) == {CLASSES}


OnResult = Callable[[Result], None]


def reproduce_office(request: Request, show: Show, on_result: OnResult) -> Office:
    """Load or extract the features, measure every method on every pair, and write the splits.

    Args:
        request: what is asked for.
        show: opens a display of the extraction's progress.
        on_result: told about each result when it is measured.

    Raises:
        TaskError: the data is not what the protocol needs.
        UnknownName: no such method or layer.
        DecafError: what `extract` raises.
    """
    methods = methods_of(request.protocol, request.methods)
    clock = Clock()
    with clock.step("features"):
        features, notes, computed, broken = gather_features(request, show)
    pairs = pairs_of(request, features)
    splits = splits_of(request, features, pairs)
    used = [(one, pair, splits[one.rows, pair]) for one in features for pair in pairs if one.has(pair)]
    write_domain_splits(request.out / SPLITS, request.protocol, request.seed, used)
    with noted() as caught, clock.step("methods"):
        results = list(_measured(request, features, pairs, splits, methods, on_result))
    differences = list(_differences(request.protocol, results, splits, features))
    notes = [*notes, *_notes(request, features, pairs)]
    return Office(
        request, features, pairs, splits, results, differences, computed, broken, notes, counted(caught), clock.steps
    )


# -- measuring ----------------------------------------------------------------------------------------------------


def _measured(
    request: Request,
    features: Sequence[Features],
    pairs: Sequence[Pair],
    splits: Splits,
    methods: Sequence[Method],
    on_result: OnResult,
) -> Iterator[Result]:
    for one in features:
        own = request.preparations or (default_preparation(one.kind, request.protocol),)
        for preparation in own:
            name = one.name if len(own) == 1 else f"{one.name}, {preparation}"
            for pair in pairs:
                if not one.has(pair):
                    continue
                domains = prepared(*one.of(pair), preparation)
                for method in methods:
                    result = _measure(request, name, preparation, pair, domains, splits[one.rows, pair], method)
                    on_result(result)
                    yield result


def _measure(
    request: Request,
    name: str,
    preparation: str,
    pair: Pair,
    domains: Sequence[Domain],
    splits: Sequence[DomainSplit],
    method: Method,
) -> Result:
    source, target = domains
    score = _share if request.protocol == UNSUPERVISED else mean_class_accuracy
    classes = np.array(sorted(set(target.y)), dtype=object)
    source_y, target_y = (np.searchsorted(classes, domain.y).astype(np.intp) for domain in domains)
    answers, accuracies = [], []
    for split in splits:
        sides = Sides(
            source.X[split.source], source_y[split.source], target.X[split.target], target_y[split.target],
            target.X[split.test], request.seed,
        )  # fmt: skip
        answers.append(answer(method, sides))
        accuracies.append(score(target_y[split.test], answers[-1].predicted))
    seconds = sum(one.seconds for one in answers)
    Cs, dimensions = [one.C for one in answers], [one.dimension for one in answers]
    return Result(name, preparation, pair, method, accuracies, Cs, dimensions, seconds)


def _share(truth: NDArray[np.intp], predicted: NDArray[np.intp]) -> float:
    """Of all pictures, as in the tables of Office-Caltech10."""
    return float(np.mean(truth == predicted))


def _differences(
    protocol: str,
    results: Sequence[Result],
    splits: Splits,
    features: Sequence[Features],
) -> Iterator[Difference]:
    """Each result against its baseline (Nadeau and Bengio 2003 for the corrected interval)."""
    by_key = {(one.features, one.pair, one.method.name): one for one in results}
    rows_of = {one.name: one.rows for one in features}
    for one in results:
        base = by_key.get((one.features, one.pair, one.method.baseline(protocol)))
        if base is None:
            continue
        split = splits[rows_of[one.plain_features], one.pair][0]
        share = len(split.test) / (len(split.source) + len(split.target))
        difference = float(np.mean(one.accuracies) - np.mean(base.accuracies))
        a, b = one.accuracies, base.accuracies
        here, elsewhere = (compare(a, b), compare(a, b, test_share=share)) if len(a) > 1 else (None, None)
        yield Difference(one, base, difference, here, elsewhere)


def _notes(request: Request, features: Sequence[Features], pairs: Sequence[Pair]) -> Iterator[str]:
    """How this run differs from what was published."""
    n_classes = _numbers_of_classes(features)
    if request.protocol == SAENKO and n_classes != {CLASSES}:
        listed = " and ".join(map(str, sorted(n_classes)))
        yield f"Table 1 has {CLASSES} classes, here are {listed}: its numbers do not compare."
    for one in features:
        if missing := [arrow(*pair) for pair in pairs if not one.has(pair)]:
            yield f"{one.name} has {', '.join(in_order(one.domains))} only: no {', '.join(missing)}."
        if request.protocol == SAENKO:
            yield from _smaller_sources(one, pairs)


def _numbers_of_classes(features: Sequence[Features]) -> set[int]:
    return {len(set(next(iter(one.domains.values())).y)) for one in features}


def _smaller_sources(features: Features, pairs: Sequence[Pair]) -> Iterator[str]:
    for name in dict.fromkeys(pair[0] for pair in pairs if features.has(pair)):
        y = features.domains[name].y
        few = [of_class for of_class in sorted(set(y)) if (y == of_class).sum() < of_source(name)]
        if few:
            yield (
                f"{features.name}: {len(few)} classes of {name} have fewer than {of_source(name)} pictures, the first "
                f"is {few[0]}; they give all they have."
            )
