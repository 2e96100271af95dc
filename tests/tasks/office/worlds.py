"""Small worlds laid out like Office-31, Office-Caltech10 and the archives of vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from decaf.tasks.office.domain import OTHER, Domain, Features
from decaf.tasks.office.names import TEN

COUNTS = {"amazon": 24, "webcam": 11, "dslr": 9, "caltech10": 22}
COLOURS = ((210, 60, 60), (60, 190, 70), (60, 80, 200), (200, 190, 60))


def vectors(name: str, y: Sequence[int] | NDArray[Any], d: int = 12, noise: float = 0.6) -> NDArray[np.float64]:
    """(n, d) non-negative, a cloud for each class; the domain moves and turns all of them."""
    places = np.random.default_rng(0).uniform(0, 4, (max(y) + 1, d))
    random = np.random.default_rng(abs(hash_of(name)))
    shift = random.uniform(0, 1.5, d)
    return np.abs(places[np.asarray(y)] + shift + random.normal(0, noise, (len(y), d)))


def hash_of(name: str) -> int:
    """The same in every process."""
    return sum(ord(letter) * 31**place for place, letter in enumerate(name))


def domain(name: str, classes: int = 4, count: int = 0, **options: Any) -> Domain:
    """A domain of clouds."""
    y = np.repeat(np.arange(classes), count or COUNTS[name])
    names = [f"{name} row {row}" for row in range(1, len(y) + 1)]
    labels = np.array([TEN[k] for k in y], dtype=object)
    return Domain(name, vectors(name, y, **options).astype(np.float32), labels, names, f"made up {name}")


def features(*names: str, **options: Any) -> Features:
    """Clouds of several domains."""
    domains = {name: domain(name, **options) for name in names}
    return Features("clouds", OTHER, "clouds", domains, "made up")


def write_mat(path: Path, name: str, counts: Sequence[int], keys: tuple[str, str] = ("fts", "labels")) -> Path:
    """A domain as circulated: rows class by class, labels from 1 on."""
    y = np.repeat(np.arange(len(counts)), counts)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(
        path, {keys[0]: vectors(name, y, noise=2.0), keys[1]: (y + 1)[:, None].astype(np.uint8)}, do_compression=True
    )
    return path


def write_surf(folder: Path, names: Sequence[str] = ("amazon", "webcam", "dslr"), classes: int = 10) -> Path:
    """`amazon.mat` and so on."""
    for name in names:
        write_mat(folder / f"{name}.mat", name, [COUNTS[name]] * classes)
    return folder


def write_archive(
    folder: Path, place: str, names: Sequence[str], content: Mapping[str, int], pattern: str = "frame_{:04d}.mat"
) -> Path:
    """A file for each picture; `content`: variable -> length of its vector."""
    for name in names:
        for number, of_class in enumerate(("back_pack", "bike", "mug")):
            (folder / name / place / of_class).mkdir(parents=True)
            for row in range(COUNTS[name] // 2):
                y = np.full(row + 1, number)
                arrays = {key: vectors(name, y, d)[row] for key, d in content.items()}
                savemat(folder / name / place / of_class / pattern.format(row + 1), arrays)
    return folder


def write_pictures(
    folder: Path, counts: Mapping[str, Mapping[str, int]], images: bool = False, suffix: str = ".png"
) -> Path:
    """Noisy pictures of one colour a class, darker or lighter in each domain."""
    random = np.random.default_rng(0)
    for light, (name, of_classes) in enumerate(counts.items()):
        for number, (of_class, count) in enumerate(of_classes.items()):
            place = folder / name / ("images" if images else "") / of_class
            place.mkdir(parents=True)
            for row in range(count):
                noise = random.normal(20 * light, 30, (16, 20, 3))
                pixels = np.clip(np.array(COLOURS[number % len(COLOURS)]) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"frame_{row + 1:04d}{suffix}")
    return folder


def write_original_splits(
    folder: Path, pair: tuple[str, str], source: Domain, target: Domain, n: int = 3, of_source: int = 8
) -> Path:
    """A file as the MMDT package has it, made by hand."""
    random = np.random.default_rng(7)
    parts: dict[str, list[NDArray[np.int_]]] = {"source": [], "target": [], "test": []}
    for _ in range(n):
        for side, domain_, count in (("source", source, of_source), ("target", target, 3)):
            rows = [random.permutation(np.flatnonzero(domain_.y == name))[:count] for name in sorted(set(domain_.y))]
            parts[side].append(np.concatenate(rows) + 1)
        parts["test"].append(np.setdiff1d(np.arange(len(target.y)) + 1, parts["target"][-1]))
    cells = {key: _cells(rows) for key, rows in parts.items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"SameCategory_{pair[0]}-{pair[1]}_20RandomTrials_10Categories.mat"
    savemat(
        path,
        {
            "train": {"source": cells["source"], "target": cells["target"]},
            "test": {"source": cells["source"], "target": cells["test"]},
            "param": {"num_trials": float(n), "norm_type": "l2_zscore"},
        },
    )
    return path


def _cells(rows: Sequence[NDArray[np.int_]]) -> NDArray[np.object_]:
    cells = np.empty((1, len(rows)), dtype=object)
    for place, one in enumerate(rows):
        cells[0, place] = one[None].astype(np.float64)
    return cells
