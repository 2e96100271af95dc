"""`decaf reproduce office`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from decaf.cli.common import json_option, print_json, print_table
from decaf.cli.reproducing import extraction_options, showing
from decaf.viz.text import one_line

KINDS = ("pictures", "surf", "decaf", "other")
PREPARATIONS = ("none", "l1", "l2", "zscore", "l1-zscore", "l2-zscore")


def _read_pairs(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """`amazon-webcam`, `A-W`: source and target."""
    from decaf.tasks.office.names import LETTERS, domain_name

    pairs = []
    for text in given:
        names = [LETTERS.get(part.casefold()) or domain_name(part) for part in text.split("-")]
        if len(names) != 2 or not (names[0] and names[1]) or names[0] == names[1]:
            known = "amazon, webcam, dslr and caltech10"
            raise click.BadParameter(f"{text!r} is no pair of {known}: give amazon-webcam or A-W", ctx, param)
        pairs.append((names[0], names[1]))
    return tuple(pairs)


@click.command()
@click.option(
    "--data",
    metavar="DIR",
    multiple=True,
    help="A folder with domains: pictures (amazon/images/CLASS or amazon/CLASS), SURF or DeCAF vectors; repeat.",
)
@click.option("-o", "--out", metavar="REPORT", required=True, help="A folder; run again to continue.")
@click.option(
    "--protocol",
    type=click.Choice(["saenko", "unsupervised"]),
    default="saenko",
    show_default=True,
    help="saenko: a few labels of the target, as in Table 1; unsupervised: all of the source, no label of the target.",
)
@click.option(
    "--pair", "pairs", metavar="A-W", multiple=True, callback=_read_pairs,
    help="Source and target; repeat. By default those of Table 1, and by the other protocol all.",
)  # fmt: skip
@click.option(
    "--method", "methods", metavar="M", multiple=True,
    help="NN, S, T, ST, Daume, MMDT, GFK, SA or CORAL; repeat. By default all of the protocol.",
)  # fmt: skip
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only such features; repeat.")
@click.option(
    "--prepare",
    "preparations",
    type=click.Choice(PREPARATIONS),
    multiple=True,
    help="Of the vectors of each domain; repeat. By default none (SURF: l2), and in the other protocol l1-zscore.",
)
@click.option("--classes", type=click.Choice(["all", "10"]), default="all", show_default=True,
              help="10: those Office-31 shares with Caltech-256.")  # fmt: skip
@click.option("--splits", "n_splits", metavar="N", type=click.IntRange(1), default=5, show_default=True)
@click.option("--splits-from", metavar="DIR", help="The split files of the MMDT package, SameCategory_*.mat.")
@click.option("--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--features", metavar="DIR", multiple=True,
    help="Features of the pictures made before, with --resize warp; repeat.",
)  # fmt: skip
@click.option(
    "--decaf-layer", "decaf_layers", metavar="L", multiple=True,
    help="Of the released archive of DeCAF activations; repeat. By default fc6 and fc7.",
)  # fmt: skip
@json_option
def office(as_json: bool, **options: Any) -> None:
    """Table 1: domain adaptation on Office-31 or Office-Caltech10, pictures and released vectors.

    \b
    decaf reproduce office --data office31 -o report
    decaf reproduce office --data office_caltech10 -o report --protocol unsupervised --kind surf
    """
    from decaf.tasks.office.report import about, write_office_report
    from decaf.tasks.office.run import reproduce_office

    found = reproduce_office(_request(**options), showing(as_json), _silent if as_json else _say_result)
    files = write_office_report(found)
    if as_json:
        print_json(about(found) | {"files": files})
        return
    _say(found)
    for name, shows in files.items():
        click.echo(f"{found.request.out / name}: {shows}")


for _option in extraction_options:
    office = _option(office)


def _request(
    data: tuple[str, ...],
    out: str,
    net: str,
    random_weights: int | None,
    layers: tuple[str, ...],
    pool: Any,
    precision: str,
    splits_from: str | None,
    **options: Any,
) -> Any:
    from decaf.tasks.office.gather import Request
    from decaf.tasks.probe_report import report_folder
    from decaf.tasks.warped import Extraction

    extraction = Extraction(net, random_weights, layers, pool, precision)
    folders = [Path(folder) for folder in data]
    from_there = Path(splits_from) if splits_from else None
    return Request(folders, report_folder(out), extraction, splits_from=from_there, **options)


def _say(found: Any) -> None:
    from decaf.tasks.office.report import source_of_published
    from decaf.tasks.office.tables import tables_of
    from decaf.tasks.office.words import helps, lead

    for grid in tables_of(found):
        click.echo(f"\n{grid.title}")
        print_table(grid.header, [[one_line(cell) for cell in row] for row in grid.rows], grid.header[1:])
    click.echo(source_of_published(found))
    click.echo("")
    for sentence in (lead(found), *helps(found)):
        click.echo(sentence)
    for note in (*found.notes, *found.warnings):
        click.echo(f"note: {one_line(note)}", err=True)
    click.echo("")


def _say_result(result: Any) -> None:
    from decaf.tasks.paper_report import percent

    click.echo(f"{result}: {percent(result.summary)} %, {result.seconds:.1f} s", err=True)


def _silent(result: Any) -> None:
    """JSON is all that is printed."""
