"""`decaf explore`."""

from __future__ import annotations

from typing import Any

import click

from decaf.cli.common import json_option, preprocess_option, print_json, random_weights_option, share_bar
from decaf.viz.text import one_line


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--layer", "layers", metavar="L", multiple=True, help="A map of it; repeat.  [default: all in DIR]")
@click.option("--model", metavar="MODEL", default="", help="Also say what a model of `decaf fit` takes pictures for.")
@click.option("--labels", metavar="CSV", default="", help="Columns path,label; by default the names of the folders.")
@click.option("--groups", metavar="CSV|NAME", default="", help="Groups of classes; see `decaf map`.")
@click.option("--colour", type=click.Choice(["label", "group", "prediction"]), help="Shown first; see `decaf map`.")
@click.option(
    "--method", type=click.Choice(["tsne", "pca"]), default="tsne", show_default=True, help="How points are laid out."
)
@click.option("--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Of all chance.")
@click.option("--title", default="", help="Of the page.  [default: the name of DIR]")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; others than this machine's own see "
    "the pictures only with the token that is printed."
)  # fmt: skip
@click.option("--port", metavar="N", type=click.IntRange(0, 65535), help="0: any free one.  [default: 8420, or any]")
@click.option("--name", "names", metavar="NAME", multiple=True, help="A further name the server is known by; repeat.")
@click.option("--token/--no-token", "token", default=None, help="Ask for a token.  [default: beyond this machine]")
@click.option("--open/--no-open", "show", default=None, help="Open a browser.  [default: where there is a screen]")
@click.option(
    "--max-upload", metavar="MB", type=click.FloatRange(0, 1000, min_open=True), default=20, show_default=True,
    help="Of a dropped picture's file.",
)  # fmt: skip
@click.option(
    "--max-megapixels", metavar="M", type=click.FloatRange(0, 1000, min_open=True), default=50, show_default=True,
    help="Of a dropped picture: about 10 MB of memory each.",
)  # fmt: skip
@click.option("--net", "file", metavar="NAME|FILE.onnx", help="The network, where DIR was made with a file.")
@preprocess_option
@random_weights_option
@json_option
def explore(
    folder: str,
    layers: tuple[str, ...],
    method: Any,
    seed: int,
    title: str,
    host: str,
    port: int | None,
    names: tuple[str, ...],
    token: bool | None,
    show: bool | None,
    max_upload: float,
    max_megapixels: float,
    as_json: bool,
    **given: Any,
) -> None:
    """Serve the page of `decaf map` from this machine, with the pictures of DIR as they are, until Ctrl-C. A picture
    that is dropped on it finds its place on the map, its neighbours, and the classes it is taken for.

    \b
    decaf explore features
    decaf explore features --layer block4 --layer pool --model birds.safetensors --port 0
    """
    from decaf.explore.server import check_installed, listen
    from decaf.images.decode import Limits
    from decaf.maps import MapSettings
    from decaf.tasks.exploring import Exploring, explore, gate, serve
    from decaf.tasks.mapping import Request
    from decaf.tasks.same_net import Network
    from decaf.tasks.site import PageRequest

    check_installed()
    network = Network(*(given.pop(name) for name in ("file", "preprocess", "random_weights")))
    given["colour"] = given["colour"] or ""
    request = Request(layers, MapSettings(method=method, seed=seed), **given)
    limits = Limits(round(max_upload * 2**20), round(max_megapixels * 1e6))
    with share_bar(as_json) as tell:
        explored = explore(folder, Exploring(request, PageRequest(title), network, limits), tell)
    listening = listen(host, port)
    access, url = gate(listening, names, token)
    serve(explored, listening, access, url, limits, show, lambda: _say(explored, url, as_json))
    if not as_json:
        click.echo("\nended", err=True)


def _say(explored: Any, url: str, as_json: bool) -> None:
    about = {"url": url, "pictures": explored.pictures.count, "layers": list(explored.layers)}
    if as_json:
        return print_json(about | {"page": str(explored.kept), "drop": explored.dropping is not None,
                                   "notes": [explored.why_not] if explored.why_not else []})  # fmt: skip
    if explored.why_not:
        click.echo(f"note: pictures cannot be dropped: {one_line(explored.why_not)}", err=True)
    made = "made now" if explored.built else "kept"
    click.echo(f"{explored.pictures.count:,} pictures, {', '.join(explored.layers)}; page {made}\n")
    click.echo(f"    {url}\n\nCtrl-C ends it")
    return None
