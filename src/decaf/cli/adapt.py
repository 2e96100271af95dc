"""`decaf adapt`."""

from __future__ import annotations

from typing import Any

import click

from decaf.cli.common import json_option, print_json, print_table
from decaf.cli.learning import steps_bar, warnings_as_notes
from decaf.viz.text import one_line

_METHODS = (
    "source-and-target", "source-only", "target-only", "zscore", "daume", "mmdt", "subspace-alignment", "coral",
    "gfk-svm", "gfk",
)  # fmt: skip


@click.command()
@click.option("--source", metavar="DIR", required=True, help="Features of pictures with labels.")
@click.option("--target", metavar="DIR", required=True, help="Features of the pictures that are to be labelled.")
@click.option(
    "--method",
    "methods",
    metavar="NAME",
    multiple=True,
    help=f"auto (the default: all that can be used) or {', '.join(_METHODS)}; repeat for several, of which one is "
    "chosen.",
)
@click.option("--source-labels", metavar="CSV", default="", help="Columns path,label; by default names of folders.")
@click.option(
    "--target-labels",
    metavar="CSV",
    default="",
    help="Labels to test on, never learned from; by default names of folders, where these are classes of the source.",
)
@click.option("--no-target-labels", is_flag=True, help="The target's folder names are no labels: nothing is tested.")
@click.option("--target-labelled", metavar="CSV", default="", help="The few target pictures to learn from: path,label.")
@click.option(
    "--target-train-per-class",
    "n_taught",
    metavar="N",
    type=click.IntRange(1),
    help="Draw N pictures of each class of the target to learn from and test on the others: what would N labels do?",
)
@click.option(
    "--splits", "n_splits", metavar="K", type=click.IntRange(1), default=5, show_default=True, help="Draw K times."
)
@click.option("--shared-classes", is_flag=True, help="Leave out classes that one domain lacks.")
@click.option("--layer", metavar="L", help="Which layer; may be left out where both have one.")
@click.option(
    "--select",
    type=click.Choice(["circular", "iw", "labelled", "oracle"]),
    help="How method and dimension are chosen: there-and-back or importance-weighted validation, neither of which sees "
    "a label of the target; on held-out rows of those learned from; oracle looks at the test labels.",
)
@click.option(
    "--dimension",
    "dimensions",
    metavar="K",
    type=click.IntRange(1),
    multiple=True,
    help="Of subspaces, tried beside that of the disagreement measure; repeat for several. By default 20 and 80.",
)
@click.option(
    "--prepare",
    "prepares",
    multiple=True,
    type=click.Choice(["none", "l1", "l2", "zscore", "l1-zscore", "l2-zscore"]),
    help="Of the features: rows of length 1, features of each domain to mean 0 and deviation 1; repeat to choose from "
    "several. By default none and zscore, except for what adapts nothing.",
)
@click.option(
    "--loss", type=click.Choice(["svm", "logistic"]), default="svm", show_default=True, help="Of linear classifiers."
)
@click.option(
    "--C",
    "Cs",
    metavar="C",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    help="Of linear classifiers, chosen on labelled rows; repeat to choose from several.",
)
@click.option("--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Of all chance.")
@click.option("-o", "--out", metavar="OUT.csv", default="", help="Write a line per target picture.")
@click.option("--model", metavar="MODEL", default="", help="Write a model for `decaf predict`, such as m.safetensors.")
@click.option("--report", metavar="REPORT", default="", help="A folder for a page, tables and figures.")
@json_option
def adapt(source: str, target: str, out: str, model: str, report: str, as_json: bool, **options: Any) -> None:
    """Label pictures that are not like those with labels. The features in both folders are made in the same way by
    `decaf extract`. Labels of the target, where there are some, are tested on and not learned from, unless asked for.

    \b
    decaf adapt --source shop --target phone -o labels.csv
    decaf adapt --source shop --target phone --method coral --method gfk --target-train-per-class 3
    """
    from decaf.features.feature_set import FeatureSet
    from decaf.tasks.adapt_output import adapted_model, check_prepares, predictions, to_dict
    from decaf.tasks.adapting import plan_adaptation, run_adaptation
    from decaf.tasks.domain_pair import load_pair
    from decaf.tasks.labelling import records, write_csv
    from decaf.tasks.model_file import check_target

    for file in filter(None, (out, model)):
        check_target(file)
    if model:
        check_prepares(options["prepares"])
    labelling, layer, settings = _settings(options, bool(model))
    pair = load_pair(FeatureSet.open(source), FeatureSet.open(target), labelling, layer)
    plan = plan_adaptation(pair, settings)
    if not as_json:
        _say_before(plan)
    with warnings_as_notes(as_json) as notes, steps_bar(plan.steps, as_json) as step:
        found = run_adaptation(plan, step)
    about = {**to_dict(found), "notes": [*pair.notes, *plan.notes, *notes]}
    said = predictions(found)
    if not as_json:
        _say(about, found)
    if out:
        write_csv(said, out)
    if model:
        adapted_model(found).save(model)
    if report:
        about["report"] = _report(found, about, report)
    if as_json:
        print_json({**about, "out": out or None, "model": model or None, "rows": list(records(said))})
    else:
        _say_written(out, model, report, len(said))


