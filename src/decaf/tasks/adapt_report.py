"""What `decaf adapt --report` leaves behind: a page, figures, the pictures that adaptation changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.files import write_atomically
from decaf.tasks.adapt_methods import METHODS
from decaf.tasks.adapt_scores import Score
from decaf.tasks.adapting import CHOSEN, Adapted
from decaf.tasks.pictures import Pictures
from decaf.tasks.probe_report import writing
from decaf.tasks.report import Figure, Page, Points, Section, Table, write_page
from decaf.tasks.report_files import cells, write_csv
from decaf.viz.text import one_line

COMPARISON, MENDED, SPOILED, CHANGED, PER_CLASS = (
    "methods.png", "mended.png", "spoiled.png", "changed.png", "per_class.csv",
)  # fmt: skip
_SHOWN = 24
_CLASSES = 20  # in the page; the file has all

CHOICES = {
    "circular": "there-and-back (circular) validation, which sees no label of the target",
    "iw": "importance-weighted validation, which sees no label of the target",
    "labelled": "validation on held-out rows among the target's labelled ones",
    "oracle": "the very labels that are tested on: its accuracy is too good",
}


def write_adapt_report(found: Adapted, about: Mapping[str, Any], out: Path) -> dict[str, str]:
    """Write `report.html`, `report.md`, `adapt.json`, tables and figures into a folder that is there.

    Args:
        found: an adaptation.
        about: for `adapt.json`.
        out: the folder; files of the same names are replaced.

    Returns:
        What is in it: name of the file -> what it shows.
    """
    with writing(out):
        write_atomically(out / "adapt.json", (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode())
        files = {"adapt.json": "all numbers"}
        files |= _draw_comparison(found, out)
        files |= _draw_changes(found, out)
        lines = _per_class(found)
        if lines:
            write_csv(out / PER_CLASS, ("class", "tested", "unadapted", "adapted"), map(cells, lines))
            files[PER_CLASS] = "accuracy of each class, without and with adaptation"
        return write_page(_page(found, about, files, lines), out) | files


def _draw_comparison(found: Adapted, out: Path) -> dict[str, str]:
    from decaf.viz.adaptation import Compared, save_comparison

    if not found.scores:
        return {}
    same = len(set(found.chosen)) == 1
    methods = []
    for name, score in found.scores.items():
        if name == CHOSEN and same:
            continue
        change = (score.change.difference, score.change.interval) if score.change else None
        chosen = name == (found.chosen[0] if same else CHOSEN)
        methods.append(Compared(name, score.accuracy, score.interval, change, chosen))
    save_comparison(methods, found.plan.baselines[0].name, out / COMPARISON)
    return {COMPARISON: "accuracy of each method, and the change against doing without"}


def _draw_changes(found: Adapted, out: Path) -> dict[str, str]:
    """Sheets of pictures that are taken for another class than without adaptation."""
    pair, before, after = found.plan.pair, found.unadapted.predicted, found.best.predicted
    changed = before != after
    tested = found.plan.parts[0].tested
    if not tested.any():
        return _sheet(found, changed & ~pair.foreign, CHANGED, "pictures that adaptation takes for another class", out)
    mended = tested & changed & (after == pair.truth)
    spoiled = tested & changed & (before == pair.truth)
    return _sheet(found, mended, MENDED, "pictures that adaptation mended, the surest", out) | _sheet(
        found, spoiled, SPOILED, "pictures that adaptation spoiled, the surest", out
    )


def _sheet(found: Adapted, which: NDArray[np.bool_], file: str, what: str, out: Path) -> dict[str, str]:
    from decaf.viz.sheet import save_sheet

    rows = np.flatnonzero(which)
    if not len(rows):
        (out / file).unlink(missing_ok=True)  # of an earlier report
        return {}
    rows = rows[np.argsort(-found.best.sureness[rows], kind="stable")]
    _, first = np.unique(found.plan.pair.picture[found.plan.pair.n :][rows], return_index=True)
    rows = rows[np.sort(first)]
    shown = rows[:_SHOWN]
    title = f"{what.capitalize()}: {len(shown)} of {len(rows)}"
    missing = save_sheet(title, [_shown(found, int(row)) for row in shown], out / file)
    return {file: what + (f"; {missing} could not be shown" if missing else "")}


def _shown(found: Adapted, row: int) -> Any:
    from decaf.viz.sheet import Shown

    pair, before, fit = found.plan.pair, str(found.unadapted.predicted[row]), found.best
    load = partial(Pictures(pair.target).load, int(pair.target_rows[row]))
    sure = f"{fit.confidence} {fit.sureness[row]:.2f}"
    if not found.plan.parts[0].tested[row]:
        return Shown(load, before, str(fit.predicted[row]), sure, "was")
    truth, after = str(pair.truth[row]), str(fit.predicted[row])
    return Shown(load, truth, after, f"before: {one_line(before, 18)}; {sure}", right=after == truth)


def _per_class(found: Adapted) -> list[tuple[str, int, float, float]]:
    """Class, rows tested, accuracy without and with adaptation; the greatest change first. Means over the splits."""
    if not found.scores:
        return []
    truth = found.plan.pair.truth
    tested = np.stack([part.tested for part in found.plan.parts])
    base = found.plan.baselines[0].name
    before = np.stack([of[base].predicted == truth for of in found.fits])
    after = np.stack([of[name].predicted == truth for of, name in zip(found.fits, found.chosen, strict=True)])
    lines = []
    for label in sorted(set(truth[tested.any(axis=0)])):
        rows = tested & (truth == label)
        lines.append((str(label), int(rows.sum()), float(before[rows].mean()), float(after[rows].mean())))
    return sorted(lines, key=lambda line: -abs(line[3] - line[2]))


# -- the page -----------------------------------------------------------------------------------------------------


def _page(
    found: Adapted, about: Mapping[str, Any], files: Mapping[str, str], lines: Sequence[tuple[str, int, float, float]]
) -> Page:
    pair = found.plan.pair
    source, target = (Path(one.folder).name for one in (pair.source, pair.target))
    sections = [_methods(found, about), _domains(about), _changes(files), _classes(lines), _details(found, about)]
    return Page(f"From {one_line(source)} to {one_line(target)}", _lead(found), [one for one in sections if one.blocks])


def _lead(found: Adapted) -> str:
    pair, base = found.plan.pair, found.plan.baselines[0].name
    rows = f"{pair.n:,} source rows of {len(pair.classes):,} classes, {len(pair.target_rows):,} target rows."
    if not found.scores:
        return f"{rows} The target has no labels to test on: what is right cannot be said."
    score = found.scores[CHOSEN]
    names = ", ".join(dict.fromkeys(found.chosen))
    if score.change is None or names == base:
        return f"{rows} {names}, which does without adaptation: accuracy {_percent(score)}."
    return f"{rows} {names}: accuracy {_percent(score)}, {_changed(score)} against {base}. {_verdict(score)}"


def _verdict(score: Score) -> str:
    assert score.change is not None
    low, high = score.change.interval
    if low > 0:
        return "Adaptation helps."
    return "Adaptation does harm." if high < 0 else "Whether adaptation helps cannot be told from these pictures."


def _percent(score: Score) -> str:
    low, high = score.interval
    return f"{score.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})"


def _changed(score: Score) -> str:
    assert score.change is not None
    low, high = score.change.interval
    return f"{100 * score.change.difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"


def _methods(found: Adapted, about: Mapping[str, Any]) -> Section:
    header = ["method", "what it does", "prepare", "dimension", "C", "validation"]
    header += ["accuracy", f"against {about['baseline']}", "mended", "spoiled"] if found.scores else []
    rows = [_row(found, method) for method in about["methods"] if method["method"] != CHOSEN]
    strong = [(row, 0) for row, cell in enumerate(rows) if cell[0] in found.chosen]
    caption = "What was chosen stands out. " + _chosen_by(about)
    blocks: list[Any] = [Table(caption, header, rows, strong)]
    if found.scores:
        blocks.insert(0, Figure(COMPARISON, "Accuracy of each method with its interval, and the change against doing "
                                "without", "Circles: accuracy; full: chosen. Lines: 95 % intervals, of pictures drawn "
                                "anew. Right: green above, orange below the method without adaptation."))  # fmt: skip
    return Section("Methods", blocks)


def _chosen_by(about: Mapping[str, Any]) -> str:
    select = about["settings"]["select"]
    if not select:
        return "There was nothing to choose from."
    rule = "" if select == "oracle" else "; of methods within one standard error of the best, the simplest"
    return f"Chosen by {CHOICES[select]}{rule}."


def _row(found: Adapted, method: Mapping[str, Any]) -> list[str]:
    name = method["method"]
    cells = [name, METHODS[name].words, ", ".join(dict.fromkeys(method["prepare"])), _some(method["dimension"])]
    cells += [_some(method["C"]), _some(method["validation"], ".3f")]
    if found.scores:
        score = found.scores[name]
        change = score.change
        cells += [_percent(score).replace(" 95 % interval", ""), _changed(score) if change else ""]
        cells += [f"{change.mended:.4g}", f"{change.spoiled:.4g}"] if change else ["", ""]
    return cells


def _some(values: Sequence[float | None], form: str = ".2g") -> str:
    numbers = sorted({value for value in values if value is not None})
    ends = list(dict.fromkeys(f"{value:{form}}" if isinstance(value, float) else str(value) for value in numbers))
    return ends[0] if len(ends) == 1 else f"{ends[0]} to {ends[-1]}" if ends else ""


def _domains(about: Mapping[str, Any]) -> Section:
    domains = about["domains"]
    rows = [
        ["told apart", f"{domains['told_apart']:.1%} of held-out rows; 50 % would be chance"],
        ["proxy A-distance", f"{domains['a_distance']:.2f} of at most 2 (Ben-David et al. 2007)"],
        ["rank of domain", f"{domains['rank_of_domain']:.3f}; of several sources that of the least suits best "
         "(Gong et al. 2012)"],
        ["source rows that importance weights leave", f"{domains['effective_source_rows']:.1f} of "
         f"{about['source']['rows']:,}"],
    ]  # fmt: skip
    return Section("How different the domains are", [Table("", ["measure", "value"], rows)])


def _changes(files: Mapping[str, str]) -> Section:
    captions = {
        MENDED: "Right with adaptation, wrong without; the surest first.",
        SPOILED: "Wrong with adaptation, right without; the surest first.",
        CHANGED: "Taken for another class than without adaptation; which is right is not known.",
    }
    blocks = [Figure(file, files[file], caption) for file, caption in captions.items() if file in files]
    return Section("What adaptation changed", blocks)


def _classes(lines: Sequence[tuple[str, int, float, float]]) -> Section:
    if not lines:
        return Section("", [])
    rows = [
        [one_line(name, 40), f"{count:,}", f"{before:.1%}", f"{after:.1%}", f"{100 * (after - before):+.1f}"]
        for name, count, before, after in lines[:_CLASSES]
    ]
    more = f" The {_CLASSES} greatest changes of {len(lines)}; all are in {PER_CLASS}." if len(lines) > _CLASSES else ""
    header = ["class", "tested", "without", "with", "change"]
    return Section("Classes", [Table(f"Accuracy without and with adaptation.{more}", header, rows)])


def _details(found: Adapted, about: Mapping[str, Any]) -> Section:
    settings, target = about["settings"], about["target"]
    used = f"labels of the target: {_some(target['taught'])} rows to learn from, {_some(target['tested'])} to test on"
    if len(found.plan.parts) > 1:
        used += f", drawn {len(found.plan.parts)} times; pictures shown are of the first"
    points = [
        f"features: {about['net']}, {about['layer']}, {found.plan.pair.X.shape[1]:,} numbers",
        used,
        f"classifier: {settings['loss']}; prepare: {', '.join(settings['prepare'] or ['as each method has it'])}; "
        f"seed {settings['seed']}",
        *about["notes"],
    ]
    return Section("Details", [Points(points)])
