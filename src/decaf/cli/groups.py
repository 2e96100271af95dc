"""`decaf groups`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from decaf.cli.common import json_option, print_json, print_table, progress_bar
from decaf.cli.learning import step_shown
from decaf.viz.text import one_line

_SHOWN = 30


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("-o", "--out", metavar="OUT", default="", help="A folder for contact sheets and tables.")
@click.option("--layer", metavar="L", help="Which layer; may be left out where DIR has one.")
@click.option(
    "--method",
    type=click.Choice(["kmeans", "hdbscan"]),
    default="kmeans",
    show_default=True,
    help="K groups that take in every picture, or dense groups that leave the others out.",
)
@click.option(
    "--groups",
    "count",
    metavar="K",
    type=click.IntRange(1),
    help="Of k-means; by default as many as DIR has labels, else the root of half the pictures.",
)
@click.option(
    "--least", metavar="N", type=click.IntRange(2), default=10, show_default=True, help="The smallest dense group."
)
@click.option("--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Of all chance.")
@click.option("--net", "file", metavar="NAME|FILE.onnx", help="The network, where DIR was made with a file: for names.")
@json_option
def groups(
    folder: str,
    out: str,
    layer: str | None,
    method: Any,
    count: int | None,
    least: int,
    seed: int,
    file: str | None,
    as_json: bool,
) -> None:
    """Find groups of similar pictures in DIR without labels, name them after the classes of the network, and draw each.
    Where pictures have labels (the names of their folders), say how well the groups agree with them.

    \b
    decaf groups features -o groups
    decaf groups features --method hdbscan --least 20 --json
    """
    from decaf.features.feature_set import FeatureSet
    from decaf.search.groups import agreement, find_groups
    from decaf.search.index import Index, rows_to_prepare
    from decaf.tasks.discovery import name_groups, summary, write_groups
    from decaf.tasks.searching import sheet_folder, writing_sheet

    features = FeatureSet.open(folder)
    if out:
        sheet_folder(out)
    started = time.perf_counter()
    with progress_bar(rows_to_prepare(features, layer, False), as_json) as progress:
        index = Index.open(features, layer, progress=lambda rows: progress(rows, 0))
    labels = {label for label in features.labels if label is not None}
    if method == "kmeans" and count is None and len(labels) > 1:
        count = min(len(labels), int((index.matrix.norms > 0).sum()))
    with step_shown(as_json) as step:
        step("grouping")
        found = find_groups(index, method, count, least, seed)
        named, why = name_groups(index, found, file)
        agreed = agreement(found.groups, features.labels)
        about: dict[str, Any] = {
            "features": folder,
            "layer": index.layer,
            "method": method,
            "seed": seed,
            "rows": len(features),
            **summary(found, named, agreed),
            "notes": [why] if why else [],
            "seconds": time.perf_counter() - started,
        }
        if out:
            with writing_sheet(out):
                about["report"] = {"folder": out, "files": write_groups(index, found, named, about, Path(out), step)}
    if as_json:
        print_json(about)
    else:
        _say(about)


def _say(about: dict[str, Any]) -> None:
    for note in about["notes"]:
        click.echo(f"note: {one_line(note)}", err=True)
    left = f", {about['in_no_group']:,} in none" if about["in_no_group"] else ""
    click.echo(
        f"{about['rows']:,} rows, layer {about['layer']}: {len(about['groups']):,} groups{left}; "
        f"{about['method']}, seed {about['seed']}; {about['seconds']:.1f} s"
    )
    agreed = about["agreement"]
    if agreed:
        click.echo(
            f"against the labels of {agreed['rows']:,} rows: purity {agreed['purity']:.3f}, "
            f"NMI {agreed['nmi']:.3f}, ARI {agreed['ari']:.3f}"
        )
    lines = [(group["group"], group["rows"], _like(group), _labels(group)) for group in about["groups"][:_SHOWN]]
    if lines:
        click.echo()
        print_table(("group", "rows", "like", "labels"), lines, ("group", "rows"))
    if len(about["groups"]) > _SHOWN:
        click.echo(f"and {len(about['groups']) - _SHOWN:,} more: --json lists them all")
    if "report" in about:
        click.echo(f"\n{about['report']['folder']}:")
        print_table(("file", "what it shows"), about["report"]["files"].items())


def _like(group: dict[str, Any]) -> str:
    return ", ".join(f"{one_line(like['class'].split(',')[0], 30)} {like['score']:.2f}" for like in group["like"][:2])


def _labels(group: dict[str, Any]) -> str:
    return ", ".join(f"{one_line(label, 30)} {count:,}" for label, count in list(group["labels"].items())[:2])
