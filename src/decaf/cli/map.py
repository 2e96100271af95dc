"""`decaf map`."""

from __future__ import annotations

from typing import Any

import click

from decaf.cli.common import json_option, print_json, print_table, share_bar
from decaf.viz.text import one_line


@click.command(name="map")
@click.argument("folder", metavar="DIR")
@click.argument("other", metavar="[DIR2]", required=False)
@click.option(
    "-o", "--out", metavar="SITE|FIG.png|.svg|.pdf", required=True, help="A folder for a page to explore, or a figure."
)
@click.option("--layer", "layers", metavar="L", multiple=True, help="A panel for each; repeat.  [default: all of DIR]")
@click.option(
    "--color",
    "colour",
    type=click.Choice(["label", "group", "domain", "prediction"]),
    help="What decides the colours.  [default: domain of two folders, group where the labels are known, else label]",
)
@click.option(
    "--groups",
    metavar="CSV|NAME",
    default="",
    help="Groups of classes: a file label,group; caltech101, sun397; wordnet, or wordnet:bird,structure,... for "
    "classes of ILSVRC-2012.",
)
@click.option("--labels", metavar="CSV", default="", help="Columns path,label; by default the names of the folders.")
@click.option("--model", metavar="MODEL", default="", help="Colour by what a model of `decaf fit` takes them for.")
@click.option("--thumbnails", "enlarged", metavar="CLASS", default="", help="Show the pictures of a class.")
@click.option("--place", is_flag=True, help="Put DIR2 into the map of DIR, which stays as it is.")
@click.option(
    "--method", type=click.Choice(["tsne", "pca"]), default="tsne", show_default=True, help="How points are laid out."
)
@click.option(
    "--transform",
    type=click.Choice(["l2", "none", "sqrt", "standardize"]),
    default="l2",
    show_default=True,
    help="Of the features; l2: angles count, not lengths.",
)
@click.option(
    "--project",
    type=click.Choice(["pca", "random"]),
    default="pca",
    show_default=True,
    help="Before t-SNE: to 50 principal components, or at random to 512 numbers, as in the DeCAF paper.",
)
@click.option("--components", metavar="N", type=int, default=0, help="Another number than 50 or 512.")
@click.option(
    "--perplexity", metavar="P", type=float, default=30.0, show_default=True, help="About so many neighbours."
)
@click.option(
    "--landmarks", metavar="N", type=int, default=50_000, show_default=True, help="Rows to map; others are placed."
)
@click.option("--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Of all chance.")
@click.option("--dark", is_flag=True, help="Light points on dark.")
@click.option("--title", default="", help="Of the page.  [default: the name of DIR]")
@click.option(
    "--neighbours", metavar="K", type=int, default=12, show_default=True, help="On the page: of each picture and layer."
)
@click.option(
    "--clusters",
    metavar="N",
    type=int,
    default=12,
    show_default=True,
    help="On the page: by features of the deepest layer.",
)
@click.option(
    "--preview",
    metavar="PIXELS",
    type=click.IntRange(0),
    default=256,
    show_default=True,
    help="On the page: longest side of an opened picture; 0: none is stored.",
)
@click.option("--copy-pictures", is_flag=True, help="On the page: the files as they are, in place of previews.")
@json_option
def map_command(
    folder: str,
    other: str | None,
    out: str,
    layers: tuple[str, ...],
    colour: str | None,
    groups: str,
    labels: str,
    model: str,
    enlarged: str,
    place: bool,
    dark: bool,
    title: str,
    neighbours: int,
    clusters: int,
    preview: int,
    copy_pictures: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Draw the features in DIR as a map, a panel for each layer, and measure how well classes hold together; or write
    a page on which the pictures are the points, into a folder for any web server, or to open from the disk.

    Points are pictures; those with similar features lie together. The map is kept with the features and made anew only
    when they or its settings change. Beside it: how many of the 10 nearest neighbours are of the same class, in the
    features and on the map, and what chance would give. With DIR2, both are drawn on one map.

    \b
    decaf map features -o page --layer block4 --layer block11 --layer pool
    decaf map amazon webcam -o domains.pdf --layer pool --thumbnails backpack --dark
    """
    from decaf.explore import PictureSettings
    from decaf.maps import MapSettings
    from decaf.tasks.map_figure import HEADER, about, check_figure, draw_maps, table
    from decaf.tasks.mapping import Request, choose_colour, make_maps, open_sets, read_points
    from decaf.tasks.site import PageRequest, is_site

    file = None if is_site(out) else check_figure(out)
    request = Request(layers, MapSettings(**settings), colour or "", groups, labels, model, place)
    if place and not other:
        raise click.UsageError("--place needs a second folder, whose pictures are put into the map of the first")
    points = read_points(open_sets([folder, *([other] if other else [])]), request)
    if file is None:
        page = PageRequest(title, neighbours, clusters, PictureSettings(preview, copy_pictures))
        return _write_site(out, points, request, page, as_json)
    chosen = choose_colour(points, request.colour)
    with share_bar(as_json) as tell:
        maps = make_maps(points, request, tell)
    drawn = draw_maps(points, maps, chosen, file, dark, enlarged)
    said = about(points, maps) | {"colour": chosen, "figure": str(file), "unnamed": drawn.unnamed}
    if as_json:
        print_json(said | {"pictures_not_shown": drawn.missing})
        return
    _say_notes(points, maps, drawn)
    _say_what(said, request)
    print_table(HEADER, table(maps), HEADER[2:])
    click.echo(f"\nfigure: {file}")
    return None


def _write_site(out: str, points: Any, request: Any, page: Any, as_json: bool) -> None:
    from decaf.tasks.site import make_site, write

    with share_bar(as_json) as tell:
        site = make_site(points, request, page, tell)
        written = write(out, points, site, page, tell)
    said = {
        "page": str(written.folder / "index.html"),
        "pictures": written.pictures,
        "bytes": written.size,
        "layers": list(site.layouts),
        "columns": [column.name for column in site.columns],
        "seed": request.settings.seed,
        "not_shown": {site.paths[row]: why for row, why in written.unseen.items()},
    }
    if as_json:
        return print_json(said)
    for path, why in list(said["not_shown"].items())[:5]:
        click.echo(f"note: no picture of {one_line(path)}: {one_line(why)}", err=True)
    if len(said["not_shown"]) > 5:
        click.echo(f"note: {len(said['not_shown']):,} pictures in all could not be shown", err=True)
    each = written.size / written.pictures / 1000
    click.echo(
        f"{written.pictures:,} pictures, {', '.join(said['layers'])}; {request.settings.method}, "
        f"seed {request.settings.seed}; {written.size / 1e6:.1f} MB, {each:.1f} kB a picture\n\npage: {said['page']}"
    )
    return None


def _say_what(said: dict[str, Any], request: Any) -> None:
    grouping = said["groups"]
    by = f"group ({grouping['source']})" if said["colour"] == "group" else said["colour"]
    made = sum(one["made"] for one in said["maps"])
    kept = "made now" if made == len(said["maps"]) else f"{len(said['maps']) - made} of {len(said['maps'])} kept"
    click.echo(
        f"{said['rows']:,} rows, {said['classes']:,} classes; coloured by {by}; "
        f"{request.settings.method}, seed {request.settings.seed}, maps {kept}\n"
    )


def _say_notes(points: Any, maps: Any, drawn: Any) -> None:
    notes = dict.fromkeys(note for mapped in maps for note in mapped.drawn.notes)
    if points.groups is not None:
        without = {label for label, group in zip(points.labels, points.groups, strict=True) if label and not group}
        if without:
            more = f" and {len(without) - 5:,} more" if len(without) > 5 else ""
            notes[f"in no group: {', '.join(sorted(map(str, without))[:5])}{more}"] = None
    if drawn.unnamed:
        notes[f"names that found no free place on the figure: {drawn.unnamed}"] = None
    if drawn.missing:
        notes[f"pictures that could not be shown, grey squares stand for them: {drawn.missing}"] = None
    for note in notes:
        click.echo(f"note: {one_line(note)}", err=True)
