"""What the tests of features share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from decaf.engines import Runtime


def write_pictures(folder: Path, count: int) -> list[str]:
    """Small pictures, no two alike; their paths in listing order."""
    random = np.random.default_rng(count)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:04d}.png" for index in range(count)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (16, 20, 3), dtype=np.uint8)).save(path)
    return [str(path) for path in paths]


def shard_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.parquet"))}


class MeanEngine:
    """An engine whose two layers are the mean colour of a picture, and its first pixel doubled."""

    def __init__(self, threads: int = 2, batch: int = 3) -> None:
        self.runtime = Runtime("mean", "1", "none", "f32", threads, batch)
        self.sizes = (3, 6)

    def run(self, pictures: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.float32], ...]:
        assert 0 < len(pictures) <= self.runtime.batch
        means = [picture.mean(axis=(0, 1)) for picture in pictures]
        firsts = [np.tile(picture[0, 0], 2) for picture in pictures]
        return np.array(means, np.float32), np.array(firsts, np.float32)
