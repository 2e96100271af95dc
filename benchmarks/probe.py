"""`LinearProbeCV` against scikit-learn: one Caltech-101 split by the paper's protocol, and cost against size.

    python benchmarks/probe.py FEATURES [--loss svm logistic] [--rounds 1]    (`decaf extract ... --layer pool`)
    python benchmarks/probe.py --scaling [-o FIG.png] [--big]

The protocol: 30 pictures of each class, 25 to train on and 5 to validate; seven values of C; a refit of the best on
all 30. Both sides see the same features and folds, in one process, with all cores. Their fits and ours alternate:
after each fit of theirs comes our whole protocol, whose median time counts. Theirs: `LinearSVC` (default tol 1e-4,
dual="auto", which is the primal here; the default 1000 iterations are never reached) and `LogisticRegression` (lbfgs,
default tol 1e-4; max_iter=1000, which is never reached). Objectives are evaluated in float64 at the coefficients of
both; `excess` is (ours - theirs) / theirs, below zero where ours is better. Times are wall time; on a machine that
others use as well, the ratio of processor times is steadier: ours, on all cores, counts those of all.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import statistics
import time
import warnings
from typing import Any

import numpy as np

from decaf.probe import LinearProbe, LinearProbeCV, mean_class_accuracy, per_class
from decaf.probe.inputs import indices
from decaf.probe.path import Labelled, Path, Settings
from scaling_figure import Cost, save_scaling

CS = {"svm": 10.0 ** np.linspace(-4, -1, 7), "logistic": 10.0 ** np.linspace(-3, 0, 7)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", nargs="?")
    parser.add_argument("--layer", default="pool")
    parser.add_argument("--loss", nargs="+", default=["svm", "logistic"], choices=["svm", "logistic"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--big", action="store_true", help="with --scaling: 100,000 x 1,280 x 1,000 classes")
    parser.add_argument("-o", "--out", type=pathlib.Path, help="with --scaling: a figure of the table")
    arguments = parser.parse_args()
    if arguments.scaling:
        scaling(arguments.big, arguments.out)
        return
    import decaf

    features = decaf.FeatureSet.open(arguments.features)
    X, y = features.X(arguments.layer), np.asarray(features.labels)
    for loss in arguments.loss:
        protocol(loss, X, y, arguments.rounds)


def theirs(loss: str, C: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    return LinearSVC(C=C) if loss == "svm" else LogisticRegression(C=C, max_iter=1000)


def protocol(loss: str, X: np.ndarray, y: np.ndarray, rounds: int) -> None:
    (inner,) = per_class(y, 25, 5)
    rows = np.sort(np.concatenate([inner.train, inner.validation]))
    fold = [(np.searchsorted(rows, inner.train), np.searchsorted(rows, inner.validation))]
    rest = np.setdiff1d(np.arange(len(y)), rows)
    ours_all, ours_cpu, sums, their_cpu = [], [], [], []
    for _ in range(rounds):
        seconds, models = [], []
        their_cpu.append(0.0)
        for C in CS[loss]:
            model, took, cpu = timed(lambda C=C: theirs(loss, C).fit(X[inner.train], y[inner.train]))
            seconds.append(took)
            their_cpu[-1] += cpu
            models.append(model)
            probe, ours, cpu = timed(lambda: LinearProbeCV(loss, CS[loss], cv=fold).fit(X[rows], y[rows]))
            ours_all.append(ours)
            ours_cpu.append(cpu)
        scores = [mean_class_accuracy(y[inner.validation], m.predict(X[inner.validation])) for m in models]
        best = CS[loss][int(np.argmax(scores))]
        refit, took, cpu = timed(lambda best=best: theirs(loss, best).fit(X[rows], y[rows]))
        sums.append(sum(seconds) + took)
        their_cpu[-1] += cpu
    report(loss, X[inner.train], y[inner.train], X[inner.validation], y[inner.validation], models, seconds)
    print(f"refit: theirs C {best:.2g}, {took:.2f} s; ours C {probe.C_:.2g}")
    print(f"test accuracy: theirs {mean_class_accuracy(y[rest], refit.predict(X[rest])):.4f}, ", end="")
    print(f"ours {mean_class_accuracy(y[rest], probe.predict(X[rest])):.4f}")
    ours, peer = statistics.median(ours_all), statistics.median(sums)
    spread = f"{min(ours_all):.2f} to {max(ours_all):.2f}, {len(ours_all)} runs"
    print(f"{loss}: theirs {peer:.2f} s, ours {ours:.2f} s ({spread}), ratio {peer / ours:.1f}")
    ours, peer = statistics.median(ours_cpu), statistics.median(their_cpu)
    print(f"{loss}, processor time: theirs {peer:.2f} s, ours {ours:.2f} s, ratio {peer / ours:.1f}\n")


def report(loss: str, X: Any, y: Any, X_val: Any, y_val: Any, models: list[Any], seconds: list[float]) -> None:
    """Per C, along one path of ours."""
    classes, index = indices(y)
    start = time.perf_counter()
    path = Path(Labelled(X, index, np.ones(len(X)), np.ones(len(classes))), Settings(loss))
    print(f"{loss}: our preparation {time.perf_counter() - start:.2f} s")
    print("       C  theirs s  ours s  ratio  iterations  gap      excess   worst class  accuracy theirs, ours")
    found = path.solve(list(CS[loss]))
    for model, their_seconds in zip(models, seconds, strict=True):
        got, our_seconds, _ = timed(lambda: next(found))
        mine = objective(loss, got.coef, got.bias, got.C, X, index)
        peer = objective(loss, model.coef_, model.intercept_, got.C, X, index)
        ours = mean_class_accuracy(y_val, classes[(X_val @ got.coef.T + got.bias).argmax(axis=1)])
        print(
            f"{got.C:8.2g}  {their_seconds:8.2f}  {our_seconds:6.2f}  {their_seconds / our_seconds:5.1f}  "
            f"{got.iterations.mean():10.1f}  {got.gap.max():.1e}  {mine.sum() / peer.sum() - 1:+.1e}  "
            f"{(mine / peer - 1).max():+.1e}     {mean_class_accuracy(y_val, model.predict(X_val)):.4f}, {ours:.4f}"
        )


def objective(loss: str, coef: Any, bias: Any, C: float, X: Any, index: Any) -> np.ndarray:
    """In float64: of each class (svm), or one number (logistic)."""
    coef, bias = np.asarray(coef, np.float64), np.asarray(bias, np.float64)
    scores = X.astype(np.float64) @ coef.T + bias
    if loss == "svm":
        signs = np.where(index[:, None] == np.arange(len(coef)), 1, -1)
        slack = np.maximum(1 - signs * scores, 0)
        return ((coef**2).sum(1) + bias**2) / 2 + C * (slack**2).sum(0)
    top = scores.max(axis=1)
    total = np.log(np.exp(scores - top[:, None]).sum(axis=1)) + top - scores[np.arange(len(X)), index]
    return np.array([(coef**2).sum() / 2 + C * total.sum()])


LOSSES = {"svm": 0.01, "logistic": 0.1}  # of the C of one fit
BASE = (3000, 1280, 100)
SIZES = (
    BASE, (1000, 1280, 100), (10_000, 1280, 100), (30_000, 1280, 100), (3000, 320, 100), (3000, 4096, 100),
    (3060, 9216, 102), (3000, 1280, 10), (3000, 1280, 30), (3000, 1280, 300), (3000, 1280, 1000),
)  # fmt: skip
MANY_CS = (2, 4, 7, 13)


def scaling(big: bool, out: pathlib.Path | None) -> None:
    """Seconds of one fit at C = 0.01 (svm), 0.1 (logistic), where n, d, classes and Cs vary one at a time.

    More than one C: `LinearProbeCV`, which fits them on a fold and the best again on all.
    """
    print("       n      d  classes  loss      Cs  seconds  iterations  gap      GB at most")
    if big:
        for loss, C in LOSSES.items():
            one((100_000, 1280, 1000), loss, [C])
        return
    costs = [one(size, loss, [C]) for size in SIZES for loss, C in LOSSES.items()]
    costs += [
        one(BASE, loss, list(np.geomspace(CS[loss][0], CS[loss][-1], number))) for loss in LOSSES for number in MANY_CS
    ]
    if out:
        save_scaling(costs, costs[: len(LOSSES)], out)
        print(f"{out}: the figure")


def one(size: tuple[int, int, int], loss: str, Cs: list[float]) -> Cost:
    n, d, classes = size
    X, y = clusters(n, d, classes)
    start = time.perf_counter()
    if len(Cs) == 1:
        probe: Any = LinearProbe(loss, Cs[0]).fit(X, y)
    else:
        probe = LinearProbeCV(loss, Cs, cv=[(np.arange(0, n), np.arange(0, n, 6))]).fit(X, y)
    took = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{n:8} {d:6} {classes:8}  {loss:8} {len(Cs):3}  {took:7.2f}  {probe.n_iter_:10}  {probe.gap_:.1e}  "
        f"{memory:6.1f}",
        flush=True,
    )
    return Cost(loss, n, d, classes, len(Cs), took)


def clusters(n: int, d: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features like those of a network: not negative, correlated, of length about 15, classes that overlap a little."""
    random = np.random.default_rng(0)
    y = np.arange(n) % classes
    decay = (1 / np.sqrt(1 + np.arange(d))).astype(np.float32)
    centres = random.standard_normal((classes, d), dtype=np.float32) * decay
    X = centres[y] * 0.7 + random.standard_normal((n, d), dtype=np.float32) * decay
    X = X @ random.standard_normal((d, d), dtype=np.float32)
    np.maximum(X, 0, out=X)
    X *= 15 / np.sqrt((X[:1000] ** 2).sum(axis=1).mean())
    return X, y


def timed(call: Any) -> tuple[Any, float, float]:
    """What it returns, wall seconds, processor seconds of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
