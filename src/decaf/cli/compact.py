"""`decaf compact`."""

from __future__ import annotations

import click

from decaf.cli.common import json_option, print_json, progress_bar


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("-o", "--out", metavar="OUT", required=True, help="The new feature folder.")
@json_option
def compact(folder: str, out: str, as_json: bool) -> None:
    """Write the features in DIR anew to OUT: without the rows that updates left behind, in the order of the pictures.

    \b
    decaf compact features -o compacted
    decaf compact features -o compacted --json
    """
    from decaf.features.compact import compact as write
    from decaf.features.feature_set import FeatureSet

    before = FeatureSet.open(folder)
    removed = sum(before.shard_rows.values()) - len(before)
    with progress_bar(len(before), quiet=as_json) as progress:
        features = write(folder, out, progress)
    if as_json:
        print_json({"out": out, "rows": len(features), "removed": removed})
    else:
        click.echo(f"{out}: {len(features):,} rows, {removed:,} removed rows left out")
