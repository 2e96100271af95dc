"""Make a Net of an ONNX model and what is known about it."""

from __future__ import annotations

import onnx

from decaf.errors import NetError
from decaf.nets.net import Net, net_of


def model_bytes(model: onnx.ModelProto, name: str) -> bytes:
    """The ONNX file. Raises NetError where no file can be as large."""
    try:
        return bytes(model.SerializeToString(deterministic=True))
    except Exception as error:  # protobuf's own error type moves between its versions
        raise NetError(f"{name} cannot be written as one ONNX file ({str(error).splitlines()[0]})") from None


def packed(net: Net) -> Net:
    """The same network, in whose file stands what is known of it; what `read_net` would read after `save`."""
    model = net.model
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, net.metadata())
    return net_of(model_bytes(model, net.name), net.name, net.name)
