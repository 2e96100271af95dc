"""An adaptation from two feature sets to labels, numbers, a report and a model."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

import decaf
from decaf.adapt import CORAL, GFK, SourceAndTarget, SourceOnly
from decaf.adapt.selection import circular_validation
from decaf.errors import AdaptError, ModelError, ProbeError, UnknownName
from decaf.probe import LinearProbe, LinearProbeCV
from decaf.tasks.adapt_methods import METHODS, Classifier, candidates, methods_named
from decaf.tasks.adapt_output import adapted_model, predictions, to_dict
from decaf.tasks.adapt_report import write_adapt_report
from decaf.tasks.adapting import CHOSEN, Adapted, Settings, _choice, plan_adaptation, run_adaptation
from decaf.tasks.domain_pair import DomainPair, Labelling, load_pair
from decaf.tasks.labelling import records
from decaf.tasks.model import Model
from tests.adapt.domains import rotated
from tests.tasks.folders import write_features

NAMES = np.array(["cat", "dog", "日本 <b>"], object)
FEW = ("source-only", "coral", "gfk")


@pytest.fixture
def sets(tmp_path: Path) -> tuple[decaf.FeatureSet, decaf.FeatureSet]:
    """A target that is turned away from the source; one of its pictures is torn."""
    pair = rotated(seed=2, d=10, angle=1.1, source=12, target=9)
    labels = NAMES[pair.y]
    torn = [None] * 26 + ["torn"]
    X = pair.X.astype(np.float32)
    source = write_features(tmp_path / "source", X[~pair.target], labels[~pair.target])
    return source, write_features(tmp_path / "target", X[pair.target], labels[pair.target], errors=torn)


@pytest.fixture
def pair(sets: tuple[decaf.FeatureSet, decaf.FeatureSet]) -> DomainPair:
    return load_pair(*sets)


def adapted(pair: DomainPair, *methods: str, **settings: Any) -> Adapted:
    return run_adaptation(plan_adaptation(pair, Settings(methods=methods, **settings)))


def by_hand(pair: DomainPair, model: Any, taught: Any = None) -> Any:
    y = np.concatenate([pair.y, np.full(len(pair.truth), None, object) if taught is None else taught])
    return model.fit(pair.X, y, sample_domain=np.repeat([1, -1], [pair.n, len(pair.truth)]))


def test_labels_of_the_target_are_only_tested_on(pair: DomainPair) -> None:
    found = adapted(pair, "coral", prepares=("none",))
    expected = by_hand(pair, CORAL(LinearProbeCV(random_state=0), prepare="none")).predict(pair.X[pair.n :])
    np.testing.assert_array_equal(found.best.predicted, expected)
    assert found.scores["coral"].accuracy == pytest.approx(balanced_accuracy_score(*map(list, (pair.truth, expected))))
    without = by_hand(pair, SourceOnly(LinearProbeCV(random_state=0))).predict(pair.X[pair.n :])
    np.testing.assert_array_equal(found.unadapted.predicted, without)
    assert list(found.scores) == ["source-only", "coral", CHOSEN] and found.plan.select == ""
    change = found.scores["coral"].change
    assert change and change.mended == np.sum((expected == pair.truth) & (without != pair.truth))
    assert found.chosen == ["coral"] and np.isnan(found.best.validation)


def test_wrong_test_labels_change_the_accuracy_and_nothing_else(pair: DomainPair) -> None:
    other = replace(pair, truth=np.roll(pair.truth, 7))
    for select in ("circular", "iw"):
        found, again = (adapted(one, *FEW, select=select, dimensions=(3,)) for one in (pair, other))
        assert found.chosen == again.chosen
        for name in FEW:
            np.testing.assert_array_equal(found.fits[0][name].predicted, again.fits[0][name].predicted)
            assert found.fits[0][name].validation == again.fits[0][name].validation
        assert found.scores[CHOSEN].accuracy != again.scores[CHOSEN].accuracy


def test_what_validation_says_is_followed(pair: DomainPair) -> None:
    found = adapted(pair, *FEW, select="circular")
    fit = found.fits[0]["coral"]
    y = np.concatenate([pair.y, np.full(len(pair.truth), None, object)])
    domain = np.repeat([1, -1], [pair.n, len(pair.truth)])
    estimator = CORAL(LinearProbe(C=fit.C, random_state=0), prepare=fit.candidate.prepare)
    assert fit.validation == pytest.approx(circular_validation(estimator, pair.X, y, domain))
    assert found.best is found.fits[0][found.chosen[0]]


@pytest.mark.parametrize(
    ("validations", "chosen"),
    [
        ((0.9, 0.92, 0.91), "source-only"),  # one standard error of 36 rows is 0.045
        ((0.8, 0.92, 0.91), "coral"),
        ((0.8, 0.86, 0.92), "gfk"),
        ((0.96, 1.0, 0.9), "coral"),  # no error where all is right
    ],
)
def test_of_methods_that_are_not_told_apart_the_simplest(
    pair: DomainPair, validations: tuple[float, ...], chosen: str
) -> None:
    found = adapted(pair, *FEW, select="circular")
    fits = {name: replace(found.fits[0][name], validation=v) for name, v in zip(FEW, validations, strict=True)}
    assert _choice(found.plan, found.plan.parts[0], fits, found.apart) == chosen
    oracle = replace(found.plan, select="oracle")
    assert _choice(oracle, oracle.parts[0], fits, found.apart) == FEW[int(np.argmax(validations))]


def test_the_oracle_takes_the_most_accurate(pair: DomainPair) -> None:
    found = adapted(pair, select="oracle", dimensions=(2, 5))
    names = [method.name for method in found.plan.asked]
    assert found.scores[CHOSEN].accuracy == max(found.scores[name].accuracy for name in names)
    assert {"source-only", "coral", "gfk", "gfk-svm", "subspace-alignment"} <= set(names)
    assert not any(METHODS[name].needs_labels for name in names)


def test_of_several_settings_the_best_in_validation(pair: DomainPair) -> None:
    plan = plan_adaptation(pair, Settings(("gfk",), dimensions=(1, 4), prepares=("none", "zscore")))
    assert plan.steps == 7 and plan.select == "circular"  # source-only beside six of gfk
    steps: list[int] = []
    found = run_adaptation(plan, lambda: steps.append(1))
    assert len(steps) == 7
    y, domain = np.concatenate([pair.y, np.full(26, None, object)]), np.repeat([1, -1], [pair.n, 26])
    measured = GFK().fit(pair.X, y, domain).dimension_, GFK(prepare="zscore").fit(pair.X, y, domain).dimension_
    each = {
        (prepare, k): circular_validation(GFK(dimension=k, prepare=prepare), pair.X, y, domain)
        for prepare, dimension in zip(("none", "zscore"), measured, strict=True)
        for k in (dimension, 1, 4)
    }
    best = max(each.values())
    assert found.best.validation == pytest.approx(best)
    assert each[found.best.candidate.prepare, found.best.candidate.dimension] == pytest.approx(best)


def names_of(method: str, *, prepares: tuple[str, ...] = (), dimensions: tuple[int, ...] = (), room: int = 1000) -> Any:
    return [(one.prepare, one.dimension) for one in candidates(METHODS[method], prepares, dimensions, room)]


def test_what_is_tried_where_nothing_is_said() -> None:
    assert names_of("source-only") == [("none", None)] and names_of("zscore") == [("zscore", None)]
    assert names_of("coral") == [("none", None), ("zscore", None)]
    assert names_of("gfk", room=50) == [(p, k) for p in ("none", "zscore") for k in (None, 20)]
    assert names_of("subspace-alignment", prepares=("l2",)) == [("l2", None), ("l2", 20), ("l2", 80)]
    assert names_of("gfk", prepares=("l2",), dimensions=(7,), room=1) == [("l2", None), ("l2", 7)]


def test_what_adapts_nothing_gets_no_zscores() -> None:
    assert names_of("source-only", prepares=("zscore", "l2-zscore", "l1")) == [
        ("none", None),
        ("l2", None),
        ("l1", None),
    ]
    assert names_of("zscore", prepares=("l2", "l2-zscore")) == [("l2-zscore", None)]
    assert names_of("zscore", prepares=("l2",)) == [("zscore", None)]


def test_a_few_labels_of_the_target_are_learned_from(pair: DomainPair) -> None:
    found = adapted(pair, "daume", "coral", n_taught=2, n_splits=3)
    assert [method.name for method in found.plan.baselines] == ["source-and-target", "source-only", "target-only"]
    assert found.plan.select == "labelled"
    for part in found.plan.parts:
        taught = part.taught != np.full(len(part.taught), None)
        assert taught.sum() == 6 and not (taught & part.tested).any() and (taught | part.tested).all()
    assert len({tuple(part.tested) for part in found.plan.parts}) == 3
    part = found.plan.parts[1]
    expected = by_hand(pair, SourceAndTarget(LinearProbeCV(random_state=0)), part.taught)
    np.testing.assert_array_equal(found.fits[1]["source-and-target"].predicted, expected.predict(pair.X[pair.n :]))
    rows = part.tested
    accuracy = balanced_accuracy_score(list(pair.truth[rows]), list(found.fits[1]["daume"].predicted[rows]))
    assert found.scores["daume"].splits[1] == pytest.approx(accuracy)
    assert found.scores["source-and-target"].change is None and found.scores["source-only"].change is not None


def test_labels_of_a_file_are_learned_from_and_the_others_tested_on(
    sets: tuple[decaf.FeatureSet, decaf.FeatureSet], tmp_path: Path
) -> None:
    target = sets[1]
    few = "".join(f"{target.paths[row]},{target.labels[row]}\n" for row in (0, 1, 10, 20))
    (tmp_path / "few.csv").write_text("path,label\n" + few)
    pair = load_pair(*sets, Labelling(taught=str(tmp_path / "few.csv")))
    found = adapted(pair, "daume", "target-only")
    assert found.plan.parts[0].tested.sum() == 22 and found.plan.select == "labelled"
    used = [row["used"] for row in records(predictions(found))]
    assert [used.count(what) for what in ("training", "testing", None)] == [4, 22, 1]
    unlabelled = load_pair(*sets, Labelling(taught=str(tmp_path / "few.csv"), target_has_none=True))
    again = adapted(unlabelled, "daume", "target-only")
    assert again.scores == {} and again.chosen == found.chosen
    np.testing.assert_array_equal(again.best.predicted, found.best.predicted)
    with pytest.raises(AdaptError, match="draws what --target-labelled names"):
        plan_adaptation(pair, Settings(n_taught=1))


def test_circular_validation_leaves_out_what_has_no_way_back(pair: DomainPair, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_adaptation(pair, Settings(n_taught=1, n_splits=1))
    assert plan.select == "circular"  # no class has two labels to hold one out
    (note,) = plan.notes
    assert note.startswith("circular validation cannot judge target-only") and "to choose from" in note
    assert "target-only" not in [method.name for method in plan.asked]
    assert "target-only" in [method.name for method in plan.methods]  # measured all the same
    monkeypatch.setitem(METHODS, "other", replace(METHODS["target-only"], name="other"))
    with pytest.raises(UnknownName, match="circular validation cannot judge target-only, other: name another --method"):
        plan_adaptation(pair, Settings(("target-only", "other"), "circular", n_taught=1))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (Settings(("dance",)), UnknownName, "no method 'dance': use auto or one of source-and-target"),
        (Settings(("daume",)), UnknownName, "daume needs labels of the target to learn from: name a few"),
        (Settings(select="labelled"), AdaptError, "no class has two: use circular or iw"),
        (Settings(select="guess"), UnknownName, "no selection 'guess'"),
        (Settings(n_taught=50), ProbeError, "class 'cat' has 9 rows, the split needs 51"),
    ],
)
def test_what_cannot_be_planned(pair: DomainPair, settings: Settings, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plan_adaptation(pair, settings)


def test_without_labels_there_are_predictions_only(sets: tuple[decaf.FeatureSet, decaf.FeatureSet]) -> None:
    pair = load_pair(*sets, Labelling(target_has_none=True))
    found = adapted(pair, *FEW)
    assert found.scores == {} and found.chosen[0] in FEW
    about = to_dict(found)
    assert "accuracy" not in about["methods"][0] and about["target"]["tested"] == [0]
    json.dumps(about, allow_nan=False)
    with pytest.raises(AdaptError, match="looks at the test labels, and there are none"):
        plan_adaptation(pair, Settings(select="oracle"))
    with pytest.raises(AdaptError, match="draws from the target's labels, and it has none"):
        plan_adaptation(pair, Settings(n_taught=1))


def test_every_row_has_its_line_and_a_broken_one_its_reason(pair: DomainPair) -> None:
    found = adapted(pair, *FEW)
    rows = list(records(predictions(found)))
    assert [row["path"] for row in rows] == pair.target.paths.tolist()
    assert rows[26]["error"] == "torn" and rows[26]["label"] is rows[26]["unadapted"] is rows[26]["known"] is None
    assert [row["label"] for row in rows[:26]] == found.best.predicted.tolist()
    assert [row["known"] for row in rows[:26]] == pair.truth.tolist()
    assert [row["unadapted"] for row in rows[:26]] == found.unadapted.predicted.tolist()
    np.testing.assert_allclose([row["confidence"] for row in rows[:26]], found.best.sureness)


def test_left_out_classes_are_predicted_and_not_tested(
    sets: tuple[decaf.FeatureSet, decaf.FeatureSet], tmp_path: Path
) -> None:
    labels = sets[1].labels.copy()
    labels[:9] = "emu"
    target = write_features(tmp_path / "odd", sets[1].X()[:26], labels[:26])
    pair = load_pair(sets[0], target, Labelling(shared_classes=True))
    found = adapted(pair, "coral")
    assert found.plan.parts[0].tested.sum() == 17
    said = predictions(found)
    assert [row["used"] for row in records(said)][:9] == ["left out"] * 9
    assert set(said.labels) <= set(pair.classes)


@pytest.mark.parametrize("loss", ["svm", "logistic"])
@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.linear])
def test_the_model_says_of_the_target_what_was_predicted(
    pair: DomainPair, tmp_path: Path, method: str, loss: str
) -> None:
    settings = {"n_taught": 3, "n_splits": 1} if METHODS[method].needs_labels else {}
    found = adapted(pair, method, classifier=Classifier(loss), **settings)
    adapted_model(found).save(tmp_path / "m")
    model = Model.load(tmp_path / "m")
    said = model.predict(pair.target)
    assert said.labels[:26].tolist() == found.best.predicted.tolist() and said.labels[26] is None
    np.testing.assert_allclose(said.scores[:26, 0], found.best.sureness, rtol=1e-3, atol=1e-3)
    assert model.about["method"] == method and model.confidence == predictions(found).confidence


def test_a_model_of_rows_of_length_one(pair: DomainPair, tmp_path: Path) -> None:
    found = adapted(pair, "gfk-svm", prepares=("l2-zscore",))
    adapted_model(found).save(tmp_path / "m")
    assert Model.load(tmp_path / "m").predict(pair.target).labels[:26].tolist() == found.best.predicted.tolist()
    for method, prepare, message in (("gfk", "l2", "gfk makes no model file"), ("coral", "l1", "knows no l1 norm")):
        with pytest.raises(ModelError, match=message):
            adapted_model(adapted(pair, method, prepares=(prepare,)))


def test_two_classes(sets: tuple[decaf.FeatureSet, decaf.FeatureSet], tmp_path: Path) -> None:
    parts = []
    for name, one in zip("st", sets, strict=True):
        kept = one[[label != NAMES[2] for label in one.labels]]
        parts.append(write_features(tmp_path / name, kept.X(), kept.labels))
    pair = load_pair(*parts)
    found = adapted(pair, "coral", "gfk", select="iw")
    assert found.scores["coral"].accuracy > 0.3 and (found.fits[0]["coral"].sureness >= 0).all()
    adapted_model(adapted(pair, "coral")).save(tmp_path / "m")
    labels = Model.load(tmp_path / "m").predict(pair.target).labels
    assert labels.tolist() == found.fits[0]["coral"].predicted.tolist()


def test_rows_of_one_picture_do_not_choose_C(sets: tuple[decaf.FeatureSet, decaf.FeatureSet], tmp_path: Path) -> None:
    source = sets[0]
    paths = [f"p/{row // 3}" for row in range(len(source))]
    views = write_features(tmp_path / "v", source.X(), source.labels, paths, region=[str(r) for r in range(len(paths))])
    pair = load_pair(views, sets[1])
    classifier = Classifier().choosing(pair.y, pair.picture[: pair.n])
    ((train, validation),) = classifier.cv
    assert not set(pair.picture[train]) & set(pair.picture[validation]) and len(validation)
    assert adapted(pair, "coral").scores["coral"].accuracy > 0.3
    drawn = plan_adaptation(pair, Settings(n_taught=2, n_splits=2))
    assert all((part.tested.sum()) == 20 for part in drawn.parts)


def test_the_report(pair: DomainPair, tmp_path: Path) -> None:
    found = adapted(pair, "coral", "gfk")
    about = {**to_dict(found), "notes": ["a note <script>"]}
    files = write_adapt_report(found, about, tmp_path)
    written = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert set(files) == written >= {"report.html", "report.md", "adapt.json", "methods.png", "per_class.csv"}
    page = (tmp_path / "report.html").read_text()
    assert "a note &lt;script&gt;" in page and "<script>" not in page and "日本" in page
    assert json.loads((tmp_path / "adapt.json").read_text()) == about
    lines = list(csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines()))
    right = (found.best.predicted == pair.truth)[pair.truth == "cat"].mean()
    (cat,) = [line for line in lines if line["class"] == "cat"]
    assert float(cat["adapted"]) == pytest.approx(right, abs=1e-5)


def test_the_report_where_nothing_is_tested(sets: tuple[decaf.FeatureSet, decaf.FeatureSet], tmp_path: Path) -> None:
    pair = load_pair(*sets, Labelling(target_has_none=True))
    found = adapted(pair, "gfk")
    changed = (found.best.predicted != found.unadapted.predicted).any()
    files = write_adapt_report(found, {**to_dict(found), "notes": []}, tmp_path)
    assert ("changed.png" in files) == changed and "methods.png" not in files
    assert "what is right cannot be said" in (tmp_path / "report.md").read_text()


def test_the_verdict_follows_the_interval(pair: DomainPair, tmp_path: Path) -> None:
    found = adapted(pair, "coral")
    for low, high, words in ((0.1, 0.3, "helps"), (-0.3, -0.1, "does harm"), (-0.1, 0.1, "cannot be told")):
        score = found.scores["coral"]
        assert score.change
        said = replace(score, change=replace(score.change, interval=(low, high)))
        other = replace(found, scores={**found.scores, CHOSEN: said})
        write_adapt_report(other, {**to_dict(other), "notes": []}, tmp_path)
        assert words in (tmp_path / "report.md").read_text()


def test_auto_takes_all_that_can_be_used() -> None:
    assert methods_named((), True) == methods_named(("auto",), True) == list(METHODS.values())
    assert {method.name for method in methods_named((), False)} == {
        name for name, method in METHODS.items() if not method.needs_labels
    }
