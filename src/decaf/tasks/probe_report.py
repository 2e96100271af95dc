"""What `decaf probe -o` leaves behind: tables, figures, splits."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from decaf.errors import ProbeError
from decaf.features.feature_set import FeatureSet
from decaf.files import write_atomically
from decaf.tasks.columns import ColumnsEvaluation
from decaf.tasks.confusion import Confusion, OfClass, confusion, per_class_table, surest_mistakes
from decaf.tasks.evaluate import Evaluation
from decaf.tasks.pictures import Pictures
from decaf.tasks.probing import MEASURES, Probed, number
from decaf.tasks.splitting import save_splits

_MISTAKES = 24
_CONFUSIONS = 15


def report_folder(out: str) -> Path:
    """Make the folder for a report. Raises ProbeError where it cannot be."""
    with writing(out):
        Path(out).mkdir(parents=True, exist_ok=True)
    return Path(out)


@contextmanager
def writing(out: object) -> Iterator[None]:
    """Turn what the system says of a file into a ProbeError."""
    try:
        yield
    except FileExistsError:
        raise ProbeError(f"{out} is a file: name a folder") from None
    except OSError as error:
        raise ProbeError(f"cannot write {out} ({error.strerror or error}): make room or name another") from None


def write_report(probed: Probed, features: FeatureSet, about: dict[str, Any], out: Path) -> dict[str, str]:
    """Write `probe.json`, `splits.json`, tables and figures into a folder that is there.

    Args:
        probed: what was found.
        features: where the pictures of the contact sheet come from.
        about: for `probe.json`.
        out: the folder; files of the same names are replaced.

    Returns:
        What is in it: name of the file -> what it shows.
    """
    with writing(out):
        write_atomically(out / "probe.json", (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
        save_splits(str(out / "splits.json"), probed.plan.examples, probed.plan.splits)
        files = {"probe.json": "all numbers", "splits.json": "the pictures of each part, to be used again"}
        if isinstance(probed.evaluation, ColumnsEvaluation):
            return files | _write_columns(probed, probed.evaluation, out)
        return files | _write_classes(probed, probed.evaluation, features, out)


def _write_classes(probed: Probed, evaluation: Evaluation, features: FeatureSet, out: Path) -> dict[str, str]:
    from decaf.viz.confusion import save_confusion
    from decaf.viz.curve import save_curve

    found = confusion(probed.plan.examples.targets.values, evaluation)
    classes = [str(name) for name in found.classes]
    strongest = [(classes[i], classes[j], share) for i, j, share in found.strongest(_CONFUSIONS)]
    save_confusion(classes, found.shares, strongest, out / "confusion.png")
    _write_csv(out / "confusion.csv", ["is / taken for", *classes], _counted(classes, found))
    lines = per_class_table(found)
    _write_csv(out / "per_class.csv", OfClass.__annotations__, (_cells(vars(line).values()) for line in lines))
    files = {
        "confusion.png": "which classes are taken for which",
        "confusion.csv": "the same, counted over all splits",
        "per_class.csv": "accuracy of each class, the worst first",
        "mistakes.png": _write_mistakes(probed, evaluation, features, out / "mistakes.png"),
    }
    if probed.curve:
        points = [(n, at.summary.mean, at.summary.std) for n, at in probed.curve]
        save_curve(points, 1 / len(classes), out / "learning_curve.png")
        _write_csv(out / "learning_curve.csv", ["train_per_class", "accuracy", "std"], map(_cells, points))
        files["learning_curve.png"] = "accuracy against training pictures per class; numbers in learning_curve.csv"
    return files


def _counted(classes: Sequence[str], found: Confusion) -> Iterator[list[Any]]:
    for name, counts in zip(classes, found.counts.sum(axis=0), strict=True):
        yield [name, *counts.tolist()]


def _write_mistakes(probed: Probed, evaluation: Evaluation, features: FeatureSet, out: Path) -> str:
    from decaf.viz.sheet import Shown, save_sheet

    examples = probed.plan.examples
    mistakes = surest_mistakes(examples, evaluation, _MISTAKES)
    pictures = Pictures(features)
    shown = [
        Shown(
            partial(pictures.load, int(examples.targets.rows[mistake.row])),
            mistake.truth,
            mistake.predicted,
            f"ahead by {mistake.confidence:.2f}, in {mistake.times} of {mistake.tested} splits",
        )
        for mistake in mistakes
    ]
    missing = save_sheet(f"The {len(shown)} surest mistakes" if shown else "No mistakes", shown, out)
    return "the surest mistakes" + (f"; {missing} pictures could not be shown" if missing else "")


def _write_columns(probed: Probed, evaluation: ColumnsEvaluation, out: Path) -> dict[str, str]:
    kind = probed.plan.examples.targets.kind
    measures = MEASURES[kind]
    table = []
    for column, name in enumerate(evaluation.names):
        summaries = [evaluation.per_column(measure)[column] for measure in measures]
        table.append([name, *_cells(value for summary in summaries for value in (summary.mean, summary.std))])
    header = ["target", *(cell for measure in measures for cell in (measure, f"{measure}_std"))]
    _write_csv(out / "per_target.csv", header, table)
    return {"per_target.csv": f"{measures[0].replace('_', ' ')} of each target"}


def _cells(values: Iterable[Any]) -> list[Any]:
    """Numbers short; nothing where there is none."""
    return ["" if value is None else _short(value) for value in values]


def _short(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if number(value) is None else f"{value:.6g}"


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode("utf-8", "backslashreplace"))
