"""`decaf info`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import click

from decaf.cli.common import json_option, preprocess_option, print_json, random_weights_option
from decaf.viz.text import one_line

_SHOWN = 20


@click.command()
@click.argument("thing", metavar="DIR|NET|FILE|MODEL")
@preprocess_option
@random_weights_option
@json_option
def info(thing: str, preprocess: str | None, random_weights: int | None, as_json: bool) -> None:
    """Tell what a feature folder, a net, an ONNX file or a fitted model is, and how it was made.

    \b
    decaf info features
    decaf info efficientnet-lite0 --json
    """
    from decaf.tasks.model_file import looks_like_model

    if os.path.isdir(thing):
        about = _features(thing)
    elif looks_like_model(thing):
        about = _model(thing)
    else:
        about = describe_net(thing, preprocess, random_weights)
    if as_json:
        print_json(about)
    else:
        _say(about)


def _features(folder: str) -> dict[str, Any]:
    from decaf.features.derived import FOLDER as DERIVED
    from decaf.features.feature_set import FeatureSet, read_meta
    from decaf.features.layout import finished_shards

    meta = read_meta(Path(folder))
    done, total = finished_shards(Path(folder), meta)
    if done < total:
        return {"folder": folder, "finished": False, "shards": f"{done} of {total}", **meta}
    features = FeatureSet.open(folder)
    labels = {label for label in features.labels if label is not None}
    return {
        "folder": folder,
        "finished": True,
        "rows": len(features),
        "removed": sum(features.shard_rows.values()) - len(features),
        "broken": [
            {"row": int(row), "path": features.paths[row], "error": features.errors[row]}
            for row in features.broken.nonzero()[0]
        ],
        "labels": len(labels),
        "bytes": _bytes(Path(folder)),
        "derived_bytes": _bytes(Path(folder) / DERIVED),
        **meta,
    }


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("[!.]*") if path.is_file())


def _model(file: str) -> dict[str, Any]:
    from decaf.tasks.model import Model

    data = Path(file).read_bytes()
    about = Model.load(file).to_dict()
    fit = about.pop("fit")
    names = about.pop("names")
    what = "classes" if about["kind"] == "classes" else "targets"
    head = {"model": file, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {**head, "kind": about.pop("kind"), "loss": about.pop("loss"), what: names, "fit": fit, **about}


def describe_net(name: str, preprocess: str | None, random_weights: int | None) -> dict[str, Any]:
    """What `info` and `nets show` tell of a network, which is less where its parameters are not here."""
    from decaf.nets.registry import REGISTRY, load_net

    entry = REGISTRY.get(name)
    if entry is not None and entry.parameter_file is None and random_weights is None:
        return entry.about()
    net = load_net(name, preprocess, random_weights)
    return {
        "net": net.name,
        "sha256": net.sha256,
        "bytes": len(net.data),
        "layers": len(net.layers),
        "parameters": sum(layer.parameters for layer in net.layers),
        "multiply_adds": sum(layer.multiply_adds for layer in net.layers),
        "default_layer": net.default_layer,
        "classes": len(net.labels),
        "preprocess": net.preprocess.to_dict(),
        "provenance": dict(net.provenance or {}),
    }


def _say(about: dict[str, Any], indent: str = "") -> None:
    for key, value in about.items():
        match value:
            case dict():
                click.echo(f"{indent}{key}:")
                _say(value, indent + "  ")
            case [*items] if items and isinstance(items[0], dict):
                click.echo(f"{indent}{key}: {len(items):,}")
                for item in items[:_SHOWN]:
                    click.echo(f"{indent}  " + ", ".join(f"{name} {part}" for name, part in item.items()))
                if len(items) > _SHOWN:
                    click.echo(f"{indent}  and {len(items) - _SHOWN:,} more: --json lists them all")
            case [*items]:
                more = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
                shown = ", ".join(one_line(item) for item in items[:_SHOWN]) + more
                click.echo(f"{indent}{key}: {shown or 'none'}")
            case bool():
                click.echo(f"{indent}{key}: {'yes' if value else 'no'}")
            case int():
                click.echo(f"{indent}{key}: {value:,}")
            case _:
                click.echo(f"{indent}{key}: {value}")
