"""`decaf demo`."""

from __future__ import annotations

from pathlib import Path

import click

from decaf.cli.common import json_option, print_json, print_table


@click.command()
@click.option("-o", "--out", metavar="DIR", default="decaf-demo", show_default=True, help="Where the results go.")
@json_option
def demo(out: str, as_json: bool) -> None:
    """Run the main job on the sample photographs that scikit-learn and matplotlib install.

    \b
    decaf demo
    decaf demo -o /tmp/features --json
    """
    from decaf.features.extract import extract
    from decaf.nets.registry import load_net
    from decaf.viz.predictions import save_predictions

    net = load_net()
    folder, figure = Path(out) / "features", Path(out) / "top5.png"
    features = extract(sample_pictures(), net, ["pool", "prob"], folder)
    pictures = [
        {
            "path": path,
            "top5": [{"class": net.labels[k], "probability": round(float(row[k]), 4)} for k in row.argsort()[::-1][:5]],
        }
        for path, row in zip(features.paths, features.X("prob"), strict=True)
    ]
    guessed = [(shown["path"], [(g["class"], g["probability"]) for g in shown["top5"]]) for shown in pictures]
    save_predictions(guessed, figure)
    if as_json:
        print_json({"features": str(folder), "figure": str(figure), "net": net.name, "pictures": pictures})
        return
    for path, guesses in guessed:
        click.echo(f"\n{Path(path).name}")
        print_table(("", "class"), [(f"{probability:.1%}", name) for name, probability in guesses], ("",))
    click.echo(f"\nfeatures: {folder} ({len(features)} rows, layers {', '.join(features.layers)})")
    click.echo(f"figure:   {figure}")
    click.echo(f"next:     decaf info {folder}")


def sample_pictures() -> list[str]:
    """Photographs that come with our dependencies."""
    from importlib.util import find_spec

    inside = {
        "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
        "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
    }
    folders = {name: Path(spec.origin).parent for name in inside if (spec := find_spec(name)) and spec.origin}
    return [str(folder / name) for package, folder in folders.items() for name in inside[package]]
