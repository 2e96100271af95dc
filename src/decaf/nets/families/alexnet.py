"""The network of the DeCAF paper and its sibling: AlexNet (Krizhevsky et al. 2012) as cuda-convnet and Caffe train it.

Five convolutions, the second, fourth and fifth in two groups, and three linear layers, on 227 x 227 pixels; 60,965,224
parameters. CaffeNet has the topology of DeCAF's network: each of the first two layers is pooled, then normalised.
BVLC's AlexNet, as the paper of 2012, normalises first. Normalisation has k = 1, which is what cuda-convnet computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import onnx

from decaf.nets.design import Design
from decaf.nets.fill import Draw, Parameters, Rule, Shape
from decaf.nets.graph import GraphBuilder
from decaf.nets.labels import ilsvrc_labels
from decaf.nets.preprocess import preset

SIDE = 227  # pixels; with it, windows of every layer fit without a rest
CLASSES = 1000

_DECAF = {"DeCAF5": "pool5", "DeCAF6": "relu6", "DeCAF7": "relu7"}
_RECTIFIED = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")


def build(parameters: Parameters, metadata: Mapping[str, str], *, name: str, normalised_first: bool) -> onnx.ModelProto:
    """Write the network. Parameters are named as its layers: `conv1.weight`, `conv1.bias`, ... `fc8.bias`."""
    graph = GraphBuilder(name, parameters, (3, SIDE, SIDE))
    x = _active(graph, graph.conv(graph.input, "conv1", 96, 11, stride=4))
    x = _shrunk(graph, x, "1", normalised_first)
    x = _active(graph, graph.conv(x, "conv2", 256, 5, pads=2, group=2))
    x = _shrunk(graph, x, "2", normalised_first)
    for layer, filters, group in (("conv3", 384, 1), ("conv4", 384, 2), ("conv5", 256, 2)):
        x = _active(graph, graph.conv(x, layer, filters, 3, pads=1, group=group))
    x = graph.max_pool(x, "pool5", 3, stride=2)
    for layer in ("fc6", "fc7"):
        x = _active(graph, graph.linear(x, layer, 4096))
    return graph.finish(graph.softmax(graph.linear(x, "fc8", CLASSES), "prob"), metadata)


def _active(graph: GraphBuilder, x: str) -> str:
    return graph.relu(x, f"relu{x[-1]}")


def _shrunk(graph: GraphBuilder, x: str, number: str, normalised_first: bool) -> str:
    if normalised_first:
        return graph.max_pool(graph.lrn(x, f"norm{number}"), f"pool{number}", 3, stride=2)
    return graph.lrn(graph.max_pool(x, f"pool{number}", 3, stride=2), f"norm{number}")


def filler(bias: float) -> Rule:
    """How CaffeNet's authors draw parameters: Gaussian, std 0.005 in fc6 and fc7 and 0.01 elsewhere.

    Biases are `bias` in conv2, conv4, conv5, fc6 and fc7, and 0 elsewhere: 1 in CaffeNet, 0.1 in BVLC's AlexNet.
    """

    def rule(name: str, shape: Shape) -> Draw:
        layer, _, part = name.partition(".")
        if part == "bias":
            return Draw(mean=bias if layer in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0)
        return Draw(std=0.005 if layer in ("fc6", "fc7") else 0.01)

    return rule


def _names_of_decaf() -> dict[str, str]:
    """What the original release calls its layers."""
    names = {"_decaf_fc6_flatten_out": "fc6.flatten", "fc8_cudanet_out": "fc8", "probs_cudanet_out": "prob"}
    for layer in _RECTIFIED:
        names |= {f"{layer}_cudanet_out": layer, f"{layer}_neuron_cudanet_out": f"relu{layer[-1]}"}
    names |= {f"pool{number}_cudanet_out": f"pool{number}" for number in (1, 2, 5)}
    names |= {f"rnorm{number}_cudanet_out": f"norm{number}" for number in (1, 2)}
    return names | {f"fc{number}dropout_cudanet_out": f"relu{number}" for number in (6, 7)}


def _design(name: str, *, normalised_first: bool, aliases: Mapping[str, str], bias: float) -> Design:
    return Design(
        build=partial(build, name=name, normalised_first=normalised_first),
        preprocess=preset("caffe", SIDE),
        default_layer="relu6",
        aliases=aliases,
        labels=ilsvrc_labels,
        filler=filler(bias),
    )


CAFFENET = _design("caffenet", normalised_first=False, aliases=_DECAF | _names_of_decaf(), bias=1.0)
ALEXNET = _design("alexnet", normalised_first=True, aliases=_DECAF, bias=0.1)
