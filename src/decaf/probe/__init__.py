"""Linear classifiers on features: from a handful of labels to a thousand classes."""

from decaf.probe.compare import Comparison, Summary, compare, mean_class_accuracy, summarise
from decaf.probe.cv import LinearProbeCV, NothingToValidate
from decaf.probe.design import ScalingWarning
from decaf.probe.linear import LinearProbe
from decaf.probe.splits import Split, per_class, read_splits, write_splits

__all__ = [
    "Comparison",
    "LinearProbe",
    "LinearProbeCV",
    "NothingToValidate",
    "ScalingWarning",
    "Split",
    "Summary",
    "compare",
    "mean_class_accuracy",
    "per_class",
    "read_splits",
    "summarise",
    "write_splits",
]
