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

THRESHOLD = 0.9  # chosen in benchmarks/search.py
_SHOWN = 20


@click.command()
@click.argument("folder", metavar="DIR")
@click.argument("images", metavar="IMAGE...", nargs=-1)
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
@click.option("--duplicates", is_flag=True, help="Instead of an IMAGE: groups of nearly the same pictures in DIR.")
@click.option(
    "--threshold",
    metavar="T",
    type=click.FloatRange(0, 1, min_open=True),
    default=None,
    help=f"With --duplicates: the least cosine similarity of a pair; {THRESHOLD} by default.",
)
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
    duplicates: bool,
    threshold: float | None,
    out: str,
    as_json: bool,
    **network: Any,
) -> None:
    """Find the pictures in DIR that are most like each IMAGE. An IMAGE is a picture, a folder of them, a path that is
    in DIR, or DIR#12 for a row of a feature folder. Pictures are seen by the network that DIR was made with.

    \b
    decaf search features photo.jpg -k 20 -o found.png
    decaf search features --duplicates --layer pool --json
    """
    from decaf.tasks.searching import check_sheet

    if duplicates == bool(images):
        raise click.UsageError("name an IMAGE to search for, or pass --duplicates")
    if threshold is not None and not duplicates:
        raise click.UsageError("--threshold goes with --duplicates")
    if out:
        check_sheet(out)
    if duplicates:
        _find_duplicates(_open(folder, layer, metric, False, as_json), threshold or THRESHOLD, out, as_json)
        return
    index = _open(folder, layer, metric, approximate, as_json)
    about = _find(index, images, k, boxes, network, out, as_json)
    about = {"features": folder, "layer": index.layer, "metric": metric, "k": k, "approximate": approximate, **about}
    if as_json:
        print_json(about)
    else:
        _say(about)


def _find(
    index: Any, images: tuple[str, ...], k: int, boxes: str, network: dict[str, Any], out: str, quiet: bool
) -> dict[str, Any]:
    from decaf.tasks.searching import answer, notes_on, records, write_search_sheet, writing_sheet

    missing = None
    with tempfile.TemporaryDirectory(prefix="decaf-") as place:
        asked = _asked(index, images, boxes, network, Path(place), quiet)
        started = time.perf_counter()
        answers = answer(index, asked, k)
        seconds = time.perf_counter() - started
        found, notes = list(records(answers)), notes_on(index, asked)
        if out:
            with writing_sheet(out):
                missing = write_search_sheet(answers, Path(out))
    return {
        "rows": len(index.features),
        "left_out": int((~index.matrix.usable).sum()),
        "recall": index.recall,
        "seconds": seconds,
        "files": [str(path) for path in index.files],
        "sheet": {"file": out, "not_shown": missing} if out else None,
        "notes": notes,
        "queries": found,
    }


def _find_duplicates(index: Any, threshold: float, out: str, as_json: bool) -> None:
    from decaf.search.duplicates import find_duplicates
    from decaf.tasks.duplicates import group_records, write_duplicates_sheet
    from decaf.tasks.searching import writing_sheet

    started = time.perf_counter()
    with progress_bar(int((index.matrix.norms > 0).sum()), as_json) as progress:
        groups = find_duplicates(index, threshold, lambda rows: progress(rows, 0))
    seconds = time.perf_counter() - started
    missing = None
    if out:
        with writing_sheet(out):
            missing = write_duplicates_sheet(index.features, groups, threshold, Path(out))
    about = {
        "features": str(index.features.folder),
        "layer": index.layer,
        "threshold": threshold,
        "rows": len(index.features),
        "left_out": int((~index.matrix.usable).sum()),
        "seconds": seconds,
        "sheet": {"file": out, "not_shown": missing} if out else None,
        "groups": group_records(index.features, groups),
    }
    if as_json:
        print_json(about)
    else:
        _say_duplicates(about)


def _open(folder: str, layer: str | None, metric: str, approximate: bool, quiet: bool) -> Any:
    from decaf.features.feature_set import FeatureSet
    from decaf.search.index import Index, rows_to_prepare

    features = FeatureSet.open(folder)
    with progress_bar(rows_to_prepare(features, layer, approximate), quiet) as progress:
        return Index.open(features, layer, metric, approximate, lambda rows: progress(rows, 0))  # type: ignore[arg-type]


def _asked(index: Any, images: tuple[str, ...], boxes: str, network: dict[str, Any], place: Path, quiet: bool) -> Any:
    """The queries, in the order they were named; pictures are extracted."""
    from decaf.features.extract import run
    from decaf.features.feature_set import FeatureSet
    from decaf.features.folder import held
    from decaf.tasks.same_net import Network, plan_alike
    from decaf.tasks.searching import alike, asked_row, context_of, split_queries

    there, pictures = split_queries(index, images, stored=not boxes)
    extracted = []
    if pictures:
        network = {"file": network["file"], **{key: network[key] for key in ("preprocess", "random_weights")}}
        context = context_of(index.features) if boxes else 1.0
        job = plan_alike(alike(index), pictures, place, Network(**network), boxes, context)
        with held(job.out, job.meta, job.rows, job.options) as work, progress_bar(work.rows, quiet) as progress:
            run(job, work, progress)
        features = FeatureSet.open(place)
        extracted = [asked_row(features, row) for row in range(len(features))]
    return [one for text in images for one in there.get(text, [])] + extracted


def _say(about: dict[str, Any]) -> None:
    for note in about["notes"]:
        click.echo(f"note: {one_line(note)}", err=True)
    _say_left_out(about)
    way = f"approximate, recall@10 {about['recall']:.2f}" if about["approximate"] else "exact"
    click.echo(f"{about['rows']:,} rows, layer {about['layer']}, {about['metric']}; {way}; {about['seconds']:.3f} s")
    for query in about["queries"][:_SHOWN]:
        click.echo(f"\n{one_line(query['query'])}" + (f": {one_line(query['error'])}" if query["error"] else ""))
        _say_found(query["found"])
    left = len(about["queries"]) - _SHOWN
    if left > 0:
        click.echo(f"\nand {left:,} more queries: --json lists them all")
    _say_sheet(about)


def _say_duplicates(about: dict[str, Any]) -> None:
    _say_left_out(about)
    groups = about["groups"]
    more = sum(map(len, groups)) - len(groups)
    click.echo(
        f"{about['rows']:,} rows, layer {about['layer']}, cosine {about['threshold']:g} or more: "
        f"{len(groups):,} groups, {more:,} pictures more than one of each; {about['seconds']:.1f} s"
    )
    lines = [
        (number if place == 0 else "", row["row"], f"{row['similarity']:.4f}", one_line(row["path"]),
         "same file" if row["same_file"] else "")
        for number, group in enumerate(groups[:_SHOWN], 1)
        for place, row in enumerate(group[:_SHOWN])
    ]  # fmt: skip
    if lines:
        click.echo()
        print_table(("group", "row", "similarity", "path", ""), lines, ("group", "row", "similarity"))
    if len(groups) > _SHOWN or any(len(group) > _SHOWN for group in groups):
        click.echo(f"the first {_SHOWN} of each: --json lists them all")
    _say_sheet(about)


def _say_left_out(about: dict[str, Any]) -> None:
    if about["left_out"]:
        click.echo(f"note: {about['left_out']:,} rows are broken or hold NaN and are left out", err=True)


def _say_sheet(about: dict[str, Any]) -> None:
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
