"""The report of `decaf reproduce tsne`: what Figures 1, 2 and 5 of the paper show, on these pictures, with numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from decaf.files import write_atomically
from decaf.tasks import map_figure
from decaf.tasks.machine import machine, versions
from decaf.tasks.map_figure import HEADER, draw_maps, panel_note
from decaf.tasks.report import Figure, Page, Points, Section, Table, Text, write_page
from decaf.tasks.tsne import Found

JSON, LAYERS, GROUPS, ENLARGED = "report.json", "layers.png", "groups.png", "enlarged.png"
_KINDS = {"label": "class", "group": "group"}


def write_tsne_report(found: Found) -> dict[str, str]:
    """Write the report into the folder of the request.

    Returns:
        Name of the file -> what it shows.
    """
    out, points = found.request.out, found.points
    colour = "group" if points.groups is not None else "label"
    drawn = {LAYERS: draw_maps(points, found.maps, colour, out / LAYERS)}
    files = {LAYERS: "the layers side by side, as Figure 1"}
    if points.groups is not None:
        drawn[GROUPS] = draw_maps(points, found.maps[-1:], "group", out / GROUPS)
        files[GROUPS] = "groups of classes in the last layer, as Figure 2"
    if found.enlarged:
        by = "domain" if points.has_domains else colour
        both = [found.maps[0], found.maps[-1]] if len(found.maps) > 1 else found.maps
        drawn[ENLARGED] = draw_maps(points, both, by, out / ENLARGED, enlarged=found.enlarged)
        files[ENLARGED] = f"the pictures of {found.enlarged}, as Figure 5"
    unshown = {name: {"unnamed": one.unnamed, "missing": one.missing} for name, one in drawn.items()}
    said = about(found) | {"figures": unshown}
    write_atomically(out / JSON, (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode())
    return write_page(_page(found, unshown), out) | {JSON: "all numbers"} | files


def about(found: Found) -> dict[str, Any]:
    """All that is known, ready for JSON."""
    return map_figure.about(found.points, found.maps) | {
        "task": "tsne",
        "claims": [{"claim": claim, "here": here, "holds": holds} for claim, here, holds in claims(found)],
        "enlarged": found.enlarged,
        "computed": found.computed,
        "seconds": {name: round(value, 2) for name, value in found.seconds.items()},
        "versions": versions(),
        "machine": machine(),
        "features": dict(found.features.meta),
    }


def claims(found: Found) -> Iterator[tuple[str, str, bool]]:
    """What the paper says of its figures, what is measured here, and whether it holds here."""
    first, last = found.maps[0], found.maps[-1]
    for kind, name in _KINDS.items():
        if kind in last.places and len(found.maps) > 1:
            early, late = first.places[kind], last.places[kind]
            yield (
                f"Section 3.2, Figure 1: late layers cluster semantically, the first do not ({name})",
                f"Of the {late.k} nearest neighbours on the map, {early.purity:.1%} are of the same {name} with "
                f"{first.layer} and {late.purity:.1%} with {last.layer}; chance {late.chance:.1%}. In the features: "
                f"{first.features[kind].purity:.1%} and {last.features[kind].purity:.1%}.",
                late.purity > early.purity and last.features[kind].purity > first.features[kind].purity,
            )
    if "across" in last.places and len(found.maps) > 1:
        early, late = first.places["across"], last.places["across"]
        yield (
            "Section 4.2, Figure 5: late layers bring pictures of a class together across domains",
            f"Of the {late.k} nearest neighbours in other domains on the map, {early.purity:.1%} are of the same class "
            f"with {first.layer} and {late.purity:.1%} with {last.layer}; chance {late.chance:.1%}. In the features: "
            f"{first.features['across'].purity:.1%} and {last.features['across'].purity:.1%}.",
            late.purity > early.purity and last.features["across"].purity > first.features["across"].purity,
        )
        yield from _domain_bias(found)


def _domain_bias(found: Found) -> Iterator[tuple[str, str, bool]]:
    first, last = found.maps[0], found.maps[-1]
    values = [mapped.features["domain"].silhouette for mapped in (first, last)]
    if None not in values:
        yield (
            "Section 4.2: late layers lose some of the domain bias",
            f"The silhouette of the domains, in the features, is {values[0]:.2f} with {first.layer} and "
            f"{values[1]:.2f} with {last.layer}: 0 where they do not part. Near neighbours still are of one domain: "
            f"{_shares(found)} of the 10 nearest on the map.",
            values[1] < values[0],  # type: ignore[operator]
        )


def _shares(found: Found) -> str:
    return " and ".join(f"{mapped.places['domain'].purity:.1%}" for mapped in (found.maps[0], found.maps[-1]))


def _page(found: Found, unshown: dict[str, dict[str, int]]) -> Page:
    held = [holds for _, _, holds in claims(found)]
    lead = (
        f"{len(found.points.labels):,} pictures, {found.features.meta['settings']['net']}. "
        f"{sum(held)} of {len(held)} things that the paper sees in its maps are measured here too."
        if held
        else f"{len(found.points.labels):,} pictures, one layer: nothing to compare it with."
    )
    sections = [
        Section("An early and a late layer", list(_layers(found))),
        *([Section("Groups of classes", list(_groups(found)))] if found.points.groups is not None else []),
        *([Section("One class, its pictures", list(_enlarged(found)))] if found.enlarged else []),
        Section("Settings", [Table("", ("", ""), list(_settings(found)))]),
        Section("Notes", list(_notes(found, unshown))),
    ]
    return Page("What the features know: maps by t-SNE", lead, sections)


def _layers(found: Found) -> Iterator[Table | Figure | Text | Points]:
    yield Figure(
        LAYERS,
        "; ".join(f"{mapped.layer}: {panel_note(mapped, 'label')}" for mapped in found.maps),
        "A point is a picture; pictures with similar features lie together. Distances between far clusters, and how "
        "large a cluster is, mean little.",
    )
    yield Table(
        "Purity: of the 10 nearest neighbours of each picture, the share of the same class (or group), in the features "
        "and on the map; chance: for neighbours drawn at random. Silhouette: from -1 to 1. Trustworthiness: 1 where "
        "all neighbours on the map are neighbours in the features.",
        HEADER,
        map_figure.table(found.maps),
    )
    verdicts = [
        f"{claim}. {'It holds here' if holds else 'It does not hold here'}: {here}"
        for claim, here, holds in claims(found)
    ]
    if verdicts:
        yield Points(verdicts)
    yield Text(
        "The paper shows the maps alone (LLC, GIST, its first pooling layer and DeCAF6, on the validation pictures of "
        "ILSVRC-2012) and no numbers: there is none to compare with."
    )


def _groups(found: Found) -> Iterator[Figure | Table]:
    grouping, last = found.points.grouping, found.maps[-1]
    yield Figure(
        GROUPS,
        panel_note(last, "group"),
        f"{last.layer}, coloured by {grouping.source if grouping else 'group'}. The paper's Figure 2 has DeCAF6 on "
        "SUN-397.",
    )
    if "group" in last.places:
        of_last = last.places["group"].of_class
        names = sorted(of_last, key=lambda name: -of_last[name])
        rows = [[name, *(f"{value:.3f}" for value in _of_group(found, name))] for name in names]
        yield Table("Purity on the map.", ("group", *(mapped.layer for mapped in found.maps)), rows)


def _of_group(found: Found, name: str) -> list[float]:
    return [mapped.places["group"].of_class[name] for mapped in found.maps]


def _enlarged(found: Found) -> Iterator[Figure]:
    chosen = "" if found.request.enlarged else ", the class that gains most from the first layer to the last"
    coloured = "domain" if found.points.has_domains else "group" if found.points.groups is not None else "class"
    yield Figure(
        ENLARGED,
        f"The pictures of {found.enlarged} near their points",
        f"The pictures of {found.enlarged}{chosen}, each beside its point; colours: {coloured}. The paper's "
        "Figure 5 has the scissors of Webcam and DSLR.",
    )


def _settings(found: Found) -> Iterator[tuple[str, str]]:
    settings, made = found.request.settings, found.features.meta["settings"]
    shapes = ", ".join(f"{mapped.layer} ({mapped.size:,})" for mapped in found.maps)
    shorter = {"pca": "principal components", "random": "random projection, as in the paper's footnote 5"}
    yield "network", f"{made['net']}, sha256 {made['net_sha256']}"
    yield "layers", f"{shapes}; positions: {made['pool']}"
    yield "pictures prepared", f"{made['preprocess']['resize']} to {made['preprocess']['size']}, {made['precision']}"
    yield "features", f"transform {settings.transform}, then {settings.size} numbers by {shorter[settings.project]}"
    yield "t-SNE", f"perplexity {settings.perplexity:g}, at most {settings.landmarks:,} landmarks, seed {settings.seed}"
    grouping = found.points.grouping
    yield "groups", grouping.source if grouping else "none"
    yield "maps kept in", str(found.maps[0].file.parent)
    yield "seconds", ", ".join(f"{name} {value:.1f}" for name, value in found.seconds.items())
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions().items())
    yield "machine", ", ".join(machine().values())


def _notes(found: Found, unshown: dict[str, dict[str, int]]) -> Iterator[Points | Text]:
    notes = list(dict.fromkeys(note for mapped in found.maps for note in mapped.drawn.notes))
    notes += [f"Broken, without a place: {path}: {reason}" for path, reason in _broken(found)]
    for name, counts in unshown.items():
        if counts["unnamed"]:
            notes.append(f"{name}: {counts['unnamed']} names found no free place.")
        if counts["missing"]:
            notes.append(f"{name}: {counts['missing']} pictures could not be shown; grey squares stand for them.")
    yield Points(notes) if notes else Text("None.")


def _broken(found: Found) -> list[tuple[str, str]]:
    broken = found.features[found.points.broken]
    return [(str(path), str(error)) for path, error in zip(broken.paths, broken.errors, strict=True)]
