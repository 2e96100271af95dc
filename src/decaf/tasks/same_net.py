"""Features that can be compared: whether two sets are made alike, and how to extract pictures as a set was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decaf.errors import SettingsDiffer, UnknownName
from decaf.features.extract import Job, plan
from decaf.features.options import Options
from decaf.nets.net import Net
from decaf.nets.preprocess import Preprocess
from decaf.nets.registry import REGISTRY, load_net

# How pixels become numbers: features that differ in one of these are other features.
DECIDING = ("net_sha256", "preprocess", "decoding", "pool")
# What part of a picture is seen, and how numbers are rounded: told, not refused.
TOLD = ("precision", "store", "regions", "views")

Difference = tuple[str, Any, Any]
"""A setting, and what it is in one set and in another."""


@dataclass(frozen=True)
class Alike:
    """What new features must be like, and how that is said.

    Attributes:
        settings: of `decaf.json`.
        layer: which layer.
        made: who has such features, with a verb: `the model was fitted on`, `the folder holds`.
        anew: what else helps: `fit anew`, `extract anew`.
    """

    settings: Mapping[str, Any]
    layer: str
    made: str
    anew: str


@dataclass(frozen=True)
class Network:
    """Where the network is to be had, where its name alone does not tell.

    Attributes:
        file: a registered name or an ONNX file.
        preprocess: what the features were made with, where that was a mean image that the network does not carry.
        random_weights: the seed, where the features came from random parameters.
    """

    file: str | None = None
    preprocess: str | None = None
    random_weights: int | None = None


def plan_alike(
    alike: Alike, sources: Sequence[str], out: Path, network: Network, boxes: str = "", context: float = 1.0
) -> Job:
    """Plan to extract pictures as others were; one row for each picture, or for each box.

    Caps on files and pictures are those of `decaf extract`. Where the others are ten views of each picture, the one of
    the centre is taken.

    Raises:
        SettingsDiffer: it is another network.
        UnknownName: the network has no name decaf knows, and no file was named.
    """
    settings = alike.settings
    options = Options(
        precision=settings["precision"],
        pool=settings["pool"],
        views="ten-mean" if settings["views"] == "ten-mean" else "center",
        fast_decode=settings["decoding"] == "reduced",
        boxes=boxes,
        context=context,
    )
    return plan(sources, net_alike(alike, network), alike.layer, out, options)


def net_alike(alike: Alike, network: Network) -> Net:
    """The network the features came from. A stored name is never looked for among the files of this machine.

    Raises as `plan_alike`.
    """
    name, sha256 = str(alike.settings["net"]), alike.settings["net_sha256"]
    if network.file is None and name not in REGISTRY:
        raise UnknownName(f"{alike.made} features of {name}, {_remedy(name)}")
    asked = network.file or name
    net = load_net(
        asked, network.preprocess or Preprocess.from_dict(alike.settings["preprocess"]), network.random_weights
    )
    if net.sha256 != sha256:
        raise SettingsDiffer(
            f"{asked} is another network (sha256 {net.sha256[:12]}): {alike.made} features of {name} "
            f"({str(sha256)[:12]}); name that one with --net FILE.onnx, or {alike.anew}"
        )
    return net


def _remedy(name: str) -> str:
    """How the network is named that features came from and that decaf does not know by its name."""
    known, _, seed = name.rpartition("-random-")
    if known in REGISTRY and seed.isdecimal():
        return f"which is random: pass --net {known} --random-weights {seed}"
    return "which is a file: name it with --net FILE.onnx"


def deciding_differences(mine: Mapping[str, Any], layer: str, theirs: Mapping[str, Any]) -> Iterator[Difference]:
    """The settings that make features of a layer incomparable, the most telling first."""
    if mine["net_sha256"] != theirs["net_sha256"]:
        yield "net", _named(mine), _named(theirs)
    if layer not in theirs["layers"]:
        yield "layer", layer, ", ".join(theirs["layers"])
        return
    ours = {f"shape of {layer}": mine["layers"][layer]}
    others = {f"shape of {layer}": theirs["layers"][layer]}
    for name in DECIDING:
        ours |= _flat(name, mine[name])
        others |= _flat(name, theirs[name])
    for name in {**ours, **others}:
        if ours.get(name) != others.get(name):
            yield name, ours.get(name), others.get(name)


def told_differences(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Difference]:
    """The settings in which comparable features differ."""
    return [(name, mine[name], theirs[name]) for name in TOLD if mine[name] != theirs[name]]


def _flat(name: str, value: Any) -> dict[str, Any]:
    return {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, Mapping) else {name: value}


def _named(settings: Mapping[str, Any]) -> str:
    """A network, by the name people know and the number that decides."""
    return f"{settings['net']} (sha256 {str(settings['net_sha256'])[:12]})"
