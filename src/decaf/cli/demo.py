"""`decaf demo`."""

from __future__ import annotations

from pathlib import Path

import click

from decaf.cli.common import json_option, print_json, print_table


@click.command()
@click.option("-o", "--out", metavar="DIR", default="decaf-demo", show_default=True, help="Where the features go.")
@json_option
def demo(out: str, as_json: bool) -> None:
    """Run the main job on the sample photographs that scikit-learn and matplotlib install.

    \b
    decaf demo
    decaf demo -o /tmp/features --json
    """
    from decaf.features.extract import extract
    from decaf.nets.registry import load_net

    net = load_net()
    features = extract(sample_pictures(), net, ["pool", "prob"], out)
    pictures = [
        {
            "path": path,
            "top5": [{"class": net.labels[k], "probability": round(float(row[k]), 4)} for k in row.argsort()[::-1][:5]],
        }
        for path, row in zip(features.paths, features.X("prob"), strict=True)
    ]
    if as_json:
        print_json({"out": out, "net": net.name, "pictures": pictures})
        return
    for picture in pictures:
        click.echo(f"\n{Path(picture['path']).name}")
        rows = [(f"{guess['probability']:.1%}", guess["class"]) for guess in picture["top5"]]
        print_table(("", "class"), rows, ("",))
    click.echo(f"\nfeatures: {out}, {len(features)} rows, layers {', '.join(features.layers)}")
    click.echo(f'next: decaf info {out}; or in Python: decaf.FeatureSet.open("{out}").X("pool")')


def sample_pictures() -> list[str]:
    """Photographs that come with our dependencies."""
    from importlib.util import find_spec

    inside = {
        "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
        "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
    }
    folders = {name: Path(spec.origin).parent for name in inside if (spec := find_spec(name)) and spec.origin}
    return [str(folder / name) for package, folder in folders.items() for name in inside[package]]
