"""Caltech-101 by the paper's protocol, chosen without a look at the test pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from decaf.cli.main import main


@pytest.mark.slow
def test_caltech101_is_above_93_and_one_picture_is_near_two_thirds(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(real_data), "-o", str(tmp_path), "--layer", "pool", "--dropout", "0", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", "caltech101", *arguments])
    assert not ended.value.code
    about = json.loads(capsys.readouterr().out)
    assert about["classes"] == 102 and about["pictures"] == 9144 and not about["broken"] and not about["notes"]
    assert about["chosen"]["accuracy"] > 0.93 and about["chosen"]["std"] < 0.01 and about["chosen"]["splits"] == 5
    one_shot = [curve["points"][0] for curve in about["curves"] if curve["loss"] == "svm"]
    assert [point["train_per_class"] for point in one_shot] == [1]
    assert 0.645 < one_shot[0]["accuracy"] < 0.71  # 67.6 +- 1.5, twice


def test_a_part_of_sun397_says_what_it_is(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists, data = real_data / "sun397_partitions", real_data / "sun397_sample"
    arguments = ["--partitions", str(lists), "--splits", "2", "--layer", "pool", "--dropout", "0", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", "sun397", "--data", str(data), "-o", str(tmp_path), *arguments])
    assert not ended.value.code
    about = json.loads(capsys.readouterr().out)
    assert about["notes"][0].startswith("A subset: 4 of 397 classes and 243 of the 79,400 places")
    assert about["classes"] == 4 and about["chosen"]["accuracy"] > 0.6
