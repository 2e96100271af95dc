"""The report on Office: a page, figures, all numbers as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from decaf.files import write_atomically
from decaf.probe import Comparison
from decaf.tasks.grid import TOL
from decaf.tasks.machine import machine, versions
from decaf.tasks.office.chosen import PREFERRED_CS, RELATIVE_CS
from decaf.tasks.office.domain import Features, in_order
from decaf.tasks.office.names import arrow, letters
from decaf.tasks.office.prepare import in_words, sees_whole_domains
from decaf.tasks.office.published import TABLE1, TABLE1_FEATURES, TABLE1_PAIRS, TABLE1_SOURCE
from decaf.tasks.office.run import SPLITS, Difference, Office, Result
from decaf.tasks.office.splits import OF_LARGE_SOURCE, OF_SMALL_SOURCE, OF_TARGET, SAENKO
from decaf.tasks.office.tables import differences_table, published_rows, tables_of
from decaf.tasks.office.words import helps, lead
from decaf.tasks.paper_report import times
from decaf.tasks.report import Figure, Page, Points, Section, Table, Text, write_page
from decaf.viz.panels import Mark, save_panels

JSON, ACCURACIES, DIFFERENCES = "report.json", "accuracies.png", "differences.png"
_PUBLISHED = "paper*: "


def write_office_report(found: Office) -> dict[str, str]:
    """Write the report into the folder of the request.

    Returns:
        Name of the file -> what it shows.
    """
    folder = found.request.out
    save_panels(_accuracies(found), "mean accuracy over the classes, %" if _is_saenko(found) else "accuracy, %",
                folder / ACCURACIES)  # fmt: skip
    files = {ACCURACIES: "accuracy of every method"}
    if found.differences:
        label = f"accuracy minus that of ({'ST' if _is_saenko(found) else 'S'}), points"
        save_panels(_differences(found), label, folder / DIFFERENCES, zero=True)
        files[DIFFERENCES] = "what adaptation changed"
    write_atomically(folder / JSON, (json.dumps(about(found), indent=1, ensure_ascii=False) + "\n").encode())
    pages = write_page(_page(found), folder)
    return pages | {JSON: "all numbers", SPLITS: "the pictures of each part"} | files


def _is_saenko(found: Office) -> bool:
    return found.request.protocol == SAENKO


# -- numbers ------------------------------------------------------------------------------------------------------


def about(found: Office) -> dict[str, Any]:
    """All that is known, ready for JSON. Accuracies are shares of 1; published numbers are per cent, as printed."""
    return {
        "task": "office",
        "protocol": found.request.protocol,
        "settings": dict(_settings(found)),
        "features": [_features(one) for one in found.features],
        "results": [_result(one) for one in found.results],
        "differences": [_difference(one) for one in found.differences],
        "published": _published(found),
        "helps": helps(found),
        "broken": [{"path": path, "error": error} for path, error in found.broken],
        "notes": list(found.notes),
        "warnings": list(found.warnings),
        "seconds": {step.name: {"wall": round(step.seconds, 2), "cpu": round(step.cpu, 2)} for step in found.steps},
        "versions": versions(),
        "machine": machine(),
    }


def _features(features: Features) -> dict[str, Any]:
    domains = {
        name: {"rows": len(one.y), "classes": len(set(one.y)), "source": one.source}
        for name, one in features.domains.items()
    }
    size = next(iter(features.domains.values())).X.shape[1]
    return {"name": features.name, "kind": features.kind, "size": size, "origin": features.origin, "domains": domains}


def _result(result: Result) -> dict[str, Any]:
    summary = result.summary
    return {
        "source": result.pair[0],
        "target": result.pair[1],
        "features": result.features,
        "preparation": result.preparation,
        "method": result.method.name,
        "accuracy": summary.mean,
        "std": None if math.isnan(summary.std) else summary.std,
        "accuracies": list(result.accuracies),
        "C": list(result.Cs),
        "dimension": list(result.dimensions),
        "seconds": round(result.seconds, 3),
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {
        "source": one.result.pair[0],
        "target": one.result.pair[1],
        "features": one.result.features,
        "method": one.result.method.name,
        "baseline": one.baseline.method.name,
        "difference": one.difference,
        "interval": _interval(one.here),
        "corrected_interval": _interval(one.elsewhere),
        "verdict": one.verdict,
    }


def _interval(comparison: Comparison | None) -> list[float] | None:
    return None if comparison is None else list(comparison.interval)


def _published(found: Office) -> list[dict[str, Any]]:
    if not _is_saenko(found):
        return [
            {
                "method": row.method, "features": row.features, "source": row.source, "confirmed": row.confirmed,
                "doubt": row.doubt, "per_cent": {"-".join(pair): value for pair, value in row.numbers.items()},
            }
            for row in published_rows(found)
        ]  # fmt: skip
    return [
        {"method": name, "source": TABLE1_SOURCE, "pair": "-".join(pair), "features": feature, "per_cent": number}
        for name, of_pairs in TABLE1.items()
        for pair, numbers in zip(TABLE1_PAIRS, of_pairs, strict=True)
        for feature, number in zip(TABLE1_FEATURES, numbers, strict=True)
    ]


# -- figures ------------------------------------------------------------------------------------------------------


def _accuracies(found: Office) -> list[Mark]:
    """By Saenko's protocol one panel for each pair; else one for each kind of features, its pairs small."""
    if not _is_saenko(found):
        return _strip(found, [(one, 100 * one.accuracies[0]) for one in found.results])
    marks = [
        Mark(arrow(*one.pair), one.method.name, f"ours: {one.features}", 100 * one.summary.mean,
             inner=_around(one)) for one in found.results
    ]  # fmt: skip
    for pair in found.pairs:
        here = {one.method.name for one in found.results if one.pair == pair}
        if pair in TABLE1_PAIRS and found.comparable:
            at = TABLE1_PAIRS.index(pair)
            marks += [
                Mark(arrow(*pair), name, f"{_PUBLISHED}{feature}", number[0], hollow=True)
                for name, numbers in TABLE1.items()
                if name in here
                for feature, number in zip(TABLE1_FEATURES, numbers[at], strict=True)
                if number
            ]
    return marks


