"""Features of the domains' pictures, extracted here or made before."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

import numpy as np

from decaf.errors import TaskError
from decaf.features.feature_set import FeatureSet
from decaf.files import write_atomically
from decaf.images.find import find_images
from decaf.tasks.office.domain import PICTURES, Domain, Features
from decaf.tasks.office.find import Found
from decaf.tasks.office.names import class_name, domain_name
from decaf.tasks.warped import Extraction, Show, extract_warped

FEATURES, LIST = "features", "pictures.txt"


def place_of(path: str) -> tuple[str, str]:
    """Domain and class of a picture: the class is its folder, the domain a folder above. Raises TaskError."""
    parents = PurePath(path).parts[:-1]
    for part in reversed(parents[:-1]):
        if domain := domain_name(part):
            return domain, class_name(parents[-1])
    raise TaskError(f"{path} lies in no folder of a domain: pictures lie in amazon/CLASS or webcam/images/CLASS")


def listed(found: Found, classes: Sequence[str]) -> Features:
    """The pictures with their domains and classes (empty: all), and no vectors yet.

    Raises:
        TaskError: a domain has no picture of these classes.
        ImageError: a folder cannot be listed.
    """
    domains = {}
    for name, folder in found.places.items():
        paths = [path for path in find_images(folder).paths if not classes or place_of(path)[1] in classes]
        if not paths:
            raise TaskError(f"{folder} has none of the {len(classes)} classes: name another folder, or other classes")
        y = np.array([place_of(path)[1] for path in paths], dtype=object)
        domains[name] = Domain(name, np.empty((len(paths), 0), np.float32), y, paths, str(folder))
    return Features(PICTURES, PICTURES, PICTURES, domains, "pictures")


def extract_listed(
    pictures: Features, domains: Iterable[str], wanted: Extraction, out: Path, show: Show
) -> tuple[FeatureSet, int]:
    """Features of the pictures of some domains; also how many were computed. The list of them is kept beside them."""
    chosen = [os.path.abspath(path) for name in sorted(domains) for path in pictures.domains[name].names]
    write_atomically(out / LIST, os.fsencode("".join(f"{path}\n" for path in chosen)))
    return extract_warped(out / LIST, wanted, out / FEATURES, show)


def domains_of(sets: Sequence[FeatureSet], layers: Sequence[str] = ()) -> list[Features]:
    """One kind of features for each layer, of the pictures that could be read.

    Args:
        sets: with the same layers.
        layers: which; all where none is named.

    Raises:
        TaskError: a picture lies in no domain, or two sets hold one picture.
        UnknownName: a set has no such layer.
    """
    sets = [features.valid for features in sets]
    rows = [(number, row, *place_of(path)) for number, one in enumerate(sets) for row, path in enumerate(one.paths)]
    origin = "; ".join(dict.fromkeys(_made_by(features) for features in sets))
    kinds = []
    for layer in layers or sets[0].layers:
        vectors = [features.X(layer) for features in sets]
        domains = {}
        for name in sorted({domain for _, _, domain, _ in rows}):
            own = sorted((row for row in rows if row[2] == name), key=lambda row: row[3])  # class by class
            X = np.array([vectors[number][row] for number, row, _, _ in own])
            paths = [str(sets[number].paths[row]) for number, row, _, _ in own]
            names = [f"{name}/{PurePath(path).parent.name}/{PurePath(path).name}" for path in paths]
            y = np.array([of_class for *_, of_class in own], dtype=object)
            domains[name] = Domain(name, X, y, names, os.path.commonpath([os.path.dirname(path) for path in paths]))
        kinds.append(Features(layer, PICTURES, PICTURES, domains, origin))
    return kinds


def _made_by(features: FeatureSet) -> str:
    settings = features.meta["settings"]
    return f"{settings['net']}, pictures warped, {settings['precision']}, sha256 {settings['net_sha256'][:12]}"


def broken_pictures(sets: Sequence[FeatureSet]) -> list[tuple[str, str]]:
    """(path, reason) of pictures that could not be read."""
    return [(str(one.paths[row]), str(one.errors[row])) for one in sets for row in one.broken.nonzero()[0]]
