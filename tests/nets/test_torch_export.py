"""Any torch module becomes a network that computes the same without torch, under the names of its parts."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.nets.torch_modules import ResNet, VisionTransformer, made, nn, torch

from decaf.engines import make_engine
from decaf.errors import NetError
from decaf.nets import from_torch
from decaf.nets.net import Net, read_net
from decaf.nets.preprocess import Preprocess

pytest.importorskip("onnxscript")

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)


@cache
def exported(kind: type[Any]) -> tuple[Any, Net]:
    """A module, and the network: one documented line for users of torchvision, one for those of timm."""
    module = made(kind)
    if kind is ResNet:
        return module, from_torch(module, 32, preprocess="torchvision")
    return module, from_torch(module)


def in_torch(module: Any, net: Net) -> dict[str, Any]:
    """Every part's last result for the pictures, prepared as the network prepares them; the output is ''."""
    how = net.preprocess
    x = torch.tensor((PICTURES - np.array(how.mean)) / np.array(how.std), dtype=torch.float32).permute(0, 3, 1, 2)
    results: dict[str, Any] = {}
    hooks = [
        part.register_forward_hook(lambda _part, _x, y, name=name: results.update({name: y.clone().numpy()}))
        for name, part in module.named_modules()
    ]
    module.eval()
    with torch.no_grad():
        module(x)
    for hook in hooks:
        hook.remove()
    return results


@pytest.mark.parametrize("kind", [ResNet, VisionTransformer])
def test_every_named_layer_computes_what_its_part_of_the_module_does(kind: type[Any]) -> None:
    module, net = exported(kind)
    wanted = in_torch(module, net)
    names = {alias: layer.name for layer in net.layers for alias in (layer.name, *layer.aliases)}
    shared = sorted(wanted.keys() & names.keys())
    engine = make_engine(net, [names[name] for name in shared] + ["output"], threads=1)
    *layers, output = engine.run(PICTURES)
    assert np.abs(output - wanted[""]).max() <= 1e-4
    for name, computed in zip(shared, layers, strict=True):
        assert np.abs(computed.reshape(wanted[name].shape) - wanted[name]).max() <= 1e-4, name
    assert {"layer1", "layer1.0.relu", "avgpool"} <= set(shared) or {"blocks.0", "blocks.0.attn", "norm"} <= set(shared)


@pytest.mark.parametrize("kind", [ResNet, VisionTransformer])
def test_the_file_is_one_and_tells_all_but_where_it_was_made(kind: type[Any], tmp_path: Path) -> None:
    _, net = exported(kind)
    net.save(tmp_path / "net.onnx")
    read = read_net(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == [tmp_path / "net.onnx"]
    assert (read.name, read.preprocess, read.default_layer, read.sha256) == (
        net.name, net.preprocess, "output", net.sha256,
    )  # fmt: skip
    assert read.provenance == {"exported_from": f"tests.nets.torch_modules.{kind.__name__}"}
    assert b"stack_trace" not in net.data
    assert str(Path(__file__).parent).encode() not in net.data


def test_the_module_stays_in_the_mode_it_was_in() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(), nn.BatchNorm2d(4))
    module[2].eval()
    from_torch(module, 8, preprocess="torchvision")
    assert [part.training for part in (module, *module)] == [True, True, True, False]


def test_what_timm_says_of_a_model_is_followed() -> None:
    _, net = exported(VisionTransformer)
    assert net.preprocess == Preprocess(
        size=35, crop=32, mean=(127.5,) * 3, std=(63.75, 127.5, 127.5), resize="short-side", interpolation="bicubic"
    )


class Silent(nn.Module):
    def forward(self, x: Any) -> Any:
        return torch.relu(x.mean((2, 3)))


def test_what_is_given_goes_before_what_the_module_says() -> None:
    module = Silent()
    module.pretrained_cfg = made(VisionTransformer).pretrained_cfg
    how = Preprocess(size=40, crop=16, mean=(1, 2, 3), std=(4, 5, 6))
    net = from_torch(module, preprocess=how, name="quiet", labels=("owl",), default_layer="mean")
    assert (net.preprocess, net.name, net.labels, net.default_layer) == (how, "quiet", ("owl",), "mean")


class Branching(nn.Module):
    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


REFUSED: dict[str, tuple[type[Any], dict[str, Any], str]] = {
    "no side": (Silent, {"preprocess": "torchvision"}, "pass side=224"),
    "no preprocessing": (Silent, {"side": 32}, 'pass preprocess="torchvision"'),
    "another side": (Silent, {"side": 32, "preprocess": "torchvision,crop=16"}, "takes pictures of 32 px"),
    "half of timm's words": (Silent, {"side": 32, "preprocess": {"mean": (0, 0, 0)}}, "timm's configuration"),
    "a branch on its values": (Branching, {"side": 32, "preprocess": "torchvision"}, "Branching cannot be exported"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_refused_in_one_line(case: str) -> None:
    kind, options, message = REFUSED[case]
    with pytest.raises(NetError, match=message) as caught:
        from_torch(kind(), **options)
    assert "\n" not in str(caught.value)
