"""`decaf extract`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from decaf.cli.common import json_option, preprocess_option, print_json, progress_bar, random_weights_option


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
@click.option(
    "--views",
    type=click.Choice(["center", "ten", "ten-mean"]),
    default="center",
    show_default=True,
    help="ten: a row for each corner, the centre and their mirrors; ten-mean: one row with the mean of the ten.",
)
@click.option(
    "--boxes",
    metavar="CSV",
    default="",
    help="A row per region: columns path,x0,y0,x1,y1 in pixels, and id,label where wanted.",
)
@click.option(
    "--context",
    metavar="FACTOR",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="How much wider and higher than its box a region is; the DeCAF paper takes 1.5.",
)
@click.option("--flat", is_flag=True, help="Store every position even where that takes more than 4 GB.")
@click.option(
    "--store",
    type=click.Choice(["f32", "f16"]),
    default="f32",
    show_default=True,
    help="f16 halves the size on disk and keeps 3 digits.",
)
@click.option(
    "--update",
    is_flag=True,
    help="DIR is there and pictures were added, changed or removed: compute only the difference.",
)
@click.option("--checksum", is_flag=True, help="With --update: compare contents, not sizes and times of change.")
@click.option(
    "--precision",
    type=click.Choice(["f32", "bf16"]),
    default="f32",
    show_default=True,
    help="bf16 is faster on processors that have it; cosine to f32 at `pool`: .9993 mean, .9962 worst.",
)
@click.option(
    "--resize",
    type=click.Choice(["default", "warp", "short-side", "square"]),
    default="default",
    show_default=True,
    help="warp ignores the picture's shape, as in the DeCAF paper; square is the middle of short-side; default is the "
    "network's own rule.",
)
@preprocess_option
@random_weights_option
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
@click.option("--column", metavar="NAME", default="", help="Of a Parquet source: the column that holds the pictures.")
@click.option(
    "--max-megabytes",
    metavar="N",
    type=click.FloatRange(0, min_open=True),
    default=256,
    show_default=True,
    help="A larger file counts as broken.",
)
@click.option(
    "--max-megapixels",
    metavar="N",
    type=click.FloatRange(0, min_open=True),
    default=89.478485,
    show_default=True,
    help="A larger picture counts as broken; one needs about 10 bytes of memory per pixel.",
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
    a .txt file with one path a line, a tar (as WebDataset writes it) or a Parquet file with a column of pictures. Run
    the same command again to continue where it stopped.

    \b
    decaf extract photos -o features
    decaf extract photos -o features --layer pool --layer prob --precision bf16
    """
    from decaf.features.extract import plan, run
    from decaf.features.feature_set import FeatureSet
    from decaf.features.folder import held
    from decaf.features.options import Options
    from decaf.features.shards import stored_text

    started = time.perf_counter()
    job = plan(list(sources), net, layers, Path(out), Options(**options))
    if options["checksum"]:
        click.echo(f"reading {len(job.rows.listing):,} pictures to compare their contents", err=True)
    with held(job.out, job.meta, job.rows, job.options) as work:
        if not as_json:
            _say_before(job, work)
        with progress_bar(work.rows, quiet=as_json) as progress:
            computing = time.perf_counter()
            run(job, work, progress)
            computed_in = time.perf_counter() - computing
    features = FeatureSet.open(out)
    summary = {
        "out": stored_text(out),
        "net": job.net.name,
        "layers": {layer: list(features.shape(layer)) for layer in features.layers},
        "pictures": len(job.rows.listing),
        "rows": len(features),
        "computed": work.rows,
        "broken": int(features.broken.sum()),
        "seconds": round(time.perf_counter() - started, 3),
        "images_per_second": round(work.rows / computed_in, 1),
        "update": work.update.to_dict() if work.update else None,
        "boxes_without_picture": len(job.rows.boxes.unused) if job.rows.boxes else 0,
        "runtime": job.engine.runtime.to_dict(),
    }
    if as_json:
        print_json(summary)
    else:
        _say_after(summary, computed_in, (features.errors[0] or "").startswith("not a picture"))


def _say_before(job: Any, work: Any) -> None:
    from decaf.nets.preprocess import mean_note

    layers = ", ".join(layer.name for layer in job.layers)
    pictures, rows = len(job.rows.listing), len(job.rows)
    count = f"{pictures:,} pictures" if rows == pictures else f"{pictures:,} pictures, {rows:,} rows"
    click.echo(f"{count}, {job.net.name}: {layers}; {job.engine.runtime}")
    for note in (job.engine.runtime.note, mean_note(job.options.preprocess, job.net.preprocess)):
        if note:
            click.echo(f"note: {note}", err=True)
    if job.rows.boxes and job.rows.boxes.unused:
        unused = job.rows.boxes.unused
        click.echo(f"note: {len(unused):,} paths with boxes are no picture here, first {unused[0]}", err=True)
    if work.update:
        click.echo("rows: " + ", ".join(f"{count:,} {what}" for what, count in work.update.to_dict().items()))
    elif work.rows < rows:
        click.echo(f"{rows - work.rows:,} rows are there already")


def _say_after(summary: dict[str, Any], computed_in: float, list_is_likely: bool) -> None:
    if summary["computed"]:
        what = "pictures" if summary["rows"] == summary["pictures"] else "rows"
        rate = f"{summary['images_per_second']:.0f} {what if what == 'rows' else 'images'}/s"
        click.echo(f"{summary['computed']:,} {what} in {computed_in:.1f} s, {rate}")
    if summary["broken"]:
        click.echo(f"{summary['broken']:,} broken: their rows say why, and `decaf info {summary['out']}` lists them")
    if summary["rows"] == summary["broken"] == 1 and list_is_likely:
        click.echo("note: a list of paths must be named .txt", err=True)
    shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in summary["layers"].items())
    click.echo(f"{summary['out']}: {summary['rows']:,} rows, {shapes}")
