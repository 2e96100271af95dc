"""How near the features of two networks are, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.engines import Engine
from decaf.features.pipeline import Progress
from decaf.images.decode import Pixels
from decaf.nets.catalogue import Layer
from decaf.nets.net import Net


@dataclass(frozen=True)
class Fidelity:
    """How near a layer's features are to those they stand for.

    Attributes:
        layer: its name.
        mean: cosine of the features of one picture, mean over pictures.
        worst: the least of them.
        apart: mean cosine of the features of two different pictures. Where it is hardly less than `mean`, the layer
            tells pictures apart by little, and the cosine says little.
    """

    layer: str
    mean: float
    worst: float
    apart: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def compare(
    layers: Sequence[str],
    reference: Engine,
    other: Engine,
    pictures: Sequence[Pixels],
    progress: Progress | None = None,
) -> tuple[Fidelity, ...]:
    """Compare what two engines make of the same pictures, a few pictures at a time.

    Args:
        layers: names of what both compute.
        reference: what the features should be.
        other: what they are.
        pictures: prepared, (side, side, 3) uint8, RGB; two or more.
        progress: told about every few of them.
    """
    same: list[list[float]] = [[] for _ in layers]
    apart: list[list[float]] = [[] for _ in layers]
    before: list[NDArray[np.float32]] = [np.empty((0, size), np.float32) for size in reference.sizes]
    size = min(reference.runtime.batch, other.runtime.batch)
    for start in range(0, len(pictures), size):
        part = pictures[start : start + size]
        for index, (wanted, given) in enumerate(zip(reference.run(part), other.run(part), strict=True)):
            same[index].extend(cosine(a, b) for a, b in zip(wanted, given, strict=True))
            apart[index].extend(cosine(a, b) for a, b in pairwise([*before[index], *wanted]))
            before[index] = wanted[-1:]
        if progress:
            progress(len(part), 0)
    return tuple(
        Fidelity(layer, *(round(float(value), 6) for value in (np.mean(near), np.min(near), np.mean(far))))
        for layer, near, far in zip(layers, same, apart, strict=True)
    )


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Of two vectors; of two that are zero it is 1, of one that is and one that is not 0, and of NaN it is NaN."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if lengths == 0:
        return float(not a.any() and not b.any())
    return float(a @ b / lengths)


def usual_layers(net: Net) -> list[Layer]:
    """Layers people take: the default one and those with other names, or where there are none the last of each
    resolution."""
    named = {net.layer(name).name for name in (net.default_layer, *(net.aliases or {}))}
    if not net.aliases:
        maps = [layer for layer in net.layers if layer.shape and len(layer.shape) == 3 and layer.shape[1:] != (1, 1)]
        named |= set({layer.shape[1:]: layer.name for layer in maps if layer.shape}.values())
    return [layer for layer in net.layers if layer.name in named and layer.shape and 0 not in layer.shape]
