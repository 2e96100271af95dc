"""`decaf groups`: names for groups of pictures, a table, and contact sheets."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import DecafError, SearchError
from decaf.features.feature_set import FeatureSet
from decaf.files import write_atomically
from decaf.nets.classifier import linear_classifier
from decaf.nets.net import Net
from decaf.nets.preprocess import Preprocess
from decaf.nets.registry import REGISTRY, load_net
from decaf.search.groups import Agreement, Grouping
from decaf.search.index import Index
from decaf.search.matrix import ROWS_AT_ONCE
from decaf.tasks.pictures import Pictures
from decaf.tasks.report_files import write_csv

_SHOWN = 18  # pictures on a group's sheet
_NAMES = 3
_SURE = 0.3  # a class that nearly a third speaks for


@dataclass(frozen=True)
class Named:
    """What a group is called.

    Attributes:
        names: classes of the network that its pictures resemble most, the nearest first; empty where that is unknown.
        scores: softmax of the mean scores, or mean probability, beside each.
        labels: the most frequent labels of its pictures and how many have each.
    """

    names: tuple[str, ...]
    scores: tuple[float, ...]
    labels: tuple[tuple[str, int], ...]

    @property
    def likely(self) -> list[tuple[str, float]]:
        """Names with their scores."""
        return list(zip(self.names, self.scores, strict=True))

    @property
    def title(self) -> str:
        """The nearest class, in doubt with a question mark, or else the most frequent label, or nothing."""
        if self.names:
            return self.names[0].split(",")[0] + ("?" if self.scores[0] < _SURE else "")
        return self.labels[0][0] if self.labels else ""


def name_groups(index: Index, grouping: Grouping, net_file: str | None = None) -> tuple[list[Named], str]:
    """Suggest names for groups from the classes of the network that made the features.

    Where the set holds a layer with a number for each class, it is averaged over the group; where the grouped layer is
    what the network's linear classifier takes, that classifier sees the group's mean.

    Returns:
        The names, and why there are none, or an empty text.
    """
    labels = [_frequent(index.features, grouping.members(group)) for group in range(len(grouping))]
    try:
        net = _net(index.features, net_file)
        scores = _class_scores(index, grouping, net)
    except DecafError as error:
        return [Named((), (), label) for label in labels], str(error)
    named = []
    for row, label in zip(scores, labels, strict=True):
        best = np.argsort(-row, kind="stable")[:_NAMES]
        named.append(Named(tuple(net.labels[k] for k in best), tuple(float(row[k]) for k in best), label))
    return named, ""


def _frequent(features: FeatureSet, rows: NDArray[np.intp]) -> tuple[tuple[str, int], ...]:
    counted = Counter(str(label) for label in features.labels[rows] if label is not None)
    return tuple(counted.most_common(_NAMES))


def _net(features: FeatureSet, file: str | None) -> Net:
    settings = features.meta["settings"]
    name = str(settings["net"])
    if file is None and name not in REGISTRY:
        raise SearchError(f"groups have no names: {name} is none of decaf's networks; name its file with --net")
    net = load_net(file or name, Preprocess.from_dict(settings["preprocess"]))
    if net.sha256 != settings["net_sha256"]:
        raise SearchError(f"groups have no names: {file or name} is another network than made the features")
    if not net.labels:
        raise SearchError(f"groups have no names: {name} does not say what its classes are")
    return net


def _class_scores(index: Index, grouping: Grouping, net: Net) -> NDArray[np.float64]:
    """(groups, classes) that add up to 1 in each group."""
    features, classes = index.features, len(net.labels)
    stored = [layer for layer in features.layers if features.shape(layer) == (classes,)]
    if stored:
        means = _means(features, grouping, lambda part: part.X(stored[-1]), classes)
        return means if (means >= 0).all() and np.allclose(means.sum(axis=1), 1, atol=1e-2) else _softmax(means)
    linear = linear_classifier(net, index.layer)
    if linear is None:
        raise SearchError(
            f"groups have no names: the network's classes do not follow from {index.layer} by one matrix; "
            "extract its last layer as well, or group its default layer"
        )
    weights, biases = (values.astype(np.float64) for values in linear)
    means = _means(features, grouping, lambda part: part.X(index.layer), index.matrix.size)
    return _softmax(means @ weights.T + biases)


def _means(
    features: FeatureSet, grouping: Grouping, read: Callable[[FeatureSet], NDArray[np.float32]], size: int
) -> NDArray[np.float64]:
    sums = np.zeros((len(grouping), size))
    for start in range(0, len(features), ROWS_AT_ONCE):
        groups = grouping.groups[start : start + ROWS_AT_ONCE]
        inside = np.flatnonzero(groups >= 0)
        if len(inside):
            np.add.at(sums, groups[inside], read(features[start + inside]).astype(np.float64))
    counts: NDArray[np.intp] = np.bincount(grouping.groups[grouping.groups >= 0], minlength=len(sums))
    return np.asarray(sums / counts[:, None])


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def write_groups(
    index: Index,
    grouping: Grouping,
    named: Sequence[Named],
    about: dict[str, Any],
    out: Path,
    step: Callable[[str], None],
) -> dict[str, str]:
    """Write `groups.json`, `groups.csv`, an overview and a sheet for each group into a folder that is there.

    Returns:
        What is in it: name of the file -> what it shows.
    """
    for old in out.glob("group-*.png"):  # of an earlier run, which may have found more groups
        if old.stem.removeprefix("group-").isdecimal():
            old.unlink()
    texts = {name: values for name, values in index.features.texts.items() if name != "error"}
    write_csv(out / "groups.csv", ["row", *texts, "group", "typical"], _lines(grouping, texts))
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    write_atomically(out / "groups.json", text.encode("utf-8", "backslashreplace"))
    missing = _write_sheets(index, grouping, named, out, step)
    unseen = f"; {missing} pictures could not be shown" if missing else ""
    return {
        "overview.png": f"the most typical picture of each group{unseen}",
        "group-N.png": f"the {_SHOWN} most typical pictures of each group",
        "groups.csv": "the group of every row, and its cosine to the group's centre",
        "groups.json": "all numbers and names",
    }


def _lines(grouping: Grouping, texts: dict[str, NDArray[np.object_]]) -> Iterator[list[Any]]:
    for row, group in enumerate(grouping.groups.tolist()):
        found = [group + 1, f"{grouping.typical[row]:.6g}"] if group >= 0 else ["", ""]
        yield [row, *("" if values[row] is None else values[row] for values in texts.values()), *found]


def _write_sheets(
    index: Index, grouping: Grouping, named: Sequence[Named], out: Path, step: Callable[[str], None]
) -> int:
    from decaf.viz.sheet import Tile, save_sheet

    pictures = Pictures(index.features)
    digits = len(str(len(grouping)))
    first, missing = [], 0
    for group, words in enumerate(named):
        step(f"sheet {group + 1} of {len(grouping)}")
        members = grouping.members(group)
        shown = index.features[members[:_SHOWN]]
        tiles = [
            Tile(partial(pictures.load, row), label or os.path.basename(path), (f"{grouping.typical[row]:.3f}",))
            for row, label, path in zip(members[:_SHOWN].tolist(), shown.labels, shown.paths, strict=True)
        ]
        title = f"Group {group + 1}: {len(members):,} rows{_like(words)}"
        missing += save_sheet(title, tiles, out / f"group-{group + 1:0{digits}d}.png")
        labels = ", ".join(f"{label} {count:,}" for label, count in words.labels[:1])
        notes = (f"group {group + 1}: {len(members):,} rows", labels)
        first.append(Tile(partial(pictures.load, int(members[0])), words.title or f"group {group + 1}", notes))
    title = f"{len(grouping)} groups, the largest first: the most typical picture of each"
    save_sheet(title, first, out / "overview.png", 8)
    return missing


def _like(words: Named) -> str:
    said = [f"{name.split(',')[0]} {score:.2f}" for name, score in words.likely]
    return f"; like {', '.join(said)}" if said else ""


def summary(grouping: Grouping, named: Sequence[Named], agreed: Agreement | None) -> dict[str, Any]:
    """What was found, as plain values."""
    sizes = np.bincount(grouping.groups[grouping.groups >= 0], minlength=len(grouping)).tolist()
    return {
        "in_no_group": int((grouping.groups < 0).sum()),
        "agreement": None if agreed is None else asdict(agreed),
        "groups": [
            {
                "group": number + 1,
                "rows": size,
                "like": [{"class": name, "score": score} for name, score in words.likely],
                "labels": dict(words.labels),
            }
            for number, (size, words) in enumerate(zip(sizes, named, strict=True))
        ],
    }
