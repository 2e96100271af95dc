"""A fitted classifier or regression that knows which features it is for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import DecafError, ModelError, SettingsDiffer
from decaf.features.feature_set import FeatureSet
from decaf.nets.preprocess import Preprocess, digest
from decaf.probe.inputs import TRANSFORMS, Transform
from decaf.probe.linear import LOSSES, LinearProbe
from decaf.tasks.model_file import Tensors, read_model_file, write_model_file
from decaf.tasks.same_net import DECIDING, TOLD, deciding_differences, told_differences
from decaf.tasks.targets import Kind

FORMAT = 1
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model says of each row of a feature set.

    Attributes:
        names: the classes, or the target columns.
        confidence: what `scores` are: `probability`; `margin`, the decision value of a support vector machine, 1 at the
            edge of the margin, below 0 where the class is denied; or `number` for a regression.
        best: (n, K) int, classes by score, the best first; for targets each column, in its order. -1: a broken row.
        scores: (n, K) float, beside `best`; NaN for a broken row.
        paths, errors: (n,) of the features; an error says why there is nothing.
        parts: further columns that tell rows apart: region, view.
    """

    kind: Kind
    names: tuple[str, ...]
    confidence: str
    best: NDArray[np.intp]
    scores: NDArray[np.float64]
    paths: NDArray[np.object_]
    errors: NDArray[np.object_]
    parts: Mapping[str, NDArray[np.object_]]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def labels(self) -> NDArray[np.object_]:
        """(n,) the class of the highest score; (n, columns) 1 or 0 for yes or no, or numbers. None for a broken row."""
        every = [self.labels_of(row) for row in range(len(self))]
        if self.kind == "classes":
            every = [labels[:1] for labels in every]
        labels = np.array(every, dtype=object).reshape(len(self), -1)
        return labels[:, 0] if self.kind == "classes" else labels

    def labels_of(self, row: int) -> list[Any]:
        """What stands beside the scores of a row: K classes; yes or no; or the numbers. None where it is broken."""
        if self.best[row, 0] < 0:
            return [None] * self.best.shape[1]
        if self.kind == "classes":
            return [self.names[index] for index in self.best[row]]
        if self.kind == "multilabel":
            return [1 if score > (0.5 if self.confidence == "probability" else 0) else 0 for score in self.scores[row]]
        return [float(score) for score in self.scores[row]]


