"""How Caffe makes a network's input of a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from decaf.errors import NetError
from decaf.nets.preprocess import Preprocess, preset
from decaf.nets.readers.caffe.definition import CaffeNet

# Layers that feed a network.
FEEDS = {"Data", "DummyData", "HDF5Data", "ImageData", "Input", "MemoryData", "WindowData"}


def preparation(net: CaffeNet, side: int) -> Preprocess:
    """The preset `caffe`, with the mean values and the factor that the data layer of a `train_val` file says.

    Raises NetError when no picture can be prepared with those.
    """
    changes: dict[str, Any] = {}
    feeds = [layer.settings.transform_param for layer in net.layers if layer.kind in FEEDS]
    for transform in feeds[:1]:
        if transform.scale != 1:
            changes["std"] = (_inverse(transform.scale),) * 3
        if transform.mean_value:
            changes["mean"] = _triple(list(transform.mean_value))
    return replace(preset("caffe", side), **changes)


def _triple(values: list[float]) -> tuple[float, ...]:
    if len(values) not in (1, 3):
        raise NetError(f"the data layer has {len(values)} values of `mean_value`: 1 or 3 are needed")
    return tuple(values * 3 if len(values) == 1 else values)


def _inverse(scale: float) -> float:
    """Caffe multiplies by `scale` where others divide."""
    if not scale:
        raise NetError("the data layer multiplies every pixel by `scale: 0`: correct the prototxt")
    return 1 / scale
