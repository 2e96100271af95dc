"""OpenVINO on the CPU. The only place that imports it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from decaf.engines.base import Pictures, Runtime, batch_size, check_rows
from decaf.errors import NetError
from decaf.nets.catalogue import Layer
from decaf.nets.cut import PIXELS, VIEW, Pool, cut, pooled
from decaf.nets.net import Net
from decaf.nets.views import CENTER

_INSTRUCTION_SETS = ("avx512_amx", "avx512", "avx2", "avx", "sse41", "sve", "asimd", "acl", "neon")


def _quiet_openvino() -> Any:
    """Import OpenVINO without the telemetry that its import otherwise starts in a child process.

    It reports to a server and writes into the home folder unless the environment says CI. With the package blocked,
    OpenVINO takes its own stand-in.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def has_bf16() -> bool:
    """Whether this processor multiplies bf16 numbers."""
    return "BF16" in _quiet_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def version() -> str:
    """OpenVINO's, such as 2026.4.1."""
    return str(_quiet_openvino().get_version()).split("-")[0]


class OpenVinoGraph:
    """A graph that OpenVINO has read, to be compiled once or several times. Raises NetError where it cannot."""

    def __init__(self, graph: onnx.ModelProto, name: str) -> None:
        self._core = _quiet_openvino().Core()
        self._name = name
        with self._named_errors():
            self._model = self._core.read_model(graph.SerializeToString())

    def compile(self, precision: str, *, streams: int, threads: int, counting: bool = False) -> Any:
        """Compile it for `streams` calls at a time that share `threads` threads.

        Args:
            precision: `f32` or `bf16`, which the processor must have.
            streams: calls at a time.
            threads: in all.
            counting: whether requests count the time of each operation.
        """
        options = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
            "PERF_COUNT": counting,
        }
        with self._named_errors():
            return self._core.compile_model(self._model, "CPU", options)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            why = _first_line(error)
            raise NetError(f"OpenVINO cannot run {self._name} ({why}): export it with other operators") from error


class OpenVinoEngine:
    """As many streams as threads, each with a request of its own: no thread waits for another inside a layer.

    The batch is fixed, which runs about a tenth faster than an open one; what lies in the unused places of a short
    batch changes nothing.
    """

    def __init__(self, net: Net, layers: Sequence[Layer], precision: str, threads: int, pool: Pool) -> None:
        note = ""
        if precision == "bf16" and not has_bf16():
            precision, note = "f32", "this processor has no bf16 instructions: f32 runs instead"
        batch = batch_size(net)
        graph = cut(net.model, layers, net.preprocess, batch, pool)
        compiled = OpenVinoGraph(graph, net.name).compile(precision, streams=threads, threads=threads)
        layers = [pooled(layer, pool) for layer in layers]
        for layer, output in zip(layers, compiled.outputs, strict=True):
            check_rows(layer, output.partial_shape.get_max_shape(), batch)
        # All made here, by one thread: two threads that make requests at a time have been seen to wait for ever, one
        # for the interpreter's lock and the other for OpenVINO's.
        self._idle: SimpleQueue[Request] = SimpleQueue()
        for _ in range(threads):
            self._idle.put(Request(compiled))
        self.sizes = tuple(layer.size for layer in layers)
        self.runtime = Runtime("openvino", version(), instruction_set(compiled), precision, threads, batch, note)

    def run(self, pictures: Pictures, views: Sequence[int] = ()) -> tuple[NDArray[np.float32], ...]:
        """See `Engine.run`."""
        request = self._idle.get()
        try:
            for index, picture in enumerate(pictures):
                request.pixels[index] = picture
            if request.views is not None:
                request.views[: len(pictures)] = views or CENTER
            request.infer(share_outputs=True)  # its own copies would be copied again
            n = len(pictures)
            return tuple(output[:n].reshape(n, -1).copy() for output in request.outputs)
        finally:
            self._idle.put(request)


class Request:
    """One place to compute, with its input and outputs as arrays."""

    def __init__(self, compiled: Any) -> None:
        request = compiled.create_infer_request()
        self.infer = request.infer
        self.counters = request.get_profiling_info
        self.pixels: NDArray[np.uint8] = request.get_tensor(PIXELS).data
        self.views: NDArray[np.int64] | None = request.get_tensor(VIEW).data if len(compiled.inputs) > 1 else None
        if self.views is not None:
            self.views[:] = CENTER
        self.outputs = [request.get_output_tensor(index).data for index in range(len(compiled.outputs))]


def instruction_set(compiled: Any) -> str:
    """The widest instruction set that the compiled kernels name."""
    kernels = " ".join(str(op.get_rt_info()["primitiveType"].value) for op in compiled.get_runtime_model().get_ops())
    used = set(re.findall("|".join(_INSTRUCTION_SETS), kernels))
    return next((name for name in _INSTRUCTION_SETS if name in used), "generic")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
