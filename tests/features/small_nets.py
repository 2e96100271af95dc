"""Networks and pictures small enough to quantise in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from decaf.nets.fill import he, seeded, stored
from decaf.nets.graph import GraphBuilder
from decaf.nets.net import Net, metadata
from decaf.nets.preprocess import Preprocess

SIDE = 35  # pixels
PREPROCESS = Preprocess(size=40, crop=SIDE, mean=(104.0, 117.0, 123.0), std=(60.0,) * 3, channels="BGR")
KNOWN = {"licence": "MIT", "parameters": "random"}


def narrow_caffenet(preprocess: Preprocess = PREPROCESS) -> Net:
    """Every kind of layer of the DeCAF network, with few filters."""
    graph = GraphBuilder("narrow", seeded(0, he), (3, SIDE, SIDE))
    x = graph.relu(graph.conv(graph.input, "conv1", 16, 5, stride=2), "relu1")
    x = graph.lrn(graph.max_pool(x, "pool1", 3, stride=2), "norm1")
    x = graph.relu(graph.conv(x, "conv2", 32, 3, pads=1, group=2), "relu2")
    x = graph.max_pool(x, "pool2", 3, stride=2)
    x = graph.relu(graph.linear(x, "fc6", 64), "relu6")
    x = graph.softmax(graph.linear(x, "fc8", 10), "prob")
    said = metadata("narrow", preprocess, "relu6", list("abcdefghij"), {"DeCAF6": "relu6", "last": "pool2"}, KNOWN)
    return _net(graph, x, said, preprocess)


def net_with_a_harmful_layer() -> Net:
    """The second convolution reads channels of ranges far apart and makes them alike: eight bits lose all but one."""
    scales = np.array([1e3, 1, 1, 1, 1, 1, 1, 1], np.float32)
    random = np.random.default_rng(0)
    wide = random.normal(0, 1, (8, 3, 3, 3)).astype(np.float32)
    values = {
        "conv1.weight": wide * scales[:, None, None, None],
        "conv2.weight": (1 / scales)[:, None, None, None],
        "conv3.weight": random.normal(0, 1, (16, 8, 1, 1)).astype(np.float32),
        "fc.weight": random.normal(0, 0.1, (16, 16)).astype(np.float32),
    }
    graph = GraphBuilder("harmed", stored(values), (3, SIDE, SIDE))
    x = graph.relu(graph.conv(graph.input, "conv1", 8, 3, stride=2, bias=False), "relu1")
    x = graph.conv(x, "conv2", 8, 1, group=8, bias=False)
    x = graph.relu(graph.conv(x, "conv3", 16, 1, bias=False), "relu3")
    x = graph.linear(graph.global_average(x, "pool"), "fc", 16, bias=False)
    return _net(graph, x, metadata("harmed", PREPROCESS, "fc", [], {}, {}), PREPROCESS)


def _net(graph: GraphBuilder, output: str, said: dict[str, str], preprocess: Preprocess) -> Net:
    from decaf.nets.net import net_of

    data = graph.finish(output, said).SerializeToString(deterministic=True)
    return net_of(data, "small.onnx", "small", preprocess)


def draw_pictures(folder: Path, count: int, first: int = 0) -> Path:
    """Pictures of patches of colour: neither all alike nor noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        patches = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(patches).resize((60, 50), Image.Resampling.BILINEAR).save(folder / f"{seed:03}.png")
    return folder
