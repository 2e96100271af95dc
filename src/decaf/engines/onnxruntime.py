"""ONNX Runtime: the second engine, for other processors and, untested by us, for GPUs."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from threading import BoundedSemaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.engines.base import Pictures, Runtime, batch_size, check_rows
from decaf.errors import NetError, UnknownName
from decaf.nets.catalogue import Layer
from decaf.nets.cut import PIXELS, VIEW, Pool, cut, pooled
from decaf.nets.net import Net
from decaf.nets.views import CENTER

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxRuntimeEngine:
    """One session that several threads call, each computing on its own core. Runs f32."""

    def __init__(
        self, net: Net, layers: Sequence[Layer], precision: str, threads: int, pool: Pool, device: str
    ) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise NetError('onnxruntime is not installed: pip install "decaf-vision[onnxruntime]"') from None
        provider = _PROVIDERS[device]
        if provider not in onnxruntime.get_available_providers():
            raise UnknownName(
                f"this build of onnxruntime has no {device}: pip install onnxruntime-gpu, or use --device cpu"
            )
        batch = batch_size(net)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        graph = cut(net.model, layers, net.preprocess, batch, pool).SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=[provider])
        except Exception as error:  # its exceptions have no base class of their own
            raise NetError(f"ONNX Runtime cannot run {net.name} ({error}): export it with other operators") from error
        note = "ONNX Runtime computes in f32 here" if precision != "f32" else ""
        self._layers = layers = [pooled(layer, pool) for layer in layers]
        self._takes_views = len(self._session.get_inputs()) > 1
        self._shape = (batch, net.input_side, net.input_side, 3)
        self._free = BoundedSemaphore(threads)
        self.sizes = tuple(layer.size for layer in layers)
        self.runtime = Runtime("onnxruntime", onnxruntime.__version__, _processor(device), "f32", threads, batch, note)

    def run(self, pictures: Pictures, views: Sequence[int] = ()) -> tuple[NDArray[np.float32], ...]:
        """See `Engine.run`."""
        n = len(pictures)
        pixels = np.zeros(self._shape, np.uint8)
        for index, picture in enumerate(pictures):
            pixels[index] = picture
        feeds: dict[str, NDArray[Any]] = {PIXELS: pixels}
        if self._takes_views:
            feeds[VIEW] = np.full(len(pixels), CENTER, np.int64)
            feeds[VIEW][:n] = views or CENTER
        with self._free:
            try:
                outputs: list[Any] = self._session.run(None, feeds)
            except Exception as error:  # its exceptions have no base class of their own
                raise NetError(
                    f"ONNX Runtime failed ({error}): export the network for one picture at a time"
                ) from error
        for layer, output in zip(self._layers, outputs, strict=True):
            check_rows(layer, output.shape, len(pixels))
        return tuple(output[:n].reshape(n, -1) for output in outputs)


def _processor(device: str) -> str:
    """ONNX Runtime does not tell which instructions it uses; what OpenBLAS found stands for the kind of processor."""
    import threadpoolctl

    if device != "cpu":
        return device
    found = (library.get("architecture") for library in threadpoolctl.threadpool_info())
    return next((str(name).lower() for name in found if name), platform.machine())
