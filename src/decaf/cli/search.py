"""`decaf search`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import click

from decaf.cli.common import (
    json_option,
    preprocess_option,
    print_json,
    print_table,
    progress_bar,
    random_weights_option,
)
from decaf.viz.text import one_line

_SHOWN = 20


@click.command()
@click.argument("folder", metavar="DIR")
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@click.option("-k", "k", metavar="N", type=click.IntRange(1), default=10, show_default=True, help="How many to find.")
@click.option("--layer", metavar="L", help="Which layer; may be left out where DIR has one.")
@click.option(
    "--metric",
    type=click.Choice(["cosine", "l2"]),
    default="cosine",
    show_default=True,
    help="Cosine similarity, or Euclidean distance.",
)
@click.option("--boxes", metavar="CSV", default="", help="Search for regions of the IMAGEs; see `decaf extract`.")
@click.option("--approximate", is_flag=True, help="Compare the likeliest rows only: faster, nearly the same.")
@click.option("-o", "--out", metavar="SHEET.png", default="", help="Draw the pictures that were found.")
@click.option("--net", "file", metavar="NAME|FILE.onnx", help="The network, where DIR was made with a file.")
@preprocess_option
@random_weights_option
@json_option
def search(
    folder: str,
    images: tuple[str, ...],
    k: int,
    layer: str | None,
    metric: str,
    boxes: str,
    approximate: bool,
    out: str,
    as_json: bool,
    **network: Any,
) -> None:
    """Find the pictures in DIR that are most like each IMAGE. An IMAGE is a picture, a folder of them, a path that is
    in DIR, or DIR#12 for a row of a feature folder. Pictures are seen by the network that DIR was made with.

    \b
    decaf search features photo.jpg -k 20 -o found.png
    decaf search features features#12 --layer pool --json
    """
    from decaf.tasks.searching import answer, check_sheet, notes_on, records, write_search_sheet, writing_sheet

    if out:
        check_sheet(out)
    index = _open(folder, layer, metric, approximate, as_json)
    with tempfile.TemporaryDirectory(prefix="decaf-") as place:
        asked = _asked(index, images, boxes, network, Path(place), as_json)
        started = time.perf_counter()
        answers = answer(index, asked, k)
        seconds = time.perf_counter() - started
        found = list(records(answers))
        notes = notes_on(index, asked)
        missing = None
        if out:
            with writing_sheet(out):
                missing = write_search_sheet(answers, Path(out))
    about = {
        "features": folder,
        "layer": index.layer,
        "metric": metric,
        "k": k,
        "rows": len(index.features),
        "left_out": int((~index.matrix.usable).sum()),
        "approximate": approximate,
        "recall": index.recall,
        "seconds": seconds,
        "files": [str(path) for path in index.files],
        "sheet": {"file": out, "not_shown": missing} if out else None,
        "notes": notes,
        "queries": found,
    }
    if as_json:
        print_json(about)
    else:
        _say(about)


def _open(folder: str, layer: str | None, metric: str, approximate: bool, quiet: bool) -> Any:
    from decaf.features.feature_set import FeatureSet
    from decaf.search.index import Index

    features = FeatureSet.open(folder)
    with progress_bar(len(features), quiet) as progress:
        return Index.open(features, layer, metric, approximate, lambda rows: progress(rows, 0))  # type: ignore[arg-type]


def _asked(index: Any, images: tuple[str, ...], boxes: str, network: dict[str, Any], place: Path, quiet: bool) -> Any:
    """The queries, in the order they were named; pictures are extracted."""
    from decaf.features.extract import run
    from decaf.features.feature_set import FeatureSet
    from decaf.features.folder import held
    from decaf.tasks.same_net import Network, plan_alike
    from decaf.tasks.searching import Asked, alike, context_of, split_queries

    there, pictures = split_queries(index, images, stored=not boxes)
    extracted = []
    if pictures:
        network = {"file": network["file"], **{key: network[key] for key in ("preprocess", "random_weights")}}
        context = context_of(index.features) if boxes else 1.0
        job = plan_alike(alike(index), pictures, place, Network(**network), boxes, context)
        with held(job.out, job.meta, job.rows, job.options) as work, progress_bar(work.rows, quiet) as progress:
            run(job, work, progress)
        features = FeatureSet.open(place)
        extracted = [Asked(features.paths[row], features, row, False) for row in range(len(features))]
    return [one for text in images for one in there.get(text, [])] + extracted


def _say(about: dict[str, Any]) -> None:
    for note in about["notes"]:
        click.echo(f"note: {one_line(note)}", err=True)
    if about["left_out"]:
        click.echo(f"note: {about['left_out']:,} rows are broken or hold NaN and are not searched", err=True)
    way = f"approximate, recall@10 {about['recall']:.2f}" if about["approximate"] else "exact"
    click.echo(f"{about['rows']:,} rows, layer {about['layer']}, {about['metric']}; {way}; {about['seconds']:.3f} s")
    for query in about["queries"][:_SHOWN]:
        click.echo(f"\n{one_line(query['query'])}" + (f": {one_line(query['error'])}" if query["error"] else ""))
        _say_found(query["found"])
    left = len(about["queries"]) - _SHOWN
    if left > 0:
        click.echo(f"\nand {left:,} more queries: --json lists them all")
    if about["sheet"]:
        missing = about["sheet"]["not_shown"]
        click.echo(f"\n{about['sheet']['file']}" + (f": {missing} pictures could not be shown" if missing else ""))


def _say_found(found: list[dict[str, Any]]) -> None:
    if not found:
        return
    hidden = {"rank", "row"}
    columns = [name for name in found[0] if name not in hidden and any(hit[name] is not None for hit in found)]
    columns = sorted(columns, key=lambda name: name not in ("similarity", "distance"))
    lines = [
        (hit["rank"], hit["row"], *(f"{hit[name]:.4f}" if name in ("similarity", "distance") else one_line(hit[name])
         for name in columns))
        for hit in found
    ]  # fmt: skip
    print_table(("", "row", *columns), lines, ("", "row", "similarity", "distance"))
