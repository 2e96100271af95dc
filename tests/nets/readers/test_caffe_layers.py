"""Each type of Caffe's layers computes what Caffe's does, by NumPy loops after its forward passes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from tests.nets import caffe_files as files
from tests.nets.caffe_files import SIDE, Array, layer, random, run, text

from decaf.errors import NetError
from decaf.nets.fill import zeros
from decaf.nets.readers.caffe import read_caffe


def correlate(
    x: Array, weight: Array, bias: Array, stride: int = 1, pad: int = 0, group: int = 1, dilation: int = 1
) -> Array:
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    filters, channels, kernel, _ = weight.shape
    reach = (kernel - 1) * dilation + 1
    sides = [(side - reach) // stride + 1 for side in x.shape[2:]]
    out = np.zeros((len(x), filters, *sides), np.float64)
    for f in range(filters):
        first = f // (filters // group) * channels
        for i, j in np.ndindex(*sides):
            rows = slice(i * stride, i * stride + reach, dilation)
            columns = slice(j * stride, j * stride + reach, dilation)
            patch = x[:, first : first + channels, rows, columns]
            out[:, f, i, j] = (patch * weight[f]).sum((1, 2, 3), dtype=np.float64) + bias[f]
    return out.astype(np.float32)


def pool(x: Array, kernel: int, stride: int, pad: int = 0, average: bool = False) -> Array:
    """Caffe's PoolingLayer::Forward_cpu: a mean is over the window up to the far padding, whatever lies inside."""
    side = x.shape[2]
    count = math.ceil((side + 2 * pad - kernel) / stride) + 1
    if pad and (count - 1) * stride >= side + pad:
        count -= 1
    out = np.zeros((*x.shape[:2], count, count), np.float32)
    for i, j in np.ndindex(count, count):
        top, left = i * stride - pad, j * stride - pad
        bottom, right = min(top + kernel, side + pad), min(left + kernel, side + pad)
        area = (bottom - top) * (right - left)
        window = x[:, :, max(top, 0) : min(bottom, side), max(left, 0) : min(right, side)]
        out[:, :, i, j] = window.sum((2, 3)) / area if average else window.max((2, 3))
    return out


