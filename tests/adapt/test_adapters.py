"""What all adaptation methods promise."""

import inspect

import numpy as np
import pytest
from scipy import linalg
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

import decaf.adapt
from decaf.adapt import (
    CORAL,
    GFK,
    Adapter,
    DaumeAugmentation,
    SourceAndTarget,
    SourceOnly,
    SubspaceAlignment,
    TargetOnly,
)
from decaf.errors import AdaptError, DecafError
from decaf.probe import LinearProbe
from tests.adapt.domains import rotated

METHODS = [
    method
    for method in (getattr(decaf.adapt, name) for name in decaf.adapt.__all__)
    if inspect.isclass(method) and issubclass(method, Adapter) and method is not Adapter
]
ALIGNING = [method for method in METHODS if method._aligns]
UNSUPERVISED = [method for method in ALIGNING if not method._needs_target_labels]


def alternating(y):
    _, index = np.unique(y, return_inverse=True)
    place = np.array([np.sum(index[:row] == label) for row, label in enumerate(index)])
    return np.where(place % 2, -1, 1)


def of_alternating_domains(method):
    """The same method, every other row of each class its target: scikit-learn's checks know nothing of domains."""

    class Alternating(method):
        def fit(self, X, y, sample_domain=None):
            if sample_domain is None and y is not None and np.asarray(y).size > 1:
                sample_domain = alternating(np.ravel(np.asarray(y)))
            return super().fit(X, y, sample_domain)

        _get_param_names = classmethod(lambda cls: method._get_param_names())

    Alternating.__name__ = Alternating.__qualname__ = f"Alternating{method.__name__}"
    globals()[Alternating.__name__] = Alternating  # pickle looks for it here
    return Alternating()


def left_out(estimator):
    """Checks that domains rule out, and why."""
    reasons = {"check_classifiers_classes": "it has a class -1, which marks rows without a label"}
    if isinstance(estimator, SubspaceAlignment):
        reasons["check_classifiers_train"] = "two features, of which the measure takes one"
    return reasons


@parametrize_with_checks([of_alternating_domains(method) for method in METHODS], expected_failed_checks=left_out)
def test_scikit_learn_takes_it_for_an_estimator(estimator, check):
    check(estimator)


def test_every_method_is_tested():
    assert {method.__name__ for method in METHODS} >= {
        "SourceOnly", "TargetOnly", "SourceAndTarget", "DaumeAugmentation", "GFK", "SubspaceAlignment", "CORAL", "MMDT",
    }  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_labels_of_any_kind_and_rows_in_any_order(method):
    pair = rotated()
    names = np.array(["cat", "dog", "owl"], object)
    y = np.array([None if label < 0 else names[label] for label in pair.seen], object)
    numbers = clone(method()).fit(pair.X, pair.seen, sample_domain=pair.domain)
    order = np.random.default_rng(0).permutation(len(y))
    words = method().fit(pair.X[order], y[order], sample_domain=pair.domain[order])
    assert words.classes_.tolist() == ["cat", "dog", "owl"]
    agreement = np.mean(words.predict(pair.X[pair.target]) == names[numbers.predict(pair.X[pair.target])])
    assert agreement > 0.95
    assert (
        numbers.decision_function(pair.X[:5], allow_source=True).shape == (5, 3)
        if hasattr(numbers, "decision_function")
        else numbers.predict_proba(pair.X[:5]).shape == (5, 3)
    )


@pytest.mark.parametrize("method", METHODS)
def test_float32_gives_the_same_classes(method):
    pair = rotated()
    target = pair.X[pair.target]
    double = method().fit(pair.X, pair.seen, sample_domain=pair.domain).predict(target)
    single = (
        method().fit(pair.X.astype(np.float32), pair.seen, sample_domain=pair.domain).predict(target.astype(np.float32))
    )
    assert np.mean(double == single) > 0.98


@pytest.mark.parametrize("method", UNSUPERVISED)
def test_labels_of_test_rows_are_never_needed(method):
    pair = rotated(labelled=0)
    model = method().fit(pair.X, pair.seen, sample_domain=pair.domain)
    assert model.score(pair.X[pair.target], pair.y[pair.target]) > 0.5
    without = method().fit(pair.X, pair.seen)  # rows without a label are the target
    np.testing.assert_array_equal(model.predict(pair.X[pair.target]), without.predict(pair.X[pair.target]))


@pytest.mark.parametrize("method", METHODS)
def test_a_column_of_several_targets_and_sources_works(method):
    pair = rotated()
    several = np.where(pair.target, -2 - np.arange(len(pair.y)) % 2, 1 + np.arange(len(pair.y)) % 2)
    one = method().fit(pair.X, pair.seen, sample_domain=pair.domain).predict(pair.X[pair.target])
    np.testing.assert_array_equal(
        method().fit(pair.X, pair.seen, sample_domain=several).predict(pair.X[pair.target]), one
    )


