"""What domain adaptation costs: seconds and memory of each method, and of what others do for the same result.

    python benchmarks/adapt.py [--d 800 1280 4096] [--rounds 3] [--json OUT.json]
    python benchmarks/adapt.py --d 800 --methods MMDT GFK

1000 source rows, 1000 target rows of which 93 have labels, 31 classes; synthetic features that are like activations
after a ReLU: not negative, correlated, of length about 15; the target's have other gains and offsets. Every run is a
process of its own, sides of a ratio one after the other. `fit` has the classifier in it (a `LinearProbe`; for GFK the
nearest neighbour), `predict` is of the 1000 target rows. Seconds are processor time with linear algebra on one thread,
which others on the machine disturb little; medians of the rounds. Memory is what the process needs above that before
the fit, features and imports not counted. Linux only: it reads /proc.

Ratios, theirs / ours, same classifier on both sides: GFK against the d x d kernel matrix built as in the authors'
MATLAB code (complement of the source's subspace, then the kernel, then distances by it), CORAL and SubspaceAlignment
against SKADA's adapters. `agree`: on how many target rows both predict the same class; all for GFK, 96 to 99 % for
SubspaceAlignment, and for CORAL SKADA shrinks covariances (by 0.1 here) where ours adds a ridge.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import linalg
from threadpoolctl import threadpool_limits

from decaf import adapt
from decaf.probe import LinearProbe
from probe import clusters

ROWS, LABELLED, CLASSES, DIMENSION = 1000, 93, 31, 20


@dataclass(frozen=True)
class Data:
    """X: (2 n, d) float32, source rows first; seen: labels, -1 where there is none; domain: as SKADA has it."""

    X: np.ndarray
    seen: np.ndarray
    domain: np.ndarray


@dataclass(frozen=True)
class Cost:
    """Median seconds, and megabytes above the features."""

    name: str
    d: int
    fit: float
    predict: float
    megabytes: float


def domains(d: int, labelled: int) -> Data:
    """Two domains of equal classes."""
    X, y = clusters(2 * ROWS, d, CLASSES)
    random = np.random.default_rng(1)
    gains = np.exp(0.5 * random.standard_normal(d)).astype(np.float32)
    X[ROWS:] = np.maximum(X[ROWS:] * gains + 0.1 * random.standard_normal(d, dtype=np.float32), 0)
    domain = np.repeat([1, -1], ROWS)
    seen = np.where((domain > 0) | (np.arange(2 * ROWS) < ROWS + labelled), y, -1)
    return Data(X, seen, domain)


class ExplicitGFK:
    """The kernel as a d x d matrix G, the nearest source row by x^T G x (Gong et al. 2012, as in their GFK.m)."""

    def fit(self, X: np.ndarray, y: np.ndarray, domain: np.ndarray) -> ExplicitGFK:
        """Make the kernel matrix of rows of both domains."""
        self.X, self.y = X[domain > 0], y[domain > 0]
        Ps, Pt = (_principal(part)[:, :DIMENSION] for part in (self.X, X[domain < 0]))
        whole = linalg.qr(Ps)[0]  # the subspace and its complement, d x d
        Rs = whole[:, DIMENSION:]
        U1, cosines, Vt = linalg.svd(Ps.T @ Pt)
        angles = np.arccos(np.clip(cosines, -1, 1))
        U2 = -(Rs.T @ Pt @ Vt.T) / np.maximum(np.sin(angles), 1e-20)
        twice = np.maximum(2 * angles, 1e-20)
        L1, L3 = (np.diag((1 + sign * np.sin(twice) / twice) / 2) for sign in (1, -1))
        L2 = np.diag((np.cos(twice) - 1) / twice / 2)
        sides = np.hstack([Ps @ U1, Rs @ U2])
        self.G = sides @ np.block([[L1, L2], [L2, L3]]) @ sides.T
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of the nearest source row."""
        within = [np.einsum("ij,ij->i", rows @ self.G, rows) for rows in (X, self.X)]
        distances = within[0][:, None] + within[1] - 2 * X @ self.G @ self.X.T
        return self.y[distances.argmin(axis=1)]


