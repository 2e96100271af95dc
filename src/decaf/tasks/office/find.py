"""Which pictures and which released vectors lie below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from decaf.errors import TaskError
from decaf.images.decode import SUFFIXES
from decaf.tasks.office.domain import DECAF, OTHER, PICTURES, SURF
from decaf.tasks.office.names import domain_name, split_stem

SURF_FOLDER, DECAF_FOLDER, IMAGES_FOLDER = "interest_points", "decaf-fts", "images"
_DEEPEST = 5  # folders below the one that was named


@dataclass(frozen=True)
class Found:
    """Something that holds domains.

    Attributes:
        kind: one of KINDS.
        name: of the features; of an archive's or of pictures, what tells them from others.
        form: `folders` of pictures, `archive` of a file for each picture, `files` of a domain each.
        places: domain -> where it lies.
    """

    kind: str
    name: str
    form: str
    places: dict[str, Path]


def find_domains(data: Sequence[Path]) -> list[Found]:
    """Everything known below these folders, pictures first.

    - pictures: `amazon/images/back_pack/*.jpg` (Office-31) and `amazon/backpack/*` (Office-Caltech10);
    - vectors as circulated, a file for a domain: `amazon.mat`, `Caltech10_SURF_L10.mat`;
    - vectors as released, a file for a picture: `amazon/interest_points/CLASS/` and `amazon/decaf-fts/CLASS/`.

    Raises:
        TaskError: a folder is none, holds nothing of these, or two things that cannot be told apart.
    """
    groups: dict[tuple[str, str, str, str], dict[str, Path]] = {}
    for folder in data:
        if not folder.is_dir():
            raise TaskError(f"{folder} is not a folder: name the one the domains lie in")
        places = list(_walk(folder, 0))
        if not places:
            names = "amazon, webcam, dslr or caltech10"
            raise TaskError(f"{folder} holds no pictures or vectors of {names}: name the folder the domains lie in")
        for key, domain, place in places:
            group = groups.setdefault(key, {})
            if group.setdefault(domain, place) != place:
                raise TaskError(f"{domain} is in {group[domain]} and in {place}: name one of them with --data")
    return _told_apart(
        [Found(kind, name, form, dict(sorted(g.items()))) for (kind, name, form, _), g in groups.items()]
    )


Place = tuple[tuple[str, str, str, str], str, Path]  # (kind, name, form, group), domain, where


def _walk(folder: Path, depth: int) -> Iterator[Place]:
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    yield from _files(folder, [path for path in inside if path.suffix.lower() == ".mat"])
    folders = [path for path in inside if path.is_dir()]
    if domain := domain_name(_absolute(folder).name):
        for key, place in _forms(folder, folders):
            yield key, domain, place
    elif depth < _DEEPEST:
        for path in folders:
            yield from _walk(path, depth + 1)


def _forms(folder: Path, folders: Sequence[Path]) -> Iterator[tuple[tuple[str, str, str, str], Path]]:
    """What a domain's own folder holds. Domains side by side belong together."""
    by_name = {path.name.lower(): path for path in folders}
    if found := by_name.get(SURF_FOLDER):
        yield (SURF, "SURF", "archive", ""), found
    if found := by_name.get(DECAF_FOLDER):
        yield (DECAF, "DeCAF", "archive", ""), found
    images = by_name.get(IMAGES_FOLDER, folder)
    if any(_has_pictures(path) for path in images.iterdir() if path.is_dir() and not path.name.startswith(".")):
        yield (PICTURES, PICTURES, "folders", ""), images


def _absolute(folder: Path) -> Path:
    """With a name even where `.` or `..` was given; a link keeps its own."""
    return Path(os.path.abspath(folder))


def _has_pictures(folder: Path) -> bool:
    return any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def _files(folder: Path, files: Sequence[Path]) -> Iterator[Place]:
    """Files named for a domain; those that end alike belong together."""
    for path in files:
        if found := split_stem(path.stem):
            domain, rest = found
            kind, name = _described(_absolute(folder).name, rest)
            yield (kind, name, "files", f"{_absolute(folder)} {rest}"), domain, path


def _described(folder: str, rest: str) -> tuple[str, str]:
    """Kind and name of vectors, by the file's name and else the folder's. `DeCAF6` only where it is said."""
    for text in (rest, "" if rest and not _is_filler(rest) else folder.casefold()):
        if "surf" in text:
            return SURF, "SURF"
        if found := re.search(r"decaf[\W_]*([5678])?", text):
            return DECAF, f"DeCAF{found[1] or ''}"
    return OTHER, rest or folder


def _is_filler(rest: str) -> bool:
    """Says nothing of the features: `L10`, `10`."""
    return bool(re.fullmatch(r"l?\d+", rest))


def _told_apart(found: Sequence[Found]) -> list[Found]:
    """In the order of the kinds, no name twice."""
    order = (PICTURES, SURF, DECAF, OTHER)
    ordered = sorted(found, key=lambda one: order.index(one.kind))
    for number, one in enumerate(ordered):
        for other in ordered[:number]:
            if one.name == other.name:
                places = f"{next(iter(other.places.values()))} and {next(iter(one.places.values()))}"
                raise TaskError(f"{one.name} lies in two places, {places}: name one of them with --data")
    return ordered
