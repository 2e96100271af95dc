"""The estimators keep scikit-learn's contract, and say in one line what is wrong."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import decaf
from decaf.errors import DecafError, ProbeError
from decaf.probe import LinearProbe, LinearProbeCV, NothingToValidate


def clusters(n: int = 120, d: int = 20, classes: int = 4, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    index = np.arange(n) % classes
    X = random.standard_normal((classes, d))[index] + spread * random.standard_normal((n, d))
    return np.abs(X).astype(np.float32), np.array(["ant", "bee", "cat", "dog", "eel"])[index]


@pytest.mark.parametrize("loss", ["svm", "logistic"])
@pytest.mark.parametrize("kind", [LinearProbe, LinearProbeCV])
def test_check_estimator(kind: type, loss: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(kind(loss=loss), on_skip=None)


@pytest.mark.parametrize("options", [{"transform": "standardize"}, {"transform": "l2"}, {"transform": "sqrt"}])
def test_check_estimator_with_transforms(options: dict[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(LinearProbe(**options), on_skip=None)


def test_a_setting_called_transform_makes_no_transformer() -> None:
    probe = LinearProbe(transform="sqrt")
    assert probe.get_params()["transform"] == "sqrt" and "transform='sqrt'" in repr(probe)
    assert probe.set_params(transform="l2").get_params()["transform"] == "l2"
    assert not hasattr(probe, "transform") and not hasattr(make_pipeline(StandardScaler(), probe), "transform")
    assert pickle.loads(pickle.dumps(probe)).get_params() == probe.get_params()


def test_transforms_are_what_they_say() -> None:
    X, y = clusters()
    X[:, 3] = 7  # constant
    by_hand = {
        "sqrt": np.sqrt(X),
        "l2": X / np.linalg.norm(X, axis=1, keepdims=True),
        "standardize": StandardScaler().fit_transform(X),
    }
    for name, features in by_hand.items():
        probe = LinearProbe(transform=name).fit(X, y)
        np.testing.assert_allclose(probe.coef_, LinearProbe().fit(features, y).coef_, atol=1e-4)
    signed = LinearProbe(transform="sqrt").fit(X, y).transform_(np.array([[-4.0, 9.0]]))
    assert signed.tolist() == [[-2.0, 3.0]]


def test_probabilities_only_where_there_are_any() -> None:
    X, y = clusters()
    assert not hasattr(LinearProbe().fit(X, y), "predict_proba")
    for classes in (y, np.where(y == "ant", "ant", "bee")):
        probe = LinearProbe("logistic", C=1).fit(X, classes)
        shares = probe.predict_proba(X)
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
        assert (probe.classes_[shares.argmax(axis=1)] == probe.predict(X)).all()
        np.testing.assert_allclose(np.log(shares), probe.predict_log_proba(X), atol=1e-5)


BAD = [
    ({"loss": "hinge"}, "loss 'hinge' is unknown: use svm or logistic"),
    ({"C": 0}, "C = 0: give a number above 0"),
    ({"C": float("nan")}, "C = nan"),
    ({"dropout": 1.0}, "dropout = 1.0: give a probability"),
    ({"n_copies": 0}, "n_copies = 0"),
    ({"tol": 0}, "tol = 0"),
    ({"transform": "log"}, "transform 'log' is unknown: use one of none, sqrt"),
    ({"class_weight": "even"}, "class_weight"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_settings_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ProbeError, match=message) as caught:
        LinearProbe(**options).fit(*clusters())
    assert "\n" not in str(caught.value)


def test_bad_input_is_named() -> None:
    X, y = clusters()
    assert issubclass(ProbeError, DecafError) and issubclass(ProbeError, ValueError)
    holed = X.copy()
    holed[[5, 9], 2] = np.nan
    for probe in (LinearProbe(), LinearProbeCV()):
        with pytest.raises(ProbeError, match="NaN or inf in 2 of 120 rows, the first is row 5"):
            probe.fit(holed, y)
        with pytest.raises(ProbeError, match=r"X is sparse: .*toarray"):
            probe.fit(sparse.csr_matrix(X), y)
        with pytest.raises(ProbeError, match=r"all labels are of one class, .*ant"):
            probe.fit(X, ["ant"] * len(X))
        with pytest.raises(ProbeError, match="inconsistent numbers of samples") as caught:
            probe.fit(X, y[:-1])
        assert "\n" not in str(caught.value)
        with pytest.raises(ProbeError, match="at least one non-zero"):
            probe.fit(X, y, np.zeros(len(X)))
        with pytest.raises(ProbeError, match=r"X contains NaN or inf"):
            probe.fit(X, y).predict(holed)
        with pytest.raises(ProbeError, match="is expecting 20 features"):
            probe.predict(X[:, :3])


def test_dropout_trains_on_masked_copies_and_halves_the_scores() -> None:
    from decaf.probe.inputs import masked_copies

    X, y = clusters()
    copies = masked_copies(X, 3, 0.5, 0)
    assert copies.shape == (360, 20) and set(np.unique(copies / np.tile(X, (3, 1)))) == {0.0, 1.0}
    assert abs((copies > 0).mean() - 0.5) < 0.02 and not np.array_equal(copies[:120], copies[120:240])
    probe = LinearProbe(dropout=0.5, n_copies=3, random_state=0).fit(X, y)
    again = LinearProbe(dropout=0.5, n_copies=3, random_state=0).fit(X, y)
    other = LinearProbe(dropout=0.5, n_copies=3, random_state=1).fit(X, y)
    assert np.array_equal(probe.coef_, again.coef_) and not np.array_equal(probe.coef_, other.coef_)
    np.testing.assert_allclose(probe.decision_function(X), 0.5 * X @ probe.coef_.T + probe.intercept_, rtol=1e-4)


def test_copies_share_a_rows_weight() -> None:
    X, y = clusters()
    drop = LinearProbe(dropout=1e-12, n_copies=5).fit(X, y)
    np.testing.assert_allclose(drop.coef_, LinearProbe().fit(X, y).coef_, atol=1e-5)


def test_cv_chooses_what_validation_says() -> None:
    X, y = clusters(240, spread=2.0)
    random = np.random.default_rng(1).permutation(240)
    folds = [(random[:160], random[160:]), (random[80:], random[:80])]
    Cs = [1e-4, 1e-2, 1.0]
    probe = LinearProbeCV(Cs=Cs, cv=folds, transforms=("none", "l2")).fit(X, y)
    expected = [
        [np.mean([balanced(LinearProbe(C=C, transform=t).fit(X[a], y[a]), X[b], y[b]) for a, b in folds]) for C in Cs]
        for t in ("none", "l2")
    ]
    np.testing.assert_allclose(probe.scores_, expected, atol=0.02)
    t, c = np.unravel_index(np.argmax(probe.scores_), probe.scores_.shape)
    assert (probe.C_, probe.transform_.name) == (Cs[c], ("none", "l2")[t])
    alone = LinearProbe(C=probe.C_, transform=probe.transform_.name).fit(X, y)
    np.testing.assert_allclose(probe.coef_, alone.coef_, atol=1e-4)


def balanced(probe: LinearProbe, X: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean([np.mean(probe.predict(X[y == k]) == k) for k in np.unique(y)]))


@pytest.mark.parametrize(("per_class", "held"), [(30, 5), (50, 8), (2, 1), (1, 0)])
def test_one_image_in_six_is_held_out(per_class: int, held: int) -> None:
    from decaf.probe.cv import hold_out

    index = np.repeat(np.arange(4), per_class)
    train, validation = hold_out(index, np.random.RandomState(0))
    assert (np.bincount(index[validation], minlength=4) == held).all()
    assert sorted([*train, *validation]) == list(range(4 * per_class))


def test_one_image_of_each_class_leaves_nothing_to_validate_on() -> None:
    X, y = clusters(4)
    with pytest.warns(NothingToValidate, match="nothing to validate on, C = 0.5 is taken"):
        probe = LinearProbeCV(C_fixed=0.5).fit(X, y)
    assert probe.C_ == 0.5 and probe.scores_ is None
    np.testing.assert_allclose(probe.coef_, LinearProbe(C=0.5).fit(X, y).coef_, atol=1e-6)


def test_folds_a_class_cannot_fill_are_named() -> None:
    X, y = clusters(20)
    y[0], y[4] = "eel", "eel"
    with pytest.raises(ProbeError, match=r"cv = 3: class .*eel.* has 2 images"):
        LinearProbeCV(cv=3).fit(X, y)
    with pytest.raises(ProbeError, match=r"class .*eel.* is in a validation part and not in its training part"):
        LinearProbeCV(cv=[(np.arange(5, 20), np.arange(5))]).fit(X, y)
    with pytest.raises(ProbeError, match="Cs and transforms"):
        LinearProbeCV(Cs=[]).fit(X, y)


def test_the_test_part_of_a_number_is_stratified() -> None:
    X, y = clusters(120)
    assert LinearProbeCV(cv=6, random_state=0).fit(X, y).score(X, y) > 0.9


def test_public_names() -> None:
    assert decaf.LinearProbe is LinearProbe and decaf.LinearProbeCV is LinearProbeCV


def test_of_equal_ones_the_smaller_c_and_the_earlier_transform_win() -> None:
    X, y = clusters(spread=0.01)
    probe = LinearProbeCV(Cs=[10.0, 1.0, 100.0], transforms=("l2", "none"), random_state=0).fit(X, y)
    assert probe.scores_.tolist() == [[1.0] * 3] * 2
    assert (probe.C_, probe.transform_.name) == (1.0, "l2")


def test_validation_counts_weights() -> None:
    X, y = clusters(60, spread=3.0)
    weights = np.random.default_rng(0).integers(1, 4, 60)
    folds = [(np.arange(30), np.arange(30, 60))]
    probe = LinearProbeCV(Cs=[0.01], cv=folds).fit(X, y, weights)
    alone = LinearProbe(C=0.01).fit(X[:30], y[:30], weights[:30])
    right = alone.predict(X[30:]) == y[30:]
    expected = [np.average(right[y[30:] == k], weights=weights[30:][y[30:] == k]) for k in np.unique(y)]
    np.testing.assert_allclose(probe.scores_[0, 0], np.mean(expected))
