"""Two feature sets as a source and a target: made alike, which rows have labels, which of these may be learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import AdaptError, SettingsDiffer
from decaf.features.feature_set import FeatureSet
from decaf.tasks.same_net import DECIDING
from decaf.tasks.targets import finite_features, read_targets

Labels = NDArray[np.object_]

FEWEST = 3  # pictures of a target: of two there is one direction, and nothing to tell a scale from

# Beside what decides of the meaning of numbers: where these differ, the domains would differ for that reason alone.
ALIKE = (*DECIDING, "precision", "views")
# These may differ: what part of a picture is seen is a domain's own business, rounding to f16 is below what matters.
TOLD = ("regions", "store")


@dataclass(frozen=True)
class Labelling:
    """Where labels come from.

    Attributes:
        source: CSV file of the source's; empty: names of folders.
        target: CSV file of the target's, which are tested on and never learned from; empty: names of folders.
        taught: CSV file of the few of the target's that are learned from; empty: none.
        target_has_none: whatever folders are called.
        shared_classes: leave out classes that one domain lacks, in place of an error.
    """

    source: str = ""
    target: str = ""
    taught: str = ""
    target_has_none: bool = False
    shared_classes: bool = False


@dataclass(frozen=True, eq=False)
class DomainPair:
    """Features of two domains: n source rows that have labels, then m target rows, with labels or without.

    Attributes:
        source, target: the sets.
        layer: which layer.
        X: (n + m, d) float32, finite.
        source_rows, target_rows: (n,), (m,) int: which rows of the sets; no broken ones.
        y: (n,) labels of the source.
        truth: (m,) labels to test on; None where none is known.
        taught: (m,) labels to learn from; None where there is none.
        foreign: (m,) rows of a class that the source lacks: neither learned from nor tested on.
        picture: (n + m,) int, which picture each row shows.
        notes: what was left out, and what differs.
    """

    source: FeatureSet
    target: FeatureSet
    layer: str
    X: NDArray[np.float32]
    source_rows: NDArray[np.intp]
    target_rows: NDArray[np.intp]
    y: Labels
    truth: Labels
    taught: Labels
    foreign: NDArray[np.bool_]
    picture: NDArray[np.intp]
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        """How many source rows."""
        return len(self.y)

    @property
    def classes(self) -> list[str]:
        """Those of the source, sorted."""
        return sorted(set(self.y))

    @property
    def testable(self) -> NDArray[np.bool_]:
        """(m,) which target rows could be tested on."""
        return known(self.truth) & ~known(self.taught) & ~self.foreign


def known(labels: Labels) -> NDArray[np.bool_]:
    """Which of them are labels."""
    return np.array([label is not None for label in labels], dtype=bool)


def load_pair(
    source: FeatureSet, target: FeatureSet, labelling: Labelling | None = None, layer: str | None = None
) -> DomainPair:
    """Read two feature sets as domains.

    Args:
        source: with labels.
        target: with labels or without.
        labelling: where labels come from; None: names of folders, those of the target for testing only.
        layer: may be left out where the sets have one.

    Raises:
        SettingsDiffer: the sets were made in different ways; the message names the first difference.
        AdaptError: it is the same set twice, a domain lacks a class, or the target has fewer than FEWEST rows.
        ProbeError, TableError: features or labels cannot be used.
        UnknownName: no such layer.
    """
    labelling = labelling or Labelling()
    if Path(source.folder).resolve() == Path(target.folder).resolve():
        raise AdaptError(f"{source.folder} is the source and the target: name two feature folders")
    for features in (source, target):
        features[:0].X(layer)  # complains of a layer that is not there
    layer = layer or source.layers[0]
    notes = check_alike(source, target, layer)
    of_source = read_targets(source, labelling.source)
    notes += _excluded("source", of_source.broken, of_source.unlabelled)
    intact = np.flatnonzero(~target.broken)
    if len(intact) < FEWEST:
        raise AdaptError(f"{target.folder} has {len(intact)} rows with features: a target needs {FEWEST} or more")
    notes += _excluded("target", len(target) - len(intact), 0)
    truth, more = _truth(target, labelling, set(of_source.values))
    taught = _from_file(target, labelling.taught) if labelling.taught else _none(len(target))
    notes += more + _contradictions(truth, taught)
    rows = of_source.rows
    X = np.concatenate([finite_features(source[rows], layer), finite_features(target[intact], layer)])
    picture = _pictures(source.paths[rows], target.paths[intact])
    pair = DomainPair(
        source, target, layer, X, rows, intact, of_source.values, truth[intact], taught[intact],
        np.zeros(len(intact), bool), picture, (),
    )  # fmt: skip
    pair, more = _with_shared_classes(pair, labelling.shared_classes)
    return replace(pair, notes=(*notes, *more, *_copies(pair)))


def check_alike(source: FeatureSet, target: FeatureSet, layer: str) -> list[str]:
    """Refuse sets that were made in different ways; a sentence for each difference that may be.

    Raises:
        SettingsDiffer: another network, layer, preparation, decoding, pooling, precision or other views.
    """
    mine, theirs = source.meta["settings"], target.meta["settings"]
    if mine["net_sha256"] != theirs["net_sha256"]:
        named = [f"{one['net']} (sha256 {str(one['net_sha256'])[:12]})" for one in (mine, theirs)]
        _refuse(source, target, "net", *named)
    _refuse(source, target, f"shape of {layer}", source.shape(layer), target.shape(layer))
    for name in ALIKE:
        first, second = _flat(name, mine[name]), _flat(name, theirs[name])
        for inner in {**first, **second}:
            _refuse(source, target, inner, first.get(inner), second.get(inner))
    return [
        f"the source's features have {name} {mine[name]}, the target's {theirs[name]}"
        for name in TOLD
        if mine[name] != theirs[name]
    ]


def _flat(name: str, value: Any) -> dict[str, Any]:
    return {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, Mapping) else {name: value}


def _refuse(source: FeatureSet, target: FeatureSet, name: str, mine: Any, theirs: Any) -> None:
    if mine != theirs:
        raise SettingsDiffer(
            f"{source.folder} was made with {name} {mine}, {target.folder} with {theirs}: the domains would differ for "
            "that alone; extract both in the same way"
        )


def _excluded(domain: str, broken: int, unlabelled: int) -> list[str]:
    counted = ((broken, "broken rows"), (unlabelled, "rows without a label"))
    return [f"{count:,} {what} of the {domain} are left out" for count, what in counted if count]


def _none(n: int) -> Labels:
    return np.full(n, None, dtype=object)


def _from_file(features: FeatureSet, csv: str) -> Labels:
    found = read_targets(features, csv)
    labels = _none(len(features))
    labels[found.rows] = found.values
    return labels


def _truth(target: FeatureSet, labelling: Labelling, classes: set[str]) -> tuple[Labels, list[str]]:
    """(n,) labels of all rows of the target to test on, and what is to be said of them."""
    if labelling.target_has_none:
        return _none(len(target)), []
    if labelling.target:
        return _from_file(target, labelling.target), []
    labels = target.labels.copy()
    labels[[label is None or not label.strip() for label in labels]] = None
    named = sorted(set(labels[known(labels)]))
    if classes.isdisjoint(named):
        called = f"its folders ({', '.join(named[:3])}) are no classes of the source" if named else "it has no folders"
        return _none(len(target)), [f"the target is taken to have no labels: {called}"]
    return labels, []


def _contradictions(truth: Labels, taught: Labels) -> list[str]:
    count = int(sum(a is not None and b is not None and a != b for a, b in zip(truth, taught, strict=True)))
    return [f"{count} target rows are learned from with another label than that of their folder"] if count else []


def _pictures(*paths: Labels) -> NDArray[np.intp]:
    """A number for each picture; those of two domains are never the same."""
    numbers: dict[tuple[int, str], int] = {}
    return np.array([numbers.setdefault((k, path), len(numbers)) for k, part in enumerate(paths) for path in part])


def _with_shared_classes(pair: DomainPair, asked: bool) -> tuple[DomainPair, list[str]]:
    """Without classes that one domain lacks. Raises AdaptError where there are such, and it was not asked for."""
    mine = set(pair.y)
    labels = np.where(known(pair.taught), pair.taught, pair.truth)
    theirs = set(labels[known(labels)])
    unknown = theirs - mine
    # Where some target rows have no label, they may be of any class.
    lacking = mine - theirs if known(labels).all() else set()
    if not asked and (unknown or lacking):
        raise AdaptError(_remedy(pair, labels, unknown, lacking))
    foreign = np.array([label in unknown for label in labels], bool)
    kept = np.array([label not in lacking for label in pair.y], bool)
    if len(mine - lacking) < 2:
        raise AdaptError(f"the domains share {len(mine - lacking)} classes: a classifier needs two or more")
    shared = replace(
        pair,
        X=np.concatenate([pair.X[: pair.n][kept], pair.X[pair.n :]]),
        source_rows=pair.source_rows[kept],
        y=pair.y[kept],
        foreign=foreign,
        picture=np.concatenate([pair.picture[: pair.n][kept], pair.picture[pair.n :]]),
    )
    notes = []
    if lacking:
        notes.append(f"{_some(lacking)}: {int((~kept).sum()):,} rows of the source are left out, the target lacks them")
    if unknown:
        notes.append(f"{_some(unknown)}: {int(foreign.sum()):,} rows of the target are left out, the source lacks them")
    return shared, notes


def _remedy(pair: DomainPair, labels: Labels, unknown: set[str], lacking: set[str]) -> str:
    parts = []
    if unknown:
        rows = int(sum(label in unknown for label in labels))
        parts.append(f"the source lacks {_some(unknown)} ({rows:,} rows of the target)")
    if lacking:
        rows = int(sum(label in lacking for label in pair.y))
        parts.append(f"the target lacks {_some(lacking)} ({rows:,} rows of the source)")
    return (
        f"{' and '.join(parts)}: pass --shared-classes to leave these out, or --no-target-labels where the target's "
        "folder names are no labels"
    )


def _some(classes: set[str]) -> str:
    named = sorted(classes)
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return ("classes " if len(named) > 1 else "class ") + ", ".join(map(repr, named[:3])) + more


def _copies(pair: DomainPair) -> list[str]:
    """Pictures that are in both domains flatter every accuracy."""
    seen = {hash(row.tobytes()) for row in pair.X[: pair.n]}
    count = sum(hash(row.tobytes()) in seen for row in pair.X[pair.n :])
    if count == len(pair.target_rows):
        raise AdaptError("all features of the target are in the source too: name two different domains")
    return [f"{count:,} rows of the target have the very features of a source row: the same pictures"] if count else []
