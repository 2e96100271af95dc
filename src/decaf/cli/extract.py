"""`decaf extract`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from decaf.cli.common import json_option, preprocess_option, print_json, progress_bar


@click.command()
@click.argument("sources", metavar="SRC...", nargs=-1, required=True)
@click.option("-o", "--out", metavar="DIR", required=True, help="The feature folder: new, or one to continue.")
@click.option("--net", metavar="NAME|FILE.onnx", default="efficientnet-lite0", show_default=True, help="The network.")
@click.option("--layer", "layers", metavar="L", multiple=True, help="A layer; repeat for several in one pass.")
@click.option(
    "--pool",
    type=click.Choice(["none", "avg", "max"]),
    default="none",
    show_default=True,
    help="For layers with positions: their mean or maximum; none stores every position.",
)
@click.option(
    "--fast-decode",
    is_flag=True,
    help="Decode large JPEG files at a reduced scale: faster, not exactly the same features (see docs/speed.md).",
)
@click.option("--flat", is_flag=True, help="Store every position even where that takes more than 4 GB.")
@click.option(
    "--precision",
    type=click.Choice(["f32", "bf16"]),
    default="f32",
    show_default=True,
    help="bf16 is faster on processors that have it; cosine to f32 at `pool`: .9993 mean, .9962 worst.",
)
@click.option(
    "--resize",
    type=click.Choice(["default", "warp", "short-side"]),
    default="default",
    show_default=True,
    help="warp ignores the picture's shape, as in the DeCAF paper; default is the network's own rule.",
)
@preprocess_option
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    help="Pictures the network works on at the same time; 0 (default): one per core.",
)
@click.option(
    "--shard-size",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    help="Rows per shard; 0 (default): 1000, fewer for large layers.",
)
@click.option(
    "--on-error",
    type=click.Choice(["record", "stop"]),
    default="record",
    show_default=True,
    help="Record a broken picture as a row with the reason, or stop at it.",
)
@click.option(
    "--engine",
    type=click.Choice(["openvino", "onnxruntime"]),
    default="openvino",
    show_default=True,
    help="What runs the network; onnxruntime is an extra and runs f32.",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="cuda needs --engine onnxruntime and its GPU build; untested by us.",
)
@click.option(
    "--allow-mixed",
    is_flag=True,
    help="Continue a folder begun with other versions or on another processor.",
)
@json_option
def extract(
    sources: tuple[str, ...], out: str, net: str, layers: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Turn pictures into features: one row per picture, in order, in Parquet shards below DIR.

    SRC is a folder (searched recursively, sorted; a picture's label is the name of the folder it lies in), a picture,
    or a .txt file with one path a line. Run the same command again to continue where it stopped.

    \b
    decaf extract photos -o features
    decaf extract photos -o features --layer pool --layer prob --precision bf16
    """
    from decaf.features.extract import Options, plan, run, writing
    from decaf.features.feature_set import FeatureSet
    from decaf.features.shards import stored_text

    started = time.perf_counter()
    with writing(plan(list(sources), net, layers, Path(out), Options(**options))) as job:
        if not as_json:
            _say_before(job)
        with progress_bar(job.rows_todo, quiet=as_json) as progress:
            computing = time.perf_counter()
            run(job, progress)
            computed_in = time.perf_counter() - computing
    features = FeatureSet.open(out)
    summary = {
        "out": stored_text(out),
        "net": job.net.name,
        "layers": {layer: list(features.shape(layer)) for layer in features.layers},
        "rows": len(features),
        "computed": job.rows_todo,
        "broken": int(features.broken.sum()),
        "seconds": round(time.perf_counter() - started, 3),
        "images_per_second": round(job.rows_todo / computed_in, 1),
        "runtime": job.engine.runtime.to_dict(),
    }
    if as_json:
        print_json(summary)
    else:
        _say_after(summary, computed_in)


def _say_before(job: Any) -> None:
    layers = ", ".join(layer.name for layer in job.layers)
    click.echo(f"{len(job.listing):,} pictures, {job.net.name}: {layers}; {job.engine.runtime}")
    if job.engine.runtime.note:
        click.echo(f"note: {job.engine.runtime.note}", err=True)
    if job.rows_todo < len(job.listing):
        click.echo(f"{len(job.listing) - job.rows_todo:,} rows are there already")


def _say_after(summary: dict[str, Any], computed_in: float) -> None:
    if summary["computed"]:
        rate = f"{summary['images_per_second']:.0f} images/s"
        click.echo(f"{summary['computed']:,} pictures in {computed_in:.1f} s, {rate}")
    if summary["broken"]:
        click.echo(f"{summary['broken']:,} broken: their rows say why, and `decaf info {summary['out']}` lists them")
    if summary["broken"] == summary["rows"]:
        click.echo("none could be read: a list of paths must be named .txt", err=True)
    shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in summary["layers"].items())
    click.echo(f"{summary['out']}: {summary['rows']:,} rows, {shapes}")
