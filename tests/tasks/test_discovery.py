"""Names, tables and sheets of groups."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import decaf
from decaf.features.feature_set import write_meta
from decaf.nets.net import Net
from decaf.search.groups import agreement, find_groups
from decaf.search.index import Index
from decaf.tasks import discovery as module
from decaf.tasks.discovery import name_groups, summary, write_groups
from tests.features.helpers import tiny_net, write_pictures
from tests.tasks.folders import blobs, write_features

WORDS = ("tabby, tabby cat", "boxer", "<i>$x$</i>", "fox", "hen")


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    """Five classes, of which `decaf groups` is told by a patched registry."""
    made = replace(tiny_net(), labels=WORDS)
    monkeypatch.setattr(module, "load_net", lambda *_: made)
    return made


def extracted(net: Net, tmp_path: Path, *layers: str) -> decaf.FeatureSet:
    write_pictures(tmp_path / "a", 6)
    write_pictures(tmp_path / "b", 5)
    return decaf.extract([tmp_path / "a", tmp_path / "b"], net, list(layers), tmp_path / "f")


def expected(net: Net, features: decaf.FeatureSet, rows: Any) -> Any:
    """Softmax of the mean scores of the network's own last layer."""
    scores = decaf.extract([str(path) for path in features.paths], net, "fc").X("fc").astype(np.float64)
    powers = np.exp(scores[rows].mean(axis=0))
    return powers / powers.sum()


def test_names_are_what_the_network_says_of_the_mean(net: Net, tmp_path: Path) -> None:
    features = extracted(net, tmp_path, "pool")
    index = Index.open(features)
    found = find_groups(index, "kmeans", 2)
    named, why = name_groups(index, found, "tiny.onnx")
    assert why == ""
    for group, words in enumerate(named):
        scores = expected(net, features, found.members(group))
        best = np.argsort(-scores)[:3]
        assert words.names == tuple(WORDS[k] for k in best)
        assert words.scores == pytest.approx(scores[best], abs=1e-4)
    assert named[0].title.rstrip("?") == WORDS[np.argmax(expected(net, features, found.members(0)))].split(",")[0]


def test_a_name_in_doubt_has_a_question_mark() -> None:
    assert module.Named(("tabby, tabby cat",), (0.31,), ()).title == "tabby"
    assert module.Named(("tabby, tabby cat",), (0.29,), ()).title == "tabby?"
    assert module.Named((), (), (("cat", 3),)).title == "cat" and module.Named((), (), ()).title == ""


@pytest.mark.parametrize("layer", ["prob", "fc"])
def test_a_stored_layer_of_classes_serves_for_any_layer(net: Net, tmp_path: Path, layer: str) -> None:
    features = extracted(net, tmp_path, "conv", layer)
    index = Index.open(features, "conv")
    found = find_groups(index, "kmeans", 2)
    named, why = name_groups(index, found, "tiny.onnx")
    x = features.X(layer)[found.members(0)].astype(np.float64).mean(axis=0)
    scores = x if layer == "prob" else np.exp(x) / np.exp(x).sum()
    assert why == "" and named[0].scores == pytest.approx(np.sort(scores)[::-1][:3], abs=1e-5)


def test_where_names_are_not_to_be_had_it_is_said(net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index.open(extracted(net, tmp_path, "conv"))
    found = find_groups(index, "kmeans", 2)
    for file, patched, why in (
        (None, net, "is none of decaf's networks"),
        ("tiny.onnx", net, "do not follow from conv by one matrix"),
        ("tiny.onnx", tiny_net(2.0), "another network"),
        ("tiny.onnx", tiny_net(), "does not say what its classes are"),
    ):
        monkeypatch.setattr(module, "load_net", lambda *_, made=patched: made)
        named, said = name_groups(index, found, file)
        assert why in said and [words.names for words in named] == [(), ()]
        assert named[0].title in ("a", "b"), "the most frequent label stands in"


HOSTILE = "<script>'$x_1$'\n\x1b[31m日本"


def test_everything_is_written_whatever_labels_are(tmp_path: Path) -> None:
    labels = [f"label {row}" for row in range(300)] + [HOSTILE] * 30 + [None] * 10
    features = write_features(tmp_path / "f", blobs(labels), labels, errors=[None] * 339 + ["torn"])
    index = Index.open(features)
    found = find_groups(index, "kmeans", 4)
    named, why = name_groups(index, found)
    about = {**summary(found, named, agreement(found.groups, features.labels)), "notes": [why]}
    out = tmp_path / "out"
    out.mkdir()
    (out / "group-99.png").write_bytes(b"old")
    (out / "group-mine.png").write_bytes(b"mine")
    steps: list[str] = []
    files = write_groups(index, found, named, about, out, steps.append)
    assert len(steps) == 4 and "pictures could not be shown" in files["overview.png"]
    made = {path.name for path in out.iterdir()}
    sheets = {f"group-{k}.png" for k in range(1, 5)}
    assert made == {"overview.png", "groups.csv", "groups.json", "group-mine.png", *sheets}
    with (out / "groups.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 340 and lines[339]["group"] == "" and lines[310]["label"] == HOSTILE
    assert [int(line["group"]) - 1 for line in lines[:339]] == found.groups[:339].tolist()
    said = json.loads((out / "groups.json").read_text())
    assert sum(group["rows"] for group in said["groups"]) == 339 and said["in_no_group"] == 1
    assert said["agreement"]["rows"] == 330


def test_without_labels_there_is_no_agreement(tmp_path: Path) -> None:
    features = write_features(tmp_path / "f", blobs(["a"] * 9), [None] * 9)
    write_meta(features.folder, {**features.meta})
    found = find_groups(Index.open(features), "kmeans", 2)
    named, _ = name_groups(Index.open(features), found)
    about = summary(found, named, agreement(found.groups, features.labels))
    assert about["agreement"] is None and about["groups"][0]["labels"] == {}