@dataclass(frozen=True, eq=False)
class Model:
    """A linear classifier or regression, fitted on a feature set.

    Attributes:
        kind: `classes`, `multilabel` or `regression`.
        loss: `svm`, `logistic`, or `squared` of a regression.
        names: (k,) the classes, sorted, or the target columns.
        layer: the layer it was fitted on.
        settings: how the features were made: the `settings` of `decaf.json`.
        coef: (rows, d) float32; one row for two classes, for the second of them.
        intercept: (rows,) float32.
        transforms: one, or one for each row where columns were fitted apart.
        keep: what features are multiplied by, after dropout in training.
        about: how it was fitted: C, rows, validation accuracy, version.

    Example:
        >>> model = Model.load("birds.safetensors")
        >>> predictions = model.predict(decaf.FeatureSet.open("new"))
        >>> predictions.labels, predictions.scores[:, 0]
    """

    kind: Kind
    loss: str
    names: tuple[str, ...]
    layer: str
    settings: Mapping[str, Any] = field(repr=False)
    coef: NDArray[np.float32] = field(repr=False)
    intercept: NDArray[np.float32] = field(repr=False)
    transforms: tuple[Transform, ...] = field(repr=False)
    keep: float
    about: Mapping[str, Any]

    @property
    def confidence(self) -> str:
        """What its scores are: `probability`, `margin` or `number`."""
        return {"logistic": "probability", "svm": "margin"}.get(self.loss, "number")

    @property
    def preprocess(self) -> Preprocess:
        """How pictures are prepared for it."""
        return Preprocess.from_dict(self.settings["preprocess"])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one file; the same bytes for the same model. Raises ModelError where it cannot be written."""
        tensors: Tensors = {"coef": self.coef, "intercept": self.intercept}
        for number, transform in enumerate(self.transforms):
            if transform.mean is not None and transform.scale is not None:
                tensors |= {f"mean.{number}": transform.mean, f"scale.{number}": transform.scale}
        write_model_file(path, tensors, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """All but the numbers: what the file says of them."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "loss": self.loss,
            "names": list(self.names),
            "layer": self.layer,
            "net": self.settings["net"],
            "net_sha256": self.settings["net_sha256"],
            "settings": dict(self.settings),
            "digest": digest(self.settings),
            "transforms": [transform.name for transform in self.transforms],
            "keep": self.keep,
            "fit": dict(self.about),
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Read a model. Raises ModelError where the file is none, or is damaged."""
        tensors, about = read_model_file(path)
        try:
            model = _checked(tensors, about)
        except (KeyError, TypeError, ValueError, AttributeError, DecafError) as error:
            why = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | TypeError) else str(error)
            why = " ".join(why.split())[:160]
            raise ModelError(f"{os.fspath(path)} is damaged or of another version ({why}): fit it anew") from None
        return model

    def check_features(self, features: FeatureSet) -> list[str]:
        """Refuse features that were made otherwise; say what else is different.

        Returns:
            A sentence for each setting of TOLD that differs: such features have the same meaning.

        Raises:
            SettingsDiffer: the features have no such layer, or a setting of DECIDING differs; the message names it.
        """
        theirs = features.meta["settings"]
        for name, mine, others in deciding_differences(self.settings, self.layer, theirs):
            raise SettingsDiffer(
                f"the model was fitted on features with {name} {mine}, {features.folder} has {others}: extract as the "
                "model needs, or name the pictures themselves"
            )
        return [
            f"the model was fitted on features with {name} {mine}, these have {others}"
            for name, mine, others in told_differences(self.settings, theirs)
        ]

    def predict(self, features: FeatureSet, top: int = 1) -> Predictions:
        """Label the rows of a feature set, part by part.

        Args:
            features: made as those the model was fitted on.
            top: how many classes to keep for each row, the best first.

        Raises:
            SettingsDiffer: the features were made otherwise; the message names the setting.
            ModelError: features, or what the model makes of them, are not finite.
        """
        self.check_features(features)
        k = min(max(top, 1), len(self.names)) if self.kind == "classes" else len(self.names)
        best = np.full((len(features), k), -1, np.intp)
        scores = np.full((len(features), k), np.nan)
        intact = np.flatnonzero(~features.broken)
        for start in range(0, len(intact), _ROWS_AT_ONCE):
            rows = intact[start : start + _ROWS_AT_ONCE]
            with np.errstate(over="ignore", invalid="ignore"):
                found = self.scores(_finite(features, rows, self.layer))
            if not np.isfinite(found).all():
                raise ModelError("the model's numbers are too large for these features: fit it anew")
            order = np.argsort(-found, axis=1, kind="stable")[:, :k] if self.kind == "classes" else np.arange(k)[None]
            best[rows] = order
            scores[rows] = np.take_along_axis(found, np.broadcast_to(order, (len(rows), k)), axis=1)
        parts = {name: text for name, text in features.texts.items() if name in ("region", "view")}
        return Predictions(self.kind, self.names, self.confidence, best, scores, features.paths, features.errors, parts)

    def scores(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, k) probabilities or decision values of the classes, or of yes in each column; or numbers."""
        if self.kind == "regression":
            return np.asarray(self.transforms[0](X) @ self.coef.T + self.intercept, np.float64)
        if self.kind == "multilabel":
            return np.stack([_of_two(probe, X)[:, 1] for probe in self.probes()], axis=1)
        (probe,) = self.probes()
        if len(self.names) == 2:
            return _of_two(probe, X)
        return np.asarray(probe.predict_proba(X) if self.loss == "logistic" else probe.decision_function(X), np.float64)

    def probes(self) -> list[LinearProbe]:
        """Fitted scikit-learn classifiers: one for all classes, or one for each column."""
        if self.kind == "classes":
            return [self._probe(self.names, self.coef, self.intercept, self.transforms[0])]
        return [
            self._probe((False, True), self.coef[[row]], self.intercept[[row]], self.transforms[row])
            for row in range(len(self.names))
        ]

    def _probe(self, classes: Sequence[Any], coef: Any, intercept: Any, transform: Transform) -> LinearProbe:
        probe = LinearProbe(loss=self.loss, transform=transform.name)
        probe.coef_, probe.intercept_, probe.transform_, probe.keep_ = coef, intercept, transform, self.keep
        probe.classes_ = np.array(classes, dtype=object if self.kind == "classes" else bool)
        probe.n_features_in_ = coef.shape[1]
        return probe


