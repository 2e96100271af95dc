"""`decaf fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from decaf.cli.common import json_option, print_json
from decaf.cli.learning import learning_options, say_excluded, step_shown, warnings_as_notes


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("-o", "--out", metavar="MODEL", required=True, help="The file to write, such as birds.safetensors.")
@learning_options
@click.option(
    "--C",
    "Cs",
    metavar="C",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    help="Of the loss against the penalty; repeat to choose from several. By default 7 steps from 1e-4.",
)
@json_option
def fit(
    folder: str,
    out: str,
    labels: str,
    targets: tuple[str, ...],
    kind: str,
    transforms: tuple[str, ...],
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a linear classifier on all labelled features in DIR and write it to MODEL, one file of numbers that
    remembers how the features were made. C is chosen by cross-validation.

    \b
    decaf fit features -o birds.safetensors
    decaf fit features -o birds.safetensors --loss logistic --labels birds.csv
    """
    from decaf.features.feature_set import FeatureSet
    from decaf.tasks.fitting import fit_model
    from decaf.tasks.model_file import check_target
    from decaf.tasks.targets import read_targets

    check_target(out)
    features = FeatureSet.open(folder)
    wanted = read_targets(features, labels, targets, kind)
    settings["Cs"] = settings["Cs"] or None
    if not as_json:
        say_excluded(wanted.exclusions(), wanted.absent)
    with warnings_as_notes(as_json) as notes, step_shown(as_json) as step:
        model = fit_model(features, wanted, transforms=transforms or ("none",), on_step=step, **settings)
    model.save(out)
    about = {
        "out": out,
        "bytes": Path(out).stat().st_size,
        "kind": model.kind,
        "loss": model.loss,
        "layer": model.layer,
        "net": model.settings["net"],
        "targets" if model.kind != "classes" else "classes": list(model.names),
        "transforms": [transform.name for transform in model.transforms],
        **model.about,
        "excluded": wanted.exclusions(),
        "notes": notes,
    }
    if as_json:
        print_json(about)
    else:
        _say(about)


def _say(about: dict[str, Any]) -> None:
    names = about.get("classes") or about["targets"]
    what = "classes" if "classes" in about else f"target{'s' if len(names) > 1 else ''}, {about['kind']}"
    click.echo(f"fitted on {about['rows']:,} rows of {about['net']} {about['layer']}: {len(names):,} {what}")
    if about["kind"] == "regression":
        click.echo(f"R squared in cross-validation: {about['validation_r2']:.4f}")
    elif about["kind"] == "classes":
        accuracy = about["validation_accuracy"]
        validated = f", accuracy on {about['folds']} held-out parts {accuracy:.4f}" if accuracy is not None else ""
        click.echo(f"{about['loss']}, C {about['C']:.2g}, transform {about['transforms'][0]}{validated}")
    else:
        click.echo(f"{about['loss']}, C {', '.join(f'{C:.2g}' for C in about['C'])}")
    click.echo(f"{about['out']}: {about['bytes'] / 1e6:,.2f} MB")
    click.echo(f"next: decaf predict {about['out']} PICTURES")
