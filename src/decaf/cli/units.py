"""`decaf units`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from decaf.cli.common import json_option, print_json, print_table, theme_option
from decaf.viz.text import one_line


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--layer", metavar="L", help="Which layer; may be left out where DIR has one.")
@click.option(
    "--unit", "units", metavar="N", type=int, multiple=True, required=True, help="Its number, or a channel's; repeat."
)
@click.option("-k", metavar="N", type=click.IntRange(1, 500), default=9, show_default=True, help="Pictures of each.")
@click.option("-o", "--out", metavar="SHEET", help="Draw them: .png, .svg or .pdf.")
@theme_option
@json_option
def units(
    folder: str, layer: str | None, units: tuple[int, ...], k: int, out: str | None, theme: str, as_json: bool
) -> None:
    """Find the pictures that excite a unit most. Of a layer whose positions were stored (no --pool), a unit is a
    channel, and the sheet shows where in a picture it is highest.

    \b
    decaf units features --layer pool --unit 17 -o unit17.png
    decaf units features --layer block11 --unit 3 --unit 40 -k 12 --json
    """
    from decaf.features.feature_set import FeatureSet
    from decaf.tasks.exciting import draw_exciting, find_exciting
    from decaf.tasks.looking import check_figure

    target = check_figure(out) if out else None
    found = find_exciting(FeatureSet.open(folder), layer, units, k)
    missing = draw_exciting(found, target, theme) if target else 0
    if as_json:
        print_json(found.to_dict() | ({"figure": out, "not_shown": missing} if out else {}))
        return
    _say(found)
    if missing:
        click.echo(f"note: {missing} pictures could not be shown; their places say why", err=True)
    if target:
        click.echo(f"sheet: {Path(target)}")


def _say(found: Any) -> None:
    if found.broken:
        click.echo(f"note: {found.broken:,} broken rows are left out", err=True)
    columns = ("unit", "value", *(("row, column",) if found.grid else ()), "label", "path")
    lines = []
    for unit in found.to_dict()["units"]:
        for picture in unit["pictures"]:
            place = (", ".join(map(str, picture["place"])),) if found.grid else ()
            label = one_line(picture["label"] or "", 30)
            lines.append((unit["unit"], f"{picture['value']:.4g}", *place, label, one_line(picture["path"])))
    print_table(columns, lines, ("unit", "value"))
    for one in found.units:
        click.echo(f"unit {one.number}: {one.note}")
