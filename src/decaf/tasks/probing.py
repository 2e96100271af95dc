"""`decaf probe`: how well a linear probe does on features, over splits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from decaf.errors import ProbeError
from decaf.features.feature_set import FeatureSet
from decaf.probe import LinearProbeCV, Split, summarise
from decaf.probe.inputs import indices
from decaf.tasks.columns import ColumnsEvaluation, evaluate_columns
from decaf.tasks.evaluate import Evaluation, evaluate
from decaf.tasks.splitting import fewer, obtain_splits, too_small
from decaf.tasks.targets import Examples, Targets, load_examples

OnStep = Callable[[], None]


@dataclass(frozen=True)
class Settings:
    """What `decaf probe` can be told.

    Attributes:
        loss, dropout, transforms: of `LinearProbeCV`; for regression only the transforms count.
        n_train: pictures of each class to train on; None: half of each, at most 30.
        n_splits: how many splits.
        seed: of the splits, of what is validated on, and of dropout.
        splits_file: read if it is there, else written; empty: none.
        curve: numbers of training pictures per class for a learning curve.
    """

    loss: str = "svm"
    dropout: float = 0.0
    transforms: Sequence[str] = ("none",)
    n_train: int | None = None
    n_splits: int = 5
    seed: int = 0
    splits_file: str = ""
    curve: Sequence[int] = ()

    def probe(self) -> LinearProbeCV:
        """A fresh probe with these settings."""
        return LinearProbeCV(
            loss=self.loss, dropout=self.dropout, transforms=tuple(self.transforms), random_state=self.seed
        )


@dataclass(frozen=True, eq=False)
class Plan:
    """A probe that is checked but not begun.

    Attributes:
        examples: features and targets.
        splits: rows of the examples.
        splits_read: whether a file said them.
        curve: (training pictures per class, splits), smaller ones inside the larger.
        settings: as asked for.
    """

    examples: Examples
    splits: Sequence[Split]
    splits_read: bool
    curve: Sequence[tuple[int, Sequence[Split]]]
    settings: Settings

    @property
    def steps(self) -> int:
        """How many fits there are to wait for."""
        return len(self.splits) * (1 + len(self.curve))


@dataclass(frozen=True, eq=False)
class Probed:
    """What a probe found: of classes an `Evaluation` and a learning curve, else a `ColumnsEvaluation`."""

    plan: Plan
    evaluation: Evaluation | ColumnsEvaluation
    curve: Sequence[tuple[int, Evaluation]] = ()

    def to_dict(self) -> dict[str, Any]:
        """What `decaf probe --json` prints of it; one number for each split in each list."""
        head = _about(self.plan)
        if isinstance(self.evaluation, ColumnsEvaluation):
            return head | _columns_to_dict(self.plan.examples, self.evaluation)
        curve = [{"train_per_class": n} | _accuracies(evaluation) for n, evaluation in self.curve]
        return head | _accuracies(self.evaluation) | ({"learning_curve": curve} if curve else {})


def plan_probe(features: FeatureSet, targets: Targets, layer: str | None, settings: Settings) -> Plan:
    """Check all that can be checked before the first fit, and settle the splits.

    Raises:
        ProbeError: features, targets or a setting cannot be used; a class has too few pictures.
        UnknownName: no such layer.
    """
    if settings.curve and targets.kind != "classes":
        raise ProbeError("a learning curve counts pictures of each class: leave out --curve")
    examples = load_examples(features, targets, layer)
    if targets.kind == "classes":
        indices(targets.values)  # complains of a single class
        examples = _large_enough(features, examples, layer, settings)
    splits, were_read = obtain_splits(
        examples, settings.splits_file, settings.n_train, settings.n_splits, settings.seed
    )
    curve = [(n, [fewer(examples, split, n, settings.seed) for split in splits]) for n in sorted(set(settings.curve))]
    return Plan(examples, splits, were_read, curve, settings)


def _large_enough(features: FeatureSet, examples: Examples, layer: str | None, settings: Settings) -> Examples:
    """Without classes of one picture, where nothing was said of how to split."""
    if settings.n_train is not None or settings.splits_file:
        return examples
    small = too_small(examples)
    if not small:
        return examples
    left = examples.targets.without(small)
    if len(np.unique(left.values)) < 2:
        first = next(iter(small))
        raise ProbeError(f"{len(small)} classes have one picture, {first!r} first: give at least two classes two each")
    return load_examples(features, left, layer)


def run_probe(plan: Plan, on_step: OnStep | None = None) -> Probed:
    """Fit and test on every split, calling `on_step` after each."""
    examples, probe = plan.examples, plan.settings.probe()

    def done(_: object) -> None:
        if on_step:
            on_step()

    if examples.targets.kind != "classes":
        return Probed(plan, evaluate_columns(examples, plan.splits, probe, plan.settings.transforms, done))
    picture = examples.picture if examples.grouped else None
    y = examples.targets.values
    found = evaluate(examples.X, y, plan.splits, probe, done, picture)
    curve = [(n, evaluate(examples.X, y, splits, probe, done, picture)) for n, splits in plan.curve]
    return Probed(plan, found, curve)


def number(value: float) -> float | None:
    """As JSON has it: it knows no NaN."""
    return None if math.isnan(value) else float(value)


def _about(plan: Plan) -> dict[str, Any]:
    targets, settings = plan.examples.targets, plan.settings
    regression = targets.kind == "regression"
    return {
        "kind": targets.kind,
        "rows": len(targets),
        "pictures": len(plan.examples.pictures),
        **({"classes": len(np.unique(targets.values))} if targets.kind == "classes" else {}),
        "excluded": targets.exclusions(),
        "settings": {
            **({} if regression else {"loss": settings.loss, "dropout": settings.dropout}),
            "transforms": list(settings.transforms),
            "train_per_class": settings.n_train,
            "seed": settings.seed,
            "splits_file": settings.splits_file or None,
        },
        "train_rows": [len(split.train) + len(split.validation) for split in plan.splits],
        "test_rows": [len(split.test) for split in plan.splits],
    }


def _accuracies(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "mean_accuracy": evaluation.summary.mean,
        "std": number(evaluation.summary.std),
        "splits": [outcome.accuracy for outcome in evaluation.outcomes],
        "C": [outcome.C for outcome in evaluation.outcomes],
        "transforms": [outcome.transform for outcome in evaluation.outcomes],
        "seconds": round(evaluation.seconds, 3),
    }


MEASURES = {
    "multilabel": ("average_precision",),
    "regression": ("r2", "root_mean_squared_error", "mean_absolute_error"),
}


def _columns_to_dict(examples: Examples, evaluation: ColumnsEvaluation) -> dict[str, Any]:
    measures = MEASURES[examples.targets.kind]
    main = summarise([outcome.mean(measures[0]) for outcome in evaluation.outcomes])
    of_columns = {measure: evaluation.per_column(measure) for measure in measures}
    strength = "C" if examples.targets.kind == "multilabel" else "alpha"
    return {
        f"mean_{measures[0]}": number(main.mean),
        "std": number(main.std),
        "splits": [number(outcome.mean(measures[0])) for outcome in evaluation.outcomes],
        strength: [list(outcome.strength) for outcome in evaluation.outcomes],
        "transforms": [list(outcome.transforms) for outcome in evaluation.outcomes],
        "targets": [
            {"name": name}
            | {measure: number(of_columns[measure][column].mean) for measure in measures}
            | {f"{measure}_std": number(of_columns[measure][column].std) for measure in measures}
            | _said(examples, column)
            for column, name in enumerate(evaluation.names)
        ],
        "seconds": round(evaluation.seconds, 3),
    }


def _said(examples: Examples, column: int) -> dict[str, Any]:
    """What a column says of the rows."""
    values = examples.targets.values[:, column]
    if examples.targets.kind == "multilabel":
        return {"share_of_yes": float(values.mean())}
    return {"mean": float(values.mean()), "deviation": float(values.std())}
