"""The parameter files that the ONNX model zoo publishes: facts, one row of `published.tsv` for each network.

sha256 and size are as recorded by the publisher. Accuracy and preparation belong together: the zoo's figures for files
that came from Caffe and Caffe2 were measured on the whole picture warped to 224 x 224 (BGR minus the mean pixel), those
of the files from MXNet and torch on the centre of the picture, short side 256. CaffeNet and AlexNet run as they were
trained, 227 x 227, with the accuracy their authors give. Where the only figure known was measured with another
preparation than the one given here, none is stated.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaf.nets.parameters import Download
from decaf.nets.preprocess import Preprocess, preset

# The same files in two places; the first is where the zoo moved in 2025, the second where it came from (Git LFS).
_MIRRORS = (
    "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/validated/vision/classification/",
    "https://media.githubusercontent.com/media/onnx/models/main/validated/vision/classification/",
)

_ZOO = "README of the network, onnx/models"
_BVLC = "README of the model, BVLC/caffe, 2014"

_MEAN_BGR = (103.939, 116.779, 123.68)  # of ImageNet; the zoo's evaluation takes the three decimals


@dataclass(frozen=True)
class Published:
    """One row.

    Attributes:
        name: what `--net` takes.
        preparation: a key of `PREPARATIONS`; `caffe` for those whose graph and preparation we write ourselves.
        top1: on the ILSVRC-2012 validation set, per cent; None where no figure fits the preparation.
        licence: as the zoo states it.
        parameters: the file.
    """

    name: str
    preparation: str
    top1: float | None
    licence: str
    parameters: Download

    @property
    def source(self) -> str:
        """Who published `top1`; empty where there is none."""
        return "" if self.top1 is None else _BVLC if self.preparation == "caffe" else _ZOO


def _bgr(size: int, scale: float, mean: tuple[float, float, float], resize: str) -> dict[str, Any]:
    return {"resize": resize, "size": size, "crop": 224, "channels": "BGR", "mean": mean, "std": (1 / scale,) * 3}


PREPARATIONS = {
    "rgb": preset("torchvision", 224),
    # As evaluated by those who published the opset-12 files.
    "bgr": Preprocess(**_bgr(224, 1, _MEAN_BGR, "warp")),
    # As trained: DenseNet's Caffe model, from which this file comes, takes (x - mean) * 0.017.
    "densenet": Preprocess(**_bgr(256, 0.017, (103.94, 116.78, 123.68), "short-side")),
    "lite4": Preprocess(
        size=256, crop=224, mean=(127.0,) * 3, std=(128.0,) * 3, resize="short-side", interpolation="bilinear"
    ),
}


def published() -> Iterator[Published]:
    """All rows, in the order of the table."""
    with (Path(__file__).parent / "published.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            urls = tuple(mirror + row["path"] for mirror in _MIRRORS)
            parameters = Download(row["path"].rpartition("/")[2], urls, row["sha256"], int(row["bytes"]))
            top1 = float(row["top1"]) if row["top1"] else None
            yield Published(row["name"], row["preparation"], top1, row["licence"], parameters)
