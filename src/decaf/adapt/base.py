"""What all methods share: rows of two domains become coordinates in which one classifier serves both."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from decaf.adapt.domains import (
    Domains,
    Mask,
    need_both,
    need_known_classes,
    need_target_labels,
    read_domains,
    read_rows,
)
from decaf.adapt.prepare import Preparation
from decaf.errors import AdaptError
from decaf.probe import LinearProbe
from decaf.probe.losses import Floats
from decaf.probe.team import calm_blas

_REQUESTS = {"sample_domain": True, "allow_source": True}


def _inner_has(name: str) -> Any:
    def found(adapter: Any) -> bool:
        inner = getattr(adapter, "estimator_", None) or adapter.classifier()
        return hasattr(inner, name)

    return found


class Adapter(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier for a target domain, learned from a labelled source and a target of few labels or none.

    The convention is SKADA's: `sample_domain` is positive for rows of the source and negative for rows of the target;
    target rows without a label have y = -1 (or None, where labels are not numbers). Without `sample_domain`, `fit`
    takes rows without a label for the target, and `predict` takes all rows for the target.

    Subclasses say in `_align` what is learned from both domains and in `_coordinates` where it puts a row.

    Attributes:
        classes_: (classes,) sorted.
        estimator_: the classifier, fitted in the common coordinates.
        preparation_: lengths and scales that were taken out of the features.
        n_features_in_: d.
    """

    __metadata_request__fit = {"sample_domain": True}
    __metadata_request__predict = _REQUESTS
    __metadata_request__predict_proba = _REQUESTS
    __metadata_request__decision_function = _REQUESTS
    __metadata_request__score = _REQUESTS

    estimator: Any
    prepare: str
    classes_: NDArray[Any]
    _trains_on = (True, True)  # rows of source, rows of target
    _aligns = True  # learns from all rows of both domains
    _needs_target_labels = False

    def fit(self, X: Any, y: Any, sample_domain: Any = None) -> Adapter:
        """Fit.

        Args:
            X: (n, d) finite numbers, rows of both domains in any order.
            y: (n,) labels; -1 or None for target rows that have none.
            sample_domain: (n,) int, positive for source, negative for target; or one number for all rows.

        Raises:
            AdaptError: labels, domains or a setting cannot be used.
            ProbeError: X cannot be used.
        """
        domains = read_domains(self, X, y, sample_domain)
        name = type(self).__name__
        if self._aligns:
            need_both(domains, name, 2)
        if self._needs_target_labels:
            need_target_labels(domains, name)
        if all(self._trains_on):
            need_known_classes(domains)
        with calm_blas(domains.X.size):
            self.preparation_ = Preparation.fit(self.prepare, domains, name)
            X = self.preparation_(domains.X, domains.target)
            domains = Domains(X, domains.target, domains.labelled, domains.y, domains.classes)
            self._align(domains)
            self._fit_classifier(domains)
        return self

    def _align(self, domains: Domains) -> None:
        """Learn what brings the domains together."""

    def _coordinates(self, X: Floats, target: Mask) -> Floats:
        """(n, e) where rows lie in the common space."""
        return X

    def classifier(self) -> Any:
        """A fresh classifier for the common coordinates."""
        return LinearProbe() if self.estimator is None else clone(self.estimator)

    def _fit_classifier(self, domains: Domains) -> None:
        rows = domains.labelled & np.where(domains.target, self._trains_on[1], self._trains_on[0])
        known, y = np.unique(domains.y[rows], return_inverse=True)
        if len(known) < 2:
            what = " and ".join(n for n, on in zip(("source", "target"), self._trains_on, strict=True) if on)
            raise AdaptError(f"the labelled {what} rows are of {len(known)} classes: give rows of two or more")
        self.classes_ = domains.classes[known]
        self.estimator_ = self._fit_on(domains.X[rows], y, domains.target[rows])

    def _fit_on(self, X: Floats, y: NDArray[np.intp], target: Mask) -> Any:
        """A classifier fitted on labelled rows."""
        classifier = self.classifier()
        weights = self._weights(classifier, target)
        return classifier.fit(self._coordinates(X, target), y, **weights)

    def _weights(self, classifier: Any, target: Mask) -> dict[str, Floats]:
        """What `fit` of the classifier is told of weights: nothing where all are 1."""
        parts = [getattr(self, name, 1.0) for name in ("source_weight", "target_weight")]
        for name, weight in zip(("source_weight", "target_weight"), parts, strict=True):
            if not (np.isreal(weight) and 0 <= weight < np.inf):
                raise AdaptError(f"{name} = {weight!r}: give a number, 0 or above")
        if parts == [1.0, 1.0]:
            return {}
        if not has_fit_parameter(classifier, "sample_weight"):
            raise AdaptError(f"{type(classifier).__name__} takes no weights: leave those of the domains at 1")
        return {"sample_weight": np.where(target, parts[1], parts[0])}

    def _located(self, X: Any, sample_domain: Any, allow_source: bool) -> Floats:
        check_is_fitted(self)
        X, target = read_rows(self, X, sample_domain, allow_source)
        return self._coordinates(self.preparation_(X, target), target)

    def predict(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> NDArray[Any]:
        """The class of each row, (n,)."""
        Z = self._located(X, sample_domain, allow_source)
        return np.asarray(self.classes_[self.estimator_.predict(Z)])

    @available_if(_inner_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> Floats:
        """Scores of the classifier: (n, classes), or (n,) for two classes, positive for the second."""
        Z = self._located(X, sample_domain, allow_source)
        return np.asarray(self.estimator_.decision_function(Z))

    @available_if(_inner_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any, sample_domain: Any = None, *, allow_source: bool = False) -> Floats:
        """Probabilities, (n, classes), where the classifier gives such."""
        Z = self._located(X, sample_domain, allow_source)
        return np.asarray(self.estimator_.predict_proba(Z))

    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        sample_domain: Any = None,
        *,
        allow_source: bool = False,
    ) -> float:
        """Accuracy, weighted where weights are given."""
        predicted = self.predict(X, sample_domain, allow_source=allow_source)
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))
