"""Every layer of a network is in its outline once; blocks, branches and what repeats are found."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from tests.features.small_nets import narrow_caffenet
from tests.light_graphs import published_file

from decaf.nets.fill import he, seeded
from decaf.nets.graph import GraphBuilder
from decaf.nets.net import Net, net_of
from decaf.nets.outline import Branches, Lump, Part, Unit, outline
from decaf.nets.registry import load_net

NETS = ("efficientnet-lite0", "squeezenet1.1")
PUBLISHED = ("resnet50", "densenet121", "inception_v1", "inception_v2", "shufflenet", "squeezenet", "vgg19")


def net(name: str) -> Net:
    if name in NETS:
        return load_net(name)
    return net_of(published_file(name).SerializeToString(), f"{name}.onnx", name, "torchvision")


def built(add: object, side: int = 16) -> Net:
    """A network of whatever `add` appends to a graph."""
    graph = GraphBuilder("built", seeded(0, he), (3, side, side))
    end = add(graph)  # type: ignore[operator]
    model = graph.finish(end, {}).SerializeToString()
    return net_of(model, "built.onnx", "built", f"size={side},mean=127,std=128")


def parts(chain: Iterable[Part]) -> list[Part]:
    """All of them, those within branches too."""
    found: list[Part] = []
    for part in chain:
        found.append(part)
        if isinstance(part, Branches):
            found += [one for lane in part.lanes for one in parts(lane)]
    return found


@pytest.mark.parametrize("name", [*NETS, *PUBLISHED])
def test_every_layer_is_there_once(name: str) -> None:
    network = net(name)
    rows = outline(network)
    shown = [layer.name for row in rows for layer in row.layers] + [name for row in rows for name in row.side]
    assert sorted(shown) == sorted(layer.name for layer in network.layers)
    assert len(rows) <= 30
    assert not any(isinstance(part, Lump) for row in rows for part in parts(row.chain))
    for row in rows:
        times = len(row.names)
        assert sum(len(part.layers) for part in row.chain) * times == len(row.layers)


def test_blocks_of_the_default_network() -> None:
    rows = outline(net("efficientnet-lite0"))
    assert [row.names[0] for row in rows] == [
        *("stem", "block1", "block2", "block3", "block4", "block5", "block6", "block7", "block9", "block10"),
        *("block12", "block13", "block16", "head", "pool", "fc", "prob"),
    ]
    (repeated,) = (row for row in rows if row.names == ("block13", "block14", "block15"))
    (block,) = repeated.chain
    assert isinstance(block, Branches) and block.skip and block.join.text == "+" and repeated.shape == (192, 7, 7)
    assert [part.text for part in block.lanes[0]] == ["1x1, 1152", "5x5 depthwise, 1152", "1x1, 192"]  # type: ignore[union-attr]
    assert [part.parts for part in block.lanes[0]] == ["bn, relu6", "bn, relu6", "bn"]  # type: ignore[union-attr]


def test_layers_beside_the_way_to_the_output() -> None:
    rows = outline(net("squeezenet1.1"))
    assert {row.names[-1]: row.side for row in rows if row.side} == {"fire9": ("features.average", "features")}
    fire = next(row for row in rows if row.names == ("fire2", "fire3"))
    assert isinstance(fire.chain[0], Unit) and isinstance(fire.chain[1], Branches)
    assert [[part.text for part in lane] for lane in fire.chain[1].lanes] == [["1x1, 64"], ["3x3, 64"]]  # type: ignore[union-attr]
    assert not fire.chain[1].skip and fire.chain[1].join.text == "concat"


def test_what_kinds_of_layers_are_called() -> None:
    texts = {row.names[0]: row.chain[0].text for row in outline(narrow_caffenet())}  # type: ignore[union-attr]
    assert texts["conv1"] == "5x5 /2, 16" and texts["conv2"] == "3x3 in 2 groups, 32"
    assert texts["pool1"] == "max 3x3 /2" and texts["norm1"] == "LRN" and texts["fc6"] == "fully connected, 64"
    assert list(texts)[-1] == "prob"


def test_dense_blocks_and_residual_blocks_that_repeat() -> None:
    times = [len(row.names) for row in outline(net("densenet121")) if isinstance(row.chain[0], Branches)]
    assert times == [6, 12, 24, 16]
    assert [len(row.names) for row in outline(net("resnet50")) if isinstance(row.chain[0], Branches)] == [
        *(1, 2, 1, 3, 1, 5, 1, 2)
    ]


def test_branches_within_branches() -> None:
    def add(graph: GraphBuilder) -> str:
        x = graph.conv(graph.input, "a", 4, 1)
        inner = graph.node("Add", "inner", [graph.conv(x, "b", 4, 1), graph.conv(x, "c", 4, 1)])
        return graph.node("Add", "outer", [graph.conv(inner, "d", 4, 1), graph.conv(x, "e", 4, 1)])

    first, second = outline(built(add))
    (block,) = second.chain
    assert first.names == ("a",) and isinstance(block, Branches) and len(block.lanes) == 2
    nested, after = block.lanes[0]
    assert isinstance(nested, Branches) and nested.join.layers[0].name == "inner" and after.layers[0].name == "d"


def test_what_is_tied_in_a_knot_is_one_lump() -> None:
    def add(graph: GraphBuilder) -> str:
        x = graph.conv(graph.input, "a", 4, 1)
        b, c = graph.conv(x, "b", 4, 1), graph.conv(x, "c", 4, 1)
        left = graph.node("Add", "left", [b, c])
        right = graph.node("Add", "right", [b, graph.conv(c, "d", 4, 1)])
        return graph.node("Add", "end", [left, right])

    rows = outline(built(add))
    (block,) = rows[-1].chain
    assert isinstance(block, Branches) and [type(part) for part in block.lanes[0]] == [Lump]
    assert sorted(layer.name for layer in block.lanes[0][0].layers) == ["b", "c", "d", "left", "right"]
    assert sorted(layer.name for row in rows for layer in row.layers) == ["a", "b", "c", "d", "end", "left", "right"]


def test_a_branch_that_is_taken_in_the_middle_loses_nothing() -> None:
    def add(graph: GraphBuilder) -> str:
        x = graph.conv(graph.input, "a", 4, 1)
        b = graph.conv(x, "b", 4, 1)
        c = graph.conv(b, "c", 4, 1)
        return graph.node("Concat", "end", [x, b, c], (12, 16, 16), axis=1)

    rows = outline(built(add))
    assert sorted(layer.name for row in rows for layer in row.layers) == ["a", "b", "c", "end"]
    (block,) = rows[-1].chain
    assert isinstance(block, Branches) and any(isinstance(part, Lump) for part in block.lanes[0])


def test_three_hundred_layers_in_a_row() -> None:
    def add(graph: GraphBuilder) -> str:
        x = graph.input
        for number in range(300):
            x = graph.conv(x, f"layer{number}", 3 + number % 2, 1)
        return x

    rows = outline(built(add))
    assert len(rows) == 300 and [row.names[0] for row in rows[:2]] == ["layer0", "layer1"]
