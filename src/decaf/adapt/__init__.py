"""Domain adaptation: classifiers for pictures that are not like those with labels."""

from decaf.adapt.alignment import CORAL, SubspaceAlignment
from decaf.adapt.base import Adapter
from decaf.adapt.baselines import SourceAndTarget, SourceOnly, TargetOnly
from decaf.adapt.daume import DaumeAugmentation
from decaf.adapt.gfk import GFK, flow_factor
from decaf.adapt.mmdt import MMDT
from decaf.adapt.subspaces import choose_dimension, principal_angles, rank_of_domain, subspace_disagreement

__all__ = [
    "CORAL",
    "GFK",
    "MMDT",
    "Adapter",
    "DaumeAugmentation",
    "SourceAndTarget",
    "SourceOnly",
    "SubspaceAlignment",
    "TargetOnly",
    "choose_dimension",
    "flow_factor",
    "principal_angles",
    "rank_of_domain",
    "subspace_disagreement",
]
