"""A network decaf writes itself: everything but its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from decaf.nets.fill import Parameters, Rule, he, random_name, random_provenance, seeded
from decaf.nets.net import metadata
from decaf.nets.preprocess import Preprocess

Build = Callable[[Parameters, Mapping[str, str]], onnx.ModelProto]
"""Parameters by name and shape, and metadata -> the network."""


@dataclass(frozen=True)
class Design:
    """A network but for its parameters.

    Attributes:
        build: writes the graph.
        preprocess: how pixels become its input.
        default_layer: the layer that `extract` takes when none is named.
        aliases: other name -> layer name.
        labels: the words of its classes.
        filler: how its parameters are drawn before training.
    """

    build: Build
    preprocess: Preprocess
    default_layer: str
    aliases: Mapping[str, str]
    labels: Callable[[], Sequence[str]]
    filler: Rule = he

    def write(self, name: str, parameters: Parameters, provenance: Mapping[str, Any]) -> bytes:
        """The ONNX file. Raises NetError when the parameters are not those of this network."""
        said = metadata(name, self.preprocess, self.default_layer, self.labels(), self.aliases, provenance)
        return bytes(self.build(parameters, said).SerializeToString(deterministic=True))

    def write_random(self, name: str, seed: int) -> bytes:
        """The ONNX file with random parameters, which its name and provenance tell."""
        return self.write(random_name(name, seed), seeded(seed, self.filler), random_provenance(seed))
