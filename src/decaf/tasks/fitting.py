"""`decaf fit`: train on all labelled rows, and remember which features it was for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata as packages
from typing import Any

import numpy as np

from decaf.features.feature_set import FeatureSet
from decaf.probe import LinearProbeCV
from decaf.probe.inputs import Transform
from decaf.tasks.columns import fit_columns, fit_ridge
from decaf.tasks.evaluate import validate_on
from decaf.tasks.model import Model
from decaf.tasks.splitting import stratified_folds
from decaf.tasks.targets import Examples, Targets, load_examples

FOLDS = 5
OnStep = Callable[[str], None]


def _say_nothing(step: str) -> None:
    """Nobody waits."""


def fit_model(
    features: FeatureSet,
    targets: Targets,
    layer: str | None = None,
    loss: str = "svm",
    dropout: float = 0.0,
    transforms: Sequence[str] = ("none",),
    Cs: Sequence[float] | None = None,
    seed: int = 0,
    on_step: OnStep = _say_nothing,
) -> Model:
    """Choose C and the transform by cross-validation, then train on all rows that have a target.

    Classes: FOLDS stratified folds, fewer where a class has fewer pictures; where one has a single picture, one
    picture in six of the others is held out instead. Columns of yes or no: the latter, for each column. Regression:
    each row is left out in turn. Rows of one picture are never on both sides.

    Args:
        features: to learn from.
        targets: what the rows are; see `read_targets`.
        layer: may be left out where the set has one.
        loss, dropout, transforms, Cs: of `LinearProbeCV`; a regression knows only the transforms.
        seed: of the folds and of dropout.
        on_step: told what begins, in words.

    Raises:
        ProbeError: features, targets or a setting cannot be learned from.
        UnknownName: no such layer.

    Example:
        >>> features = decaf.FeatureSet.open("features")
        >>> fit_model(features, read_targets(features)).save("birds.safetensors")
    """
    on_step("reading features")
    examples = load_examples(features, targets, layer)
    probe = LinearProbeCV(loss=loss, dropout=dropout, transforms=tuple(transforms), Cs=Cs, random_state=seed)
    if targets.kind == "regression":
        parts = _ridge(examples, transforms, on_step)
    elif targets.kind == "multilabel":
        parts = _columns(examples, probe, on_step)
    else:
        parts = _classes(examples, probe, seed, on_step)
    about = {
        "rows": len(targets),
        "pictures": len(examples.pictures),
        "decaf": packages.version("decaf-vision"),
        "dropout": dropout,
        "seed": seed,
        **parts.pop("about"),
    }
    chosen = layer or features.layers[0]
    settings = features.meta["settings"]
    return Model(kind=targets.kind, layer=chosen, settings=settings, about=about, **parts)


def _classes(examples: Examples, probe: LinearProbeCV, seed: int, on_step: OnStep) -> dict[str, Any]:
    y = examples.targets.values
    on_step(f"choosing C and fitting, {len(y):,} rows, {len(np.unique(y)):,} classes")
    folds = stratified_folds(examples, FOLDS, seed)
    validate_on(probe, folds, len(y))
    probe.fit(examples.X, y)
    accuracy = float(probe.scores_.max()) if folds and probe.scores_ is not None else None
    about = {"C": probe.C_, "folds": len(folds), "validation_accuracy": accuracy}
    names = tuple(map(str, probe.classes_))
    return {"loss": probe.loss, "names": names, "transforms": (probe.transform_,), "about": about} | _tensors([probe])


def _columns(examples: Examples, probe: LinearProbeCV, on_step: OnStep) -> dict[str, Any]:
    fitted = list(fit_columns(examples, np.arange(len(examples.X)), probe, on_step))
    scores = [float(one.scores_.max()) if one.scores_ is not None else None for one in fitted]
    about = {"C": [one.C_ for one in fitted], "folds": 1, "validation_accuracy": scores}
    transforms = tuple(one.transform_ for one in fitted)
    return {
        "loss": probe.loss, "names": examples.targets.names, "transforms": transforms, "about": about,
    } | _tensors(fitted)  # fmt: skip


def _tensors(fitted: Sequence[LinearProbeCV]) -> dict[str, Any]:
    """Features are float32, and so is all that is done with them: nothing is lost."""
    return {
        "coef": np.concatenate([one.coef_ for one in fitted]).astype(np.float32),
        "intercept": np.concatenate([one.intercept_ for one in fitted]).astype(np.float32),
        "keep": fitted[0].keep_,
    }


def _ridge(examples: Examples, transforms: Sequence[str], on_step: OnStep) -> dict[str, Any]:
    on_step(f"choosing the penalty and fitting, {len(examples.X):,} rows")
    ridge = fit_ridge(examples, np.arange(len(examples.X)), transforms)
    kept: Transform = ridge.transform
    return {
        "loss": "squared",
        "names": examples.targets.names,
        "transforms": (kept,),
        "coef": ridge.coef.astype(np.float32),
        "intercept": ridge.intercept.astype(np.float32),
        "keep": 1.0,
        "about": {"alpha": list(ridge.alphas), "validation_r2": ridge.validation},
    }
