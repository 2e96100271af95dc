"""`decaf layers`."""

from __future__ import annotations

from typing import Any

import click

from decaf.cli.common import (
    json_option,
    preprocess_option,
    print_json,
    print_table,
    random_weights_option,
    theme_option,
)


@click.command()
@click.argument("net", metavar="NET")
@click.option("--filters", is_flag=True, help="Draw the filters of the first convolution.")
@click.option("--draw", "graph", is_flag=True, help="Draw the network, a row for each block.")
@click.option("--image", metavar="PIC", help="Draw what --layer makes of a picture.")
@click.option("--layer", metavar="L", help="Which layer, for --image.")
@click.option("-o", "--out", metavar="FIG", help="The figure: .png, .svg or .pdf.")
@theme_option
@preprocess_option
@random_weights_option
@json_option
def layers(
    net: str, out: str | None, preprocess: str | None, random_weights: int | None, as_json: bool, **figure: Any
) -> None:
    """List the layers of a net: what `--layer` takes, with shapes, parameters and multiply-adds per picture. With
    --filters, --draw or --image, draw a figure in place of it.

    \b
    decaf layers efficientnet-lite0
    decaf layers efficientnet-lite0 --image cat.jpg --layer block4 -o block4.png
    """
    from decaf.nets.registry import load_net

    wants_figure = any(figure[name] for name in ("filters", "graph", "image", "layer"))
    if wants_figure and not out:
        raise click.UsageError("name the file of the figure with -o")
    loaded = load_net(net, preprocess, random_weights)
    if out:
        from decaf.tasks.looking import draw

        drawn = {"net": loaded.name, **draw(loaded, out, **figure), "figure": out}
        print_json(drawn) if as_json else _say(drawn)
    elif as_json:
        print_json({"net": loaded.name, "layers": [layer.to_dict() for layer in loaded.layers]})
    else:
        _list(loaded)


def _list(net: Any) -> None:
    numbers = ("parameters", "multiply-adds")
    rows = [
        (
            layer.name,
            layer.kind,
            "x".join(map(str, layer.shape or ("?",))),
            layer.parameters,
            layer.multiply_adds,
            " ".join(layer.aliases),
        )
        for layer in net.layers
    ]
    print_table(("layer", "kind", "shape", *numbers, "aliases"), rows, numbers)
    totals = [sum(getattr(layer, name) for layer in net.layers) for name in ("parameters", "multiply_adds")]
    click.echo(f"{len(rows)} layers, {totals[0]:,} parameters, {totals[1] / 1e6:,.1f} M multiply-adds per picture")


def _say(drawn: dict[str, Any]) -> None:
    if units := drawn.pop("units", None):
        print_table(
            ("unit", "highest", "label"),
            [(one["unit"], f"{one['value']:.4g}", one.get("label", "")) for one in units],
            ("unit", "highest"),
        )
    figure = drawn.pop("figure")
    click.echo("; ".join(f"{name} {_short(value)}" for name, value in drawn.items()))
    click.echo(f"figure: {figure}")


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "x".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
