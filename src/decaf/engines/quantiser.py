"""ONNX Runtime's quantiser: from a network and pictures to the network in eight bits."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from decaf.errors import NetError
from decaf.nets.cut import PIXELS, VIEW, scaling
from decaf.nets.net import Net
from decaf.nets.quantised import WEIGHING, in_order_of, ready, weighing_nodes
from decaf.nets.views import CENTER

Method = Literal["minmax", "percentile", "entropy"]
Picture = NDArray[np.uint8]

_METHODS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy"}
_PERCENTILE = 99.99  # of the numbers of a tensor lie inside of its range
_PREPROCESSED = {"onnx.quant.pre_process": "onnxruntime.quant"}  # else it logs that graphs should be simplified first
# Rounded is what convolutions and matrix products read, and nothing else. So every tensor people know keeps its name
# and holds what its layer computes, and nothing is rounded twice on its way through a ReLU, a pooling layer or a
# normalisation; OpenVINO fuses the rounding into the layer before. A batch normalisation stays where it is: behind a
# convolution with a scale per channel it is one more scale per channel, and OpenVINO folds the two.
#
# Chosen by measurement. SqueezeNet 1.1 to `features`, 50 pictures, cosine to f32 mean / worst: as it is .9985 / .9906;
# one scale for all channels of a kernel .9978 / .9898; symmetric s8 activations, which waste a bit behind every ReLU,
# .9929 / .9042; zero points of 0 or 128 only .9985 / .9895; biases as s32 .9986 / .9900; pooling layers in eight bits
# the same bits. None of them was faster, in SqueezeNet or CaffeNet. Nor is one way to find the ranges nearer than the
# others: EfficientNet-lite0 to `pool` minmax .9948 / .9850, percentile .9948 / .9870, entropy .9946 / .9842.
_OPTIONS = {
    "OpTypesToExcludeOutputQuantization": list(WEIGHING),
    "QDQKeepRemovableActivations": True,
    "QuantizeBias": False,
}


@dataclass(frozen=True)
class Calibrated:
    """A network, ready for eight bits.

    Attributes:
        net: the network.
        graph: it, as ONNX Runtime takes it.
        ranges: of every tensor that may be rounded, in ONNX Runtime's own form.
        weighing: the nodes that may compute in eight bits, by name, in the order of the graph.
    """

    net: Net
    graph: onnx.ModelProto
    ranges: Any
    weighing: tuple[str, ...]

    def quantised(self, kept: Collection[str] = ()) -> onnx.ModelProto:
        """The graph in eight bits, but for the nodes that are kept in floating point.

        Weights are s8, symmetric, with a scale for each output channel; activations u8 with a zero point, which is 0
        behind a ReLU. Biases stay what they are. Raises NetError when ONNX Runtime cannot do it.
        """
        quantization = _quantization()
        graph = onnx.ModelProto()
        graph.CopyFrom(self.graph)
        s8, u8 = quantization.QuantType.QInt8, quantization.QuantType.QUInt8
        chosen = [name for name in self.weighing if name not in kept]
        per_channel, seven_bits = True, False
        with _named_errors(self.net):
            quantizer = quantization.QDQQuantizer(
                graph, per_channel, seven_bits, s8, u8, self.ranges, chosen, [], list(WEIGHING), _OPTIONS
            )
            quantizer.quantize_model()
        made: onnx.ModelProto = quantizer.model.model
        in_order_of(self.graph, made)
        return made


def quantisable(net: Net) -> onnx.ModelProto:
    """The graph of a network as ONNX Runtime's quantiser takes it.

    Raises:
        NetError: onnxruntime is not installed, the network is quantised already, or there is nothing to quantise in it.
    """
    _quantization()
    graph = ready(net.model, net.name)
    if not any(weighing_nodes(graph)):
        raise NetError(f"{net.name} has no convolution or matrix product with stored parameters: nothing to quantise")
    onnx.helper.set_model_props(graph, _PREPROCESSED)
    return graph


def calibrate(
    net: Net,
    graph: onnx.ModelProto,
    pictures: Iterable[Picture],
    method: Method,
    progress: Callable[[int, int], None] | None = None,
) -> Calibrated:
    """Find the range of every tensor that may be rounded.

    Args:
        net: the network.
        graph: it, from `quantisable`.
        pictures: prepared, (side, side, 3) uint8, RGB.
        method: `minmax`: all that was seen; `percentile`: all but the outermost 0.01 %; `entropy`: the range whose 128
            levels tell most of the distribution (Kullback-Leibler, as in TensorRT).
        progress: called as `progress(1, 0)` for each picture.

    Raises:
        NetError: ONNX Runtime cannot run the network.
    """
    quantization = _quantization()
    with tempfile.TemporaryDirectory(prefix="decaf-") as folder, _named_errors(net):
        file = Path(folder) / "net.onnx"
        file.write_bytes(graph.SerializeToString())
        calibrator = quantization.create_calibrator(
            file,
            list(WEIGHING),
            str(Path(folder) / "augmented.onnx"),
            getattr(quantization.CalibrationMethod, _METHODS[method]),
            extra_options={"symmetric": False, "percentile": _PERCENTILE} if method == "percentile" else {},
        )
        for feed in _feeds(net, pictures):
            with redirect_stdout(io.StringIO()):  # it prints what it is about to do
                calibrator.collect_data(_One(feed))
            if progress:
                progress(1, 0)
        with redirect_stdout(io.StringIO()):
            ranges = calibrator.compute_data()
    return Calibrated(net, graph, ranges, tuple(node.name for node in weighing_nodes(graph)))


class _One:
    """A reader of one picture. All at once would keep every tensor of every picture."""

    def __init__(self, feed: Mapping[str, NDArray[Any]]) -> None:
        self._left = [feed]

    def get_next(self) -> Mapping[str, NDArray[Any]] | None:
        """As ONNX Runtime asks for it."""
        return self._left.pop() if self._left else None


def _feeds(net: Net, pictures: Iterable[Picture]) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Pictures as the graph takes them: what `cut` puts before every network is computed here."""
    import onnxruntime

    graph = scaling(net.model, net.preprocess, 1)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = {value.name for value in session.get_inputs()}
    for picture in pictures:
        given = {PIXELS: picture[None], VIEW: np.array([CENTER], np.int64)}
        (values,) = session.run(None, {name: given[name] for name in names})
        yield {graph.graph.output[0].name: values}


def _quantization() -> Any:
    try:
        from onnxruntime import quantization
    except ImportError:
        raise NetError('onnxruntime, which quantises, is not here: pip install "decaf-vision[onnxruntime]"') from None
    return quantization


@contextmanager
def _named_errors(net: Net) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # its exceptions have no base class of their own
        why = str(error).strip().split("\n")[0]
        raise NetError(f"ONNX Runtime cannot quantise {net.name} ({why}): export it with other operators") from error
