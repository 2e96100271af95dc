"""Methods: who sees which rows and labels, and on what C is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from decaf.errors import UnknownName
from decaf.tasks.office import methods as module
from decaf.tasks.office.chosen import PREFERRED_CS, RELATIVE_CS, ChosenProbe
from decaf.tasks.office.methods import METHODS, Method, Sides, answer, methods_of
from decaf.tasks.office.splits import SAENKO, UNSUPERVISED
from tests.tasks.office.worlds import vectors

CLASSES = 4
BY_NAME = {method.name: method for method in METHODS}


def sides(of_target: int = 3, scale: float = 1.0) -> Sides:
    source_y, target_y, test_y = (np.repeat(np.arange(CLASSES), n) for n in (8, of_target, 6))
    source = scale * vectors("amazon", source_y)
    target = scale * vectors("webcam", np.concatenate([target_y, test_y]))
    n = len(target_y)
    return Sides(*(np.asarray(one) for one in (
        source.astype(np.float32), source_y, target[:n].astype(np.float32), target_y, target[n:].astype(np.float32)
    )), 0)  # fmt: skip


class Recorder(ChosenProbe):
    """A probe that remembers what it was given."""

    seen: list[tuple[Any, Any, Any]] = []

    def fit(self, X: Any, y: Any) -> Recorder:
        self.seen.append((np.asarray(X), np.asarray(y), self.cv))
        super().fit(X, y)
        return self


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, Any]]:
    monkeypatch.setattr(module, "ChosenProbe", Recorder)
    monkeypatch.setattr(Recorder, "seen", [])
    return Recorder.seen


PROBES = [m for m in METHODS if m.name not in ("1-NN (S)", "Hoffman et al. 2013 (MMDT)") and not m.name.endswith(
    ("(GFK)", "1-NN"))]  # fmt: skip


@pytest.mark.parametrize("method", PROBES, ids=lambda method: method.name)
@pytest.mark.parametrize("of_target", [3, 0])
def test_labels_and_folds_are_those_the_line_allows(method: Method, of_target: int, seen: list[Any]) -> None:
    if not of_target and not method.in_protocol(UNSUPERVISED):
        return
    given = sides(of_target)
    answer(method, given)
    (_, y, folds) = seen[-1]
    sources, targets = given.source_y.tolist(), given.target_y.tolist()
    expected = (sources if "S" in method.learns_from else []) + (targets if "T" in method.learns_from else [])
    assert y.tolist() == expected  # in this order, which the folds rely on
    by_target = "T" in method.learns_from and of_target
    n_source = len(sources) if by_target and "S" in method.learns_from else 0
    validated = np.concatenate([validation for _, validation in folds])
    assert sorted(validated) == list(range(n_source, len(expected)))  # each held out once; beside a target never source
    for train, validation in folds:
        assert not set(train) & set(validation) and set(range(n_source)) <= set(train)
        counts = np.bincount(y[validation], minlength=CLASSES)
        assert (counts == 1).all() if by_target else counts.min() >= 1


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_line_learns_and_the_labels_it_must_not_see_change_nothing(method: Method) -> None:
    given = sides()
    found = answer(method, given)
    truth = np.repeat(np.arange(CLASSES), 6)
    assert (found.predicted == truth).mean() > 0.6 and found.seconds > 0
    assert (found.C is None) == (method.name not in {one.name for one in PROBES})
    if method.learns_from == "S":
        turned = Sides(given.source, given.source_y, given.target, given.target_y[::-1], given.test, 0)
        np.testing.assert_array_equal(answer(method, turned).predicted, found.predicted)


def test_lines_without_adaptation_are_plain_classifiers() -> None:
    given = sides()
    nearest = KNeighborsClassifier(1).fit(given.source, given.source_y).predict(given.test)
    np.testing.assert_array_equal(answer(BY_NAME["1-NN (S)"], given).predicted, nearest)
    found = answer(BY_NAME["SVM (ST)"], given)
    X, y = np.concatenate([given.source, given.target]), np.concatenate([given.source_y, given.target_y])
    C = found.C / np.mean((X.astype(float) ** 2).sum(axis=1))
    reference = LinearSVC(C=C, dual=True, tol=1e-6, max_iter=100_000).fit(X.astype(float), y)
    np.testing.assert_array_equal(found.predicted, reference.predict(given.test))


@pytest.mark.parametrize("name", ["LogReg (S)", "SVM (ST)", "Daumé III 2007"])
def test_no_choice_hangs_on_the_scale_of_the_vectors(name: str) -> None:
    small, large = (answer(BY_NAME[name], sides(scale=scale)) for scale in (0.01, 30.0))
    assert small.C == large.C
    np.testing.assert_array_equal(small.predicted, large.predicted)


def test_among_equal_values_the_usual_one_is_taken() -> None:
    y = np.repeat([0, 1], 6)
    X = np.where(y[:, None] == 1, 1.0, -1.0) * np.ones((12, 3)) + 0.01 * np.random.default_rng(0).normal(size=(12, 3))
    for loss, C in PREFERRED_CS.items():
        assert C in RELATIVE_CS and ChosenProbe(loss).fit(X, y).C_ == C
    assert clone(ChosenProbe("logistic", random_state=3)).get_params() == {
        "loss": "logistic",
        "cv": None,
        "random_state": 3,
    }


def test_a_source_with_one_picture_of_a_class_can_be_learned_from() -> None:
    given = sides(of_target=0)
    keep = np.concatenate([[0], np.arange(8, len(given.source))])
    few = Sides(given.source[keep], given.source_y[keep], given.target, given.target_y, given.test, 0)
    assert answer(BY_NAME["SVM (S)"], few).C in RELATIVE_CS


def test_lines_of_a_protocol() -> None:
    names = [method.name for method in methods_of(UNSUPERVISED)]
    assert names == [
        "1-NN (S)", "LogReg (S)", "SVM (S)", "Gong et al. 2012 (GFK)", "Fernando et al. 2013 (SA), 1-NN",
        "Sun et al. 2016 (CORAL), SVM",
    ]  # fmt: skip
    assert len(methods_of(SAENKO)) == len(METHODS) == len({method.name for method in METHODS})
    chosen = [method.name for method in methods_of(SAENKO, ["gfk", "S"])]
    assert chosen == ["LogReg (S)", "SVM (S)", "LogReg (ST)", "SVM (ST)", "Gong et al. 2012 (GFK)"]  # with baselines
    assert [method.name for method in methods_of(UNSUPERVISED, ["CORAL"])] == [
        "SVM (S)",
        "Sun et al. 2016 (CORAL), SVM",
    ]
    with pytest.raises(UnknownName, match="'T' is no method of the unsupervised protocol: use one of NN, S, GFK, SA"):
        methods_of(UNSUPERVISED, ["T"])
    for method in METHODS:
        for protocol in (SAENKO, UNSUPERVISED):
            assert method.baseline(protocol) in ("", *BY_NAME) and method.baseline(protocol) != method.name
