"""Deep convolutional activation features of pictures, on an ordinary CPU.

>>> import decaf
>>> features = decaf.extract("photos", out="features")
>>> X, y = features.valid.X("pool"), features.valid.labels
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decaf.engines.profile import profile as profile
    from decaf.errors import DecafError as DecafError
    from decaf.features.export import export as export
    from decaf.features.extract import extract as extract
    from decaf.features.feature_set import FeatureSet as FeatureSet
    from decaf.features.transformer import DeCAF as DeCAF
    from decaf.nets.net import Net as Net
    from decaf.nets.preprocess import Preprocess as Preprocess
    from decaf.nets.registry import load_net as load_net
    from decaf.probe.cv import LinearProbeCV as LinearProbeCV
    from decaf.probe.linear import LinearProbe as LinearProbe

# Each public name is imported at its first use, so that `import decaf` costs next to nothing.
_HOMES = {
    "DeCAF": "decaf.features.transformer",
    "DecafError": "decaf.errors",
    "FeatureSet": "decaf.features.feature_set",
    "LinearProbe": "decaf.probe.linear",
    "LinearProbeCV": "decaf.probe.cv",
    "Net": "decaf.nets.net",
    "Preprocess": "decaf.nets.preprocess",
    "export": "decaf.features.export",
    "extract": "decaf.features.extract",
    "load_net": "decaf.nets.registry",
    "profile": "decaf.engines.profile",
}

__all__ = [
    "DeCAF",
    "DecafError",
    "FeatureSet",
    "LinearProbe",
    "LinearProbeCV",
    "Net",
    "Preprocess",
    "export",
    "extract",
    "load_net",
    "profile",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'decaf' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
