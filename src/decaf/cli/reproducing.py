"""What the benchmarks of `decaf reproduce` share: which features of pictures, and the progress of their extraction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from decaf.cli.common import progress_bar, random_weights_option

extraction_options = (
    click.option(
        "--net", metavar="NAME|FILE.onnx", default="efficientnet-lite0", show_default=True, help="The network."
    ),
    random_weights_option,
    click.option(
        "--layer",
        "layers",
        metavar="L",
        multiple=True,
        help="A layer; repeat. By default three like DeCAF5 to DeCAF7 where the network has such.",
    ),
    click.option(
        "--pool",
        type=click.Choice(["none", "avg", "max"]),
        help="For layers with positions; by default their mean, and for DeCAF5 every position, as in the paper.",
    ),
    click.option("--precision", type=click.Choice(["f32", "bf16"]), default="f32", show_default=True),
)


def showing(quiet: bool) -> Callable[[Any, Any], Any]:
    """A display of the extraction's progress on stderr, or none."""

    @contextmanager
    def show(job: Any, work: Any) -> Iterator[Callable[[int, int], None]]:
        if not quiet:
            layers = ", ".join(layer.name for layer in job.layers)
            click.echo(f"{len(job.rows):,} pictures, {work.rows:,} to compute, {job.net.name}: {layers}", err=True)
        with progress_bar(work.rows, quiet) as progress:
            yield progress

    return show