def _of_two(probe: LinearProbe, X: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, 2) scores of no and yes."""
    if probe.loss == "logistic":
        return np.asarray(probe.predict_proba(X), np.float64)
    yes = probe.decision_function(X)
    return np.asarray(np.stack([-yes, yes], axis=1), np.float64)


def _finite(features: FeatureSet, rows: NDArray[np.intp], layer: str) -> NDArray[np.float32]:
    X = features[rows].X(layer)
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if len(bad):
        path = features.paths[rows[bad[0]]]
        raise ModelError(f"features of {path} in {features.folder} are NaN or infinite: extract them anew")
    return X


def _checked(tensors: Tensors, about: Mapping[str, Any]) -> Model:
    """The model a file describes. Raises one of many errors where the description is none."""
    _must(about["format"] == FORMAT, f"format {str(about['format'])[:20]}")
    kind, loss, names, layer = about["kind"], about["loss"], about["names"], about["layer"]
    _must(kind in ("classes", "multilabel", "regression"), "kind")
    _must(loss == "squared" if kind == "regression" else loss in LOSSES, "loss")
    _must(isinstance(names, list) and all(isinstance(name, str) for name in names), "names")
    _must(len(names) >= (2 if kind == "classes" else 1) and len(set(names)) == len(names), "names")
    _must(isinstance(about["fit"], dict), "fit")
    keep = about["keep"]
    _must(isinstance(keep, int | float) and 0 < keep <= 1, "keep")
    settings = about["settings"]
    _must(about["digest"] == digest(settings) and about["net_sha256"] == settings["net_sha256"], "digest")
    texts = {*DECIDING, *TOLD, "net"} - {"preprocess"}
    _must(all(isinstance(settings[name], str) for name in texts), "settings")
    Preprocess.from_dict(settings["preprocess"])
    d = prod(_sides(settings["layers"][layer]))
    rows = 1 if kind == "classes" and len(names) == 2 else len(names)
    coef, intercept = _take(tensors, "coef", (rows, d)), _take(tensors, "intercept", (rows,))
    each = about["transforms"]
    _must(isinstance(each, list) and len(each) == (rows if kind == "multilabel" else 1), "transforms")
    transforms = tuple(_transform(tensors, number, name, d) for number, name in enumerate(each))
    _must(not tensors, f"unknown tensors {sorted(tensors)[:3]}")
    return Model(kind, loss, tuple(names), layer, settings, coef, intercept, transforms, float(keep), about["fit"])


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"{what} makes no sense")


def _sides(shape: Any) -> list[int]:
    _must(isinstance(shape, list) and all(type(side) is int and 0 < side < 2**31 for side in shape), "layer")
    return list(shape)


def _take(tensors: Tensors, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    tensor = tensors.pop(name)
    _must(tensor.shape == shape, f"{name} {tensor.shape}, not {shape},")
    return tensor


def _transform(tensors: Tensors, number: int, name: Any, d: int) -> Transform:
    _must(name in TRANSFORMS, "transform")
    if name != "standardize":
        return Transform(name)
    scale = _take(tensors, f"scale.{number}", (d,))
    _must(bool((scale > 0).all()), "scale")
    return Transform(name, _take(tensors, f"mean.{number}", (d,)), scale)
