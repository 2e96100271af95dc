"""What `--fast-decode` gains and costs: images/s on 12-megapixel pictures, and the cosine to exact features.

Enlarges pictures to 4000 x 3000 JPEG files (quality 90), extracts them both ways in turn, and prints the ratio of the
rates and the cosine of the features at the default layer.

    python benchmarks/fast_decode.py PICTURES [--count 100] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import decaf
from decaf.images.find import find_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", help="a folder of pictures")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="f32")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for path in find_images(arguments.pictures).paths[: arguments.count]:
            picture = Image.open(path).convert("RGB")
            size = (4000, 3000) if picture.width >= picture.height else (3000, 4000)
            picture.resize(size, Image.Resampling.BICUBIC).save(Path(folder) / f"{Path(path).stem}.jpg", quality=90)
        rates: dict[bool, list[float]] = {False: [], True: []}
        vectors = {}
        for _ in range(arguments.rounds):
            for fast in (False, True):
                started = time.perf_counter()
                features = decaf.extract(folder, precision=arguments.precision, fast_decode=fast)
                rates[fast].append(len(features) / (time.perf_counter() - started))
                vectors[fast] = features.X().astype(float)
        exact, reduced = vectors[False], vectors[True]
        cosine = (exact * reduced).sum(axis=1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(reduced, axis=1)
        ratios = [fast / whole for whole, fast in zip(rates[False], rates[True], strict=True)]
        print(f"exact {statistics.median(rates[False]):.1f}/s, fast {statistics.median(rates[True]):.1f}/s")
        print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"cosine mean {cosine.mean():.4f}, worst {cosine.min():.4f}, {len(cosine)} pictures")


if __name__ == "__main__":
    main()
