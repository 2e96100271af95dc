"""The report on a benchmark: ours beside what the paper published, never mixed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from decaf.files import write_atomically
from decaf.probe import Summary, summarise
from decaf.probe.cv import DEFAULT_CS
from decaf.tasks.grid import (
    CLASSIFIERS,
    TOL,
    TRANSFORMS,
    Effect,
    Result,
    Setting,
    best,
    best_of_each_split,
    dropout_effects,
)
from decaf.tasks.machine import machine, versions
from decaf.tasks.report import Figure, Page, Points, Section, Table, Text, write_page
from decaf.tasks.reproduce import SPLITS, Reproduction
from decaf.tasks.steps import Step
from decaf.tasks.task import Number, Published
from decaf.viz.benchmark import Dot, Reference, save_curves, save_dots

JSON, DOTS, CURVES = "report.json", "settings.png", "curve.png"
PAPER = "paper, another network"


def write_paper_report(found: Reproduction) -> dict[str, str]:
    """Write the report into the folder of the request.

    Returns:
        Name of the file -> what it shows.
    """
    folder = found.request.out
    _draw(found, folder)
    write_atomically(folder / JSON, (json.dumps(about(found), indent=1, ensure_ascii=False) + "\n").encode())
    files = write_page(_page(found), folder) | {JSON: "all numbers", SPLITS: "the pictures of each part"}
    return files | {DOTS: "the settings"} | ({CURVES: "accuracy against training pictures"} if found.curves else {})


# -- numbers ------------------------------------------------------------------------------------------------------


def about(found: Reproduction) -> dict[str, Any]:
    """All that is known, ready for JSON. Accuracies are shares of 1; published numbers are per cent, as printed."""
    chosen = best(found.results)
    return {
        "task": found.task.name,
        "settings": dict(_settings(found)),
        "results": [_result(result) for result in found.results],
        "chosen": vars(chosen.setting) | _summary(chosen.test),
        "chosen_for_each_split": _summary(_each_split(found)),
        "dropout": [
            vars(effect.setting) | {"difference": effect.difference, "verdict": effect.verdict}
            for effect in dropout_effects(found.results)
        ],
        "curves": [
            vars(curve.setting)
            | {"points": [{"train_per_class": n, **_summary(summarise(a))} for n, a in curve.points]}
            for curve in found.curves
        ],
        "published": _published(found.task.published),
        "classes": len(set(found.sample.y)),
        "pictures": len(found.sample.y),
        "broken": [{"path": path, "error": error} for path, error in found.broken],
        "notes": list(found.sample.notes),
        "warnings": list(found.warnings),
        "seconds": {step.name: {"wall": round(step.seconds, 2), "cpu": round(step.cpu, 2)} for step in found.steps},
        "versions": versions(),
        "machine": machine(),
        "features": dict(found.meta),
    }


def _summary(summary: Summary) -> dict[str, Any]:
    return {"accuracy": summary.mean, "std": None if math.isnan(summary.std) else summary.std, "splits": summary.n}


def _result(result: Result) -> dict[str, Any]:
    outcomes = result.evaluation.outcomes
    return {
        **vars(result.setting),
        **_summary(result.test),
        "validation": result.validation.mean,
        "accuracies": result.accuracies,
        "validations": [outcome.validation for outcome in outcomes],
        "C": [outcome.C for outcome in outcomes],
        "seconds": result.evaluation.seconds,
    }


def _published(published: Published) -> dict[str, Any]:
    return {
        "source": published.source,
        "network": published.network,
        "layers": list(published.layers),
        "table": [
            {"loss": loss, "dropout": dropout, "per_cent": list(row)}
            for (loss, dropout), row in published.table.items()
        ],
        "others": [{"who": who, "per_cent": value, "source": source} for who, value, source in published.others],
        "one_shot": published.one_shot,
    }


def _each_split(found: Reproduction) -> Summary:
    return summarise([outcome.accuracy for _, outcome in best_of_each_split(found.results)])


# -- tables -------------------------------------------------------------------------------------------------------


def table_of(found: Reproduction) -> tuple[list[str], list[list[str]]]:
    """Ours and the published numbers: header and rows of text; per cent, mean and deviation over the splits."""
    published = found.task.published
    columns = (*published.layers, "others")
    header = ["", *(f"ours: {layer}" for layer in found.layers), *(f"paper*: {name}" for name in columns)]
    rows = []
    for loss, dropout, transform in _row_keys(found):
        name = Setting("", loss, float(dropout), transform).classifier
        ours = [_ours(found, layer, loss, dropout, transform) for layer in found.layers]
        printed = published.table.get((loss, dropout)) if transform == "none" else None
        rows.append([name, *ours, *map(as_printed, printed or [None] * len(published.layers)), ""])
    for who, value, source in published.others:
        blank = [""] * (len(found.layers) + len(published.layers))
        rows.append([f"{who}, {source}", *blank, f"{value:g}"])
    return header, rows


def _row_keys(found: Reproduction) -> list[tuple[str, bool, str]]:
    ours = [(r.setting.loss, bool(r.setting.dropout), r.setting.transform) for r in found.results]
    keys = dict.fromkeys([*ours, *((loss, dropout, "none") for loss, dropout in found.task.published.table)])
    transforms = list(dict.fromkeys(["none", *(transform for _, _, transform in ours)]))
    return sorted(keys, key=lambda key: (transforms.index(key[2]), list(CLASSIFIERS).index(key[0]), key[1]))


def _ours(found: Reproduction, layer: str, loss: str, dropout: bool, transform: str) -> str:
    for result in found.results:
        setting = result.setting
        if (setting.layer, setting.loss, bool(setting.dropout), setting.transform) == (layer, loss, dropout, transform):
            return percent(result.test)
    return ""


def percent(summary: Summary) -> str:
    """Mean and deviation in per cent."""
    return f"{100 * summary.mean:.2f}" + ("" if math.isnan(summary.std) else f" ± {100 * summary.std:.2f}")


def as_printed(number: Number | None) -> str:
    """A published number, as precise as it was printed."""
    return "" if number is None else f"{number[0]:.2f} ± {number[1]:.1f}"


# -- figures ------------------------------------------------------------------------------------------------------


def _draw(found: Reproduction, folder: Path) -> None:
    lines = _references(found.task.published) if found.sample.comparable else []
    save_dots(_dots(found.results), [line for line in lines if not line.at], folder / DOTS)
    if not found.curves:
        return
    drawn = [
        (str(curve.setting), [(n, *_per_cent(summarise(accuracies))) for n, accuracies in curve.points])
        for curve in found.curves
    ]
    save_curves(drawn, lines, folder / CURVES)


def _references(published: Published) -> list[Reference]:
    lines = [Reference(f"{who} *", value) for who, value, _ in published.others]
    top = max(number[0] for row in published.table.values() for number in row if number)
    one_shot = [Reference("paper, one picture *", published.one_shot[1], at=1)] if published.one_shot else []
    return [*lines, Reference("paper's best *", top), *one_shot]


def _per_cent(summary: Summary) -> tuple[float, float]:
    return 100 * summary.mean, 100 * summary.std


def _dots(results: Sequence[Result]) -> list[Dot]:
    """Layer by layer, each setting named as in the table."""
    layers = list(dict.fromkeys(result.setting.layer for result in results))
    return [_dot(result) for result in sorted(results, key=lambda result: layers.index(result.setting.layer))]


def _dot(result: Result) -> Dot:
    setting = result.setting
    mean, std = _per_cent(result.test)
    return Dot(setting.layer, setting.classifier, CLASSIFIERS[setting.loss], mean, std, bool(setting.dropout))


# -- words --------------------------------------------------------------------------------------------------------


def _page(found: Reproduction) -> Page:
    chosen = best(found.results)
    lead = (
        f"{chosen.setting}: {percent(chosen.test)} % mean accuracy over {len(set(found.sample.y))} classes, "
        f"{chosen.test.n} split{'s' if chosen.test.n > 1 else ''}; this setting was chosen by its validation accuracy."
    )
    sections = [
        Section("Ours beside the published numbers", list(_comparison(found))),
        Section("Did dropout help?", list(_dropout(found))),
        *([Section("Accuracy against training pictures", list(_curve(found)))] if found.curves else []),
        Section("Settings", [Table("", ("", ""), list(_settings(found)), kind="table")]),
        Section("Time", [times(found.steps, found.computed)]),
        Section("Notes and warnings", list(_remarks(found))),
    ]
    return Page(f"{found.task.title} with deep features", lead, sections)


def _comparison(found: Reproduction) -> Iterator[Table | Figure | Text | Points]:
    published, chosen = found.task.published, best(found.results)
    header, rows = table_of(found)
    column = 1 + found.layers.index(chosen.setting.layer)
    strong = [(number, column) for number, row in enumerate(rows) if row[0] == chosen.setting.classifier]
    caption = (
        f"Mean accuracy over the classes, per cent; mean and standard deviation over {chosen.test.n} splits. "
        "Marked: the setting with the best validation accuracy."
    )
    yield Table(caption, header, rows, strong)
    yield Text(
        f"* published, with another network: {published.source}, {published.network}. The paper's best: "
        f"{published.best}. Ours: {found.meta['settings']['net']}."
    )
    if found.sample.notes:
        yield Points(found.sample.notes)
    yield Figure(
        DOTS,
        "; ".join(f"{result.setting}: {percent(result.test)}" for result in found.results),
        "Every setting: mean and standard deviation over the splits; hollow: with dropout. Dashed lines (*): "
        "published, other networks or methods.",
    )
    validation = 100 * chosen.validation.mean
    points = [
        f"Chosen as in the paper, by the validation accuracy averaged over the splits ({validation:.2f} %): "
        f"{chosen.setting}, {percent(chosen.test)} % on the test pictures.",
        "Chosen in each split by its own validation pictures alone, so that no split sees another's: "
        f"{percent(_each_split(found))} %.",
        *published.doubts,
    ]
    yield Points(points)


def _dropout(found: Reproduction) -> Iterator[Table | Text]:
    effects = dropout_effects(found.results)
    if not effects:
        yield Text("It was left out.")
        return
    yield Text(dropout_sentence(effects, found.task.published))
    rows = [
        [str(effect.setting), f"{100 * effect.difference:+.2f}", _interval(effect), effect.verdict]
        for effect in effects
    ]
    yield Table(
        "With dropout minus without, in points of accuracy, paired over the splits. The interval allows for splits "
        "that share pictures (Nadeau and Bengio 2003).",
        ("setting", "difference", "95 % interval", "verdict"),
        rows,
    )


def dropout_sentence(effects: Sequence[Effect], published: Published) -> str:
    """What dropout did here, and what it did in the paper."""
    counted = {
        verdict: sum(effect.verdict == verdict for effect in effects) for verdict in ("better", "worse", "unclear")
    }
    differences = [100 * effect.difference for effect in effects]
    answer = "No" if not counted["better"] else "Yes" if counted["better"] == len(effects) else "In part"
    text = (
        f"{answer}: of {len(effects)} settings it made {counted['better']} better and {counted['worse']} worse, and of "
        f"{counted['unclear']} the splits cannot tell; it changed accuracy by {min(differences):+.2f} to "
        f"{max(differences):+.2f} points."
    )
    gains = _printed_gains(published)
    if gains:
        text += f" In the paper, with another network, by {min(gains):+.2f} to {max(gains):+.2f} points."
    return text


def _printed_gains(published: Published) -> list[float]:
    gains = []
    for (loss, dropout), row in published.table.items():
        for with_it, without in zip(row, published.table.get((loss, False), ()), strict=False):
            if dropout and with_it and without:
                gains.append(with_it[0] - without[0])
    return gains


def _interval(effect: Effect) -> str:
    if effect.comparison is None:
        return ""
    low, high = effect.comparison.interval
    return f"{100 * low:+.2f} to {100 * high:+.2f}"


def _curve(found: Reproduction) -> Iterator[Table | Figure | Text]:
    published = found.task.published
    yield Text(
        "The best setting of each classifier, by validation accuracy. Training pictures are taken from those of each "
        "split, the smaller sets within the larger ones; the test pictures stay the same. C is fixed, as in the paper: "
        "the value chosen in each split on all of its training pictures."
    )
    alt = "; ".join(
        f"{curve.setting}: " + ", ".join(f"{n}: {percent(summarise(a))}" for n, a in curve.points)
        for curve in found.curves
    )
    yield Figure(
        CURVES, alt, "Error bars: standard deviation over the splits. (*): published, other networks or methods."
    )
    sizes = [n for n, _ in found.curves[0].points]
    rows = [
        [str(n), *(percent(summarise(dict(curve.points)[n])) for curve in found.curves), _one_shot(published, n)]
        for n in sizes
    ]
    header = ("per class", *(f"ours: {curve.setting}" for curve in found.curves), f"{PAPER}")
    yield Table("Mean accuracy over the classes, per cent.", header, rows)


def _one_shot(published: Published, n: int) -> str:
    return f"{published.one_shot[1]:g} ({published.one_shot[0]})" if n == 1 and published.one_shot else ""


def _settings(found: Reproduction) -> Iterator[tuple[str, str]]:
    request, settings = found.request, found.meta["settings"]
    pre = settings["preprocess"]
    split = found.sample.splits[0]
    environment = found.meta["environments"][0]
    yield "protocol", found.task.protocol
    yield (
        "pictures",
        f"{len(found.names):,} of {len(set(found.sample.y))} classes, {len(found.broken)} broken ones left out",
    )
    yield "splits", f"{len(found.sample.splits)}, seed {request.protocol.seed}, written to {SPLITS}"
    yield (
        "first split",
        f"{len(split.train):,} to train on, {len(split.validation):,} to choose C on, {len(split.test):,} to test on",
    )
    yield "network", f"{settings['net']}, sha256 {settings['net_sha256']}"
    yield "layers", ", ".join(f"{name} ({'x'.join(map(str, shape))})" for name, shape in settings["layers"].items())
    yield "positions", {"none": "all, flattened", "avg": "their mean", "max": "their maximum"}[settings["pool"]]
    yield (
        "pictures prepared",
        f"{pre['resize']} to {pre['size']} x {pre['size']}, centre crop {pre['crop']}, {pre['interpolation']}",
    )
    yield "extraction", f"{environment['engine']}, {settings['precision']}, {environment['instruction_set']}"
    yield "transforms", ", ".join(TRANSFORMS[name] or "none" for name in request.transforms)
    yield "C", f"SVM: {_range(DEFAULT_CS, 1)}; LogReg: {_range(DEFAULT_CS, 10)}"
    yield "SVM", "one class against the rest, squared hinge, L2 penalty; the bias is penalised, as in LIBLINEAR"
    yield "LogReg", "softmax over all classes, L2 penalty; the bias is free"
    masks = f"{request.copies} masked copies of each picture" if request.copies else "the loss averaged over all masks"
    first = TRANSFORMS[request.transforms[0]] or "as they are"
    said = f"probability {request.dropout:g}, {masks}, features {first}"
    yield "dropout", said if request.dropout else "left out"
    yield "solver", f"relative gap at most {TOL:g}"
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions().items())
    yield "machine", ", ".join(machine().values())


def _range(Cs: Sequence[float], scale: float) -> str:
    return f"{Cs[0] * scale:g} to {Cs[-1] * scale:g} in {len(Cs)} steps"


def times(steps: Sequence[Step], computed: int) -> Table:
    """What took how long; `computed`: pictures whose features were computed in this run."""
    rows = [[step.name, f"{step.seconds:.1f}", f"{step.cpu:.1f}"] for step in steps]
    note = "" if computed else " The features were there already."
    return Table(f"Seconds; processor time is that of all threads.{note}", ("step", "wall", "processor"), rows)


def _remarks(found: Reproduction) -> Iterator[Text | Points]:
    broken = [f"Broken, left out: {path}: {reason}" for path, reason in found.broken]
    remarks = [*found.sample.notes, *broken, *(f"Warning: {warning}" for warning in found.warnings)]
    yield Points(remarks) if remarks else Text("None.")
