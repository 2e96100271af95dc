"""What a probe is validated on: never a picture it learned from, and what a split says where it says it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from decaf.probe import LinearProbeCV, NothingToValidate, Split
from decaf.tasks.evaluate import evaluate
from tests.tasks.folders import blobs

NONE = np.empty(0, np.intp)


class Watched(LinearProbeCV):
    """Remembers its folds."""

    seen: list[tuple[list[int], list[int]]] = []

    def _folds(self, *arguments: object) -> list[tuple[np.ndarray, np.ndarray]]:
        folds = super()._folds(*arguments)  # type: ignore[arg-type]
        self.seen.append((folds[0][0].tolist(), folds[0][1].tolist()))
        return folds


def test_rows_of_one_picture_stay_together_when_c_is_chosen() -> None:
    labels = np.array(list("ab") * 24, dtype=object)
    picture = np.arange(48) % 16  # three rows each, of one class
    split = Split(np.flatnonzero(picture < 12), NONE, np.flatnonzero(picture >= 12))
    Watched.seen.clear()
    evaluate(blobs(labels), labels, [split], Watched(random_state=0), picture=picture)
    ((train, validation),) = Watched.seen
    of = picture[split.train]
    assert train and validation and not set(of[train]) & set(of[validation])


def test_a_split_may_say_what_to_validate_on() -> None:
    labels = np.array(list("ab") * 10, dtype=object)
    split = Split(np.arange(0, 8), np.arange(8, 12), np.arange(12, 20))
    Watched.seen.clear()
    evaluate(blobs(labels), labels, [split], Watched(random_state=0))
    assert Watched.seen == [(list(range(8)), list(range(8, 12)))]


def test_one_picture_of_each_class_takes_c_as_it_is() -> None:
    labels, picture = np.array(list("aabb") * 2, dtype=object), np.array([0, 0, 1, 1, 2, 2, 3, 3])
    split = Split(np.arange(4), NONE, np.arange(4, 8))
    with pytest.warns(NothingToValidate, match="nothing to validate on, C = 0.5 is taken"):
        found = evaluate(blobs(labels), labels, [split], LinearProbeCV(C_fixed=0.5), picture=picture)
    assert found.outcomes[0].C == 0.5 and found.summary.mean == 1


def test_confidence_is_the_lead_over_the_next_class() -> None:
    labels = np.array(list("abc") * 8, dtype=object)
    X = blobs(labels)
    split = Split(np.arange(12), NONE, np.arange(12, 24))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (outcome,) = evaluate(X, labels, [split], LinearProbeCV(random_state=0)).outcomes
    probe = LinearProbeCV(random_state=0).fit(X[:12], labels[:12])
    scores = np.sort(probe.decision_function(X[12:]), axis=1)
    np.testing.assert_allclose(outcome.confidence, scores[:, -1] - scores[:, -2], rtol=1e-5)
