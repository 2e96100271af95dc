"""What decides where a point of a map lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from decaf.errors import MapError
from decaf.probe.inputs import TRANSFORMS

Method = Literal["tsne", "pca"]
Project = Literal["pca", "random"]

COMPONENTS = {"pca": 50, "random": 512}  # van der Maaten and Hinton 2008, section 4.2: 30; DeCAF, footnote 5: 512


@dataclass(frozen=True)
class MapSettings:
    """How a map is made.

    Attributes:
        method: `tsne` (van der Maaten and Hinton 2008), or `pca`: the first two principal components, which are quick,
            linear, and show the large differences only.
        transform: of the features: `l2`, each vector at length 1, so that angles count, as in cosine similarity; or
            `none`, `sqrt`, `standardize`, as for probes.
        project: what makes vectors shorter before t-SNE: `pca`, or `random`, a Gaussian projection, as in footnote 5 of
            the DeCAF paper.
        components: numbers left of each vector; 0: 50 of `pca`, 512 of `random`. Vectors that are shorter stay whole.
        perplexity: about how many neighbours each point attends to; at most a third of the points.
        landmarks: rows the map is made of; where there are more, these are drawn at random and the rest is placed.
        seed: of all chance.

    Raises:
        MapError: a setting no map can be made with.
    """

    method: Method = "tsne"
    transform: str = "l2"
    project: Project = "pca"
    components: int = 0
    perplexity: float = 30.0
    landmarks: int = 50_000
    seed: int = 0

    def __post_init__(self) -> None:
        _one_of("method", self.method, get_args(Method))
        _one_of("project", self.project, get_args(Project))
        _one_of("transform", self.transform, TRANSFORMS)
        _at_least("perplexity", self.perplexity, 1)
        _at_least("landmarks", self.landmarks, 10)
        _at_least("components", self.components or 2, 2)
        _at_least("seed", self.seed, 0)

    @property
    def size(self) -> int:
        """Numbers left of each vector that is longer."""
        return self.components or COMPONENTS[self.project]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, what does not decide left out."""
        said = asdict(self) | {"components": self.size}
        if self.method == "pca":
            return {name: said[name] for name in ("method", "transform", "landmarks", "seed")}
        return said

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> MapSettings:
        """What `to_dict` gave."""
        return cls(**said)


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise MapError(f"{name} {value!r} is unknown: use one of {', '.join(known)}")


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < float("inf"):
        raise MapError(f"{name} {value} is not a setting of a map: give {least} or more")
