"""`decaf nets` and its subcommands."""

from __future__ import annotations

import click

from decaf.cli.common import json_option, print_json, print_table
from decaf.cli.info import info
from decaf.cli.nets_import import import_files


@click.group()
def nets() -> None:
    """The networks decaf knows by name.

    \b
    decaf nets list
    decaf nets show efficientnet-lite0
    """


@nets.command("list")
@json_option
def list_nets(as_json: bool) -> None:
    """List the networks, their published accuracy, and whether their parameters are installed.

    \b
    decaf nets list
    decaf nets list --json
    """
    from decaf.nets.registry import REGISTRY

    known = [
        {
            "net": entry.name,
            "published_top1": entry.accuracy,
            "published_by": entry.source,
            "licence": entry.licence,
            "parameters": entry.parameters and str(entry.parameters),
            "installed": entry.parameter_file is not None,
            "remedy": entry.parameters and entry.parameters.remedy(entry.name),
        }
        for entry in REGISTRY.values()
    ]
    if as_json:
        print_json(known)
        return
    rows = [
        (
            row["net"],
            row["published_top1"],
            row["published_by"],
            row["licence"],
            "installed" if row["installed"] else row["remedy"] or "none published",
        )
        for row in known
    ]
    print_table(("net", "top-1 %", "published by", "licence", "parameters"), rows, ("top-1 %",))


nets.add_command(info, "show")
nets.add_command(import_files)
