"""What this machine can do at most: multiply-adds and bytes per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from decaf.engines.openvino import OpenVinoGraph

# Sides of square matrices, and how often they are multiplied per try. The small ones find the processor free on a busy
# machine, the large ones keep a fast processor busy beside what a call costs.
_PRODUCTS = {512: 8, 1024: 2}
_ARRAY = 2**25  # numbers: 128 MB, more than most caches


@dataclass(frozen=True)
class Machine:
    """Measured limits.

    Attributes:
        gflops: precision -> 10^9 operations per second (two per multiply-add) of a product of large matrices.
        gigabytes: 10^9 bytes per second between memory and processor, reading or copying 128 MB.
    """

    gflops: dict[str, float]
    gigabytes: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


class Meter:
    """Measures a machine with as many threads as a network will have; the fastest try counts.

    The matrix product runs in OpenVINO, as networks do: what it reaches in a precision is what a layer could reach.
    """

    def __init__(self, precisions: Sequence[str], threads: int) -> None:
        self._products = {(kind, side): _product(kind, side, threads) for kind in precisions for side in _PRODUCTS}
        self._threads = threads
        self._here, self._there = np.ones((2, _ARRAY), np.float32)
        self._seconds: dict[Any, list[float]] = {}
        self.measure()  # what was never touched is slow at first
        self._seconds.clear()

    def measure(self) -> None:
        """One more try at everything."""
        for (precision, side), product in self._products.items():
            for _ in range(_PRODUCTS[side]):
                self._time((precision, side), product)
        parts = [np.array_split(array, self._threads) for array in (self._here, self._there)]
        with ThreadPoolExecutor(self._threads) as pool:
            self._time("read", lambda: list(pool.map(np.max, parts[0])))
            self._time("copy", lambda: list(pool.map(np.copyto, parts[1], parts[0])))

    def machine(self) -> Machine:
        """What was reached so far."""
        fastest = {name: min(seconds) for name, seconds in self._seconds.items()}
        gflops: dict[str, float] = {}
        for precision, side in self._products:
            reached = 2e-9 * side**3 / fastest[precision, side]
            gflops[precision] = max(reached, gflops.get(precision, 0))
        size = self._here.nbytes
        return Machine(gflops, 1e-9 * max(size / fastest["read"], 2 * size / fastest["copy"]))

    def _time(self, name: Any, work: Callable[[], Any]) -> None:
        start = time.perf_counter()
        work()
        self._seconds.setdefault(name, []).append(time.perf_counter() - start)


def _product(precision: str, side: int, threads: int) -> Callable[[], Any]:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [side, side])],
        [numpy_helper.from_array(np.full((side, side), 1 / side, np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    compiled = OpenVinoGraph(model, "a matrix product").compile(precision, streams=1, threads=threads)
    request = compiled.create_infer_request()
    request.get_input_tensor(0).data[:] = 1
    return lambda: request.infer(share_outputs=True)
