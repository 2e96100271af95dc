"""Figures 1 and 5 of the paper on real pictures: what they show is in the numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from decaf.cli.main import main


def report(capsys: pytest.CaptureFixture[str], data: Path, out: Path, *options: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", "tsne", "--data", str(data), "-o", str(out), "--json", *options])
    assert not ended.value.code
    return json.loads(capsys.readouterr().out)


def test_scenes_come_apart_in_the_last_layer(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g.csv").write_text(
        "label,group\nairport,indoor\nauditorium,indoor\ndesert,outdoor\nrainforest,outdoor\n"
    )
    about = report(capsys, real_data / "sun397_sample", tmp_path / "r", "--groups", str(tmp_path / "g.csv"))
    early, late = about["maps"]
    assert (early["layer"], late["layer"]) == ("block4", "pool") and about["rows"] == 400
    assert late["map"]["label"]["purity"] > 0.92 > early["map"]["label"]["purity"] + 0.05
    assert late["map"]["group"]["purity"] > 0.97
    assert late["map"]["label"]["silhouette"] > early["map"]["label"]["silhouette"] + 0.1
    assert all(claim["holds"] for claim in about["claims"])


@pytest.mark.slow
def test_two_domains_meet_in_the_last_layer(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = report(capsys, real_data / "office_caltech10" / "images", tmp_path / "r")
    early, late = about["maps"]
    assert early["map"]["across"]["purity"] < 0.2 and late["map"]["across"]["purity"] > 0.85
    assert late["features"]["domain"]["silhouette"] < 0.1 < early["features"]["domain"]["silhouette"]
    assert all(claim["holds"] for claim in about["claims"])


@pytest.mark.slow
def test_caltech101_clusters_in_the_last_layer(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = report(capsys, real_data / "caltech101", tmp_path / "r")
    early, late = about["maps"]
    assert about["groups"]["name"] == "caltech101" and about["classes"] == 102
    assert early["map"]["label"]["purity"] < 0.5 and late["map"]["label"]["purity"] > 0.8
    assert early["map"]["group"]["purity"] < 0.6 and late["map"]["group"]["purity"] > 0.93
    assert late["trustworthiness"] > 0.98
