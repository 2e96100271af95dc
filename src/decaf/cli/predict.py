"""`decaf predict`."""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import click

from decaf.cli.common import (
    json_option,
    preprocess_option,
    print_json,
    print_table,
    progress_bar,
    random_weights_option,
)
from decaf.viz.text import one_line

_SHOWN = 50


@click.command()
@click.argument("model_file", metavar="MODEL")
@click.argument("sources", metavar="SRC...", nargs=-1, required=True)
@click.option("-o", "--out", metavar="OUT.csv", default="", help="Write a line per picture.")
@click.option("--top", metavar="K", type=click.IntRange(1), default=1, show_default=True, help="The K best classes.")
@click.option(
    "--net",
    "net_file",
    metavar="NAME|FILE.onnx",
    help="The network, where the model was fitted on features of a file.",
)
@preprocess_option
@random_weights_option
@json_option
def predict(model_file: str, sources: tuple[str, ...], out: str, top: int, as_json: bool, **network: Any) -> None:
    """Label pictures with a MODEL that `decaf fit` wrote. SRC is a feature folder, refused where its features were made
    otherwise than the model's, or pictures as `decaf extract` takes them.

    \b
    decaf predict birds.safetensors new-photos -o labels.csv
    decaf predict birds.safetensors bird.jpg --top 5 --json
    """
    from decaf.tasks.labelling import as_feature_folder, write_csv
    from decaf.tasks.model import Model
    from decaf.tasks.model_file import check_target

    if out:
        check_target(out)
    model = Model.load(model_file)
    features = as_feature_folder(sources)
    with tempfile.TemporaryDirectory(prefix="decaf-") as folder:
        if features is None:
            features = _extract(model, sources, network, Path(folder), as_json)
        notes = model.check_features(features)
        predictions = model.predict(features, top)
    if out:
        write_csv(predictions, out)
    if as_json:
        _print_json(model_file, predictions, out, notes)
    else:
        _say(predictions, out, notes)


def _extract(model: Any, sources: tuple[str, ...], network: dict[str, Any], folder: Path, quiet: bool) -> Any:
    from decaf.features.extract import run
    from decaf.features.feature_set import FeatureSet
    from decaf.features.folder import held
    from decaf.tasks.labelling import plan_extraction

    job = plan_extraction(model, list(sources), out=folder, **network)
    with held(job.out, job.meta, job.rows, job.options) as work, progress_bar(work.rows, quiet) as progress:
        run(job, work, progress)
    return FeatureSet.open(folder)


def _print_json(model_file: str, predictions: Any, out: str, notes: list[str]) -> None:
    from decaf.tasks.labelling import records

    rows = list(records(predictions))
    print_json(
        {
            "model": model_file,
            "kind": predictions.kind,
            "confidence": predictions.confidence,
            "out": out or None,
            "broken": sum(row["error"] is not None for row in rows),
            "notes": notes,
            "rows": rows,
        }
    )


def _say(predictions: Any, out: str, notes: list[str]) -> None:
    from decaf.tasks.labelling import table

    for note in notes:
        click.echo(f"note: {one_line(note)}", err=True)
    columns, lines = table(predictions)
    shown = [[one_line(cell) for cell in line] for line in islice(lines, _SHOWN)]
    broken = sum(error is not None for error in predictions.errors)
    if not broken:
        columns, shown = columns[:-1], [line[:-1] for line in shown]
    print_table(columns, shown)
    left = len(predictions) - len(shown)
    if left:
        click.echo(f"and {left:,} more{'' if out else ': -o OUT.csv writes them all'}")
    if broken:
        click.echo(f"{broken:,} of {len(predictions):,} could not be read")
    if out:
        click.echo(f"{out}: {len(predictions):,} lines")
