"""Released vectors: SURF histograms and DeCAF activations, a MATLAB file for a domain or one for each picture."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decaf.errors import TaskError
from decaf.tasks.office.domain import Domain, Features
from decaf.tasks.office.find import Found
from decaf.tasks.office.matlab import LARGEST_CONTENT, Value, read_matlab
from decaf.tasks.office.names import TEN, class_name

DECAF_LAYERS = ("fc6", "fc7")  # of the paper's Table 1
_VECTORS = ("fts", "feas", "features")
_LABELS = ("labels", "label", "gnd")
_HISTOGRAM = re.compile(r"histogram_.*amazon_800.*\.mat", re.IGNORECASE)  # the other codebooks have 600 words


def load_vectors(found: Found, layers: Sequence[str] = ()) -> list[Features]:
    """Read released vectors.

    Args:
        found: what `find_domains` found, no pictures.
        layers: of an archive of DeCAF activations; by default those of DECAF_LAYERS it has.

    Raises:
        TaskError: a file is damaged, has no vectors and labels, or not the layers asked for.
        OSError: a file cannot be read.
    """
    if found.form == "files":
        domains = {name: read_domain(path, name) for name, path in found.places.items()}
        folder = next(iter(found.places.values())).parent
        return [Features(found.name, found.kind, found.name, domains, f"released vectors in {folder}")]
    if found.name == "SURF":
        return [_archive(found, "SURF", "histogram", _HISTOGRAM)]
    pattern = re.compile(r".*\.mat", re.IGNORECASE)
    layers = layers or _layers_of(found, pattern)
    return [_archive(found, re.sub(r"^fc(\d)$", r"DeCAF\1", layer), layer, pattern) for layer in layers]


def read_domain(path: Path, name: str) -> Domain:
    """A domain of one file: a matrix (n, d) called `fts` or `feas`, and `labels`. Raises TaskError."""
    variables = read_matlab(path)
    X, labels = (_variable(path, variables, wanted) for wanted in (_VECTORS, _LABELS))
    if X.ndim != 2 or labels.size not in X.shape or not labels.size:
        raise TaskError(f"{path} has vectors {_size(X)} and labels {_size(labels)}: give as many labels as vectors")
    if 4 * X.size > LARGEST_CONTENT:  # as float32; in the file a number may have one byte
        raise TaskError(f"{path} has vectors {_size(X)}, which is more than {LARGEST_CONTENT:,} bytes: give fewer")
    if len(X) != labels.size:
        X = X.T
    numbers = labels.ravel(order="F")
    if (numbers != np.floor(numbers)).any() or not np.isfinite(numbers).all():  # NaN differs from itself
        raise TaskError(f"{path} has labels that are no whole numbers: get it again")
    names = [f"{name} row {row}" for row in range(1, len(numbers) + 1)]
    return Domain(name, _single(X), _classes(numbers), names, str(path))


def _size(array: NDArray[np.generic]) -> str:
    return "x".join(map(str, array.shape))


def _single(X: NDArray[np.generic]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # inf is refused with the NaNs
        return np.ascontiguousarray(X, np.float32)


def _variable(path: Path, variables: Mapping[str, Value], wanted: Sequence[str]) -> NDArray[np.generic]:
    known = [name.casefold() for name in wanted]
    for name, value in variables.items():
        if name.casefold() in known and isinstance(value, np.ndarray):
            return value
    held = ", ".join(sorted(variables)) or "nothing"
    raise TaskError(f"{path} has no array {' or '.join(wanted)}, it holds {held[:200]}: name it so")


def _classes(numbers: NDArray[np.generic]) -> NDArray[np.object_]:
    """The ten classes are numbered from 1 on, in the order of their names."""
    ten = len(numbers) > 0 and set(numbers.tolist()) <= set(range(1, len(TEN) + 1))
    return np.array([TEN[int(n) - 1] if ten else f"class {int(n):02d}" for n in numbers.tolist()], dtype=object)


# -- a file for each picture --------------------------------------------------------------------------------------


def _archive(found: Found, name: str, variable: str, pattern: re.Pattern[str]) -> Features:
    domains = {domain: _domain_of_folder(folder, domain, variable, pattern) for domain, folder in found.places.items()}
    folder = next(iter(found.places.values()))
    return Features(name, found.kind, f"{found.name} archive", domains, f"released vectors in {folder.parent.parent}")


def _domain_of_folder(folder: Path, domain: str, variable: str, pattern: re.Pattern[str]) -> Domain:
    files = list(_vector_files(folder, pattern))
    if not files:
        raise TaskError(f"{folder} holds no vectors: unpack the archive again")
    rows = [_vector(path, variable) for path in files]
    if len({len(row) for row in rows}) > 1:
        odd = next(path for path, row in zip(files, rows, strict=True) if len(row) != len(rows[0]))
        raise TaskError(f"{odd} has a vector of another length than {files[0].name}: unpack the archive again")
    y = np.array([class_name(path.parent.name) for path in files], dtype=object)
    names = [f"{domain}/{path.parent.name}/{path.name}" for path in files]
    return Domain(domain, _single(np.array(rows)), y, names, str(folder))


def _vector_files(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    for of_class in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        yield from sorted(path for path in of_class.iterdir() if pattern.fullmatch(path.name))


def _vector(path: Path, variable: str) -> NDArray[np.generic]:
    return _variable(path, read_matlab(path), (variable,)).ravel(order="F")


def _layers_of(found: Found, pattern: re.Pattern[str]) -> list[str]:
    for folder in found.places.values():
        for path in _vector_files(folder, pattern):
            held = read_matlab(path)
            layers = [layer for layer in DECAF_LAYERS if layer in held] or [name for name in held if name[:2] == "fc"]
            if layers:
                return layers
            raise TaskError(f"{path} has none of {', '.join(DECAF_LAYERS)}, it holds {', '.join(held)[:200]}")
    raise TaskError(f"{next(iter(found.places.values()))} holds no vectors: unpack the archive again")
