"""What `decaf probe -o` leaves behind: tables, figures, splits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from decaf.errors import ProbeError
from decaf.features.feature_set import FeatureSet
from decaf.files import write_atomically
from decaf.tasks.columns import ColumnsEvaluation
from decaf.tasks.columns_report import write_columns
from decaf.tasks.confusion import Confusion, OfClass, confusion, per_class_table, surest_mistakes
from decaf.tasks.evaluate import Evaluation
from decaf.tasks.probing import Probed
from decaf.tasks.report_files import cells, write_csv, write_sheet
from decaf.tasks.splitting import save_splits

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
            return files | write_columns(probed.plan.examples, probed.evaluation, features, out)
        return files | _write_classes(probed, probed.evaluation, features, out)


def _write_classes(probed: Probed, evaluation: Evaluation, features: FeatureSet, out: Path) -> dict[str, str]:
    from decaf.viz.confusion import save_confusion
    from decaf.viz.curve import save_curve
    from decaf.viz.ranking import Ranked, save_ranking

    found = confusion(probed.plan.examples.targets.values, evaluation)
    classes = [str(name) for name in found.classes]
    strongest = [(classes[i], classes[j], share) for i, j, share in found.strongest(_CONFUSIONS)]
    save_confusion(classes, found.shares, strongest, out / "confusion.png")
    write_csv(out / "confusion.csv", ["is / taken for", *classes], _counted(classes, found))
    lines = per_class_table(found)
    save_ranking(
        "accuracy", "class", [Ranked(line.name, line.accuracy, line.std) for line in lines], out / "per_class.png"
    )
    write_csv(out / "per_class.csv", OfClass.__annotations__, (cells(vars(line).values()) for line in lines))
    mistakes = surest_mistakes(probed.plan.examples, evaluation)
    files = {
        "confusion.png": "which classes are taken for which",
        "confusion.csv": "the same, counted over all splits",
        "per_class.png": "accuracy of each class, the worst first",
        "per_class.csv": "the same, and what it is most often taken for",
        "mistakes.png": write_sheet(mistakes, features, out / "mistakes.png"),
    }
    if probed.curve:
        points = [(n, at.summary.mean, at.summary.std) for n, at in probed.curve]
        save_curve(points, 1 / len(classes), out / "learning_curve.png")
        write_csv(out / "learning_curve.csv", ["train_per_class", "accuracy", "std"], map(cells, points))
        files["learning_curve.png"] = "accuracy against training pictures per class; numbers in learning_curve.csv"
    return files


def _counted(classes: Sequence[str], found: Confusion) -> Iterator[list[Any]]:
    for name, counts in zip(classes, found.counts.sum(axis=0), strict=True):
        yield [name, *counts.tolist()]
