"""`decaf probe`."""

from __future__ import annotations

from typing import Any

import click

from decaf.cli.common import json_option, print_json, print_table
from decaf.cli.learning import learning_options, say_excluded, steps_bar, warnings_as_notes
from decaf.viz.text import one_line

_WORST = 10


class _Numbers(click.ParamType):  # type: ignore[type-arg]  # a generic class in later versions of click only
    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r}: give numbers such as 1,3,5", param, ctx)
        if min(numbers) < 1:
            self.fail(f"{value!r}: give numbers from 1", param, ctx)
        return numbers


@click.command()
@click.argument("folder", metavar="DIR")
@learning_options
@click.option(
    "--train-per-class",
    "n_train",
    metavar="N",
    type=click.IntRange(1),
    help="Pictures of each class to train on, the rest to test; by default half of each class, at most 30.",
)
@click.option(
    "--splits", "n_splits", metavar="N", type=click.IntRange(1), default=5, show_default=True, help="How many."
)
@click.option(
    "--splits-file", metavar="F", default="", help="Read the splits if F is there, else write them: .json or .csv."
)
@click.option("--curve", metavar="N,N,...", type=_Numbers(), default=(), help="Also a learning curve: 1,3,5,10.")
@click.option(
    "--compare",
    metavar="REPORT",
    default="",
    help="Also say whether it beats an earlier run's -o REPORT, on the splits of that.",
)
@click.option("-o", "--out", metavar="REPORT", default="", help="A folder for tables and figures.")
@json_option
def probe(
    folder: str,
    labels: str,
    targets: tuple[str, ...],
    kind: str,
    layer: str | None,
    transforms: tuple[str, ...],
    compare: str,
    out: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure how well a linear classifier does on the features in DIR: it learns from a part of the labelled
    pictures and is tested on the others, several times. C is chosen within the part it learns from.

    \b
    decaf probe features --train-per-class 30 --curve 1,5,15,30 -o report
    decaf probe others --compare report
    """
    from decaf.features.feature_set import FeatureSet
    from decaf.tasks.earlier import against, check_comparable, read_earlier
    from decaf.tasks.probe_report import report_folder, write_report
    from decaf.tasks.probing import Settings, plan_probe, run_probe
    from decaf.tasks.targets import read_targets

    if compare and settings["splits_file"]:
        raise click.UsageError("--compare takes the splits of its report: leave out --splits-file")
    earlier = read_earlier(compare) if compare else None
    features = FeatureSet.open(folder)
    wanted = read_targets(features, labels, targets, kind)
    if earlier:
        check_comparable(earlier, wanted.kind, wanted.names)
        settings["splits_file"] = earlier.splits_file
    plan = plan_probe(features, wanted, layer, Settings(transforms=transforms or ("none",), **settings))
    if out:
        report_folder(out)
    if not as_json:
        _say_before(plan)
    with warnings_as_notes(as_json) as notes, steps_bar(plan.steps, as_json) as step:
        probed = run_probe(plan, step)
    about = {"features": folder, "layer": layer or features.layers[0], **probed.to_dict(), "notes": notes}
    if earlier:
        about["comparison"] = against(earlier, about)
    if not as_json:
        _say(about, probed)
    if out:
        files = write_report(probed, features, about, report_folder(out))
        about["report"] = {"folder": out, "files": files}
        if not as_json:
            click.echo(f"\n{out}:")
            print_table(("file", "what it shows"), files.items())
    if as_json:
        print_json(about)


def _say_before(plan: Any) -> None:
    targets, splits = plan.examples.targets, plan.splits
    say_excluded(targets.exclusions(), targets.absent)
    train, test = ([len(getattr(split, part)) for split in splits] for part in ("train", "test"))
    rows = "rows" if plan.examples.grouped else "pictures"
    of = f" of {len(plan.examples.pictures):,} pictures" if plan.examples.grouped else ""
    many = f"{len(splits)} split{'s' if len(splits) > 1 else ''}"
    click.echo(f"{len(targets):,} {rows}{of}, {_what(targets)}; {many}, {_taken(plan)}:")
    click.echo(f"{_range(train)} {rows} to train on, {_range(test)} to test on")


def _what(targets: Any) -> str:
    if targets.kind == "classes":
        return f"{len(set(targets.values)):,} classes"
    return f"{targets.kind}: {', '.join(one_line(name, 30) for name in targets.names[:5])}" + (
        f" and {len(targets.names) - 5} more" if len(targets.names) > 5 else ""
    )


def _taken(plan: Any) -> str:
    from decaf.tasks.splitting import MOST_OF_EACH

    settings = plan.settings
    if plan.splits_read:
        return f"read from {settings.splits_file}"
    if plan.examples.targets.kind != "classes":
        return "half of the pictures"
    if settings.n_train is None:
        return f"half of each class, at most {MOST_OF_EACH}"
    return f"{settings.n_train} of each class"


def _range(counts: list[int]) -> str:
    return f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"


def _say(about: dict[str, Any], probed: Any) -> None:
    click.echo()
    if about["kind"] == "classes":
        _say_classes(about, probed)
    else:
        _say_columns(about)
    if "comparison" in about:
        _say_comparison(about["comparison"], about)
    click.echo(f"{about['seconds']:.1f} s")


def _say_classes(about: dict[str, Any], probed: Any) -> None:
    from decaf.tasks.confusion import confusion, per_class_table

    several = len(about["settings"]["transforms"]) > 1
    rows = [
        (number, f"{C:.2g}", *([transform] if several else []), f"{accuracy:.4f}")
        for number, (C, transform, accuracy) in enumerate(
            zip(about["C"], about["transforms"], about["splits"], strict=True), 1
        )
    ]
    columns = ("split", "C", *(["transform"] if several else []), "accuracy")
    print_table(columns, rows, ("split", "C", "accuracy"))
    click.echo(f"\nmean accuracy over the classes: {_mean(about, 'mean_accuracy')}")
    if "learning_curve" in about:
        click.echo()
        rows = [(point["train_per_class"], _mean(point, "mean_accuracy")) for point in about["learning_curve"]]
        print_table(("train per class", "accuracy"), rows, ("train per class",))
    lines = per_class_table(confusion(probed.plan.examples.targets.values, probed.evaluation))
    click.echo(f"\nthe worst of {len(lines)} classes:" if len(lines) > _WORST else "")
    table = [
        (one_line(line.name, 40), line.tested, f"{line.accuracy:.3f}", _taken_for(line)) for line in lines[:_WORST]
    ]
    print_table(("class", "tested", "accuracy", "most often taken for"), table, ("tested", "accuracy"))


def _taken_for(line: Any) -> str:
    return f"{one_line(line.confused_with, 40)} ({line.confused:.1%})" if line.confused_with is not None else ""


def _mean(of: dict[str, Any], name: str) -> str:
    spread = "" if of["std"] is None else f" +- {of['std']:.4f}"
    return f"{of[name]:.4f}{spread}" if of[name] is not None else "-"


def _say_comparison(found: dict[str, Any], about: dict[str, Any]) -> None:
    low, high = found["interval"]
    click.echo(
        f"\nagainst {found['with']}, on its splits: {found['mean']:.4f} there, {about[found['measure']]:.4f} here\n"
        f"difference {found['difference']:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}, p {found['p']:.2g} "
        "(corrected for splits that share pictures)"
    )


_MEASURES = {
    "average_precision": "average precision",
    "r2": "R squared",
    "root_mean_squared_error": "RMSE",
    "mean_absolute_error": "mean absolute error",
    "share_of_yes": "share of yes",
    "mean": "mean",
    "deviation": "deviation",
}


def _say_columns(about: dict[str, Any]) -> None:
    measures = [name for name in _MEASURES if name in about["targets"][0]]
    rows = [
        (one_line(target["name"], 40), *("-" if target[name] is None else f"{target[name]:.4g}" for name in measures))
        for target in about["targets"]
    ]
    titles = [_MEASURES[name] for name in measures]
    print_table(("target", *titles), rows, titles)
    main = measures[0]
    click.echo(f"\nmean {_MEASURES[main]} over the targets: {_mean(about, f'mean_{main}')}")
