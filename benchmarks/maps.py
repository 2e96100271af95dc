"""`decaf.maps` against openTSNE called directly with the same settings: time, and whether it is the same map.

    python benchmarks/maps.py FEATURES --layer pool [--rounds 3] [--rows 2000]

Both sides start from the same features, unit vectors, and reduce them to 50 principal components; neighbours are exact,
perplexity 30, one seed, all cores asked for. Ours and theirs alternate in one process. Theirs is timed twice: as it is
(its threads spin while they wait), and in a process of its own where they sleep (OMP_WAIT_POLICY=passive). Wall and
processor time in seconds; `ratio` is the median of ours / theirs over the rounds. On a machine that others use as well,
that of processor times is steadier.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features")
    parser.add_argument("--layer")
    parser.add_argument("--rows", type=int, default=0, help="the first rows only")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--theirs", action="store_true", help="only openTSNE, once; prints wall and processor time")
    arguments = parser.parse_args()
    import decaf

    features = decaf.FeatureSet.open(arguments.features).valid
    X = (features[: arguments.rows] if arguments.rows else features).X(arguments.layer)
    if arguments.theirs:
        _, wall, cpu = timed(theirs, X)
        print(wall, cpu)
        return
    compare(X, arguments.rounds)


def compare(X: np.ndarray, rounds: int) -> None:
    from decaf.maps import draw_map

    print(f"{len(X):,} x {X.shape[1]:,}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    ours_all, theirs_all, sleeping_all = [], [], []
    for _ in range(rounds):
        drawn, ours, our_cpu = timed(lambda X: draw_map(X).coordinates, X)
        places, direct, direct_cpu = timed(theirs, X)
        sleeping, sleeping_cpu = in_a_process_of_its_own()
        same = (drawn == places - (places.max(axis=0) + places.min(axis=0)) / 2).all()
        print(
            f"ours {ours:.1f} s ({our_cpu:.1f} s processor)   openTSNE {direct:.1f} s ({direct_cpu:.1f})   "
            f"openTSNE, sleeping threads {sleeping:.1f} s ({sleeping_cpu:.1f})   same map: {same}",
            flush=True,
        )
        ours_all.append((ours, our_cpu))
        theirs_all.append((direct, direct_cpu))
        sleeping_all.append((sleeping, sleeping_cpu))
    for name, others in (("openTSNE", theirs_all), ("openTSNE, sleeping threads", sleeping_all)):
        wall, cpu = (ratio([mine[i] for mine in ours_all], [other[i] for other in others]) for i in (0, 1))
        print(f"ratio to {name}: wall time {wall:.2f}, processor time {cpu:.2f}")


def ratio(ours: list[float], others: list[float]) -> float:
    return statistics.median(mine / other for mine, other in zip(ours, others, strict=True))


def theirs(X: np.ndarray) -> np.ndarray:
    from openTSNE import TSNE
    from sklearn.decomposition import PCA

    unit = X / np.sqrt(np.einsum("ij,ij->i", X, X))[:, None]
    Z = PCA(min(50, *unit.shape), random_state=0).fit(unit).transform(unit)
    return np.array(TSNE(perplexity=30, neighbors="exact", n_jobs=len(os.sched_getaffinity(0)), random_state=0).fit(Z))


def in_a_process_of_its_own() -> tuple[float, float]:
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, *sys.argv, "--theirs"]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    return float(said[-2]), float(said[-1])


def timed(run: Callable[[np.ndarray], Any], X: np.ndarray) -> tuple[Any, float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = run(X)
    return result, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
