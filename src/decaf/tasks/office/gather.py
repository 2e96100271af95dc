"""What a run is asked for; the features, pairs and splits it then has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from decaf.errors import TaskError
from decaf.features.feature_set import FeatureSet
from decaf.tasks.office.domain import PICTURES, Features, Pair, in_order
from decaf.tasks.office.find import Found, find_domains
from decaf.tasks.office.names import TEN
from decaf.tasks.office.pictures import broken_pictures, domains_of, extract_listed, listed
from decaf.tasks.office.published import TABLE1_PAIRS
from decaf.tasks.office.splits import SAENKO, UNSUPERVISED, DomainSplit, all_of_source, draw, read_original
from decaf.tasks.office.vectors import load_vectors
from decaf.tasks.warped import Extraction, Show, refuse_other_preparation

ALL = "all"


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        data: folders with pictures or released vectors of domains; may be empty where `features` is given.
        out: the folder of the report; features and splits are kept in it.
        extraction: which features of pictures.
        features: feature folders to use instead of extracting.
        kinds: only these of KINDS; empty: all that are found.
        decaf_layers: of the archive of DeCAF activations; empty: those of Table 1.
        classes: `all`, or `10` for those Office shares with Caltech-256.
        protocol: one of PROTOCOLS.
        pairs: (source, target); empty: by Saenko's protocol those of Table 1, where they are not there, and by the
            other, all.
        methods: keys; empty: all of the protocol.
        preparations: of PREPARATIONS, each a line of its own; empty: see `default_preparation`.
        n_splits: how many; the unsupervised protocol has one.
        splits_from: a folder of the original package's split files; None: draw.
        seed: of everything random.
    """

    data: Sequence[Path]
    out: Path
    extraction: Extraction = field(default_factory=Extraction)
    features: Sequence[str] = ()
    kinds: Sequence[str] = ()
    decaf_layers: Sequence[str] = ()
    classes: str = ALL
    protocol: str = SAENKO
    pairs: Sequence[Pair] = ()
    methods: Sequence[str] = ()
    preparations: Sequence[str] = ()
    n_splits: int = 5
    splits_from: Path | None = None
    seed: int = 0


Splits = dict[tuple[str, Pair], Sequence[DomainSplit]]  # (rows of the features, pair) -> splits


# -- features -----------------------------------------------------------------------------------------------------


def gather_features(request: Request, show: Show) -> tuple[list[Features], list[str], int, list[tuple[str, str]]]:
    """Kinds of features with two domains or more, notes on others, pictures computed, broken pictures."""
    found = [one for one in find_domains(request.data) if not request.kinds or one.kind in request.kinds]
    kept, notes = _with_two_domains(found)
    released = [one for place in kept if place.kind != PICTURES for one in load_vectors(place, request.decaf_layers)]
    pictures = next((one for one in kept if one.kind == PICTURES), None)
    sets, computed = _sets(request, pictures, released, show)
    own = domains_of(sets, request.extraction.layers if request.features else ()) if sets else []
    kinds = [one.limited_to(TEN) if request.classes == "10" else one for one in (*own, *released)]
    if not kinds:
        where = ", ".join(map(str, request.data)) or "no folder"
        raise TaskError(f"{where}: no features of two domains are there; {'; '.join(notes) or 'pass --data'}")
    for one in own:
        if len(one.domains) < 2:
            raise TaskError(f"{one.name} has one domain, {next(iter(one.domains))}: name a second one")
    return kinds, notes, computed, broken_pictures(sets)


def _with_two_domains(found: Sequence[Found]) -> tuple[list[Found], list[str]]:
    notes = [
        f"{one.name} is of one domain, {next(iter(one.places))}, and was left out."
        for one in found
        if len(one.places) < 2
    ]
    return [one for one in found if len(one.places) > 1], notes


def _sets(
    request: Request, found: Found | None, released: Sequence[Features], show: Show
) -> tuple[list[FeatureSet], int]:
    """Feature folders that were given; else features of the pictures that were found, if they fit the protocol."""
    if request.features and (not request.kinds or PICTURES in request.kinds):
        sets = [FeatureSet.open(folder) for folder in request.features]
        for features in sets:
            refuse_other_preparation(features)
        return sets, 0
    if found is None:
        return [], 0
    pictures = listed(found, TEN if request.classes == "10" else ())
    pairs = [pair for pair in pairs_of(request, [pictures, *released]) if pictures.has(pair)]
    for pair in pairs:
        _splits_of(request, pictures, pair)  # before hours of work: does it fit?
    if not pairs:
        return [], 0
    used = {domain for pair in pairs for domain in pair}
    features, computed = extract_listed(pictures, used, request.extraction, request.out, show)
    return [features], computed


# -- pairs and splits ---------------------------------------------------------------------------------------------


def pairs_of(request: Request, features: Sequence[Features]) -> list[Pair]:
    """Those asked for, else those of the protocol. Raises TaskError where no features have one that is asked for."""
    names = in_order({name for one in features for name in one.domains})
    every = [(a, b) for a in names for b in names if a != b and any(one.has((a, b)) for one in features)]
    if request.pairs:
        for pair in request.pairs:
            if pair not in every:
                raise TaskError(f"no features have both {pair[0]} and {pair[1]}: add them or name another --pair")
        return list(dict.fromkeys(request.pairs))
    paper = [pair for pair in TABLE1_PAIRS if pair in every]
    return paper if paper and request.protocol == SAENKO else every


def splits_of(request: Request, features: Sequence[Features], pairs: Sequence[Pair]) -> Splits:
    """For features with the same rows the same. Raises TaskError where the data is not what the protocol needs."""
    splits: Splits = {}
    for one in features:
        for pair in pairs:
            if one.has(pair) and (one.rows, pair) not in splits:
                splits[one.rows, pair] = _splits_of(request, one, pair)
    return splits


def _splits_of(request: Request, features: Features, pair: Pair) -> list[DomainSplit]:
    source, target = features.of(pair)
    if request.protocol == UNSUPERVISED:
        return all_of_source(source, target)
    if request.splits_from:
        return read_original(request.splits_from, features, pair, request.n_splits)
    return draw(source, target, request.n_splits, request.seed)
