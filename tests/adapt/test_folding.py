"""Coefficients say of target rows what the adapted classifier says."""

import numpy as np
import pytest
from sklearn.svm import SVC

from decaf.adapt import CORAL, GFK, DaumeAugmentation, SourceAndTarget, SourceOnly, SubspaceAlignment, TargetOnly
from decaf.adapt.folding import fold
from decaf.errors import AdaptError
from decaf.probe import LinearProbe
from tests.adapt.domains import rotated

METHODS = [
    SourceOnly, TargetOnly, SourceAndTarget, DaumeAugmentation, SubspaceAlignment, CORAL,
    lambda estimator, prepare: GFK(estimator, prepare=prepare),
    lambda estimator, prepare: DaumeAugmentation(estimator, form="explicit", prepare=prepare),
]  # fmt: skip


@pytest.mark.parametrize("prepare", ["none", "zscore", "l2", "l1-zscore"])
@pytest.mark.parametrize("number", range(len(METHODS)))
def test_every_linear_method_is_one_map_of_target_rows(number, prepare):
    pair = rotated(classes=2 + number % 2, d=9)
    model = METHODS[number](estimator=LinearProbe(C=0.1), prepare=prepare)
    model.fit(pair.X, pair.seen, sample_domain=pair.domain)
    coef, intercept = fold(model)
    X = pair.X[pair.target]
    norm = {"l1": np.abs(X).sum(axis=1), "l2": np.linalg.norm(X, axis=1)}.get(prepare[:2], np.ones(len(X)))
    scores = (X / norm[:, None]) @ coef.T + intercept
    expected = model.decision_function(X)
    np.testing.assert_allclose(scores[:, 0] if expected.ndim == 1 else scores, expected, rtol=1e-5, atol=1e-6)


def test_more_features_than_are_read_off_at_once():
    pair = rotated(d=1500, source=5, target=5, labelled=2)
    model = SubspaceAlignment(LinearProbe(), dimension=5).fit(pair.X, pair.seen, sample_domain=pair.domain)
    coef, intercept = fold(model)
    X = pair.X[pair.target]
    np.testing.assert_allclose(X @ coef.T + intercept, model.decision_function(X), rtol=1e-5, atol=1e-6)


def test_what_has_no_coefficients_says_so():
    pair = rotated()
    with pytest.raises(AdaptError, match="GFK with KNeighborsClassifier has no coefficients: give a linear classifier"):
        fold(GFK().fit(pair.X, pair.seen, sample_domain=pair.domain))
    curved = DaumeAugmentation(LinearProbe(), kernel="rbf").fit(pair.X, pair.seen, sample_domain=pair.domain)
    with pytest.raises(AdaptError, match="does not map the target's features linearly"):
        fold(curved)
    with pytest.raises(AdaptError, match="does not map"):
        fold(SourceOnly(SVC(kernel="rbf", decision_function_shape="ovr")).fit(pair.X, pair.seen, pair.domain))
