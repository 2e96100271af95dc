"""A network: its layers by name, its file, what the file says about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from decaf.errors import NetError, UnknownName
from decaf.nets.net import Net, parse_model, read_net
from decaf.nets.preprocess import Preprocess, parse_preprocess
from decaf.nets.registry import load_net

HOW = Preprocess(size=12, crop=8, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), resize="warp", channels="BGR")


def model(said: Mapping[str, Any] | None = None) -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1), "w")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["conv"]),
            helper.make_node("GlobalAveragePool", ["conv"], ["average"]),
            helper.make_node("Flatten", ["average"], ["flat"], name="last"),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["N", 4])],
        [weight],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(built, {f"decaf.{key}": json.dumps(value) for key, value in (said or {}).items()})
    return built


def small(**changes: Any) -> Net:
    net = Net(
        name="small",
        data=model().SerializeToString(),
        preprocess=HOW,
        default_layer="average",
        labels=("cat", "dog", "żółw", "鳥"),
        aliases={"features": "average"},
        provenance={"licence": "CC0", "published_top1": 12.5},
    )
    return replace(net, **changes)


def written(folder: Path, said: Mapping[str, Any] | None = None) -> Path:
    path = folder / "some net.onnx"
    path.write_bytes(model(said).SerializeToString())
    return path


# Layers


def test_a_layer_is_found_by_its_name_and_by_its_aliases() -> None:
    net = small()
    assert net.layer("average").name == net.layer("features").name == "average"
    assert net.layer("last").name == net.layer("flat").name == "flat"


@pytest.mark.parametrize(
    ("wrong", "right"), [("blok3", "block3"), ("pool1", "pool"), ("block1.projekt", "block1.project"), ("Prob", "prob")]
)
def test_an_unknown_layer_brings_the_nearest_names(lite0: Net, wrong: str, right: str) -> None:
    with pytest.raises(UnknownName, match=rf"no layer '{wrong}': did you mean .*\b{right}\b.*decaf layers") as caught:
        lite0.layer(wrong)
    assert "\n" not in str(caught.value)


def test_a_name_like_none_brings_the_list_only(lite0: Net) -> None:
    with pytest.raises(UnknownName, match=r"no layer 'xxxxxxxx': `decaf layers efficientnet-lite0` lists them all"):
        lite0.layer("xxxxxxxx")


def test_a_net_without_other_names_has_none() -> None:
    assert [layer.aliases for layer in small(aliases=None).layers] == [(), (), ("last",)]


# Values


def test_a_net_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        small().name = "other"  # type: ignore[misc]


def test_a_net_can_be_a_key(lite0: Net) -> None:
    assert {lite0: 1, lite0.with_resize("warp"): 2}[lite0] == 1


def test_with_resize_changes_the_resize_rule_and_nothing_else() -> None:
    net = small().with_resize("short-side")
    assert net == small(preprocess=replace(HOW, resize="short-side"))
    assert net.with_resize("default") == net


def test_the_input_side_is_the_crop() -> None:
    assert small().input_side == 8


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, {"preprocess": HOW.to_dict()})
    assert read_net(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


# Files


def test_a_saved_net_says_all_that_is_known_of_it(tmp_path: Path) -> None:
    net, path = small(), tmp_path / "saved.onnx"
    net.save(path)
    loaded = load_net(path)
    assert replace(loaded, data=net.data) == net
    assert loaded.layers == net.layers
    assert loaded.layer("features").name == "average"


def test_saving_keeps_the_graph_as_it_is(tmp_path: Path) -> None:
    net, path = small(), tmp_path / "saved.onnx"
    net.save(path)
    saved = onnx.load(path)
    assert saved.graph == net.model.graph
    assert saved.opset_import == net.model.opset_import


def test_saving_again_gives_the_same_bytes(tmp_path: Path) -> None:
    small().save(tmp_path / "first.onnx")
    load_net(tmp_path / "first.onnx").save(tmp_path / "second.onnx")
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.onnx", "second.onnx"]


def test_saving_leaves_the_net_itself_alone(tmp_path: Path) -> None:
    net = small()
    before = net.model.SerializeToString()
    net.save(tmp_path / "saved.onnx")
    assert net.model.SerializeToString() == before


def test_the_default_network_survives_saving(lite0: Net, tmp_path: Path) -> None:
    changed = replace(lite0, preprocess=HOW_LITE, aliases={"features": "pool"}, default_layer="head", labels=("a", "b"))
    changed.save(tmp_path / "saved.onnx")
    loaded = load_net(tmp_path / "saved.onnx")
    assert replace(loaded, data=b"") == replace(changed, data=b"")
    assert loaded.layer("features").shape == (1280,)


HOW_LITE = Preprocess(size=256, crop=224, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), channels="BGR")


def test_a_file_that_says_only_its_preprocessing_has_sensible_values(tmp_path: Path) -> None:
    net = read_net(written(tmp_path, {"preprocess": HOW.to_dict()}))
    assert net.name == "some net"
    assert net.default_layer == "flat"
    assert net.labels == ()
    assert net.preprocess == HOW
    assert net.provenance == {"file": "some net.onnx"}


def test_a_file_that_does_not_say_how_its_pixels_are_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetError, match=r"does not say how its pixels are prepared: pass --preprocess") as caught:
        read_net(written(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["size=12,mean=1/2/3,std=4/5/6,resize=warp,channels=BGR", HOW], ids=["text", "value"])
def test_preprocessing_may_be_given_with_the_file(given: str | Preprocess, tmp_path: Path) -> None:
    assert read_net(written(tmp_path), given).preprocess == HOW


def test_given_preprocessing_overrides_what_the_file_says(tmp_path: Path) -> None:
    path = written(tmp_path, {"preprocess": HOW.to_dict()})
    assert read_net(path, "channels=RGB").preprocess == replace(HOW, channels="RGB")
    other = parse_preprocess("torchvision", 8)
    assert read_net(path, other).preprocess == other


@pytest.mark.parametrize("given", ["crop=7,size=12,mean=0,std=1", replace(HOW, crop=7), replace(HOW, crop=9)], ids=repr)
def test_a_crop_that_is_not_the_networks_side_is_refused(given: str | Preprocess, tmp_path: Path) -> None:
    with pytest.raises(NetError, match=r"takes pictures of 8 px.*set crop=8"):
        read_net(written(tmp_path), given)


def test_metadata_of_others_is_passed_over(tmp_path: Path) -> None:
    built = model({"preprocess": HOW.to_dict(), "future": "unknown"})
    built.metadata_props.add(key="author", value="someone")
    (tmp_path / "net.onnx").write_bytes(built.SerializeToString())
    assert read_net(tmp_path / "net.onnx").preprocess == HOW


def test_an_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\x00\x01\x02")
    with pytest.raises(NetError, match=r"broken\.onnx is not an ONNX"):
        read_net(path)


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(NetError, match="nothing is not an ONNX network: it holds no layers"):
        parse_model(b"", "nothing")
