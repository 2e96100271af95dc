"""An earlier report is data: what is wrong with it is said in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decaf.errors import ProbeError
from decaf.tasks.earlier import against, check_comparable, read_earlier

GOOD = {"kind": "classes", "splits": [0.5, 0.75, 0.7]}


def write(folder: Path, about: Any, splits: bool = True) -> str:
    (folder / "probe.json").write_text(about if isinstance(about, str) else json.dumps(about))
    if splits:
        (folder / "splits.json").write_text("{}")
    return str(folder)


def test_what_a_report_says_is_read(tmp_path: Path) -> None:
    earlier = read_earlier(write(tmp_path, GOOD))
    assert earlier.scores == (0.5, 0.75, 0.7) and earlier.splits_file == str(tmp_path / "splits.json")
    check_comparable(earlier, "classes", ("label",))
    check_comparable(earlier, "classes", ("species",))  # a column of another name may say the same


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ("", "cannot read .*probe.json"),
        ("[" * 100_000, "cannot read .*probe.json"),
        ([], "does not have a score for each split"),
        ({"kind": "classes"}, r"does not have a score for each split \\(KeyError: 'splits'\\)"),
        ({**GOOD, "kind": "ranking"}, "does not have a score"),
        ({**GOOD, "splits": [0.5, None]}, "does not have a score"),
        ({**GOOD, "splits": ["x", 1]}, "does not have a score"),
        ({**GOOD, "splits": [0.5, float("nan")]}, "2 splits, not all with a score"),
        ({**GOOD, "splits": [0.5]}, "has 1 split: a comparison needs two or more"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, about: Any, says: str) -> None:
    with pytest.raises(ProbeError, match=says.replace("\\\\", "\\")) as refusal:
        read_earlier(write(tmp_path, about))
    assert "\n" not in str(refusal.value)


def test_a_report_without_its_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match=r"has no splits\.json"):
        read_earlier(write(tmp_path, GOOD, splits=False))


def test_the_difference_is_of_this_run_and_its_error_is_corrected(tmp_path: Path) -> None:
    earlier = read_earlier(write(tmp_path, GOOD))
    about = {"splits": [0.6, 0.8, 0.9], "train_rows": [10, 10, 10], "test_rows": [20, 20, 20]}
    found = against(earlier, about)
    differences = np.array([0.1, 0.05, 0.2])
    assert found["difference"] == pytest.approx(differences.mean())
    assert found["standard_error"] == pytest.approx(differences.std(ddof=1) * np.sqrt(1 / 3 + 2))
    with pytest.raises(ProbeError, match="a split has no score"):
        against(earlier, {**about, "splits": [0.6, None, 0.9]})
