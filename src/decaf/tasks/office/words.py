"""What the numbers say, in sentences made from the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from decaf.tasks.office.names import arrow, letters
from decaf.tasks.office.run import Difference, Office, Result
from decaf.tasks.office.splits import SAENKO
from decaf.tasks.paper_report import percent

_MOST_NAMED = 4


def lead(found: Office) -> str:
    """The best of each pair beside what the source alone gives; of many pairs, how often adaptation is best."""
    best = {pair: _best([one for one in found.results if one.pair == pair]) for pair in found.pairs}
    if len(best) <= _MOST_NAMED:
        return " ".join(_best_of_pair(found, one) for one in best.values())
    adapted = [one for one in best.values() if one.method.adapts]
    return (
        f"On {len(adapted)} of {len(best)} pairs of domains the highest accuracy is that of a method of adaptation, on "
        f"{len(best) - len(adapted)} that of a classifier without any."
    )


def _best(results: Sequence[Result]) -> Result:
    return max(results, key=lambda one: one.summary.mean)


def _best_of_pair(found: Office, best: Result) -> str:
    count = sum(one.pair == best.pair for one in found.results)
    text = (
        f"{arrow(*best.pair)}: the highest of {count} on the test pictures is {percent(best.summary)} %, "
        f"{best.method.name} with {best.features}"
    )
    same = [one for one in found.results if (one.pair, one.features) == (best.pair, best.features)]
    alone = [one for one in same if one.method.learns_from == "S" and one is not best]
    return f"{text}; the source alone gives {percent(_best(alone).summary)} % there." if alone else f"{text}."


def helps(found: Office) -> list[str]:
    """For each method, where it helped and where not; those that adapt first."""
    ordered = sorted(found.differences, key=lambda one: not one.result.method.adapts)
    names = list(dict.fromkeys(one.result.method.name for one in ordered))
    own = [[one for one in found.differences if one.result.method.name == name] for name in names]
    say = _over_splits if found.request.protocol == SAENKO and found.request.n_splits > 1 else _over_pairs
    return [sentence for differences in own for sentence in say(differences)]


_VERDICTS = ("better", "better on these pictures", "worse", "worse on these pictures")


def _over_splits(differences: Sequence[Difference]) -> Iterator[str]:
    parts = []
    for verdict in _VERDICTS:
        if own := [one for one in differences if one.verdict == verdict]:
            parts.append(f"{verdict} in {len(own)}{_named(own)}")
    if unclear := sum(one.verdict not in _VERDICTS for one in differences):
        parts.append(f"in {unclear} the splits cannot tell")
    first = differences[0]
    against = f"{first.result.method.name} against {first.baseline.method.name}"
    yield f"{against}, {len(differences)} comparison{'s' if len(differences) > 1 else ''}: {'; '.join(parts)}."


def _named(differences: Sequence[Difference]) -> str:
    ordered = sorted(differences, key=lambda one: -abs(one.difference))
    shown = [
        f"{letters(*one.result.pair)} with {one.result.features} {100 * one.difference:+.1f}"
        for one in ordered[:_MOST_NAMED]
    ]
    more = len(ordered) - len(shown)
    return f" ({', '.join(shown)}{f' and {more} more' if more else ''})"


def _over_pairs(differences: Sequence[Difference]) -> Iterator[str]:
    """One run a pair: how many pairs gain, and by how much; there is no interval."""
    for features in dict.fromkeys(one.result.features for one in differences):
        own = [100 * one.difference for one in differences if one.result.features == features]
        first = differences[0]
        higher = sum(value > 0 for value in own)
        yield (
            f"{first.result.method.name} against {first.baseline.method.name} with {features}: higher on {higher} of "
            f"{len(own)} pairs, by {min(own):+.1f} to {max(own):+.1f} points, {np.mean(own):+.1f} in the mean."
        )
