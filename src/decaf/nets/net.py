"""A runnable frozen network: an ONNX model and what is known about it."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx

from decaf.errors import DecafError, NetError, UnknownName
from decaf.nets.catalogue import Layer, input_side, read_layers
from decaf.nets.fill import random_name, random_provenance
from decaf.nets.mean_image import from_text
from decaf.nets.model_file import parse_model
from decaf.nets.preprocess import Preprocess, parse_preprocess

# Metadata of an ONNX file: one JSON value per key.
_KEY = "decaf."
_KINDS = {
    "name": str,
    "preprocess": Preprocess,
    "mean_image": str,
    "default_layer": str,
    "labels": list,
    "aliases": dict,
    "provenance": dict,
}
LARGEST_FILE = 2**31 - 1  # bytes; protobuf reads no more


@dataclass(frozen=True)
class Net:
    """A frozen network, ready to run.

    Attributes:
        name: its registered name, or the stem of its file.
        data: the ONNX file, bytes.
        preprocess: how pixels become its input.
        default_layer: the layer that `extract` takes when none is named.
        labels: the words of its output classes, in order; empty where unknown.
        aliases: other name -> layer name.
        provenance: where the parameters come from, under which licence, with which published accuracy.
    """

    name: str
    data: bytes
    preprocess: Preprocess
    default_layer: str
    labels: tuple[str, ...] = ()
    aliases: Mapping[str, str] | None = None
    provenance: Mapping[str, Any] | None = None

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The parsed ONNX model."""
        return parse_model(self.data, self.name)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer, in the order they are computed."""
        return read_layers(self.model, self.aliases or {})

    @cached_property
    def sha256(self) -> str:
        """Of the ONNX file: it identifies graph, parameters and metadata."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def input_side(self) -> int:
        """Height and width of the network's input, pixels."""
        return self.preprocess.crop

    def __hash__(self) -> int:
        return hash(self.sha256)

    def layer(self, name: str) -> Layer:
        """Find a layer by its name or an alias. Raises UnknownName with the nearest names."""
        found = self._by_name.get(name)
        if found is None:
            close = difflib.get_close_matches(name, self._by_name, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}? " if close else ""
            raise UnknownName(f"{self.name} has no layer {name!r}: {hint}`decaf layers {self.name}` lists them all")
        return found

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        by_alias = {alias: layer for layer in self.layers for alias in layer.aliases}
        return by_alias | {layer.name: layer for layer in self.layers}

    def with_resize(self, resize: str) -> Net:
        """The same network with another resize rule (`default`, `warp`, `short-side` or `square`)."""
        return replace(self, preprocess=self.preprocess.with_resize(resize))

    def with_preprocess(self, given: str | Preprocess) -> Net:
        """The same network with another preparation: a `Preprocess`, or what `--preprocess` takes."""
        return replace(self, preprocess=_chosen_preprocess(self.preprocess, given, self.input_side, self.name))

    def with_random_weights(self, seed: int) -> Net:
        """The same network with random parameters, the same for a seed on every machine; its name tells."""
        from decaf.nets.quantised import is_quantised
        from decaf.nets.randomise import randomised

        if is_quantised(self.model):
            raise NetError(f"{self.name} is quantised: draw parameters for the network it was made from")
        name, provenance = random_name(self.name, seed), random_provenance(seed)
        return self.with_model(randomised(self.model, seed), name, provenance)

    def with_model(self, model: onnx.ModelProto, name: str, provenance: Mapping[str, Any]) -> Net:
        """The same network with another graph of the same layers, or other parameters; the model is taken over."""
        made = replace(self, name=name, provenance=provenance, data=b"")
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, made.metadata())
        return replace(made, data=model.SerializeToString(deterministic=True))

    def save(self, path: str | Path) -> None:
        """Write the ONNX file with this net's metadata."""
        from decaf.files import write_atomically

        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, self.metadata())
        write_atomically(Path(path), model.SerializeToString(deterministic=True))

    def metadata(self) -> dict[str, str]:
        """What the ONNX file says about itself, as it is stored there."""
        return metadata(
            self.name, self.preprocess, self.default_layer, self.labels, self.aliases or {}, self.provenance or {}
        )