def test_baselines_are_the_classifier_on_their_rows():
    pair = rotated()
    labelled = pair.target & (pair.seen >= 0)
    rows = {SourceOnly: ~pair.target, TargetOnly: labelled, SourceAndTarget: ~pair.target | labelled}
    for method, used in rows.items():
        expected = LinearProbe(C=0.1).fit(pair.X[used], pair.y[used]).decision_function(pair.X[pair.target])
        model = method(LinearProbe(C=0.1)).fit(pair.X, pair.seen, sample_domain=pair.domain)
        np.testing.assert_allclose(model.decision_function(pair.X[pair.target]), expected, rtol=1e-6, atol=1e-9)


def test_weights_of_domains_reach_the_classifier():
    pair = rotated()
    used = pair.seen >= 0
    weights = np.where(pair.target, 5.0, 0.5)[used]
    expected = LogisticRegression().fit(pair.X[used], pair.y[used], sample_weight=weights)
    model = SourceAndTarget(LogisticRegression(), 0.5, 5.0).fit(pair.X, pair.seen, sample_domain=pair.domain)
    np.testing.assert_allclose(model.predict_proba(pair.X[pair.target]), expected.predict_proba(pair.X[pair.target]))


@pytest.mark.parametrize(
    "estimator", [LinearProbe(C=0.5, tol=1e-8), RidgeClassifier(fit_intercept=False), SVC(kernel="linear")]
)
def test_the_kernel_form_of_augmentation_is_the_explicit_one(estimator):
    for d in (5, 40):
        pair = rotated(d=d)
        explicit, kernel = (
            DaumeAugmentation(estimator, form=form).fit(pair.X, pair.seen, sample_domain=pair.domain)
            for form in ("explicit", "kernel")
        )
        found = [model.decision_function(pair.X, pair.domain, allow_source=True) for model in (explicit, kernel)]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-5)


def test_augmentation_by_hand():
    X, target = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([False, True])
    pair = rotated(d=2)
    model = DaumeAugmentation(form="explicit").fit(pair.X, pair.seen, sample_domain=pair.domain)
    assert model._coordinates(X, target).tolist() == [[1, 2, 1, 2, 0, 0], [3, 4, 0, 0, 3, 4]]


def test_augmentation_with_another_kernel_is_the_support_vector_machine_on_it():
    from sklearn.metrics.pairwise import rbf_kernel

    pair = rotated()
    used = pair.seen >= 0
    same = pair.target[:, None] == pair.target[None, used]
    K = rbf_kernel(pair.X, pair.X[used], gamma=1 / 12) * (1 + same)
    expected = SVC(kernel="precomputed").fit(K[used], pair.y[used]).decision_function(K)
    model = DaumeAugmentation(SVC(kernel="linear"), kernel="rbf").fit(pair.X, pair.seen, sample_domain=pair.domain)
    found = model.decision_function(pair.X, pair.domain, allow_source=True)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("d", [12, 200])
def test_coral_is_the_formula(d):
    pair = rotated(d=d)
    source, target = pair.X[~pair.target], pair.X[pair.target]
    model = CORAL(ridge=0.7, prepare="none").fit(pair.X, pair.seen, sample_domain=pair.domain)
    Cs, Ct = (np.cov(X.T) + 0.7 * np.eye(d) for X in (source, target))
    expected = source @ linalg.inv(linalg.sqrtm(Cs)) @ linalg.sqrtm(Ct)
    np.testing.assert_allclose(model._coordinates(source, np.zeros(len(source), bool)), expected, atol=1e-9)
    np.testing.assert_array_equal(model._coordinates(target, np.ones(len(target), bool)), target)


def test_coral_and_alignment_agree_with_skada():
    from skada import CORALAdapter, SubspaceAlignmentAdapter

    pair = rotated(d=8)
    X = pair.X - np.where(pair.target[:, None], pair.X[pair.target].mean(axis=0), pair.X[~pair.target].mean(axis=0))
    theirs = CORALAdapter(reg=0).fit_transform(X, pair.seen, sample_domain=pair.domain)
    ours = CORAL(ridge=1e-9, prepare="none").fit(X, pair.seen, sample_domain=pair.domain)
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    found = ours._coordinates(X, pair.target)
    found[~pair.target] *= np.sqrt(89 / 90 * 60 / 59) ** -1  # they divide by n, we by n - 1
    np.testing.assert_allclose(found, theirs, atol=1e-4)
    other = SubspaceAlignmentAdapter(n_components=3).fit_transform(X, pair.seen, sample_domain=pair.domain)
    other = other[0] if isinstance(other, tuple) else other
    model = SubspaceAlignment(dimension=3).fit(X, pair.seen, sample_domain=pair.domain)
    mine = model._coordinates(X, pair.target)
    np.testing.assert_allclose(mine @ mine.T, other @ other.T, atol=1e-6)  # signs of directions are free


