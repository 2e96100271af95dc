"""Office-Caltech10: published numbers where they can be met, from the released vectors; our features on pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from decaf.cli.main import main
from decaf.tasks.office.published import TWELVE, UNSUPERVISED_ROWS


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", "office", *map(str, arguments), "--json"])
    assert not ended.value.code
    return dict(json.loads(capsys.readouterr().out))


def by_pair(about: dict[str, Any], method: str) -> dict[tuple[str, str], float]:
    return {
        (one["source"], one["target"]): 100 * one["accuracy"] for one in about["results"] if one["method"] == method
    }


def test_the_nearest_neighbour_row_is_met_on_all_twelve_pairs(
    real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = real_data / "office_caltech10" / "surf"
    about = run(capsys, "--data", data, "-o", tmp_path, "--protocol", "unsupervised", "--method", "NN")
    ours, published = by_pair(about, "1-NN (S)"), UNSUPERVISED_ROWS[0].numbers
    assert set(ours) == set(TWELVE)
    assert max(abs(ours[pair] - published[pair]) for pair in TWELVE) < 0.01


def test_the_authors_activations(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = real_data / "office_caltech10" / "decaf6"
    options = ["--data", data, "-o", tmp_path, "--protocol", "unsupervised", "--method", "S", "--prepare", "none"]
    about = run(capsys, *options)
    ours = by_pair(about, "SVM (S)")
    assert ours["webcam", "dslr"] == 100.0 and ours["dslr", "webcam"] > 97.5
    assert [note for note in about["notes"] if note.startswith("caffenet_fc6_relu is of one domain, dslr")]


@pytest.mark.slow
def test_pictures_of_two_domains(real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = real_data / "office_caltech10" / "images"
    plain = ["--method", "S", "--method", "T", "--method", "ST", "--pair", "A-W", "--pair", "W-A"]
    about = run(capsys, "--data", data, "-o", tmp_path, "--layer", "pool", *plain)
    assert not about["broken"] and about["features"][0]["domains"]["amazon"]["rows"] == 958
    both, alone = by_pair(about, "SVM (ST)"), by_pair(about, "SVM (S)")
    assert both["amazon", "webcam"] > 96 and both["amazon", "webcam"] > alone["amazon", "webcam"] + 3
    assert both["webcam", "amazon"] > 94
