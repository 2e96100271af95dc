"""SqueezeNet 1.1 on real pictures."""

from __future__ import annotations

from pathlib import Path

import decaf

TABLE = Path(decaf.__file__).with_name("nets") / "ilsvrc2012.tsv"
WNIDS = [line.split("\t")[0] for line in TABLE.read_text(encoding="utf-8").splitlines()]


def test_at_least_65_of_100_are_right_at_first_guess(real_data: Path) -> None:
    features = decaf.extract(real_data / "imagenet_sample", net="squeezenet1.1", layers="prob")
    truth = [WNIDS.index(Path(path).name.split("_")[0]) for path in features.paths]
    right = features.X("prob").argmax(axis=1) == truth
    assert len(truth) == 100 and right.sum() >= 65
