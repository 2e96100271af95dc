"""Make a Net of an ONNX model and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from decaf.errors import NetError
from decaf.nets.catalogue import input_side
from decaf.nets.net import Net, metadata
from decaf.nets.preprocess import Preprocess


def packed(
    model: onnx.ModelProto,
    name: str,
    preprocess: Preprocess,
    default_layer: str,
    *,
    labels: Sequence[str] = (),
    aliases: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Net:
    """The network, whose file tells all of this. The model's metadata is replaced.

    Raises:
        NetError: the model is larger than an ONNX file can be, or its input is not what `preprocess` makes.
    """
    side = input_side(model)
    if preprocess.crop != side:
        raise NetError(
            f"{name} takes pictures of {side} px, its preprocessing makes {preprocess.crop}: set crop={side}"
        )
    del model.metadata_props[:]
    told = (name, preprocess, default_layer, tuple(labels), dict(aliases or {}), dict(provenance or {}))
    onnx.helper.set_model_props(model, metadata(*told))
    try:
        data = bytes(model.SerializeToString(deterministic=True))
    except Exception as error:  # protobuf's own error type moves between its versions
        raise NetError(f"{name} cannot be written as one ONNX file ({str(error).splitlines()[0]})") from None
    net = Net(name, data, *told[1:])
    net.layer(default_layer)
    return net