def metadata(
    name: str,
    preprocess: Preprocess,
    default_layer: str,
    labels: Sequence[str],
    aliases: Mapping[str, str],
    provenance: Mapping[str, Any],
) -> dict[str, str]:
    """The metadata properties of an ONNX file decaf can run without being told more."""
    values = {
        "name": name,
        "preprocess": preprocess.to_dict(),
        "default_layer": default_layer,
        "labels": list(labels),
        "aliases": dict(aliases),
        "provenance": dict(provenance),
    }
    if preprocess.mean_image:
        values["mean_image"] = preprocess.mean_image.to_text()
    return properties(values)


def properties(values: Mapping[str, Any]) -> dict[str, str]:
    """What is known of a network, under its field names as plain values, as properties of an ONNX file."""
    return {_KEY + key: json.dumps(value, sort_keys=True) for key, value in values.items()}


def read_net(path: Path, preprocess: str | Preprocess | None = None) -> Net:
    """Read an ONNX classifier file.

    Args:
        path: the file.
        preprocess: how pixels become its input, where the file does not say or says it wrongly: a `Preprocess`, or
            what `--preprocess` takes.

    Raises:
        NetError: not an ONNX file, not an image network, or nothing says how its pixels are prepared.
    """
    return net_of(_read(path), path.name, path, preprocess)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise NetError(f"{path} is not there: name an ONNX file, or one of the nets `decaf nets list` prints")
    if path.stat().st_size > LARGEST_FILE:
        raise NetError(f"{path} has more than {LARGEST_FILE} bytes: no ONNX file in one piece is that large")
    return path.read_bytes()


def net_of(data: bytes, file: str, place: object, preprocess: str | Preprocess | None = None) -> Net:
    """The network in the bytes of an ONNX file of this name; `place` is what messages call it. See `read_net`."""
    model = parse_model(data, str(place))
    said = _said_by(model, place)
    net = Net(
        name=str(said.get("name", Path(file).stem)),
        data=data,
        preprocess=_chosen_preprocess(said.get("preprocess"), preprocess, input_side(model), place),
        default_layer=str(said.get("default_layer", model.graph.output[0].name)),
        labels=tuple(map(str, said.get("labels", ()))),
        aliases=said.get("aliases", {}),
        provenance=said.get("provenance", {"file": file}),
    )
    net.__dict__["model"] = model  # parsed already
    return net


def _said_by(model: onnx.ModelProto, path: object) -> dict[str, Any]:
    properties = {prop.key.removeprefix(_KEY): prop.value for prop in model.metadata_props if prop.key.startswith(_KEY)}
    try:
        values = {key: json.loads(value) for key, value in properties.items() if key in _KINDS}
        if "preprocess" in values:
            values["preprocess"] = _with_image(Preprocess.from_dict(values["preprocess"]), values.get("mean_image"))
        texts = [*values.get("labels", []), *values.get("aliases", {}).values()]
        fits = all(isinstance(value, _KINDS[key]) for key, value in values.items())
    except (ValueError, AttributeError, TypeError, RecursionError, DecafError) as error:
        raise NetError(f"{path} has unreadable decaf metadata ({error}): export or download it again") from None
    if not fits or not all(isinstance(text, str) for text in texts):
        raise NetError(f"{path} has decaf metadata of the wrong kind: export or download it again")
    return values


def _with_image(preprocess: Preprocess, text: Any) -> Preprocess:
    named = preprocess.mean_image
    if named is None:
        return preprocess
    return replace(preprocess, mean_image=from_text(str(text), named, preprocess.size))


def _chosen_preprocess(base: Preprocess | None, given: str | Preprocess | None, side: int, name: object) -> Preprocess:
    """What is given, over what is known, checked against the side of the network's input."""
    chosen = parse_preprocess(given, side, base) if given and isinstance(given, str) else given or base
    if not isinstance(chosen, Preprocess):
        raise NetError(
            f"{name} does not say how its pixels are prepared: pass --preprocess torchvision, or e.g. "
            f"--preprocess size=256,mean=127,std=128,channels=RGB"
        )
    if chosen.mean_image and chosen.mean_image.values is None:
        chosen = _with_known_image(chosen, base, name)
    if chosen.crop != side:
        raise NetError(f"{name} takes pictures of {side} px, its preprocessing makes {chosen.crop}: set crop={side}")
    return chosen


def _with_known_image(chosen: Preprocess, base: Preprocess | None, name: object) -> Preprocess:
    """A preparation that knows its mean image by sha256 only, as a feature folder does, with the network's own."""
    if base is None or base.mean_image != chosen.mean_image:
        raise NetError(
            f"{name} was used with a mean image that is not in its file: pass it again, --preprocess mean=FILE"
        )
    return replace(chosen, mean_image=base.mean_image)
