"""Features as the paper made them: pictures warped to the network's input, at three layers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from decaf.errors import SettingsDiffer
from decaf.features.extract import Job, plan, run
from decaf.features.feature_set import FeatureSet
from decaf.features.folder import Work, held
from decaf.features.options import Options
from decaf.features.pipeline import Progress
from decaf.images.find import StrPath
from decaf.nets.cut import Pool
from decaf.nets.net import Net
from decaf.nets.registry import DEFAULT_NET, load_net

Show = Callable[[Job, Work], AbstractContextManager[Progress]]
Defaults = Callable[[Net], tuple[list[str], Pool]]


@dataclass(frozen=True)
class Extraction:
    """Which features.

    Attributes:
        net: a registered name, an ONNX file or a `Net`.
        random_weights: a seed: random parameters in place of the trained ones.
        layers: names; empty: see `default_layers`.
        pool: of layers with positions: `avg`, `max`, `none` to take every position; None: see `default_layers`.
        precision: `f32` or `bf16`.
    """

    net: str | Path | Net = DEFAULT_NET
    random_weights: int | None = None
    layers: tuple[str, ...] = ()
    pool: Pool | None = None
    precision: str = "f32"


def default_layers(net: Net) -> tuple[list[str], Pool]:
    """Three layers like the paper's DeCAF5 to DeCAF7, and how to pool them.

    Those of the paper, with every position, where the network has them. Of a network of blocks: two thirds into
    its blocks, and the last block, both averaged over positions, and the network's default layer. Of others: the
    default layer.
    """
    paper = ["DeCAF5", "DeCAF6", "DeCAF7"]
    if set(paper) <= {alias for layer in net.layers for alias in layer.aliases}:
        return paper, "none"
    blocks = [layer.name for layer in net.layers if re.fullmatch(r"block\d+", layer.name)]
    if len(blocks) < 3:
        return [net.default_layer], "avg"
    return [blocks[math.ceil(len(blocks) * 2 / 3) - 1], blocks[-1], net.default_layer], "avg"


def extract_warped(
    source: StrPath | Sequence[StrPath],
    wanted: Extraction,
    out: Path,
    show: Show,
    defaults: Defaults = default_layers,
) -> tuple[FeatureSet, int]:
    """Extract what is missing in `out`; also how many rows were computed.

    Args:
        source: as `find_images` takes it.
        wanted: which features.
        out: the feature folder.
        show: opens a display of the progress.
        defaults: network -> layers and their pooling, where none are named.

    Raises:
        DecafError: what `extract` raises.
    """
    net = wanted.net if isinstance(wanted.net, Net) else load_net(wanted.net, random_weights=wanted.random_weights)
    layers, pool = defaults(net)
    options = Options(
        precision=wanted.precision,
        resize="warp",
        pool=wanted.pool or ("avg" if wanted.layers else pool),
    )
    job = plan(source, net, wanted.layers or layers, out, options)
    with held(out, job.meta, job.rows, options) as work, show(job, work) as progress:
        run(job, work, progress)
    return FeatureSet.open(out), work.rows


def refuse_other_preparation(features: FeatureSet) -> None:
    """Raise SettingsDiffer unless pictures were warped, whole, decoded in full and seen at their centre."""
    settings = features.meta["settings"]
    paper = {"views": "center", "regions": "whole", "decoding": "full"}
    found = {"resize": features.preprocess.resize} | {name: settings[name] for name in paper}
    for name, wanted in ({"resize": "warp"} | paper).items():
        if found[name] != wanted:
            raise SettingsDiffer(
                f"{features.folder} was made with {name} {found[name]}, the paper has {wanted}: "
                "leave out --features, or extract with --resize warp and the other options at their defaults"
            )
