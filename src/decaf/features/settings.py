"""What a feature set was made with, and whether a rerun asks for the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata as packages
from typing import Any

from decaf.engines import Runtime
from decaf.errors import SettingsDiffer
from decaf.nets.catalogue import Layer
from decaf.nets.net import Net

# Distributions whose version can change a bit of a vector or a byte of a shard.
_PACKAGES = ("pyarrow", "pillow", "simplejpeg", "numpy")


def describe_settings(
    net: Net, layers: Sequence[Layer], runtime: Runtime, pool: str, fast_decode: bool
) -> dict[str, Any]:
    """What decides the values: two runs with equal settings make comparable features."""
    return {
        "net": net.name,
        "net_sha256": net.sha256,
        "layers": {layer.name: list(layer.shape or ()) for layer in layers},
        "preprocess": _plain(net.preprocess.to_dict()),
        "decoding": "reduced" if fast_decode else "full",
        "pool": pool,
        "precision": runtime.precision,
        "region": "whole",
        "view": "center",
    }


def describe_environment(runtime: Runtime) -> dict[str, str]:
    """What decides the last bits: two runs in equal environments make equal bytes."""
    return {
        "engine": f"{runtime.engine} {runtime.version}",
        "instruction_set": runtime.instruction_set,
        **{name: packages.version(name) for name in _PACKAGES},
    }


def refuse_difference(folder: object, made_with: Mapping[str, Any], asked: Mapping[str, Any], remedy: str) -> None:
    """Raise SettingsDiffer that names the first setting in which the two differ."""
    before, now = _flat(made_with), _flat(asked)
    for key in now:
        if key not in before:
            raise SettingsDiffer(f"{folder} was made by another version, which knew no {key}: write to another folder")
        if before[key] != now[key]:
            raise SettingsDiffer(
                f"{folder} was made with {key} {_shown(before[key])}, this run has {_shown(now[key])}: {remedy}"
            )


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested names joined by dots; the layers stay together, since their order counts."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if key == "layers":
            flat[key] = list(value)
        elif isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": innermost for inner, innermost in value.items()}
        else:
            flat[key] = value
    return flat


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON would give it back: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain
