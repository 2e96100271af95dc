"""The rows S, T and ST of the DeCAF paper's Table 1: what there is without adaptation."""

from __future__ import annotations

from typing import Any

from decaf.adapt.base import Adapter


class SourceOnly(Adapter):
    """Trained on the labelled source alone (S).

    Args:
        estimator: any scikit-learn classifier; None: `LinearProbe()`.
        prepare: `none`, `l1`, `l2`, `zscore`, `l1-zscore` or `l2-zscore`; z-scores are of each domain by itself and
            need target rows, with labels or without.
    """

    _trains_on = (True, False)
    _aligns = False

    def __init__(self, estimator: Any = None, prepare: str = "none") -> None:
        self.estimator = estimator
        self.prepare = prepare


class TargetOnly(Adapter):
    """Trained on the labelled target alone (T). Arguments as in `SourceOnly`."""

    _trains_on = (False, True)
    _aligns = False
    _needs_target_labels = True

    def __init__(self, estimator: Any = None, prepare: str = "none") -> None:
        self.estimator = estimator
        self.prepare = prepare


class SourceAndTarget(Adapter):
    """Trained on the labelled rows of both domains as if they were one (ST).

    Args:
        estimator, prepare: as in `SourceOnly`.
        source_weight, target_weight: of each row of the domain, >= 0.
    """

    _aligns = False

    def __init__(
        self, estimator: Any = None, source_weight: float = 1.0, target_weight: float = 1.0, prepare: str = "none"
    ) -> None:
        self.estimator = estimator
        self.source_weight = source_weight
        self.target_weight = target_weight
        self.prepare = prepare
