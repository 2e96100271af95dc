"""What `decaf probe -o` leaves behind of several targets: how each fares, and what was missed most."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from decaf.features.feature_set import FeatureSet
from decaf.probe import Summary
from decaf.tasks.columns import RECALL, ColumnsEvaluation, precision_curves
from decaf.tasks.misses import surest_misses
from decaf.tasks.probing import MEASURES
from decaf.tasks.report_files import cells, write_csv, write_sheet
from decaf.tasks.targets import Examples


def write_columns(examples: Examples, evaluation: ColumnsEvaluation, features: FeatureSet, out: Path) -> dict[str, str]:
    """Write tables and figures into a folder that is there.

    Returns:
        Name of the file -> what it shows.
    """
    measures = MEASURES[examples.targets.kind]
    of_columns = [evaluation.per_column(measure) for measure in measures]
    table = []
    for name, *summaries in zip(evaluation.names, *of_columns, strict=True):
        table.append([name, *cells(value for summary in summaries for value in (summary.mean, summary.std))])
    header = ["target", *(cell for measure in measures for cell in (measure, f"{measure}_std"))]
    write_csv(out / "per_target.csv", header, table)
    draw = _draw_yes_or_no if examples.targets.kind == "multilabel" else _draw_numbers
    files = {"per_target.csv": f"{', '.join(measures).replace('_', ' ')} of each target"}
    mistakes = surest_misses(examples, evaluation)
    what = "surest mistakes" if examples.targets.kind == "multilabel" else "greatest misses"
    files["mistakes.png"] = write_sheet(mistakes, features, out / "mistakes.png", what)
    return files | draw(examples, evaluation, out)


def _draw_yes_or_no(examples: Examples, evaluation: ColumnsEvaluation, out: Path) -> dict[str, str]:
    from decaf.viz.precision import Curve, save_precision
    from decaf.viz.ranking import Ranked, save_ranking

    scores = evaluation.per_column("average_precision")
    chance = examples.targets.values.mean(axis=0)  # the average precision of a ranking by chance
    named = list(zip(evaluation.names, scores, strict=True))
    ranked = [Ranked(name, one.mean, one.std, float(share)) for (name, one), share in zip(named, chance, strict=True)]
    save_ranking("average precision", "target", ranked, out / "average_precision.png")
    curves = [
        Curve(name, curve, one.mean)
        for (name, one), curve in zip(named, precision_curves(examples, evaluation), strict=True)
        if not math.isnan(one.mean)
    ]
    save_precision(RECALL, curves, out / "precision_recall.png")
    return {
        "average_precision.png": "average precision of each target, beside that of a blind guess",
        "precision_recall.png": "precision against recall: the mean, the best and the worst target",
    }


def _draw_numbers(examples: Examples, evaluation: ColumnsEvaluation, out: Path) -> dict[str, str]:
    from decaf.viz.numbers import Predicted, save_numbers

    truth = np.concatenate([examples.targets.values[outcome.split.test] for outcome in evaluation.outcomes])
    predicted = np.concatenate([outcome.predicted for outcome in evaluation.outcomes])
    r2, rmse = evaluation.per_column("r2"), evaluation.per_column("root_mean_squared_error")
    drawn = [
        Predicted(
            name, truth[:, column], predicted[:, column], f"R² {_spread(r2[column])},  RMSE {_spread(rmse[column])}"
        )
        for column, name in enumerate(evaluation.names)
    ]
    save_numbers(drawn, out / "predicted.png")
    return {"predicted.png": "predicted against true numbers, and what is missed"}


def _spread(summary: Summary) -> str:
    if math.isnan(summary.mean):
        return "-"
    return f"{summary.mean:.3g}" + ("" if math.isnan(summary.std) else f" ± {summary.std:.2g}")
