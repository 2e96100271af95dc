"""`decaf layers`."""

from __future__ import annotations

import click

from decaf.cli.common import json_option, preprocess_option, print_json, print_table, random_weights_option


@click.command()
@click.argument("net", metavar="NET")
@preprocess_option
@random_weights_option
@json_option
def layers(net: str, preprocess: str | None, random_weights: int | None, as_json: bool) -> None:
    """List the layers of a net: what `--layer` takes, with shapes, parameters and multiply-adds per picture.

    \b
    decaf layers efficientnet-lite0
    decaf layers my.onnx --preprocess torchvision --json
    """
    from decaf.nets.registry import load_net

    loaded = load_net(net, preprocess, random_weights)
    if as_json:
        print_json({"net": loaded.name, "layers": [layer.to_dict() for layer in loaded.layers]})
        return
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
        for layer in loaded.layers
    ]
    print_table(("layer", "kind", "shape", *numbers, "aliases"), rows, numbers)
    totals = [sum(getattr(layer, name) for layer in loaded.layers) for name in ("parameters", "multiply_adds")]
    click.echo(f"{len(rows)} layers, {totals[0]:,} parameters, {totals[1] / 1e6:,.1f} M multiply-adds per picture")
