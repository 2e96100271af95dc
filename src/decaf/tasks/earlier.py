"""Whether a probe does better than an earlier one, on the same splits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from decaf.errors import ProbeError
from decaf.probe import compare
from decaf.tasks.probing import MEASURES

_LARGEST = 2**28  # bytes; a probe.json of 100,000 classes has some hundred kilobytes


@dataclass(frozen=True)
class Earlier:
    """What a report of `decaf probe -o` says.

    Attributes:
        folder: the report.
        kind: of its targets.
        targets: its columns; none for classes.
        scores: one for each split, of the measure that `main_measure` names.
    """

    folder: str
    kind: str
    targets: tuple[str, ...]
    scores: tuple[float, ...]

    @property
    def splits_file(self) -> str:
        """The splits it was measured on."""
        return str(Path(self.folder) / "splits.json")


def main_measure(kind: str) -> str:
    """What is compared: the mean over the classes, or over the columns."""
    return "mean_accuracy" if kind == "classes" else f"mean_{MEASURES[kind][0]}"


def read_earlier(folder: str) -> Earlier:
    """Read the report of an earlier probe. Raises ProbeError where the folder holds none, or one of a single split."""
    about = _read_json(Path(folder) / "probe.json")
    try:
        kind, scores = about["kind"], about["splits"]
        targets = tuple(target["name"] for target in about.get("targets", ()))
        main_measure(kind)
        scores = tuple(float(score) for score in scores)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ProbeError(
            f"{folder}/probe.json does not have a score for each split ({why}): probe anew with -o {folder}"
        ) from None
    if len(scores) < 2:
        raise ProbeError(f"{folder} has {len(scores)} split: a comparison needs two or more, --splits 5 makes them")
    if not np.isfinite(scores).all():
        raise ProbeError(f"{folder} has {len(scores)} splits, not all with a score: draw others")
    if not (Path(folder) / "splits.json").is_file():
        raise ProbeError(f"{folder} has no splits.json: probe anew with -o {folder}")
    return Earlier(folder, kind, targets, scores)


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _LARGEST:
            raise ProbeError(f"{path} is no report of a probe: name a folder that `decaf probe -o` made")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ProbeError):
            raise
        why = error.strerror if isinstance(error, OSError) else error
        raise ProbeError(f"cannot read {path} ({why}): name a folder that `decaf probe -o` made") from None


def check_comparable(earlier: Earlier, kind: str, names: tuple[str, ...]) -> None:
    """Raise ProbeError where the two do not learn the same."""
    targets = () if kind == "classes" else names
    if (earlier.kind, earlier.targets) != (kind, targets):
        theirs, ours = (" ".join([k, *t]) for k, t in ((earlier.kind, earlier.targets), (kind, targets)))
        raise ProbeError(f"{earlier.folder} learned {theirs}, this is {ours}: compare what has the same targets")


def against(earlier: Earlier, about: Mapping[str, Any]) -> dict[str, Any]:
    """The paired comparison of a probe with an earlier one, for `probe.json`.

    Args:
        earlier: on the splits that this one used, too.
        about: what `Probed.to_dict` says of this one.

    Returns:
        `difference` (this minus the earlier), its `standard_error`, 95 % `interval` and `p`, all corrected for splits
        that share pictures (see `decaf.probe.compare`); and the scores of the earlier one.
    """
    if None in about["splits"]:
        raise ProbeError("a split has no score, as no test row says yes or all have one value: draw other splits")
    share = float(np.mean(np.divide(about["test_rows"], about["train_rows"])))
    found = compare(about["splits"], earlier.scores, test_share=share)
    return {
        "with": earlier.folder,
        "measure": main_measure(earlier.kind),
        "splits": list(earlier.scores),
        "mean": float(np.mean(earlier.scores)),
        "difference": found.difference,
        "standard_error": found.standard_error,
        "interval": list(found.interval),
        "p": found.p_value,
    }
