"""SqueezeNet 1.1 (Iandola et al. 2016): as accurate as AlexNet with 1.2 million parameters.

A convolution, eight fire modules (1x1 convolutions that squeeze, 1x1 and 3x3 ones that expand) and a convolution that
gives each class a map. Layers are named as in its authors' Caffe files; `features`, the mean of the last fire module
over positions, is added for use as a feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from decaf.errors import NetError
from decaf.nets.design import Design
from decaf.nets.fill import Parameters
from decaf.nets.graph import GraphBuilder
from decaf.nets.labels import ilsvrc_labels
from decaf.nets.preprocess import preset

SIDE = 227  # pixels
_SQUEEZED = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}  # channels; each expands to eight times as many
_POOLED = (3, 5)  # fire modules with a pooling layer behind


def build(parameters: Parameters, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """Write the network. Parameters are named as its convolutions: `fire2/squeeze1x1.weight` and so on."""
    graph = GraphBuilder("squeezenet1.1", parameters, (3, SIDE, SIDE))
    x = graph.relu(graph.conv(graph.input, "conv1", 64, 3, stride=2), "relu_conv1")
    x = graph.max_pool(x, "pool1", 3, stride=2)
    for number, squeezed in _SQUEEZED.items():
        x = _fire(graph, x, f"fire{number}", squeezed)
        if number in _POOLED:
            x = graph.max_pool(x, f"pool{number}", 3, stride=2)
    graph.global_average(x, "features")
    x = graph.relu(graph.conv(x, "conv10", 1000, 1), "relu_conv10")
    return graph.finish(graph.softmax(graph.global_average(x, "pool10"), "prob"), metadata)


def _fire(graph: GraphBuilder, x: str, name: str, squeezed: int) -> str:
    x = graph.relu(graph.conv(x, f"{name}/squeeze1x1", squeezed, 1), f"{name}/relu_squeeze1x1")
    small = graph.relu(graph.conv(x, f"{name}/expand1x1", 4 * squeezed, 1), f"{name}/relu_expand1x1")
    large = graph.relu(graph.conv(x, f"{name}/expand3x3", 4 * squeezed, 3, pads=1), f"{name}/relu_expand3x3")
    return graph.concat([small, large], f"{name}/concat")


def read_parameters(data: bytes) -> Mapping[str, NDArray[Any]]:
    """The arrays of the parameter file, which holds for each layer its kernels (h, w, in, out) and its biases.

    Raises NetError when it is another kind of file.
    """
    from decaf.nets.readers.plain_pickle import read_plain_pickle

    arrays: dict[str, NDArray[Any]] = {}
    layers = read_plain_pickle(data)
    for name, pair in layers.items() if isinstance(layers, dict) else ():
        match pair:
            case [np.ndarray() as kernels, np.ndarray() as biases] if kernels.ndim == 4:
                arrays |= {f"{name}.weight": kernels.transpose(3, 2, 0, 1), f"{name}.bias": biases}
            case _:
                raise NetError(f"layer {str(name)[:80]!r} of the parameter file is no pair of kernels and biases")
    return arrays


# As the authors trained it: 256 px, crops of 227, BGR minus the mean pixel.
DESIGN = Design(build, preset("caffe", SIDE), "features", {}, ilsvrc_labels)
