"""`decaf export`."""

from __future__ import annotations

import click

from decaf.cli.common import json_option, print_json


@click.command()
@click.argument("folder", metavar="DIR")
@click.argument("out", metavar="OUT")
@click.option("--layer", metavar="L", help="One layer; all of them by default (.npy holds one).")
@json_option
def export(folder: str, out: str, layer: str | None, as_json: bool) -> None:
    """Write the features in DIR to one file OUT, whose suffix names the format: .npy .npz .csv .parquet .h5
    .mat

    \b
    decaf export features features.npz
    decaf export features pool.csv --layer pool
    """
    from pathlib import Path

    from decaf.features.export import export as write
    from decaf.features.feature_set import FeatureSet

    features = FeatureSet.open(folder)
    write(features, out, layer)
    size = Path(out).stat().st_size
    if as_json:
        layers = [layer] if layer else list(features.layers)
        print_json({"out": out, "rows": len(features), "layers": layers, "bytes": size})
    else:
        click.echo(f"{out}: {len(features):,} rows, {size / 1e6:,.1f} MB")
