"""All of Caltech-101 in one command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import decaf
from decaf.cli.main import main


@pytest.mark.slow
def test_all_9144_pictures_are_rows_in_order_with_their_folders_as_labels(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = real_data / "caltech101" / "101_ObjectCategories"
    with pytest.raises(SystemExit) as ended:
        main(["extract", str(folder), "-o", str(tmp_path / "out"), "--precision", "bf16", "--json"])
    assert not ended.value.code
    summary = json.loads(capsys.readouterr().out)
    assert summary["rows"] == summary["computed"] == 9144 and summary["broken"] == 0
    features = decaf.FeatureSet.open(tmp_path / "out")
    expected = sorted((str(path) for path in folder.rglob("*.jpg")), key=os.fsencode)
    assert features.paths.tolist() == expected
    assert features.labels.tolist() == [Path(path).parent.name for path in expected]
    assert len(set(features.labels)) == 102
    X = features.X("pool")
    assert X.shape == (9144, 1280) and np.isfinite(X).all()
