"""`decaf nets` and its subcommands."""

from __future__ import annotations

import click

from decaf.cli.common import json_option, print_json, print_table
from decaf.cli.info import info
from decaf.cli.nets_fetch import fetch_net
from decaf.cli.nets_import import import_files
from decaf.cli.nets_quantize import quantize_net


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
    """List the networks, their published accuracy, and whether their parameters are here.

    \b
    decaf nets list
    decaf nets list --json
    """
    from decaf.nets.registry import REGISTRY

    known = [entry.about() for entry in REGISTRY.values()]
    if as_json:
        print_json(known)
        return
    rows = [
        (
            net["net"],
            net["published_top1"] or "",
            net["licence"],
            f"{net['bytes'] / 1e6:.0f}" if net["bytes"] else "",
            net["remedy"] if net["state"] == "absent" else net["state"],
        )
        for net in known
    ]
    print_table(("net", "top-1 %", "licence", "MB", "parameters"), rows, ("top-1 %", "MB"))


nets.add_command(info, "show")
nets.add_command(fetch_net)
nets.add_command(import_files)
nets.add_command(quantize_net)
