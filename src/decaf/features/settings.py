"""What a feature set was made with, and whether a rerun asks for the same."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from importlib import metadata as packages
from typing import Any

from decaf.engines import Runtime
from decaf.errors import SettingsDiffer
from decaf.features.options import Options
from decaf.features.rows import Rows
from decaf.features.shards import stored_text
from decaf.nets.catalogue import Layer
from decaf.nets.net import Net

# Distributions whose version can change a bit of a vector or a byte of a shard.
_PACKAGES = ("pyarrow", "pillow", "simplejpeg", "numpy")


FORMAT = 2
ROWS_PER_SHARD = 1000
_BYTES_PER_SHARD = 2**26  # layers too large for so many rows get fewer


def describe(
    sources: Sequence[str], rows: Rows, net: Net, layers: Sequence[Layer], runtime: Runtime, options: Options
) -> dict[str, Any]:
    """All that `decaf.json` says of a new folder."""
    return {
        "format": FORMAT,
        "decaf": packages.version("decaf-vision"),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "source": {
            "given": [str(stored_text(path)) for path in sources][:100],
            "boxes": stored_text(os.fspath(options.boxes)) or None,
            "folder": stored_text(os.getcwd()),
            "pictures": len(rows.listing),
            "count": len(rows),
            "digest": rows.digest(),
        },
        "settings": describe_settings(net, layers, runtime, options),
        "shard_size": options.shard_size or _default_shard_size(layers),
        "environments": [describe_environment(runtime)],
        "runtime": runtime.to_dict(),
        "provenance": dict(net.provenance or {}),
    }


def _default_shard_size(layers: Sequence[Layer]) -> int:
    fitting = _BYTES_PER_SHARD // (4 * sum(layer.size for layer in layers))
    return min(max(fitting, 1), ROWS_PER_SHARD)


def describe_settings(net: Net, layers: Sequence[Layer], runtime: Runtime, options: Options) -> dict[str, Any]:
    """What decides the values: two runs with equal settings make comparable features."""
    return {
        "net": net.name,
        "net_sha256": net.sha256,
        "layers": {layer.name: list(layer.shape or ()) for layer in layers},
        "preprocess": _plain(net.preprocess.to_dict()),
        "decoding": "reduced" if options.fast_decode else "full",
        "max_bytes": options.limits.file,
        "max_pixels": options.limits.pixels,
        "pool": options.pool,
        "precision": runtime.precision,
        "store": options.store,
        "column": options.column or None,
        "regions": f"boxes x {float(options.context)}" if options.boxes else "whole",
        "views": options.views,
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
