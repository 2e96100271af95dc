"""`LinearProbe`: a linear classifier on features."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from decaf.errors import ProbeError
from decaf.probe.expected import ExpectedPath
from decaf.probe.inputs import Transform, checked, checked_rows, indices, masked_copies
from decaf.probe.losses import Floats
from decaf.probe.path import Fitted, Labelled, Path, Settings
from decaf.probe.team import calm_blas

LOSSES = ("svm", "logistic")
DROPOUT_FORMS = ("copies", "expected")


def _is_logistic(estimator: Any) -> bool:
    if estimator.loss != "logistic":
        raise AttributeError('only loss="logistic" gives probabilities')
    return True


class _Unseen:
    """A parameter that `hasattr` does not see.

    scikit-learn takes whatever has an attribute `transform` for a transformer; here it is a setting.
    """

    def __set__(self, owner: Any, value: Any) -> None:
        owner.__dict__["transform"] = value

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        raise AttributeError('a classifier does not transform; the setting is get_params()["transform"]')


class LinearClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What a fitted linear classifier does. Subclasses set `coef_`, `intercept_`, `classes_`, `transform_`, `keep_`."""

    loss: str
    coef_: Floats
    intercept_: Floats
    classes_: NDArray[Any]
    transform_: Transform
    keep_: float
    transform = _Unseen()

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings by name, `transform` with them."""
        names = self._get_param_names()
        return {name: vars(self)[name] for name in names}

    def decision_function(self, X: Any) -> Floats:
        """Scores: (n, classes), or (n,) for two classes, positive for the second. Raises ProbeError for bad X."""
        check_is_fitted(self)
        features = self.transform_(checked_rows(self, X))
        with np.errstate(invalid="ignore"):  # X is finite; some BLAS kernels raise the flag over unused lanes
            products = features @ self.coef_.T.astype(features.dtype)
        scores = self.keep_ * products + self.intercept_.astype(features.dtype)
        return scores[:, 0] if len(self.coef_) == 1 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of the highest score, (n,)."""
        scores = self.decision_function(X)
        best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[best])

    @available_if(_is_logistic)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Floats:
        """Probabilities, (n, classes), rows summing to 1. Only for loss="logistic"."""
        return np.asarray(np.exp(self.predict_log_proba(X)))

    @available_if(_is_logistic)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Floats:
        """Logarithms of the probabilities, (n, classes)."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([-scores / 2, scores / 2], axis=1)
        scores = scores - scores.max(axis=1, keepdims=True)
        return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


class LinearProbe(LinearClassifier):
    """A linear support vector machine or logistic regression, for all classes at once.

    `loss="svm"` has the objective of `sklearn.svm.LinearSVC` (one class against the rest, squared hinge, L2; the bias
    is a feature of value 1 and is penalised with the others); `loss="logistic"` that of
    `sklearn.linear_model.LogisticRegression` (softmax, L2, the bias is not penalised). The optimum is theirs.

    Stops when the objective is proven to lie within `tol`, relative, of the optimum: for each class (svm) or in sum
    (logistic). The proof is the duality gap |gradient|^2 / 2, a bound since the penalty makes the objective 1-strongly
    convex; it is evaluated in the arithmetic of the solver, float32 unless the problem is small or badly scaled.

    Args:
        loss: `svm` or `logistic`.
        C: weight of the loss against the penalty, > 0.
        dropout: probability that a feature is zeroed while training, in [0, 1). At test time features are multiplied by
            1 - dropout (DeCAF paper, section 4.1).
        dropout_form: `copies`: train on masked copies of the training set; `expected`: the loss averaged over all masks
            (`decaf.probe.expected`), deterministic, slower.
        n_copies: how many masked copies; the loss is their mean.
        transform: `none`; `sqrt`: sign(x) sqrt|x|; `l2`: rows of length 1; `standardize`: mean 0, deviation 1.
        class_weight: None, `balanced` or {class: weight}, as in the scikit-learn class of the same loss.
        fit_intercept: with a bias.
        tol: relative gap to stop at.
        max_iter: iterations for one class at most; ConvergenceWarning when that is too few.
        n_jobs: cores; None or -1: all.
        random_state: seed of the dropout masks.

    Attributes:
        coef_: (classes, d), or (1, d) for two classes, float64; on transformed features.
        intercept_: (classes,) or (1,).
        classes_: (classes,) sorted.
        gap_: the greatest relative gap over the classes.
        n_iter_: the most iterations of any class.
        badly_scaled_: indices of columns that made float64 necessary; a ScalingWarning names them.

    Example:
        >>> probe = LinearProbe(C=0.003, transform="sqrt").fit(features.X("pool"), features.labels)
        >>> probe.predict(others.X("pool"))
    """

    def __init__(
        self,
        loss: str = "svm",
        C: float = 0.01,
        dropout: float = 0.0,
        dropout_form: str = "copies",
        n_copies: int = 4,
        transform: str = "none",
        class_weight: str | Mapping[Any, float] | None = None,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        max_iter: int = 1000,
        n_jobs: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.loss = loss
        self.C = C
        self.dropout = dropout
        self.dropout_form = dropout_form
        self.n_copies = n_copies
        self.transform = transform
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LinearProbe:
        """Fit.

        Args:
            X: (n, d) finite numbers.
            y: (n,) labels, two classes or more.
            sample_weight: (n,), >= 0; a weight of 0 leaves the row out.

        Raises:
            ProbeError: X, y or a setting is unusable.
        """
        settings = checked_settings(self)
        check_C(self.C)
        X, y, weights = training_set(self, X, y, sample_weight)
        self.classes_, index = indices(y)
        self.transform_ = Transform.fit(vars(self)["transform"], X, weights)
        data = prepared(self, self.transform_(X), index, weights, class_weights(self, self.classes_, y, weights))
        with calm_blas(data.X.size):
            path = make_path(self, data, settings)
            (found,) = path.solve([self.C])
        take(self, found, path)
        return self


def make_path(estimator: Any, data: Labelled, settings: Settings) -> Path | ExpectedPath:
    """What solves for this estimator."""
    if estimator.dropout and estimator.dropout_form == "expected":
        return ExpectedPath(data, settings, estimator.dropout)
    return Path(data, settings)


def take(estimator: Any, found: Fitted, path: Path | ExpectedPath) -> None:
    """Set what a fit leaves behind."""
    estimator.coef_, estimator.intercept_ = found.coef, found.bias
    estimator.gap_, estimator.n_iter_ = float(found.gap.max()), max(int(found.iterations.max()), 1)
    estimator.badly_scaled_ = path.bad_columns
    estimator.keep_ = 1.0 - estimator.dropout


def check_C(C: Any) -> None:
    """Raise ProbeError unless C is a positive number."""
    if not (isinstance(C, numbers.Real) and 0 < float(C) < np.inf):
        raise ProbeError(f"C = {C!r}: give a number above 0")


def checked_settings(estimator: Any) -> Settings:
    """The settings of the solver. Raises ProbeError naming the one that is wrong."""
    if estimator.loss not in LOSSES:
        raise ProbeError(f"loss {estimator.loss!r} is unknown: use {' or '.join(LOSSES)}")
    if not 0 <= estimator.dropout < 1:
        raise ProbeError(f"dropout = {estimator.dropout!r}: give a probability in [0, 1)")
    if estimator.dropout_form not in DROPOUT_FORMS:
        raise ProbeError(f"dropout_form {estimator.dropout_form!r} is unknown: use {' or '.join(DROPOUT_FORMS)}")
    if estimator.n_copies < 1:
        raise ProbeError(f"n_copies = {estimator.n_copies!r}: give 1 or more")
    if not estimator.tol > 0:
        raise ProbeError(f"tol = {estimator.tol!r}: give a number above 0")
    return Settings(estimator.loss, estimator.tol, estimator.max_iter, estimator.n_jobs, bool(estimator.fit_intercept))


def training_set(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Floats, NDArray[Any], Floats]:
    """X, y and weights (n,) float64, without the rows of weight 0."""
    if y is None:
        raise ProbeError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    X, y = checked(estimator, X, y)
    if sample_weight is None:
        return X, y, np.ones(len(X))
    try:
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    except ValueError as error:
        raise ProbeError(" ".join(str(error).split())) from None
    kept = weights > 0
    return (X, y, weights) if kept.all() else (X[kept], y[kept], weights[kept])


def class_weights(estimator: Any, classes: NDArray[Any], y: NDArray[Any], weights: Floats) -> Floats:
    """(classes,), as scikit-learn computes them."""
    wanted = dict(estimator.class_weight) if isinstance(estimator.class_weight, Mapping) else estimator.class_weight
    options = (
        {"sample_weight": weights} if "sample_weight" in inspect.signature(compute_class_weight).parameters else {}
    )
    try:
        return np.asarray(compute_class_weight(wanted, classes=classes, y=y, **options), np.float64)
    except ValueError as error:
        raise ProbeError(" ".join(str(error).split())) from None


def prepared(estimator: Any, X: Floats, index: NDArray[np.intp], weights: Floats, of_classes: Floats) -> Labelled:
    """The training set the solver sees: with dropout, masked copies that share each row's weight."""
    if not estimator.dropout or estimator.dropout_form == "expected":
        return Labelled(X, index, weights, of_classes)
    seed = check_random_state(estimator.random_state).randint(2**31)
    k = estimator.n_copies
    return Labelled(
        masked_copies(X, k, estimator.dropout, seed), np.tile(index, k), np.tile(weights / k, k), of_classes
    )
