"""The authors' own features of two Office domains, taken through `decaf adapt`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from sklearn.svm import LinearSVC
from tests.tasks.folders import write_features

import decaf
from decaf.cli.main import main
from decaf.probe import mean_class_accuracy
from decaf.tasks.model import Model


@pytest.fixture
def domains(real_data: Path, tmp_path: Path) -> Path:
    """DeCAF6 of dslr (157 pictures) and webcam (295) as feature folders."""
    for name in ("dslr", "webcam"):
        found = loadmat(real_data / "office_caltech10" / "decaf6" / f"{name}.mat")
        labels = [f"class {label}" for label in found["labels"].ravel()]
        write_features(tmp_path / name, found["feas"], labels)
    return tmp_path


def test_from_dslr_to_webcam_and_back_as_a_model(domains: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = domains / "m.safetensors"
    with pytest.raises(SystemExit) as ended:
        main(["adapt", "--source", str(domains / "dslr"), "--target", str(domains / "webcam"), "--method", "coral",
              "--prepare", "none", "--model", str(model), "--json"])  # fmt: skip
    assert not ended.value.code
    about = json.loads(capsys.readouterr().out)
    methods = {method["method"]: method for method in about["methods"]}
    source, target = (decaf.FeatureSet.open(domains / name) for name in ("dslr", "webcam"))
    plain = LinearSVC(C=methods["source-only"]["C"][0]).fit(source.X(), source.labels.astype(str))
    expected = mean_class_accuracy(target.labels.astype(str), plain.predict(target.X()))
    assert methods["source-only"]["accuracy"] == pytest.approx(expected, abs=0.01)
    assert methods["source-only"]["accuracy"] > 0.95  # the two cameras saw the same desks
    assert methods["coral"]["accuracy"] > 0.95
    said = Model.load(model).predict(target)
    assert np.mean(said.labels == [row["label"] for row in about["rows"]]) == 1
