"""`decaf compare`."""

from __future__ import annotations

import math
from typing import Any

import click

from decaf.cli.common import json_option, print_json, print_table, theme_option
from decaf.cli.learning import steps_bar
from decaf.viz.text import one_line

_WIDEST = 12  # columns of a table


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True)
@click.option("--layer", "layers", metavar="L", multiple=True, help="Which layers; repeat.  [default: all]")
@click.option(
    "--with",
    "matrices",
    metavar="FILE",
    multiple=True,
    help="A .npy or .csv of your own: responses, a row per picture, or dissimilarities; repeat for several subjects.",
)
@click.option(
    "--measure",
    type=click.Choice(["cka-debiased", "cka", "rsa"]),
    default="cka-debiased",
    show_default=True,
    help="Linear centred kernel alignment, or correlation of dissimilarities.",
)
@click.option(
    "--dissimilarity",
    type=click.Choice(["correlation", "euclidean", "cosine"]),
    default="correlation",
    show_default=True,
    help="Of two pictures, for rsa.",
)
@click.option(
    "--correlation",
    type=click.Choice(["spearman", "kendall", "pearson"]),
    default="spearman",
    show_default=True,
    help="Of two representations' dissimilarities, for rsa; kendall is tau-a.",
)
@click.option(
    "--pictures",
    metavar="N",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="Draw so many where there are more; 0: take all.",
)
@click.option("--intervals", is_flag=True, help="Also 95 % intervals over pictures and, for rsa, p values.")
@click.option(
    "--resamples",
    metavar="N",
    type=click.IntRange(1),
    default=500,
    show_default=True,
    help="Bootstrap samples and permutations, for rsa.",
)
@click.option("--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Of all chance.")
@click.option(
    "-o", "--out", "outs", metavar="FILE", multiple=True, help="A figure, .png, .svg or .pdf, or the numbers, .csv."
)
@theme_option
@json_option
def compare(
    folders: tuple[str, ...],
    layers: tuple[str, ...],
    matrices: tuple[str, ...],
    outs: tuple[str, ...],
    theme: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """See how alike layers represent the same pictures. One DIR: its layers with each other; two: the layers of one
    with those of the other; more: all with all. --with: all layers with measurements of your own.

    \b
    decaf compare features -o layers.png
    decaf compare lite0 squeezenet --with neurons.npy --measure rsa --intervals
    """
    from decaf.features.feature_set import FeatureSet
    from decaf.tasks.comparing import Settings, plan_comparison, run
    from decaf.tasks.comparison_files import check_outs, write_outs
    from decaf.tasks.given_matrix import read_matrix

    check_outs(outs)
    sets = [FeatureSet.open(folder) for folder in folders]
    plan = plan_comparison(sets, layers, [read_matrix(file) for file in matrices], Settings(**settings))
    if not as_json:
        _say_before(plan)
    with steps_bar(plan.steps, as_json, "steps") as step:
        compared = run(plan, step)
    write_outs(compared, outs, theme)
    if as_json:
        print_json(compared.to_dict() | {"out": list(outs)})
        return
    _say(compared)
    for out in outs:
        click.echo(f"{out}: written")


def _say_before(plan: Any) -> None:
    for source in plan.shared.sources:
        if source.broken:
            click.echo(f"note: {source.name}: {source.broken:,} broken rows are left out", err=True)
        if source.not_shared:
            first = f", first {one_line(source.first, 60)}" if source.first else ""
            click.echo(f"note: {source.name}: {source.not_shared:,} rows are not in the others{first}", err=True)
    for file, kind in plan.kinds.items():
        click.echo(f"{file}: {kind}")
    settings, n = plan.settings, len(plan.shared)
    of = f" of {plan.available:,}, drawn with seed {settings.seed}" if n < plan.available else ""
    by = f", matched by {plan.shared.matched_by}" if len(plan.shared.sources) > 1 else ""
    click.echo(f"{n:,} pictures{of}{by}; {_measure(settings)}")


def _measure(settings: Any) -> str:
    from decaf.tasks.comparison_files import measure_name

    return measure_name(settings)


def _say(compared: Any) -> None:
    for name, why in compared.left_out.items():
        click.echo(f"note: {one_line(name)} is left out: {why}", err=True)
    click.echo()
    if len(compared.columns) <= _WIDEST:
        _say_all(compared)
    else:
        _say_nearest(compared)
    if compared.ceiling:
        click.echo("\nnoise ceiling {:.3f} to {:.3f}: what the best model could reach".format(*compared.ceiling))
    if compared.low is not None:
        click.echo("\n" + _how_sure(compared))
    click.echo(f"{compared.seconds:.1f} s")


def _how_sure(compared: Any) -> str:
    settings = compared.plan.settings
    if settings.measure != "rsa":
        return f"in brackets 95 % intervals over pictures: jackknife, seed {settings.seed}"
    return (
        f"in brackets 95 % intervals over pictures: {settings.resamples} bootstrap samples; p one-sided, of "
        f"{settings.resamples} permutations, not corrected for {compared.pairs} comparisons; seed {settings.seed}"
    )


def _say_all(compared: Any) -> None:
    from decaf.tasks.comparison_files import names_of

    rows, columns = names_of(compared.rows), names_of(compared.columns)
    cells = [[_cell(compared, i, j) for j in range(len(columns))] for i in range(len(rows))]
    if compared.ceiling:  # of subjects the mean counts
        columns.append("mean")
        cells = [[*line, f"{mean:.3f}"] for line, mean in zip(cells, compared.values.mean(axis=1), strict=True)]
    print_table(("", *columns), [(name, *line) for name, line in zip(rows, cells, strict=True)], columns)


def _cell(compared: Any, i: int, j: int) -> str:
    value = compared.values[i, j]
    if math.isnan(value):
        return "-"
    text = f"{value:.3f}"
    if compared.low is not None and not (compared.plan.is_square and i == j):
        text += f" [{compared.low[i, j]:.3f}, {compared.high[i, j]:.3f}]"
        text += f" p {compared.p[i, j]:.2g}" if compared.p is not None else ""
    return text


def _say_nearest(compared: Any) -> None:
    from decaf.tasks.comparison_files import names_of, nearest

    rows, columns = names_of(compared.rows), names_of(compared.columns)
    lines = [(rows[i], columns[j], f"{compared.values[i, j]:.3f}") for i, j in nearest(compared)]
    print_table(("layer", "most like", "value"), lines, ("value",))
    click.echo(f"{len(rows)} x {len(columns)} values: --json or -o FILE.csv has them all, -o FIG.png draws them")
