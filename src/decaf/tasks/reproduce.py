"""Run one of the paper's benchmarks from the pictures to the numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decaf.errors import TaskError
from decaf.features.feature_set import FeatureSet
from decaf.files import write_atomically
from decaf.images.find import find_images
from decaf.nets.cut import Pool
from decaf.nets.net import Net
from decaf.nets.registry import DEFAULT_NET
from decaf.probe import write_splits
from decaf.tasks.grid import (
    Curve,
    OnResult,
    Result,
    best,
    learning_curve,
    run_grid,
    settings_of,
)
from decaf.tasks.steps import Clock, Step, counted, noted
from decaf.tasks.task import Protocol, Sample, Task
from decaf.tasks.warped import Extraction, Show, extract_warped, refuse_other_preparation

FEATURES, PICTURES, SPLITS = "features", "pictures.txt", "splits.json"


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        data: the pictures; may be None where `features` is given.
        out: the folder of the report; features and splits are kept in it.
        net: a registered name, an ONNX file or a `Net`.
        random_weights: a seed: random parameters in place of the trained ones (the paper's footnote 7).
        layers: names; empty: see `default_layers`.
        pool: of layers with positions: `avg`, `max`, `none` to take every position; None: see `default_layers`.
        precision: `f32` or `bf16`.
        features: a feature folder to use instead of extracting; empty: extract.
        dropout: probability with which a feature is zeroed; 0 leaves these settings out.
        copies: of each training picture, masked anew, with dropout; 0: the loss averaged over all masks.
        transforms: of the features, each a setting of its own; dropout is tried with the first.
        protocol: how pictures are split.
    """

    data: Path | None
    out: Path
    net: str | Path | Net = DEFAULT_NET
    random_weights: int | None = None
    layers: tuple[str, ...] = ()
    pool: Pool | None = None
    precision: str = "f32"
    features: str = ""
    dropout: float = 0.5
    copies: int = 0
    transforms: tuple[str, ...] = ("none", "sqrt")
    protocol: Protocol = field(default_factory=Protocol)


@dataclass(frozen=True, eq=False)
class Reproduction:
    """All that was found.

    Attributes:
        task, request: what was asked.
        meta: of the features.
        computed: pictures whose features were computed in this run.
        broken: (path, reason) of pictures that could not be read.
        sample: labelled pictures and splits.
        names: paths of the pictures of the sample.
        results: one for each setting.
        curves: learning curves of the best setting of each classifier.
        steps: what took how long.
        warnings: what was warned of, and how often.
    """

    task: Task
    request: Request
    meta: Mapping[str, Any]
    computed: int
    broken: Sequence[tuple[str, str]]
    sample: Sample
    names: Sequence[str]
    results: Sequence[Result]
    curves: Sequence[Curve]
    steps: Sequence[Step]
    warnings: Sequence[str]

    @property
    def layers(self) -> list[str]:
        """Names of the layers, in their order."""
        return list(dict.fromkeys(result.setting.layer for result in self.results))


def reproduce(task: Task, request: Request, show: Show, on_result: OnResult) -> Reproduction:
    """Extract what is missing, measure every setting on every split, and write the splits.

    Args:
        task: the benchmark.
        request: what is asked for.
        show: opens a display of the extraction's progress.
        on_result: told about each setting when it is measured.

    Raises:
        TaskError: the pictures are not those of the benchmark.
        SettingsDiffer: features were made with another preparation than the paper's.
        ProbeError: a class has too few pictures, or a setting is unusable.
        DecafError: what `extract` raises.
    """
    clock = Clock()
    with clock.step("features"):
        features, folder, computed = _features(task, request, show)
    broken = [(str(features.paths[row]), str(features.errors[row])) for row in features.broken.nonzero()[0]]
    features = features.valid
    sample = task.sample(features.paths.tolist(), folder, request.protocol)
    features = features[sample.rows]
    names = [str(path) for path in features.paths]
    write_splits(request.out / SPLITS, sample.splits, names)
    layers = _layers(features, request)
    settings = settings_of(layers, request.transforms, request.dropout, request.copies)
    with noted() as notes:
        with clock.step("classifiers"):
            results = run_grid(features.X, sample.y, sample.splits, settings, request.protocol.seed, on_result)
        with clock.step("learning curve"):
            curves = _curves(task, request, features, sample, results) if task.curve else []
    return Reproduction(
        task, request, features.meta, computed, broken, sample, names, results, curves, clock.steps, counted(notes)
    )


def _features(task: Task, request: Request, show: Show) -> tuple[FeatureSet, Path, int]:
    """The features, the folder of the classes, and how many pictures were computed."""
    folder = task.find(request.data) if request.data else None
    if request.features:
        features = FeatureSet.open(request.features)
        refuse_other_preparation(features)
        common = os.path.commonpath([os.path.dirname(path) for path in features.paths])
        return features, folder or Path(common), 0
    if folder is None:
        raise TaskError(f"no pictures: name the folder of {task.title} with --data, or features with --features")
    features, computed = _extracted(task, request, folder, show)
    return features, folder, computed


def _extracted(task: Task, request: Request, folder: Path, show: Show) -> tuple[FeatureSet, int]:
    listing = find_images(folder)
    sample = task.sample(listing.paths, folder, request.protocol)  # before hours of work: does it fit the protocol?
    source = folder
    if len(sample.rows) < len(listing):
        source = request.out / PICTURES
        chosen = "".join(f"{listing.path(int(row))}\n" for row in sample.rows)
        write_atomically(source, os.fsencode(chosen))
    wanted = Extraction(request.net, request.random_weights, request.layers, request.pool, request.precision)
    return extract_warped(source, wanted, request.out / FEATURES, show)


def _layers(features: FeatureSet, request: Request) -> list[str]:
    """The layers asked for under their names in the features; all where none is asked for, or all are new."""
    if not request.features or not request.layers:
        return list(features.layers)
    for layer in request.layers:
        features.shape(layer)  # raises where it is not there
    return list(request.layers)


def _curves(
    task: Task, request: Request, features: FeatureSet, sample: Sample, results: Sequence[Result]
) -> list[Curve]:
    most = request.protocol.train_per_class or task.train_per_class
    sizes = [*(size for size in task.curve if size < most), most]
    curves = []
    for loss in dict.fromkeys(result.setting.loss for result in results):
        chosen = best([result for result in results if result.setting.loss == loss])
        X = features.X(chosen.setting.layer)
        curves.append(learning_curve(chosen, X, sample.y, sizes, request.protocol.seed))
    return curves
