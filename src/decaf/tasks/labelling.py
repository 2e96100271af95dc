"""`decaf predict`: features for a model, from a feature folder or straight from pictures; tables of what it says."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from decaf.errors import ModelError, UnknownName
from decaf.features.extract import Job
from decaf.features.feature_set import ABOUT, FeatureSet
from decaf.files import write_atomically
from decaf.tasks.model import Model, Predictions
from decaf.tasks.same_net import Alike, Network, plan_alike


def as_feature_folder(sources: Sequence[str]) -> FeatureSet | None:
    """The feature set that is meant, None where pictures are. Raises UnknownName for a mixture."""
    folders = [source for source in sources if (Path(source) / ABOUT).exists()]
    if not folders:
        return None
    if len(sources) > 1:
        raise UnknownName(f"{folders[0]} is a feature folder: name it alone, or pictures only")
    return FeatureSet.open(folders[0])


def plan_extraction(
    model: Model,
    sources: Sequence[str],
    net_file: str | None,
    out: Path,
    preprocess: str | None = None,
    random_weights: int | None = None,
) -> Job:
    """Plan to extract what a model needs, made as what it was fitted on; one row for each picture.

    Caps on files and pictures are those of `decaf extract`, not the model's. A model that was fitted on ten views of
    each picture sees the one of the centre.

    Args:
        model: says which network, layer, preparation, precision and pooling.
        sources: pictures, as `find_images` takes them.
        net_file: an ONNX file, where the network is none that decaf knows by name.
        out: an empty folder.
        preprocess: what the features were made with, where that was a mean image that the network does not carry.
        random_weights: the seed, where the features came from random parameters.

    Raises:
        SettingsDiffer: it is another network.
        UnknownName: the network has no name decaf knows, and no file was named.
    """
    alike = Alike(model.settings, model.layer, "the model was fitted on", "fit anew")
    return plan_alike(alike, sources, out, Network(net_file, preprocess, random_weights))


def records(predictions: Predictions) -> Iterator[dict[str, Any]]:
    """What is said of each row, as plain values; labels are None where there is an error."""
    for row in range(len(predictions)):
        record: dict[str, Any] = {"path": predictions.paths[row]}
        record |= {name: values[row] for name, values in predictions.parts.items()}
        record |= _said(predictions, row)
        yield record | {"error": predictions.errors[row]}


def _said(predictions: Predictions, row: int) -> dict[str, Any]:
    scores = [None if math.isnan(score) else float(score) for score in predictions.scores[row]]
    labels = predictions.labels_of(row)
    if predictions.kind == "regression":
        return {"numbers": dict(zip(predictions.names, scores, strict=True))}
    if predictions.kind == "multilabel":
        pairs = zip(predictions.names, labels, scores, strict=True)
        return {"targets": {name: {"label": label, "confidence": score} for name, label, score in pairs}}
    best = [
        {"label": label, "confidence": score} for label, score in zip(labels, scores, strict=True) if label is not None
    ]
    return {"label": labels[0], "confidence": scores[0], "best": best}


def table(predictions: Predictions) -> tuple[list[str], Iterator[list[Any]]]:
    """The same as columns and lines; a column of confidences has the name of what they are."""
    what, names = predictions.confidence, predictions.names
    if predictions.kind == "regression":
        said = list(names)
    elif predictions.kind == "multilabel":
        said = [column for name in names for column in (name, f"{name}_{what}")]
    else:
        ranks = ["", *(f"_{rank + 1}" for rank in range(1, predictions.best.shape[1]))]
        said = [column for rank in ranks for column in (f"label{rank}", f"{what}{rank}")]
    return ["path", *predictions.parts, *said, "error"], _lines(predictions)


def _lines(predictions: Predictions) -> Iterator[list[Any]]:
    for row in range(len(predictions)):
        start = [predictions.paths[row], *(values[row] for values in predictions.parts.values())]
        scores = ["" if math.isnan(score) else f"{score:.6g}" for score in predictions.scores[row]]
        if predictions.kind == "regression":
            said = scores
        else:
            labels = ["" if label is None else label for label in predictions.labels_of(row)]
            said = [cell for pair in zip(labels, scores, strict=True) for cell in pair]
        yield [*start, *said, predictions.errors[row] or ""]


def write_csv(predictions: Predictions, out: str) -> None:
    """Write the table. Raises ModelError where it cannot be written."""
    columns, lines = table(predictions)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    try:
        write_atomically(Path(out), text.getvalue().encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise ModelError(f"cannot write {out} ({error.strerror or error}): make room or name another file") from None
