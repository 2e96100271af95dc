"""Our estimators in SKADA's pipelines and scorers, SKADA's on the same arrays."""

from collections.abc import Iterator

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import cross_validate
from sklearn.preprocessing import StandardScaler

from decaf import adapt
from decaf.probe import LinearProbe
from tests.adapt.domains import rotated

METHODS = ["SourceOnly", "SourceAndTarget", "DaumeAugmentation", "GFK", "SubspaceAlignment", "CORAL", "MMDT"]


@pytest.fixture(autouse=True)
def routing() -> Iterator[None]:
    """SKADA switches scikit-learn's routing of metadata on for good; here for these tests only."""
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("name", METHODS)
def test_a_pipeline_of_skada(name):
    from skada import make_da_pipeline

    pair, method = rotated(), getattr(adapt, name)
    hide = not method._needs_target_labels  # the pipeline hides all labels of the target itself, unless told not to
    pipeline = make_da_pipeline(StandardScaler(), method(), mask_target_labels=hide)
    pipeline.fit(pair.X, pair.y.copy() if hide else pair.seen.copy(), sample_domain=pair.domain)
    predicted = pipeline.predict(pair.X[pair.target], sample_domain=pair.domain[pair.target])
    scaled = StandardScaler().fit_transform(pair.X)
    hidden = np.where(pair.target, -1, pair.y) if hide else pair.seen
    alone = method().fit(scaled, hidden, sample_domain=pair.domain)
    np.testing.assert_array_equal(predicted, alone.predict(scaled[pair.target]))


def test_the_scorers_of_skada():
    from skada import make_da_pipeline
    from skada.metrics import CircularValidation, ImportanceWeightedScorer, PredictionEntropyScorer, SupervisedScorer
    from skada.model_selection import SourceTargetShuffleSplit

    pair = rotated()
    model = adapt.CORAL(LinearProbe(loss="logistic")).set_score_request(sample_weight=True)
    scoring = {
        "supervised": SupervisedScorer(),
        "weighted": ImportanceWeightedScorer(),
        "entropy": PredictionEntropyScorer(),
        "circular": CircularValidation(),
    }
    with np.errstate(all="ignore"):
        found = cross_validate(
            make_da_pipeline(model),
            pair.X,
            np.where(pair.target, -1, pair.y),
            cv=SourceTargetShuffleSplit(n_splits=2, random_state=0),
            params={"sample_domain": pair.domain, "target_labels": pair.y.copy()},
            scoring=scoring,
            error_score="raise",
        )
    for name in scoring:
        assert np.isfinite(found[f"test_{name}"]).all()
    assert found["test_supervised"].mean() > 0.5
