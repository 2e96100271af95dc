"""What an adaptation leaves behind: labels of the target, numbers, and a model for further pictures of its kind."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata as packages
from typing import Any

import numpy as np

from decaf.adapt.folding import fold
from decaf.adapt.selection import effective_rows
from decaf.errors import AdaptError, ModelError
from decaf.probe.inputs import Transform
from decaf.tasks.adapt_scores import CONFIDENCE, Score
from decaf.tasks.adapting import CHOSEN, Adapted
from decaf.tasks.domain_pair import known
from decaf.tasks.model import Model, Predictions
from decaf.tasks.probing import number


def predictions(found: Adapted) -> Predictions:
    """What the chosen method says of every row of the target, as `decaf predict` would; in the first split.

    Beside it stand what the method without adaptation says (`unadapted`), the label where one is known (`known`), and
    what the row was used for (`used`).
    """
    pair, best = found.plan.pair, found.best
    rows, n = pair.target_rows, len(pair.target)
    classes = sorted({*best.predicted, *found.unadapted.predicted})
    labels, scores = np.full((n, 1), -1, np.intp), np.full((n, 1), np.nan)
    labels[rows, 0] = np.searchsorted(np.array(classes, object), best.predicted)
    scores[rows, 0] = best.sureness
    target = pair.target
    parts = {name: text for name, text in target.texts.items() if name in ("region", "view")}
    columns = {"unadapted": found.unadapted.predicted, "known": _labels(found), "used": _used(found)}
    for name, values in columns.items():
        parts[name] = np.full(n, None, object)
        parts[name][rows] = values
    return Predictions("classes", tuple(classes), best.confidence, labels, scores, target.paths, target.errors, parts)


def _labels(found: Adapted) -> Any:
    taught = found.plan.parts[0].taught
    return np.where(known(taught), taught, found.plan.pair.truth)


def _used(found: Adapted) -> Any:
    part = found.plan.parts[0]
    used = np.full(len(part.tested), "adapting", object)
    used[part.tested] = "testing"
    used[known(part.taught)] = "training"
    used[found.plan.pair.foreign] = "left out"
    return used


def check_prepares(prepares: Sequence[str]) -> None:
    """Raise ModelError where a model file cannot say how features are prepared."""
    if any(name.startswith("l1") for name in prepares):
        raise ModelError("a model file knows no l1 norm: pass --prepare l2, or leave out --model")


def adapted_model(found: Adapted) -> Model:
    """The chosen classifier for further pictures like the target's; see `decaf.adapt.folding.fold`.

    Raises:
        ModelError: the method is no linear map of features.
    """
    best, pair = found.best, found.plan.pair
    norm = found.adapter.preparation_.norm
    check_prepares([norm])
    try:
        coef, intercept = fold(found.adapter)
    except AdaptError as error:
        raise ModelError(f"{best.candidate.method.name} makes no model file ({error}): leave out --model") from None
    about = {
        "C": number(best.C),
        "rows": int(known(found.plan.parts[0].taught).sum()) + pair.n,
        "method": best.candidate.method.name,
        "dimension": best.candidate.dimension,
        "prepare": found.adapter.prepare,
        "source": {key: pair.source.meta["source"].get(key) for key in ("given", "digest")},
        "validation_accuracy": number(best.validation),
        "seed": found.plan.settings.seed,
        "decaf": packages.version("decaf-vision"),
    }
    return Model(
        kind="classes",
        loss=found.adapter.estimator_.loss,
        names=tuple(map(str, found.adapter.classes_)),
        layer=pair.layer,
        settings=pair.target.meta["settings"],
        coef=coef.astype(np.float32),
        intercept=intercept.astype(np.float32),
        transforms=(Transform("l2" if norm == "l2" else "none"),),
        keep=1.0,
        about=about,
    )


def to_dict(found: Adapted) -> dict[str, Any]:
    """What `decaf adapt --json` prints, but for the rows."""
    plan, pair = found.plan, found.plan.pair
    settings = plan.settings
    weights = found.apart.weights()
    return {
        "layer": pair.layer,
        "net": pair.source.meta["settings"]["net"],
        "classes": pair.classes,
        "source": {"features": str(pair.source.folder), "rows": pair.n},
        "target": {
            "features": str(pair.target.folder),
            "rows": len(pair.target_rows),
            "broken": len(pair.target) - len(pair.target_rows),
            "left_out": int(pair.foreign.sum()),
            "taught": [int(known(part.taught).sum()) for part in plan.parts],
            "tested": [int(part.tested.sum()) for part in plan.parts],
        },
        "domains": {
            "told_apart": found.apart.accuracy,
            "a_distance": found.apart.a_distance,
            "rank_of_domain": found.rank,
            "effective_source_rows": effective_rows(weights),
        },
        "settings": {
            "select": plan.select or None,
            "prepare": list(settings.prepares) or None,
            "dimensions": list(settings.dimensions),
            "loss": settings.classifier.loss,
            "target_train_per_class": settings.n_taught,
            "seed": settings.seed,
        },
        "baseline": plan.baselines[0].name,
        "chosen": list(found.chosen),
        "methods": [_method(found, method.name) for method in plan.methods]
        + ([{"method": CHOSEN, **_score(found.scores.get(CHOSEN))}] if found.scores else []),
    }


def _method(found: Adapted, name: str) -> dict[str, Any]:
    fits = [of[name] for of in found.fits]
    return {
        "method": name,
        "asked": name in [method.name for method in found.plan.asked],
        "C": [number(fit.C) for fit in fits],
        "prepare": [fit.candidate.prepare for fit in fits],
        "dimension": [fit.candidate.dimension for fit in fits],
        "validation": [number(fit.validation) for fit in fits],
        **_score(found.scores.get(name)),
    }


def _score(score: Score | None) -> dict[str, Any]:
    if score is None:
        return {}
    change = score.change and vars(score.change) | {
        "interval": list(score.change.interval),
        "p": number(score.change.p),
    }
    return {
        "accuracy": score.accuracy,
        "interval": list(score.interval),
        "confidence": CONFIDENCE,
        "splits": list(score.splits),
        "change": change,
    }
