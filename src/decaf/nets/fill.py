"""Where the parameters of a network come from: stored arrays, zeros, or random numbers from a seed.

A builder declares every parameter by name and shape and asks a source for its values. So a graph can be written before
anyone has its parameters, and they are poured in by name afterwards.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from functools import cache
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from decaf.errors import NetError

Shape = tuple[int, ...]
Parameters = Callable[[str, Shape], NDArray[Any]]

_LEVELS = 2**16  # of the normal distribution in `seeded`
_DECIMALS = 6  # of a level; coarser than any rounding error of a machine's logarithm


class Draw(NamedTuple):
    """Normally distributed values; with a standard deviation of 0 they are all `mean`."""

    std: float = 0.0
    mean: float = 0.0


Rule = Callable[[str, Shape], Draw]
"""How each parameter is drawn."""


def stored(values: Mapping[str, NDArray[Any]]) -> Parameters:
    """Parameters by name. The source raises NetError for one that is missing, misshapen, or not finite."""

    def look_up(name: str, shape: Shape) -> NDArray[Any]:
        if name not in values:
            raise NetError(f"the parameters have no {name!r}: they are those of another network")
        return checked(name, values[name], shape)

    return look_up


def checked(name: str, value: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """The value, if it is what a layer can use. Raises NetError when it is misshapen or not finite."""
    if value.shape != shape:
        raise NetError(f"parameter {name!r} has shape {value.shape}, the network needs {shape}")
    if not np.isfinite(value).all():
        raise NetError(f"parameter {name!r} has values that are not finite: the file is damaged")
    return value


def zeros(_name: str, shape: Shape) -> NDArray[np.float32]:
    """A source for a graph whose parameters are poured in later."""
    return np.zeros(shape, np.float32)


def seeded(seed: int, rule: Rule) -> Parameters:
    """A source of random parameters; see `draw`."""
    return lambda name, shape: draw(seed, name, shape, rule(name, shape))


def draw(seed: int, name: str, shape: Shape, how: Draw) -> NDArray[np.float32]:
    """A random parameter: the same for a seed, a name and a shape on every machine, in whatever order they are drawn.

    Each value is one of 65,536 equally likely levels of the normal distribution (up to 4.3 standard deviations), picked
    by Philox. That uses no logarithm of the machine's own, which NumPy's normal generator does.
    """
    if not how.std:
        return np.full(shape, how.mean, np.float32)
    key = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:16], "little")
    count = math.prod(shape)
    words = np.random.Philox(key=key).random_raw(-(-count // 4)).astype("<u8")
    levels = (_normal_levels() * how.std + how.mean).astype(np.float32)
    drawn: NDArray[np.float32] = levels[words.view("<u2")[:count]]
    return drawn.reshape(shape)


def he(name: str, shape: Shape) -> Draw:
    """He et al. 2015 for matrices and kernels (out, in, ...): std sqrt(2 / fan-in); normalisation as identity.

    Names are those of torch: `running_var` and the `weight` of a normalisation, a vector, are 1; biases are 0.
    """
    if len(shape) > 1:
        return Draw(math.sqrt(2 / math.prod(shape[1:])))
    return Draw(mean=float(name.endswith(("running_var", ".weight"))))


def random_name(name: str, seed: int) -> str:
    """What a network with random parameters is called."""
    return f"{name}-random-{seed}"


def random_provenance(seed: int) -> dict[str, Any]:
    """What a network with random parameters says about their origin."""
    return {"parameters": f"random parameters, seed {seed}"}


@cache
def _normal_levels() -> NDArray[np.float64]:
    normal = NormalDist()
    return np.array([round(normal.inv_cdf((level + 0.5) / _LEVELS), _DECIMALS) for level in range(_LEVELS)])