def _around(result: Result) -> tuple[float, float] | None:
    """One deviation to each side."""
    summary = result.summary
    if math.isnan(summary.std):
        return None
    return 100 * (summary.mean - summary.std), 100 * (summary.mean + summary.std)


def _differences(found: Office) -> list[Mark]:
    if not _is_saenko(found):
        return _strip(found, [(one.result, 100 * one.difference) for one in found.differences])
    # The source alone is often so far behind that nothing else could be told apart; the table has it.
    drawn = [one for one in found.differences if one.result.method.learns_from != "S"] or found.differences
    return [
        Mark(arrow(*one.result.pair), one.result.method.name, one.result.features, 100 * one.difference,
             inner=_points(one.here), outer=_points(one.elsewhere)) for one in drawn
    ]  # fmt: skip


def _points(comparison: Comparison | None) -> tuple[float, float] | None:
    return None if comparison is None else (100 * comparison.interval[0], 100 * comparison.interval[1])


def _strip(found: Office, values: Sequence[tuple[Result, float]]) -> list[Mark]:
    """Each pair small, and their mean; a panel for each kind of features."""
    marks = [Mark(one.features, one.method.name, "a pair", value, small=True) for one, value in values]
    for features, method in dict.fromkeys((one.features, one.method.name) for one, _ in values):
        own = [value for one, value in values if (one.features, one.method.name) == (features, method)]
        marks.append(Mark(features, method, "mean of the pairs", float(np.mean(own))))
    return marks


# -- words --------------------------------------------------------------------------------------------------------


def _page(found: Office) -> Page:
    sections = [
        Section("Ours beside the published numbers", list(_comparison(found))),
        Section("Did adaptation help?", list(_help(found))),
        Section("Settings", [Table("", ("", ""), list(_settings(found)))]),
        Section("Time", [times(found.steps, found.computed), _seconds(found)]),
        Section("Notes and warnings", list(_remarks(found))),
    ]
    title = "Office: domain adaptation" + (
        " with deep features" if any(f.kind != "surf" for f in found.features) else ""
    )
    return Page(title, lead(found), sections)


def _comparison(found: Office) -> Iterator[Table | Figure | Text | Points]:
    for grid in tables_of(found):
        yield Table(f"{grid.title}. {_caption(found)}", grid.header, grid.rows, grid.strong)
    yield Text(source_of_published(found))
    if found.notes:
        yield Points(found.notes)
    yield Figure(ACCURACIES, f"Accuracy of {len(found.results)} combinations; the numbers are in the tables.",
                 _figure_caption(found))  # fmt: skip


def _caption(found: Office) -> str:
    if _is_saenko(found):
        return (
            f"Mean accuracy over the classes, per cent; mean and standard deviation over {found.request.n_splits} "
            "splits. Marked: the highest of each column of ours, as it came out on the test pictures."
        )
    return "Accuracy over all target pictures, per cent. Marked: the highest of ours with these features."


def source_of_published(found: Office) -> str:
    """Where the published numbers come from, and what speaks against some."""
    if _is_saenko(found):
        return (
            f"* published: {TABLE1_SOURCE}. Our features: {'; '.join(dict.fromkeys(f.origin for f in found.features))}."
        )
    rows = published_rows(found)
    if not rows:
        return "Nothing was published on these features that we know of."
    sources = dict.fromkeys(row.source for row in rows if row.confirmed)
    texts = [f"* published: {', '.join(sources)}."] if sources else []
    texts += [f"Unconfirmed, {row.source}: {row.method} with {row.features}." for row in rows if not row.confirmed]
    texts += [f"{row.method} with {row.features}: {row.doubt}" for row in rows if row.doubt]
    return " ".join(texts)


def _figure_caption(found: Office) -> str:
    if _is_saenko(found):
        published = " Hollow (*): published, another network." if found.comparable else ""
        return f"Bars: one standard deviation over the splits.{published}"
    return "Small: each pair of domains; large: their mean."


