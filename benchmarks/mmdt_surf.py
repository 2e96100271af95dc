"""Max-margin domain transforms by their authors' protocol: SURF histograms of the ten classes of Office and Caltech.

    python benchmarks/mmdt_surf.py FOLDER [--splits 20] [--seed 0] [--json OUT.json]

FOLDER holds amazon, webcam, dslr and Caltech10 `_SURF_L10.mat` (`fts`, `labels`), as circulated with the geodesic flow
kernel. Of each class 20 source rows (8 unless the source is amazon) and 3 target rows have labels; all other target
rows are tested. Rows are divided by their l2 norm, columns z-scored over each whole domain, all rows of a split
projected onto 20 principal directions. The authors' own splits are not used, but random ones.

Columns: the probe on the labelled target (T), on both with the weights of MMDT (ST), MMDT as in the published code
(transform_weight 2e4), and with the weight of the paper's objective (1). Mean accuracy in %, and its standard error.
`quoted`: what Courty et al. (Optimal transport for domain adaptation, TPAMI 2017, table 5) report for MMDT.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib

import numpy as np
from scipy.io import loadmat

from decaf.adapt import MMDT, SourceAndTarget, TargetOnly
from decaf.adapt.subspaces import pca_basis
from decaf.probe import LinearProbe

DOMAINS = {"A": "amazon", "W": "webcam", "D": "dslr", "C": "caltech10"}
MODELS = {
    "T": lambda: TargetOnly(LinearProbe(C=1)),
    "ST": lambda: SourceAndTarget(LinearProbe(C=1), source_weight=0.05),
    "published": lambda: MMDT(transform_weight=2e4),
    "paper": lambda: MMDT(transform_weight=1.0),
}

QUOTED = {
    "A->W": 64.6, "A->D": 56.7, "A->C": 36.4, "W->A": 47.7, "W->D": 67.0, "W->C": 32.2,
    "D->A": 46.9, "D->W": 74.1, "D->C": 34.1, "C->A": 49.4, "C->W": 63.8, "C->D": 56.5,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    data = {letter: load(arguments.folder, name) for letter, name in DOMAINS.items()}
    print(f"seed {arguments.seed}, {arguments.splits} splits")
    print("pair    " + "".join(f"{name:>18}" for name in MODELS) + "  quoted")
    found = {}
    for source, target in itertools.permutations(DOMAINS, 2):
        pair = f"{source}->{target}"
        scores = run(data[source], data[target], 20 if source == "A" else 8, arguments.splits, arguments.seed)
        found[pair] = {name: values.tolist() for name, values in scores.items()}
        print(
            f"{pair:8}" + "".join(f"{cell(values):>18}" for values in scores.values()) + f"{QUOTED[pair]:8}", flush=True
        )
    means = {name: np.mean([np.mean(scores[name]) for scores in found.values()]) for name in MODELS}
    print(
        "mean    "
        + "".join(f"{100 * mean:>18.1f}" for mean in means.values())
        + f"{np.mean(list(QUOTED.values())):8.1f}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def cell(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f} +- {100 * values.std(ddof=1) / np.sqrt(len(values)):.1f}"


def load(folder: pathlib.Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Prepared rows of a domain, and labels from 0."""
    (path,) = (path for path in folder.glob("*.mat") if path.name.lower().startswith(name))
    stored = loadmat(path)
    X = stored["fts"].astype(np.float64)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    spread = X.std(axis=0, ddof=1)
    return (X - X.mean(axis=0)) / np.where(spread > 0, spread, 1), stored["labels"].ravel().astype(int) - 1


def run(
    source: tuple[np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray], per_class: int, splits: int, seed: int
) -> dict[str, np.ndarray]:
    """Accuracies of each model over the splits."""
    scores: dict[str, list[float]] = {name: [] for name in MODELS}
    for split in range(splits):
        random = np.random.default_rng([seed, split])
        of_source, of_target = drawn(source[1], per_class, random), drawn(target[1], 3, random)
        X = np.vstack([source[0][of_source], target[0]])
        X = X @ pca_basis(X, 20)
        hidden = np.setdiff1d(np.arange(len(target[1])), of_target)
        seen = target[1].copy()
        seen[hidden] = -1
        y = np.concatenate([source[1][of_source], seen])
        domain = np.repeat([1, -1], [len(of_source), len(seen)])
        for name, make in MODELS.items():
            model = make().fit(X, y, sample_domain=domain)
            scores[name].append(model.score(X[domain < 0][hidden], target[1][hidden]))
    return {name: np.array(values) for name, values in scores.items()}


def drawn(y: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """So many rows of each class."""
    return np.concatenate([random.choice(np.flatnonzero(y == k), count, replace=False) for k in np.unique(y)])


if __name__ == "__main__":
    main()
