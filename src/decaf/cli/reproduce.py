"""`decaf reproduce`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from decaf.cli.common import json_option, print_json, print_table, random_weights_option
from decaf.cli.reproduce_office import office
from decaf.cli.reproducing import extraction_options, showing
from decaf.viz.text import one_line

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--data", metavar="DIR", help="The folder of the pictures as the archive unpacks, or one above it."),
    click.option("-o", "--out", metavar="REPORT", required=True, help="A folder; run again to continue."),
    *extraction_options,
    click.option("--features", metavar="DIR", default="", help="Features made before, with --resize warp."),
    click.option("--splits", "n_splits", metavar="N", type=click.IntRange(1), default=5, show_default=True),
    click.option("--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True),
    click.option(
        "--train-per-class",
        metavar="N",
        type=click.IntRange(2),
        help="Fewer training pictures of each class than the paper has.",
    ),
    click.option(
        "--dropout",
        metavar="P",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.5,
        show_default=True,
        help="Probability that a feature is zeroed while training; 0 leaves these settings out.",
    ),
    click.option(
        "--copies",
        metavar="N",
        type=click.IntRange(0),
        default=0,
        help="With dropout: train on N masked copies of each picture; 0 (default): the loss averaged over all masks.",
    ),
    click.option(
        "--transform",
        "transforms",
        type=click.Choice(["none", "sqrt", "l2", "standardize"]),
        multiple=True,
        help="Of the features; repeat. Each is a setting of its own, the first also with dropout. By default none, "
        "as the paper, and sqrt.",
    ),
    json_option,
)


def _options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group()
def reproduce() -> None:
    """Run a benchmark of the DeCAF paper: ours beside the published numbers, as a page with figures.

    \b
    decaf reproduce caltech101 --data caltech-101 -o report
    decaf reproduce office --data office31 -o report
    """


reproduce.add_command(office)


@reproduce.command()
@_options
def caltech101(**options: Any) -> None:
    """Figure 4: layers x classifiers x dropout, and accuracy against training pictures per class.

    \b
    decaf reproduce caltech101 --data caltech-101 -o report
    decaf reproduce caltech101 --data caltech-101 -o report --layer pool --layer fc --precision bf16
    """
    from decaf.tasks.caltech101 import TASK

    _run(TASK, **options)


@reproduce.command()
@click.option(
    "--partitions",
    metavar="DIR|random",
    default="",
    help="Where Training_01.txt and the others lie, by default beside the classes; random draws splits of its own.",
)
@_options
def sun397(**options: Any) -> None:
    """Table 3: layers x classifiers on the official splits, also on a part of the classes.

    \b
    decaf reproduce sun397 --data SUN397 -o report --splits 2
    decaf reproduce sun397 --data photos -o report --partitions random
    """
    from decaf.tasks.sun397 import TASK

    _run(TASK, **options)


@reproduce.command()
@click.option("--data", metavar="DIR", help="Folders of classes, perhaps in folders of domains.")
@click.option("-o", "--out", metavar="REPORT", required=True, help="A folder; run again to continue.")
@click.option("--net", metavar="NAME|FILE.onnx", default="efficientnet-lite0", show_default=True, help="The network.")
@random_weights_option
@click.option("--layer", "layers", metavar="L", multiple=True, help="Early to late; repeat.  [default: one of each]")
@click.option("--pool", type=click.Choice(["none", "avg", "max"]), default="avg", show_default=True)
@click.option("--precision", type=click.Choice(["f32", "bf16"]), default="f32", show_default=True)
@click.option("--features", metavar="DIR", default="", help="Features made before.")
@click.option("--groups", metavar="CSV|NAME", default="", help="Groups of classes, as for `decaf map`.")
@click.option("--labels", metavar="CSV", default="", help="Columns path,label; by default the names of the folders.")
@click.option("--thumbnails", "enlarged", metavar="CLASS", default="", help="Whose pictures to show.")
@click.option("--project", type=click.Choice(["pca", "random"]), default="pca", show_default=True)
@click.option("--perplexity", metavar="P", type=float, default=30.0, show_default=True)
@click.option("--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True)
@json_option
def tsne(data: str | None, out: str, project: str, perplexity: float, seed: int, as_json: bool, **options: Any) -> None:
    """Figures 1, 2 and 5: maps of an early and a late layer, and numbers that say what is seen there.

    \b
    decaf reproduce tsne --data caltech-101 -o report
    decaf reproduce tsne --features features -o report --layer block4 --layer pool --thumbnails scissors
    """
    from decaf.cli.common import share_bar
    from decaf.maps import MapSettings
    from decaf.tasks.map_figure import HEADER, table
    from decaf.tasks.probe_report import report_folder
    from decaf.tasks.tsne import Request, map_layers
    from decaf.tasks.tsne_report import about, claims, write_tsne_report

    settings = MapSettings(project=project, perplexity=perplexity, seed=seed)  # type: ignore[arg-type]
    request = Request(Path(data) if data else None, report_folder(out), settings=settings, **options)
    with share_bar(as_json) as tell:
        found = map_layers(request, showing(as_json), tell)
    files = write_tsne_report(found)
    if as_json:
        print_json(about(found) | {"files": files})
        return
    print_table(HEADER, table(found.maps), HEADER[2:])
    click.echo()
    for claim, here, holds in claims(found):
        click.echo(f"{claim}\n  {'holds here' if holds else 'does not hold here'}: {here}")
    click.echo()
    for name, shows in files.items():
        click.echo(f"{Path(out) / name}: {shows}")


def _run(
    task: Any,
    data: str | None,
    out: str,
    n_splits: int,
    seed: int,
    train_per_class: int | None,
    as_json: bool,
    transforms: tuple[str, ...],
    partitions: str = "",
    **options: Any,
) -> None:
    from decaf.tasks.paper_report import about, table_of, write_paper_report
    from decaf.tasks.probe_report import report_folder
    from decaf.tasks.reproduce import Request, reproduce
    from decaf.tasks.task import Protocol

    protocol = Protocol(n_splits, seed, train_per_class or 0, partitions)
    request = Request(Path(data) if data else None, report_folder(out), protocol=protocol, **options)
    if transforms:
        request = replace(request, transforms=tuple(dict.fromkeys(transforms)))
    found = reproduce(task, request, showing(as_json), _silent if as_json else _say_result)
    files = write_paper_report(found)
    if as_json:
        print_json(about(found) | {"files": files})
        return
    header, rows = table_of(found)
    click.echo()
    print_table(header, [[one_line(cell) for cell in row] for row in rows], header[1:])
    click.echo(f"* published, with another network: {task.published.source}")
    for note in (*found.sample.notes, *found.warnings):
        click.echo(f"note: {one_line(note)}", err=True)
    click.echo()
    for name, shows in files.items():
        click.echo(f"{Path(out) / name}: {shows}")


def _say_result(result: Any) -> None:
    seconds = result.evaluation.seconds
    click.echo(
        f"{result.setting}: {result.test.mean:.2%} (validation {result.validation.mean:.2%}), {seconds:.1f} s", err=True
    )


def _silent(result: Any) -> None:
    """JSON is all that is printed."""