def _help(found: Office) -> Iterator[Table | Figure | Text | Points]:
    if not found.differences:
        yield Text("There is nothing to compare with: no other method was run.")
        return
    yield Points(helps(found))
    several = _is_saenko(found) and found.request.n_splits > 1
    how = (
        "Thick: 95 % interval over draws of labelled pictures from these domains (paired t). Thin, cut at the edge: "
        "allowing for the test pictures the splits share, for other pictures of such domains (Nadeau and Bengio 2003)."
        if several
        else "One run for each pair, so that there is no interval."
    )
    yield Figure(DIFFERENCES, " ".join(helps(found)), f"Points of accuracy. {how}")
    header, rows = differences_table(found)
    yield Table("Points of accuracy, on the same splits.", header, rows)


def _settings(found: Office) -> Iterator[tuple[str, str]]:
    yield "protocol", _protocol(found)
    yield "pairs", ", ".join(letters(*pair) for pair in found.pairs)
    for one in found.features:
        rows = ", ".join(f"{name} {len(one.domains[name].y):,}" for name in in_order(one.domains))
        classes = len(set(next(iter(one.domains.values())).y))
        size = next(iter(one.domains.values())).X.shape[1]
        yield one.name, f"{size:,} numbers a picture; {one.origin}; pictures: {rows}; {classes} classes"
    for name, preparation in dict.fromkeys((one.features, one.preparation) for one in found.results):
        seen = (
            ": (S) has seen the target's pictures so far, if not their labels"
            if sees_whole_domains(preparation)
            else ""
        )
        yield f"{name} prepared", f"{preparation}: {in_words(preparation)}{seen}"
    yield "splits", _splits_text(found)
    yield "C", _choice_of_C()
    yield "SVM", "one class against the rest, squared hinge, L2 penalty; the bias is penalised, as in LIBLINEAR"
    yield "LogReg", "softmax over all classes, L2 penalty; the bias is free"
    yield from _methods(found)
    yield "versions", ", ".join(f"{name} {version}" for name, version in versions().items())
    yield "machine", ", ".join(machine().values())


def _protocol(found: Office) -> str:
    if not _is_saenko(found):
        return (
            "Every picture of the source with its label, every picture of the target without: trained on the first, "
            "tested on the second. Accuracy is the share of all target pictures."
        )
    return (
        f"Saenko et al. 2010: of each class {OF_LARGE_SOURCE} labelled pictures of the source (Amazon, Caltech) or "
        f"{OF_SMALL_SOURCE} (Webcam, Dslr), {OF_TARGET} of the target; the target's others are tested on. Accuracy is "
        "the mean over the classes."
    )


def _splits_text(found: Office) -> str:
    request = found.request
    drawn = f"read from {request.splits_from}" if request.splits_from else f"drawn with seed {request.seed}"
    if not _is_saenko(found):
        return f"one; folds to choose C on are drawn with seed {request.seed}; written to {SPLITS}"
    return f"{request.n_splits}, {drawn}, written to {SPLITS}"


def _choice_of_C() -> str:
    low, high = RELATIVE_CS[0], RELATIVE_CS[-1]
    return (
        f"{low:g} to {high:g} in {len(RELATIVE_CS)} steps, in units of 1 / (mean squared length of the training "
        "vectors); chosen in each split on labelled training pictures alone: with labels of the target, on each third "
        "of its labelled pictures in turn, the source always trained on; else on fifths of the source. Of values that "
        f"are equally good there, the nearest to {PREFERRED_CS['svm']:g} (SVM) or {PREFERRED_CS['logistic']:g} "
        f"(LogReg) is taken. Solver: relative gap at most {TOL:g}"
    )


def _methods(found: Office) -> Iterator[tuple[str, str]]:
    """How the methods that adapt were set, and what they are given besides labels."""
    for method in dict.fromkeys(one.method for one in found.results if one.method.adapts):
        own = [one for one in found.results if one.method == method]
        parts = [method.about] if method.about else []
        dimensions = [d for one in own for d in one.dimensions if d is not None]
        if dimensions:
            parts.append(f"dimensions by the subspace disagreement measure: {min(dimensions)} to {max(dimensions)}")
        if method.sees_test:
            parts.append("it is given the test pictures' vectors, without their labels")
        yield method.name, "; ".join(parts)


def _seconds(found: Office) -> Table:
    names = list(dict.fromkeys(one.features for one in found.results))
    methods = list(dict.fromkeys(one.method.name for one in found.results))
    rows = []
    for method in methods:
        row = [method]
        for name in names:
            own = [one for one in found.results if (one.features, one.method.name) == (name, method)]
            runs = sum(len(one.accuracies) for one in own)
            row.append(f"{sum(one.seconds for one in own) / runs:.2f}" if runs else "")
        rows.append(row)
    return Table("Seconds for a split: choosing C, fitting, predicting.", ("", *names), rows)


def _remarks(found: Office) -> Iterator[Text | Points]:
    broken = [f"Broken, left out: {path}: {reason}" for path, reason in found.broken]
    remarks = [*found.notes, *broken, *(f"Warning: {warning}" for warning in found.warnings)]
    yield Points(remarks) if remarks else Text("None.")