def _principal(X: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA

    return PCA(DIMENSION, svd_solver="full").fit(X.astype(np.float64)).components_.T


class Skada:
    """An adapter of SKADA and a probe on its source rows."""

    def __init__(self, adapter: Callable[[], Any]) -> None:
        self.adapter = adapter()

    def fit(self, X: np.ndarray, y: np.ndarray, domain: np.ndarray) -> Skada:
        """Adapt rows of both domains, learn from the source."""
        adapted = self.adapter.fit_transform(X, y, sample_domain=domain)
        Z = adapted[0] if isinstance(adapted, tuple) else adapted
        self.probe = LinearProbe().fit(Z[domain > 0], y[domain > 0])
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The class of each target row."""
        adapted = self.adapter.transform(X, sample_domain=np.full(len(X), -1), allow_source=True)
        return self.probe.predict(adapted[0] if isinstance(adapted, tuple) else adapted)


def skada(name: str, **settings: Any) -> Skada:
    import skada as package

    return Skada(functools.partial(getattr(package, name), **settings))


METHODS: dict[str, Callable[[], Any]] = {
    "SourceOnly": adapt.SourceOnly,
    "TargetOnly": adapt.TargetOnly,
    "SourceAndTarget": adapt.SourceAndTarget,
    "DaumeAugmentation": adapt.DaumeAugmentation,
    "SubspaceAlignment, dimension 20": functools.partial(adapt.SubspaceAlignment, dimension=DIMENSION),
    "SubspaceAlignment, dimension chosen": adapt.SubspaceAlignment,
    "CORAL": functools.partial(adapt.CORAL, prepare="none"),
    "GFK, dimension 20": functools.partial(adapt.GFK, dimension=DIMENSION),
    "GFK, dimension chosen": adapt.GFK,
    "MMDT": adapt.MMDT,
    "MMDT, as published": functools.partial(adapt.MMDT, prepare="l2-zscore", dimension=DIMENSION, transform_weight=2e4),
}
# name -> ours, theirs; target rows have no labels here
RATIOS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "GFK, dimension 20 / kernel matrix": (METHODS["GFK, dimension 20"], ExplicitGFK),
    "CORAL / SKADA": (METHODS["CORAL"], functools.partial(skada, "CORALAdapter", reg=0.1)),
    "SubspaceAlignment, dimension 20 / SKADA": (
        METHODS["SubspaceAlignment, dimension 20"],
        functools.partial(skada, "SubspaceAlignmentAdapter", n_components=DIMENSION),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d", type=int, nargs="+", default=[800, 1280, 4096])
    parser.add_argument("--methods", nargs="+", default=[""], help="those whose names begin so")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    costs, ratios = [], []
    print(f"{'method':38}     d   fit s  predict s      MB")
    for name, make in chosen(METHODS, arguments.methods):
        costs += [shown(measured(name, make, d, LABELLED, arguments.rounds)[0]) for d in arguments.d]
    print(f"\n{'ours / theirs':42}     d    ours s  theirs s   ratio  ours MB  theirs MB   ratio  agree")
    for name, pair in chosen(RATIOS, arguments.methods):
        ratios += [against(name, pair, d, arguments.rounds) for d in arguments.d]
    if arguments.json:
        found = {"costs": [asdict(cost) for cost in costs], "ratios": ratios}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def chosen(table: dict[str, Any], beginnings: list[str]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in table.items() if name.startswith(tuple(beginnings))]


def shown(cost: Cost) -> Cost:
    print(
        f"{cost.name:38} {cost.d:5}  {cost.fit:6.2f}  {cost.predict:9.3f}  {cost.megabytes:6.0f}",
        flush=True,
    )
    return cost


def against(name: str, pair: tuple[Callable[[], Any], Callable[[], Any]], d: int, rounds: int) -> dict[str, Any]:
    (ours, mine), (theirs, other) = (measured(name, make, d, 0, rounds) for make in pair)
    seconds = [cost.fit + cost.predict for cost in (ours, theirs)]
    agree = float(np.mean(mine == other))
    more = theirs.megabytes / max(ours.megabytes, 1)
    print(
        f"{name:42} {d:5}  {seconds[0]:8.2f}  {seconds[1]:8.2f}  {seconds[1] / seconds[0]:6.1f}  "
        f"{ours.megabytes:7.0f}  {theirs.megabytes:9.0f}  {more:6.1f}  {agree:5.3f}",
        flush=True,
    )
    return {"name": name, "d": d, "ours": asdict(ours), "theirs": asdict(theirs), "agree": agree}


def measured(name: str, make: Callable[[], Any], d: int, labelled: int, rounds: int) -> tuple[Cost, np.ndarray]:
    """In a process of its own: the cost, and the classes of the target rows."""
    mine, childs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=_measure, args=(childs, name, make, d, labelled, rounds))
    child.start()
    childs.close()
    try:
        return mine.recv()
    except EOFError:
        sys.exit(f"{name}, d = {d}: the process failed")
    finally:
        child.join()


def _measure(pipe: Any, name: str, make: Callable[[], Any], d: int, labelled: int, rounds: int) -> None:
    threadpool_limits(1)
    data = domains(d, labelled)
    target = np.ascontiguousarray(data.X[ROWS:])
    model = make().fit(data.X[:, :64].copy(), data.seen, data.domain)  # imports and threads are there before it counts
    before = resident()
    fits, predicts, peak = [], [], 0.0
    for _ in range(rounds):
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        start = time.process_time()
        model = make().fit(data.X, data.seen, data.domain)
        middle = time.process_time()
        predicted = model.predict(target)
        predicts.append(time.process_time() - middle)
        fits.append(middle - start)
        peak = max(peak, resident("VmHWM") - before)
    pipe.send((Cost(name, d, statistics.median(fits), statistics.median(predicts), peak), predicted))


def resident(name: str = "VmRSS") -> float:
    """Megabytes."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    main()