def _settings(options: dict[str, Any], model: bool) -> tuple[Any, str | None, Any]:
    from decaf.tasks.adapt_methods import Classifier
    from decaf.tasks.adapting import Settings
    from decaf.tasks.domain_pair import Labelling

    labelling = Labelling(
        options["source_labels"], options["target_labels"], options["target_labelled"], options["no_target_labels"],
        options["shared_classes"],
    )  # fmt: skip
    names = ("methods", "dimensions", "prepares", "n_taught", "n_splits", "seed")
    settings = Settings(
        select=options["select"] or "",
        model=model,
        classifier=Classifier(options["loss"], options["Cs"], options["seed"]),
        **{name: options[name] for name in names},
    )
    return labelling, options["layer"], settings


def _report(found: Any, about: dict[str, Any], folder: str) -> dict[str, Any]:
    from decaf.tasks.adapt_report import write_adapt_report
    from decaf.tasks.probe_report import report_folder

    return {"folder": folder, "files": write_adapt_report(found, about, report_folder(folder))}


def _say_before(plan: Any) -> None:
    from decaf.tasks.domain_pair import known

    pair = plan.pair
    for note in (*pair.notes, *plan.notes):
        click.echo(f"note: {one_line(note)}", err=True)
    net = one_line(pair.source.meta["settings"]["net"])
    click.echo(f"source {one_line(pair.source.folder)}: {pair.n:,} rows, {len(pair.classes):,} classes")
    taught, tested = int(known(plan.parts[0].taught).sum()), int(plan.parts[0].tested.sum())
    many = f", {len(plan.parts)} times" if len(plan.parts) > 1 else ""
    used = f"{taught:,} to learn from, " if taught else "none to learn from, "
    used += f"{tested:,} to test on{many}" if tested else "none to test on"
    click.echo(f"target {one_line(pair.target.folder)}: {len(pair.target_rows):,} rows; labels: {used}")
    click.echo(f"features {net} {pair.layer}, {pair.X.shape[1]:,} numbers; seed {plan.settings.seed}")


_SELECTIONS = {
    "circular": "there-and-back validation, without labels of the target",
    "iw": "importance-weighted validation, without labels of the target",
    "labelled": "held-out target rows among those to learn from",
    "oracle": "the labels that are tested on: its accuracy is too good",
}


def _say(about: dict[str, Any], found: Any) -> None:
    domains = about["domains"]
    click.echo(
        f"\na classifier tells the domains apart in {domains['told_apart']:.1%} of held-out rows: proxy A-distance "
        f"{domains['a_distance']:.2f} of 2, rank of domain {domains['rank_of_domain']:.3f}\n"
    )
    print_table(*_table(about))
    if about["settings"]["select"]:
        chosen = ", ".join(dict.fromkeys(about["chosen"]))
        click.echo(f"\nchosen (◀) by {_SELECTIONS[about['settings']['select']]}: {chosen}")
    if about["settings"]["select"] == "iw":
        click.echo(
            f"importance weights leave {domains['effective_source_rows']:.1f} of {about['source']['rows']:,} source "
            "rows: of few, validation says little"
        )
    if found.scores:
        click.echo(
            "accuracy: mean over the classes; intervals: 95 %, over the pictures that are tested on"
            + (" and the draws" if len(found.plan.parts) > 1 else "")
        )


def _table(about: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]:
    """Columns, lines, and which columns hold numbers."""
    tested = "accuracy" in about["methods"][0]
    chose = about["settings"]["select"]
    columns = ("method", "prepare", "dimension", "C", *(["validation"] if chose else []))
    columns += ("accuracy", "interval", f"against {about['baseline']}", "mended", "spoiled") if tested else ()
    same = len(set(about["chosen"])) == 1  # then the last line, of what was chosen, says nothing new
    methods = about["methods"][:-1] if tested and same else about["methods"]
    marked = about["chosen"][:1] if same else [methods[-1]["method"]]
    lines = [_line(method, method["method"] in marked, bool(chose), tested) for method in methods]
    return columns, lines, columns[2:]


def _line(method: dict[str, Any], marked: bool, chose: bool, tested: bool) -> tuple[str, ...]:
    settings = _words(method.get("prepare")), _range(method.get("dimension")), _range(method.get("C"))
    cells: tuple[str, ...] = (method["method"] + (" ◀" if marked else ""), *settings)
    cells += (_mean(method.get("validation")),) if chose else ()
    if not tested:
        return cells
    low, high = method["interval"]
    cells += (f"{method['accuracy']:.4f}", f"{low:.3f} to {high:.3f}")
    change = method["change"]
    if not change:
        return (*cells, "", "", "")
    low, high = change["interval"]
    return (*cells, f"{change['difference']:+.4f} ({low:+.3f} to {high:+.3f})", f"{change['mended']:.4g}",
            f"{change['spoiled']:.4g}")  # fmt: skip


def _words(values: Any) -> str:
    return ", ".join(dict.fromkeys(values or ()))


def _range(values: Any) -> str:
    """Numbers of all splits."""
    numbers = sorted({value for value in values or () if value is not None})
    if not numbers:
        return ""
    return f"{numbers[0]:.2g}" if len(numbers) == 1 else f"{numbers[0]:.2g} to {numbers[-1]:.2g}"


def _mean(values: Any) -> str:
    numbers = [value for value in values or () if value is not None]
    return f"{sum(numbers) / len(numbers):.4f}" if numbers else ""


def _say_written(out: str, model: str, report: str, rows: int) -> None:
    if out:
        click.echo(f"{out}: {rows:,} lines")
    if model:
        click.echo(f"{model}: next: decaf predict {model} PICTURES")
    if report:
        click.echo(f"{report}: report.html, tables and figures")
