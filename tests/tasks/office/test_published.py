"""Published numbers: each is one that these pictures can give, and stands where it was printed."""

from __future__ import annotations

import numpy as np
import pytest

from decaf.tasks.office.methods import METHODS
from decaf.tasks.office.published import TABLE1, TABLE1_FEATURES, TABLE1_PAIRS, TWELVE, UNSUPERVISED_ROWS, PublishedRow

PICTURES = {"amazon": 958, "webcam": 295, "dslr": 157, "caltech10": 1123}


def test_table_1_is_complete_and_its_names_are_ours() -> None:
    assert set(TABLE1) <= {method.name for method in METHODS}
    assert all(len(numbers) == len(TABLE1_FEATURES) for of_pairs in TABLE1.values() for numbers in of_pairs)
    for name in ("LogReg (T)", "SVM (T)"):  # both pairs have one target
        assert TABLE1[name][0] == TABLE1[name][1]
    best = max(number[0] for of_pairs in TABLE1.values() for numbers in of_pairs for number in numbers)
    assert best == TABLE1["SVM (ST)"][1][1][0] == 94.79
    assert TABLE1_PAIRS == (("amazon", "webcam"), ("dslr", "webcam"))


@pytest.mark.parametrize("row", UNSUPERVISED_ROWS, ids=lambda row: f"{row.method} {row.features}")
def test_twelve_pairs_are_shares_of_the_target(row: PublishedRow) -> None:
    """An accuracy is a whole number of the target's pictures; where a row breaks this, its doubt says so."""
    half = 0.0051 if row.confirmed else 0.051  # of the last digit printed
    odd = {
        pair
        for pair, number in row.numbers.items()
        if abs(100 * round(number * PICTURES[pair[1]] / 100) / PICTURES[pair[1]] - number) > half
    }
    if row.method == "SVM (S)" and row.features == "SURF":
        assert odd == {(a, b) for a in ("caltech10", "amazon") for b in ("webcam", "dslr")}
        assert "exchanged" in row.doubt
    else:
        assert not odd
    assert set(row.numbers) <= set(TWELVE)


def test_all_twelve_pairs_once() -> None:
    assert len(set(TWELVE)) == 12 and all(a != b for a, b in TWELVE)
    assert np.isclose(np.mean(list(UNSUPERVISED_ROWS[0].numbers.values())), 31.37, atol=0.01)  # of 1-NN, as printed
