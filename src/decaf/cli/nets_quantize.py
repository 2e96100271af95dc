"""`decaf nets quantize`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from decaf.cli.common import (
    json_option,
    preprocess_option,
    print_json,
    print_table,
    progress_bar,
    random_weights_option,
)

if TYPE_CHECKING:
    from decaf.features.quantize import Quantised


@click.command("quantize")
@click.argument("net", metavar="NAME|FILE.onnx")
@click.option("--images", "sources", metavar="SRC", multiple=True, required=True, help="Pictures; repeat for more.")
@click.option("-o", "--out", metavar="OUT.onnx", required=True, help="The file to write.")
@click.option(
    "--layer",
    "layers",
    metavar="L",
    multiple=True,
    help="A layer you will take: the gate is for it; repeat for several. Default: the net's default layer, and the "
    "layers people usually take are shown as well.",
)
@click.option(
    "--calibration",
    metavar="N",
    type=click.IntRange(16),
    default=128,
    show_default=True,
    help="Pictures to calibrate on; half as many others are held out to measure on.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Picks the pictures.")
@click.option(
    "--method",
    type=click.Choice(["minmax", "percentile", "entropy"]),
    default="minmax",
    show_default=True,
    help="How the range of a tensor is found: all of it, all but the outermost 0.01 %, or by entropy.",
)
@click.option(
    "--min-mean",
    type=click.FloatRange(0, 1),
    default=0.995,
    show_default=True,
    help="The least mean cosine to f32 on the pictures held out.",
)
@click.option(
    "--min-worst", type=click.FloatRange(0, 1), default=0.98, show_default=True, help="The least cosine of a picture."
)
@preprocess_option
@random_weights_option
@click.option("--jobs", metavar="N", type=click.IntRange(0), default=0, help="Threads; 0 (default): one per core.")
@json_option
def quantize_net(
    net: str,
    sources: tuple[str, ...],
    out: str,
    min_mean: float,
    min_worst: float,
    preprocess: str | None,
    random_weights: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make an ONNX file that computes in eight bits, calibrated on your pictures.

    How near its features are to those in f32, and how much faster it is than f32 and bf16, is measured and printed.
    What is not near enough or not faster is not written. Needs pip install "decaf-vision[onnxruntime]".

    \b
    decaf nets quantize caffenet --images photos -o caffenet-int8.onnx
    decaf nets quantize mine.onnx --images photos --layer pool5 --layer fc7 -o mine-int8.onnx
    """
    from decaf.features.quantize import Gate, check_place, quantize
    from decaf.nets.registry import load_net

    check_place(out)
    bar = partial(progress_bar, quiet=as_json)
    loaded = load_net(net, preprocess, random_weights)
    made = quantize(loaded, sources, gate=Gate(min_mean, min_worst), bar=bar, **options)
    if not as_json:
        _say_measured(made)
    made.save(out)
    if as_json:
        print_json({"out": out} | made.to_dict())
    else:
        smaller = len(loaded.data) / len(made.net.data)
        click.echo(f"wrote {out}: {made.net.name}, {Path(out).stat().st_size:,} bytes, {smaller:.1f} times smaller")


def _say_measured(made: Quantised) -> None:
    click.echo(f"calibrated on {made.calibration} pictures, measured on {made.held_out} others; {made.broken} broken")
    if made.kept:
        click.echo(f"in floating point, to come near enough: {', '.join(made.kept)}")
    columns = ("cosine to f32", "mean", "worst", "two pictures")
    rows = [
        (near.layer + " *" * (near.layer in made.gated), *(f"{n:.4f}" for n in (near.mean, near.worst, near.apart)))
        for near in made.fidelity
    ]
    print_table(columns, rows, columns[1:])
    click.echo(f"* {made.gate.mean:g} mean and {made.gate.worst:g} worst are asked for")
    told = made.to_dict()
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in told["pictures_per_second"].items())
    times = ", ".join(f"{times:.2f} times as fast as {name}" for name, times in told["times_as_fast"].items())
    click.echo(f"pictures/s to {', '.join(made.gated)}: {rates}; int8 is {times}")
