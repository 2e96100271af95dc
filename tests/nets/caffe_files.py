"""Caffe's files, written and read byte by byte: independent of the protobuf library and of the reader."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[np.float32]

SIDE = 9
INPUT = (
    f'name: "small" layer {{ name: "data" type: "Input" top: "data" '
    f"input_param {{ shape {{ dim: 7 dim: 4 dim: {SIDE} dim: {SIDE} }} }} }}"
)

V1_TYPES = {"Convolution": 4, "Data": 5, "Dropout": 6, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18}


def text(*layers: str) -> bytes:
    """A prototxt of these layers, fed with (n, 4, 9, 9)."""
    return "\n".join([INPUT, *layers]).encode()


def layer(name: str, kind: str, settings: str = "", bottom: str = "data", top: str | None = None) -> str:
    """One layer of a prototxt."""
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top or name}" {settings} }}'


def random(*shape: int, seed: int = 0) -> Array:
    """Normally distributed numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run(model: onnx.ModelProto, x: Array, *layers: str) -> list[Array]:
    """Tensors of a network in ONNX Runtime; its output where none is named."""
    if layers:
        del model.graph.output[:]
        model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, None) for name in layers)
    plain = onnxruntime.SessionOptions()
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return list(onnxruntime.InferenceSession(model.SerializeToString(), plain).run(None, {"data": x}))


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: bytes | str | int | float) -> bytes:
    """One encoded field: text and bytes by length, whole numbers as varints, others as float32."""
    if isinstance(value, str | bytes):
        data = value.encode() if isinstance(value, str) else value
        return varint(number << 3 | 2) + varint(len(data)) + data
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 5) + struct.pack("<f", value)


def blob(array: Array, old: bool = False) -> bytes:
    """Field 7 holds the shape; files of 2014 have four axes in fields 1 to 4."""
    data = field(5, array.astype("<f4").tobytes())
    if old:
        shape = (1,) * (4 - array.ndim) + array.shape
        return b"".join(field(axis, side) for axis, side in enumerate(shape, start=1)) + data
    return data + field(7, field(1, b"".join(map(varint, array.shape))))


def encoded_layer(
    name: str, kind: str, arrays: Sequence[Array] = (), settings: bytes = b"", old: bool = False
) -> bytes:
    """One encoded layer of a V2 file, or of a V1 file where `old`."""
    if old:
        blobs = b"".join(field(6, blob(array, old=True)) for array in arrays)
        return field(2, field(4, name) + field(5, V1_TYPES[kind]) + blobs + settings)
    blobs = b"".join(field(7, blob(array)) for array in arrays)
    return field(100, field(1, name) + field(2, kind) + blobs + settings)


def caffemodel(parameters: Mapping[str, Array], old: bool = False) -> bytes:
    """A file with `conv1.weight`, `conv1.bias`, ... as convolutions or inner products, by the axes of the weight."""
    names = dict.fromkeys(name.rpartition(".")[0] for name in parameters)
    layers = [
        encoded_layer(
            name,
            "Convolution" if parameters[f"{name}.weight"].ndim == 4 else "InnerProduct",
            [parameters[f"{name}.{part}"] for part in ("weight", "bias")],
            old=old,
        )
        for name in names
    ]
    return field(1, "written by the test") + b"".join(layers)


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """A decoder in a few lines: the number and the value of each field."""
    at = 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = number()
        if key & 7 == 0:
            yield key >> 3, number()
            continue
        size = {1: 8, 5: 4}.get(key & 7) or number()
        yield key >> 3, message[at : at + size]
        at += size


def decoded_arrays(model: bytes) -> dict[str, list[Array]]:
    """The arrays of each layer of a V2 caffemodel."""
    found: dict[str, list[Array]] = {}
    for number, data in fields(model):
        if number == 100 and isinstance(data, bytes):
            values = list(fields(data))
            name = next(value for key, value in values if key == 1)
            assert isinstance(name, bytes)
            found[name.decode()] = [_array(value) for key, value in values if key == 7 and isinstance(value, bytes)]
    return found


def _array(data: bytes) -> Array:
    values = dict(fields(data))
    packed = dict(fields(values[7]))[1]  # type: ignore[arg-type]
    sides, value = [], 0
    shift = 0
    for byte in packed:  # type: ignore[union-attr]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            sides.append(value)
            value = shift = 0
    return np.frombuffer(values[5], "<f4").reshape(sides)  # type: ignore[arg-type]


def seeds() -> list[tuple[bytes | None, bytes]]:
    """Small valid pairs of prototxt and caffemodel for every part of the readers, to be mutated."""
    weight, bias, few = random(4, 2, 3, 3), random(4), random(4)
    product = random(5, 4 * SIDE * SIDE)
    convolution = "convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 }"
    chain = [
        layer("conv", "Convolution", convolution),
        layer("norm", "BatchNorm", bottom="conv", top="conv"),
        layer("scale", "Scale", bottom="conv", top="conv"),
        layer("relu", "ReLU", "relu_param { negative_slope: 0.1 }", bottom="conv", top="conv"),
        layer("lrn", "LRN", "lrn_param { local_size: 3 }", bottom="conv"),
        layer("ave", "Pooling", "pooling_param { pool: AVE kernel_size: 3 pad: 1 }", bottom="lrn"),
        'layer { name: "sum" type: "Eltwise" bottom: "ave" bottom: "data" top: "sum" eltwise_param { coeff: [1, 2] } }',
        layer("ip", "InnerProduct", "inner_product_param { num_output: 5 }", bottom="sum"),
        layer("loss", "SoftmaxWithLoss", "exclude { phase: TRAIN }", bottom="ip"),
    ]
    statistics = [few, few**2, np.ones(1, np.float32)]
    new = b"".join(
        [
            encoded_layer("conv", "Convolution", [weight, bias]),
            encoded_layer("norm", "BatchNorm", statistics),
            encoded_layer("scale", "Scale", [few]),
            encoded_layer("ip", "InnerProduct", [product, random(5)]),
        ]
    )
    old_text = (
        'input: "data" input_dim: 1 input_dim: 4 input_dim: 9 input_dim: 9'
        f' layers {{ name: "conv" type: CONVOLUTION bottom: "data" top: "conv" {convolution} }}'
        ' layers { name: "pool" type: POOLING bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }'
    )
    old = caffemodel({"conv.weight": weight, "conv.bias": bias}, old=True)
    data = field(1, "data") + field(2, "Input") + field(4, "data")
    data += field(143, field(1, field(1, bytes((1, 4, SIDE, SIDE)))))
    wiring = field(3, "data") + field(4, "ip") + field(117, field(1, 5))
    alone = field(100, data) + encoded_layer("ip", "InnerProduct", [product, random(5)], wiring)
    return [(text(*chain), new), (old_text.encode(), old), (None, alone)]
