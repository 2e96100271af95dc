"""On real pictures: the right classes, bf16 close to f32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import decaf

TABLE = Path(decaf.__file__).with_name("nets") / "ilsvrc2012.tsv"
WNIDS = [line.split("\t")[0] for line in TABLE.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def extracted(real_data: Path) -> dict[str, decaf.FeatureSet]:
    folder = real_data / "imagenet_sample"
    return {
        precision: decaf.extract(folder, layers=["pool", "prob"], precision=precision) for precision in ("f32", "bf16")
    }


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_at_least_88_of_100_are_right_at_first_guess(extracted: dict[str, decaf.FeatureSet], precision: str) -> None:
    features = extracted[precision]
    truth = [WNIDS.index(Path(path).name.split("_")[0]) for path in features.paths]
    right = features.X("prob").argmax(axis=1) == truth
    assert len(truth) == 100 and right.sum() >= 88


def test_bf16_points_where_f32_points(extracted: dict[str, decaf.FeatureSet]) -> None:
    if extracted["bf16"].meta["settings"]["precision"] == "f32":
        pytest.skip("this processor has no bf16")
    a, b = extracted["f32"].X("pool").astype(float), extracted["bf16"].X("pool").astype(float)
    assert not np.array_equal(a, b)
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.mean() >= 0.999 and cosine.min() >= 0.995
