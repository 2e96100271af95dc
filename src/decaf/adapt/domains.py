"""The two domains: checked arrays, which rows are source and which target, which of them have labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from decaf.errors import AdaptError
from decaf.probe.inputs import checked, checked_rows
from decaf.probe.losses import Floats

UNLABELLED = -1  # as SKADA marks target rows without a label; None does the same among labels of other kinds
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Domains:
    """Rows of a source and a target domain.

    Attributes:
        X: (n, d) float32 or float64.
        target: (n,) which rows are of the target.
        labelled: (n,) which rows have a label; all of the source.
        y: (n,) index of the label among `classes`, -1 where there is none.
        classes: (classes,) sorted.
    """

    X: Floats
    target: Mask
    labelled: Mask
    y: NDArray[np.intp]
    classes: NDArray[Any]

    def rows(self, of_target: bool) -> Floats:
        """(m, d) the rows of one domain, with and without labels."""
        return self.X[self.target if of_target else ~self.target]


def read_domains(estimator: Any, X: Any, y: Any, sample_domain: Any) -> Domains:
    """What was handed to `fit`.

    Args:
        estimator: remembers the number of features.
        X: (n, d) finite numbers.
        y: (n,) labels; -1 or None for target rows that have none.
        sample_domain: (n,) int, positive for source, negative for target; None: rows without a label are the target.

    Raises:
        AdaptError: a label or a domain cannot be used.
        ProbeError: X cannot be used.
    """
    if y is None:
        raise AdaptError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    labels = _column(y)
    X, _ = checked(estimator, X, np.zeros(len(labels), np.intp))
    unmarked = _unmarked(labels)
    target = ~unmarked if sample_domain is None else is_target(sample_domain, len(X))
    if (~unmarked & ~target).any():
        row = int(np.flatnonzero(~unmarked & ~target)[0])
        raise AdaptError(
            f"source row {row} has the label {labels[row]}, which marks target rows without a label: "
            "give it a label, number classes from 0"
        )
    classes, index = _indices(labels[unmarked])
    codes = np.full(len(X), UNLABELLED, np.intp)
    codes[unmarked] = index
    return Domains(X, target, unmarked, codes, classes)


def _column(y: Any) -> NDArray[Any]:
    try:
        labels = np.asarray(column_or_1d(y, warn=True))
        if labels.dtype.kind == "f":
            assert_all_finite(labels, input_name="y")
        return labels
    except ValueError as error:
        raise AdaptError(" ".join(str(error).split())) from None


def _unmarked(labels: NDArray[Any]) -> Mask:
    """Which rows have a label."""
    if labels.dtype == object:
        return np.array([label is not None and not _is_mark(label) for label in labels], bool)
    return np.asarray(labels != UNLABELLED) if labels.dtype.kind in "if" else np.ones(len(labels), bool)


def _is_mark(label: Any) -> bool:
    return isinstance(label, int | np.integer) and int(label) == UNLABELLED


def _indices(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    if not len(labels):
        raise AdaptError("no row has a label: give labels to the source")
    try:
        check_classification_targets(labels)
        classes, index = np.unique(labels, return_inverse=True)
    except (ValueError, TypeError) as error:
        raise AdaptError(" ".join(str(error).split())) from None
    if len(classes) < 2:
        raise AdaptError(f"all labels are of one class, {classes[:1].tolist()[0]!r}: a classifier needs two or more")
    return classes, index.astype(np.intp)


def is_target(sample_domain: Any, n: int) -> Mask:
    """(n,) which rows are of the target, from one number or one for each row. Raises AdaptError."""
    try:
        numbers = np.asarray(sample_domain)
        domain = np.broadcast_to(numbers, (n,))
    except ValueError:
        raise AdaptError(
            f"sample_domain has {np.size(sample_domain)} numbers for {n} rows: give one for each"
        ) from None
    if domain.dtype.kind not in "iuf" or not np.isfinite(domain).all() or (domain == 0).any():
        raise AdaptError(
            "sample_domain: give a positive number for each source row, a negative one for each target row"
        )
    return np.asarray(domain < 0)


def read_rows(estimator: Any, X: Any, sample_domain: Any, allow_source: bool) -> tuple[Floats, Mask]:
    """What was handed to `predict`: X (n, d) and which rows are of the target; all where nothing is said.

    Raises:
        AdaptError: rows of the source where only those of the target are expected.
        ProbeError: X cannot be used.
    """
    X = checked_rows(estimator, X)
    target = np.ones(len(X), bool) if sample_domain is None else is_target(sample_domain, len(X))
    if not allow_source and not target.all():
        raise AdaptError(f"{(~target).sum()} rows are of the source: pass allow_source=True, or target rows only")
    return X, target


def need_both(domains: Domains, name: str, least: int = 1) -> None:
    """Raise AdaptError unless each domain has `least` rows."""
    for what, count in (("source", int((~domains.target).sum())), ("target", int(domains.target.sum()))):
        if count < least:
            raise AdaptError(
                f"the {what} has {count} rows, {name} needs {least} or more: give rows of both domains "
                "(sample_domain positive for source, negative for target)"
            )


def need_target_labels(domains: Domains, name: str) -> None:
    """Raise AdaptError unless a target row has a label."""
    if not (domains.target & domains.labelled).any():
        raise AdaptError(
            f"{name} learns from labelled target rows, and there are none: give some target rows their labels, "
            "or use a method that needs none, such as CORAL"
        )


def need_known_classes(domains: Domains) -> None:
    """Raise AdaptError where labelled target rows have a class that no source row has."""
    of_source = domains.y[~domains.target]
    unknown = np.setdiff1d(domains.y[domains.target & domains.labelled], of_source)
    if len(unknown) and len(of_source):
        name = domains.classes[unknown].tolist()[0]
        raise AdaptError(
            f"class {name!r} has labelled target rows and no source row: add source rows, or leave the class out"
        )