def normalise(x: Array, size: int = 5, alpha: float = 1.0, beta: float = 0.75, k: float = 1.0) -> Array:
    out = np.empty_like(x)
    for channel in range(x.shape[1]):
        near = x[:, max(channel - size // 2, 0) : channel + size // 2 + 1]
        out[:, channel] = x[:, channel] / (k + alpha / size * (near**2).sum(1)) ** beta
    return out


def normalise_within(x: Array, size: int, alpha: float, beta: float) -> Array:
    padded = np.pad(x**2, ((0, 0), (0, 0), (size // 2,) * 2, (size // 2,) * 2))
    out = np.empty_like(x)
    for i, j in np.ndindex(*x.shape[2:]):
        mean = padded[:, :, i : i + size, j : j + size].mean((2, 3))
        out[:, :, i, j] = x[:, :, i, j] / (1 + alpha * mean) ** beta
    return out


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def oblong(x: Array) -> Array:
    out = np.zeros((len(x), 6, SIDE, 5), np.float32)
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    for f, i, j in np.ndindex(6, SIDE, 5):
        patch = x[:, f // 3 * 2 : f // 3 * 2 + 2, i : i + 3, 2 * j]
        out[:, f, i, j] = (patch * W[f, :, :, 0]).sum((1, 2)) + B[f]
    return out


W, B = random(6, 2, 3, 3, seed=1), random(6, seed=2)
FLAT, BIAS = random(5, 4 * SIDE * SIDE, seed=3), random(5, seed=4)
CHANNELS = random(4, seed=5)

LAYERS: dict[str, tuple[str, str, list[Array], Callable[[Array], Array]]] = {
    "convolution": (
        "Convolution",
        "convolution_param { num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2 engine: CUDNN }",
        [W, B],
        lambda x: correlate(x, W, B, stride=2, pad=1, group=2),
    ),
    "dilated": (
        "Convolution",
        "convolution_param { num_output: 6 kernel_size: 3 dilation: 2 group: 2 bias_term: false }",
        [W],
        lambda x: correlate(x, W, 0 * B, group=2, dilation=2),
    ),
    "oblong": (
        "Convolution",
        "convolution_param { num_output: 6 kernel_h: 3 kernel_w: 1 stride_h: 1 stride_w: 2 pad_h: 1 group: 2 }",
        [W[..., :1], B],
        oblong,
    ),
    "max pool": ("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", [], lambda x: pool(x, 2, 2)),
    "average pool": (
        "Pooling",
        "pooling_param { pool: AVE kernel_size: 4 stride: 3 pad: 1 }",
        [],
        lambda x: pool(x, 4, 3, pad=1, average=True),
    ),
    "floored pool": (
        "Pooling",
        "pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }",
        [],
        lambda x: pool(x[:, :, :8, :8], 2, 2),
    ),
    "floored pool of DenseNet": (
        "Pooling",
        "pooling_param { kernel_size: 2 stride: 2 ceil_mode: false }",
        [],
        lambda x: pool(x[:, :, :8, :8], 2, 2),
    ),
    "global average": (
        "Pooling",
        "pooling_param { pool: AVE global_pooling: true }",
        [],
        lambda x: x.mean((2, 3), keepdims=True),
    ),
    "inner product": (
        "InnerProduct",
        "inner_product_param { num_output: 5 }",
        [FLAT, BIAS],
        lambda x: x.reshape(len(x), -1) @ FLAT.T + BIAS,
    ),
    "transposed": (
        "InnerProduct",
        "inner_product_param { num_output: 5 transpose: true bias_term: false }",
        [np.ascontiguousarray(FLAT.T)],
        lambda x: x.reshape(len(x), -1) @ FLAT.T,
    ),
    "relu": ("ReLU", "", [], lambda x: np.maximum(x, 0)),
    "leaky": ("ReLU", "relu_param { negative_slope: 0.1 }", [], lambda x: np.where(x > 0, x, x * np.float32(0.1))),
    "prelu": ("PReLU", "", [CHANNELS], lambda x: np.where(x > 0, x, x * CHANNELS[:, None, None])),
    "elu": ("ELU", "elu_param { alpha: 0.5 }", [], lambda x: np.where(x > 0, x, np.expm1(x) / 2)),
    "lrn": ("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 k: 2 }", [], lambda x: normalise(x, 3, 0.5, 0.6, 2)),
    "lrn within": (
        "LRN",
        "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 norm_region: WITHIN_CHANNEL }",
        [],
        lambda x: normalise_within(x, 3, 0.5, 0.6),
    ),
    "softmax": ("Softmax", "", [], softmax),
    "batch norm": (
        "BatchNorm",
        "",
        [2 * CHANNELS, 2 * CHANNELS**2, np.float32([2])],
        lambda x: (x - CHANNELS[:, None, None]) / np.sqrt(CHANNELS[:, None, None] ** 2 + np.float32(1e-5)),
    ),
    "scale": (
        "Scale",
        "scale_param { bias_term: true }",
        [CHANNELS, 2 * CHANNELS],
        lambda x: x * CHANNELS[:, None, None] + 2 * CHANNELS[:, None, None],
    ),
    "scale alone": ("Scale", "", [CHANNELS], lambda x: x * CHANNELS[:, None, None]),
    "bias": ("Bias", "", [CHANNELS], lambda x: x + CHANNELS[:, None, None]),
    "sigmoid": ("Sigmoid", "", [], lambda x: 1 / (1 + np.exp(-x))),
    "tanh": ("TanH", "", [], np.tanh),
    "absolute": ("AbsVal", "", [], np.abs),
    "power": ("Power", "power_param { power: 2 scale: 0.5 shift: 3 }", [], lambda x: (3 + x / 2) ** 2),
    "shift": ("Power", "power_param { shift: 3 }", [], lambda x: x + 3),
    "no power": ("Power", "", [], lambda x: x),
    "flatten": ("Flatten", "", [], lambda x: x.reshape(len(x), -1)),
    "reshape": (
        "Reshape",
        "reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 9 } }",
        [],
        lambda x: x.reshape(len(x), 2, -1, 9),
    ),
}


@pytest.mark.parametrize("case", LAYERS)
def test_a_layer_computes_what_caffe_does(case: str) -> None:
    kind, settings, arrays, reference = LAYERS[case]
    # A transposed weight is known by the settings in the caffemodel, which Caffe saves beside the numbers.
    transposed = files.field(117, files.field(6, 1)) if "transpose" in settings else b""
    model = files.encoded_layer("x", kind, arrays, transposed)
    x = random(2, 4, SIDE, SIDE, seed=9)
    (y,) = run(read_caffe(text(layer("x", kind, settings)), model or files.field(1, "")), x)
    expected = reference(x)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ("", lambda a, b: a + b),
        ("eltwise_param { coeff: 1 coeff: -0.5 }", lambda a, b: a - b / 2),
        ("eltwise_param { operation: PROD }", lambda a, b: a * b),
        ("eltwise_param { operation: MAX }", np.maximum),
    ],
)
def test_two_blobs_become_one_element_by_element(settings: str, reference: Callable[[Array, Array], Array]) -> None:
    join = f'layer {{ name: "x" type: "Eltwise" bottom: "r" bottom: "s" top: "x" {settings} }}'
    x = random(2, 4, SIDE, SIDE)
    model = read_caffe(text(layer("r", "ReLU"), layer("s", "Sigmoid"), join), parameters=zeros)
    (y,) = run(model, x)
    np.testing.assert_allclose(y, reference(np.maximum(x, 0), 1 / (1 + np.exp(-x))), rtol=1e-5, atol=1e-6)


def test_blobs_are_joined_along_their_channels() -> None:
    join = 'layer { name: "x" type: "Concat" bottom: "r" bottom: "data" bottom: "r" top: "x" }'
    x = random(2, 4, SIDE, SIDE)
    (y,) = run(read_caffe(text(layer("r", "ReLU"), join), parameters=zeros), x)
    np.testing.assert_array_equal(y, np.concatenate([np.maximum(x, 0), x, np.maximum(x, 0)], axis=1))


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        ("Deconvolution", "", "type 'Deconvolution'"),
        ("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }", "STOCHASTIC"),
        ("Pooling", "", "a kernel of 0"),
        ("Pooling", "pooling_param { kernel_size: 2 pad: 2 }", "pads by 2"),
        ("Pooling", "pooling_param { kernel_size: 2 stride: 4294967295 }", "4294967295"),
        ("Convolution", "convolution_param { num_output: 5 kernel_size: 3 group: 2 }", "do not divide by group 2"),
        ("Convolution", "convolution_param { num_output: 5 kernel_size: 30 }", "windows of 30 px"),
        ("Convolution", "convolution_param { num_output: 5 kernel_size: 3 axis: 2 }", "an axis other than 1"),
        ("Convolution", "convolution_param { num_output: 6 kernel_size: [1, 2, 3] }", "3 numbers for its kernel"),
        ("InnerProduct", "inner_product_param { num_output: 5 axis: 2 }", "an axis other than 1"),
        ("Softmax", "softmax_param { axis: 2 }", "an axis other than 1"),
        ("LRN", "lrn_param { local_size: 4 }", "odd"),
        ("LRN", "lrn_param { local_size: 4 norm_region: WITHIN_CHANNEL }", "an even local_size"),
        ("LRN", "lrn_param { alpha: nan }", "nan"),
        ("ReLU", "relu_param { negative_slope: inf }", "inf"),
        ("Dropout", "dropout_param { scale_train: false }", "a scale at test time"),
        ("BatchNorm", "batch_norm_param { use_global_stats: false }", "statistics of the batch"),
        ("Reshape", "reshape_param { shape { dim: 0 dim: 7 dim: -1 } }", "the shape"),
        ("Reshape", "reshape_param { shape { dim: -1 dim: 4 } }", "other axes"),
        ("Flatten", "flatten_param { axis: 2 }", "other axes"),
        ("Scale", "scale_param { axis: 0 }", "another axis"),
        ("PReLU", "prelu_param { channel_shared: true }", "one slope"),
    ],
)
def test_what_is_not_known_is_refused_by_name(kind: str, settings: str, named: str) -> None:
    with pytest.raises(NetError, match="'x'") as caught:
        read_caffe(text(layer("x", kind, settings)), parameters=zeros)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