def test_zscores_are_of_each_domain():
    pair = rotated()
    model = SourceOnly(prepare="l1-zscore").fit(pair.X, pair.seen, sample_domain=pair.domain)
    prepared = model.preparation_(pair.X, pair.target)
    unit = pair.X / np.abs(pair.X).sum(axis=1, keepdims=True)
    for rows in (pair.target, ~pair.target):
        expected = (unit[rows] - unit[rows].mean(axis=0)) / unit[rows].std(axis=0, ddof=1)
        np.testing.assert_allclose(prepared[rows], expected, atol=1e-10)


def test_rows_of_zeros_and_constant_features_stay_finite():
    pair = rotated()
    X = pair.X.copy()
    X[3], X[:, 5] = 0, 7
    for method in METHODS:
        model = method(prepare="l2-zscore").fit(X, pair.seen, sample_domain=pair.domain)
        assert np.isfinite(model.predict(X[pair.target])).all()


BAD = {
    "one domain": (lambda p: {"y": p.y, "sample_domain": np.ones(len(p.y), int)}, "the target has 0 rows"),
    "target alone": (lambda p: {"sample_domain": -np.ones(len(p.y), int)}, "the source has 0 rows"),
    "zero": (lambda p: {"sample_domain": p.domain * (np.arange(len(p.y)) != 2)}, "give a positive number for each"),
    "too short": (lambda p: {"sample_domain": p.domain[:-1]}, "149 numbers for 150 rows"),
    "source without labels": (lambda p: {"y": np.where(np.arange(len(p.y)) == 4, -1, p.seen)}, "source row 4 has"),
    "no label": (lambda p: {"y": np.full(len(p.y), -1)}, "marks target rows without a label|no row has a label"),
    "one class": (lambda p: {"y": np.where(p.seen < 0, -1, 0)}, "all labels are of one class"),
    "new class": (lambda p: {"y": np.where((p.seen >= 0) & p.target, p.seen + 1, p.seen)}, "class 3 has"),
    "NaN": (lambda p: {"X": np.where(np.arange(len(p.y))[:, None] == 7, np.nan, p.X)}, "row 7"),
    "sparse": (lambda p: {"X": __import__("scipy.sparse").sparse.csr_matrix(p.X)}, "X is sparse"),
    "no y": (lambda p: {"y": None}, "requires y"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("method", ALIGNING)
def test_bad_input_is_one_line(method, case):
    pair = rotated()
    change, message = BAD[case]
    given = {"X": pair.X, "y": pair.seen, "sample_domain": pair.domain} | change(pair)
    with pytest.raises(DecafError, match=message) as caught:
        method().fit(**given)
    assert "\n" not in str(caught.value)


def test_the_baselines_need_their_rows():
    pair = rotated(labelled=0)
    few = np.where((pair.seen < 0) & (np.arange(len(pair.y)) == 149), pair.y, pair.seen)
    with pytest.raises(AdaptError, match="the labelled target rows are of 1 classes"):
        TargetOnly().fit(pair.X, few, sample_domain=pair.domain)
    SourceOnly().fit(pair.X[~pair.target], pair.y[~pair.target], sample_domain=1)
    with pytest.raises(AdaptError, match="SourceOnly with prepare='zscore' needs 2"):
        SourceOnly(prepare="zscore").fit(pair.X[~pair.target], pair.y[~pair.target], sample_domain=1)


@pytest.mark.parametrize("method", [method for method in METHODS if method._needs_target_labels])
def test_what_needs_labels_of_the_target_says_so(method):
    pair = rotated(labelled=0)
    with pytest.raises(AdaptError, match=f"{method.__name__} learns from labelled target rows, and there are none"):
        method().fit(pair.X, pair.seen, sample_domain=pair.domain)


def test_source_rows_are_predicted_only_when_asked_for():
    pair = rotated()
    model = CORAL().fit(pair.X, pair.seen, sample_domain=pair.domain)
    with pytest.raises(AdaptError, match=r"90 rows are of the source: pass allow_source=True"):
        model.predict(pair.X, pair.domain)
    assert model.score(pair.X, pair.y, sample_domain=pair.domain, allow_source=True) > 0.8


def test_probabilities_where_the_classifier_has_them():
    pair = rotated()
    assert hasattr(GFK(), "predict_proba")
    assert not hasattr(CORAL(), "predict_proba")
    model = CORAL(LinearProbe(loss="logistic")).fit(pair.X, pair.seen, sample_domain=pair.domain)
    np.testing.assert_allclose(model.predict_proba(pair.X[pair.target]).sum(axis=1), 1)
    assert not hasattr(GFK(KNeighborsClassifier()).fit(pair.X, pair.seen, pair.domain), "decision_function")
