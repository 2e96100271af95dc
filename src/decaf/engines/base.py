"""What every engine does, and what it says about itself."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from decaf.errors import NetError, UnknownName
from decaf.nets.catalogue import Layer, image_input
from decaf.nets.cut import Pool
from decaf.nets.net import Net

Pictures = Sequence[NDArray[np.uint8]]

PRECISIONS = ("f32", "bf16")
ENGINES = ("openvino", "onnxruntime")
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Runtime:
    """What runs, as it is printed and stored.

    Attributes:
        engine: its name.
        version: of the engine.
        instruction_set: what its kernels use on this processor.
        precision: what really runs: f32 or bf16.
        threads: pictures worked on at the same time.
        batch: pictures per call of the network; results do not depend on it.
        note: why something runs otherwise than asked for; empty where nothing does.
    """

    engine: str
    version: str
    instruction_set: str
    precision: str
    threads: int
    batch: int
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.engine} {self.version}, {self.precision}, {self.instruction_set}, {self.threads} threads"


class Engine(Protocol):
    """A network compiled up to some layers, ready for several threads."""

    runtime: Runtime
    sizes: tuple[int, ...]
    """Numbers per picture of each layer."""

    def run(self, pictures: Pictures, views: Sequence[int] = ()) -> tuple[NDArray[np.float32], ...]:
        """Compute the layers of a few pictures. Any number of threads may call it; `runtime.threads` run at a time.

        Args:
            pictures: up to `runtime.batch` arrays (side, side, 3) uint8, RGB.
            views: which of the ten views each picture is, for a mean image; by default the centre.

        Returns:
            Each layer, flattened to (n, size) float32, channel first, in the order asked for; arrays of their own.
        """
        ...


def make_engine(
    net: Net,
    layers: Sequence[str],
    precision: str = "f32",
    engine: str = "openvino",
    threads: int = 0,
    device: str = "cpu",
    pool: Pool = "none",
) -> Engine:
    """Compile a network up to the layers asked for.

    Args:
        net: the network.
        layers: names or aliases of layers.
        precision: `f32` or `bf16`. Where that is not to be had, f32 runs and `runtime.note` says so.
        engine: `openvino`, or `onnxruntime` (an extra).
        threads: pictures the network works on at the same time; 0 or -1: one per processor core this process may use.
        device: `cpu`, or `cuda` with ONNX Runtime's GPU build, which we could not test.
        pool: `none`; `avg` or `max` for the mean or maximum over the positions of layers that have them.

    Raises:
        UnknownName: no such engine, precision, layer, device, pooling or number of threads.
        NetError: the engine cannot run this network.
    """
    for kind, value, known in (
        ("engine", engine, ENGINES),
        ("precision", precision, PRECISIONS),
        ("device", device, DEVICES),
        ("pooling", pool, get_args(Pool)),
    ):
        if value not in known:
            raise UnknownName(f"no {kind} {value!r}: use one of {', '.join(known)}")
    if threads < -1:
        raise UnknownName(f"{threads} threads: use a positive number, or 0 for one per core")
    chosen = [net.layer(name) for name in layers]
    threads = threads if threads > 0 else available_cores()
    if engine == "onnxruntime":
        from decaf.engines.onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(net, chosen, precision, threads, pool, device)
    if device != "cpu":
        raise UnknownName(f"OpenVINO runs on the CPU here: use --engine onnxruntime for {device}")
    from decaf.engines.openvino import OpenVinoEngine

    return OpenVinoEngine(net, chosen, precision, threads, pool)


def available_cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def batch_size(net: Net) -> int:
    """Pictures per call: what the graph fixes, else 4 to 32.

    A network whose parameters outweigh its activations (fully connected layers) is bound by reading the parameters
    and wants many pictures per reading; one whose activations weigh more wants few, so that they stay in the cache.
    """
    fixed: int = image_input(net.model).type.tensor_type.shape.dim[0].dim_value
    if fixed > 0:
        return fixed
    parameters = sum(layer.parameters for layer in net.layers)
    activations = sum(math.prod(layer.shape) for layer in net.layers if layer.shape)
    wanted = 2 ** round(math.log2(max(parameters, 1) / max(activations, 1) + 1e-9))
    return int(min(max(wanted, 4), 32))


def check_rows(layer: Layer, shape: Sequence[int], batch: int) -> None:
    """Raise NetError unless an output of this shape holds one row of the layer for each picture of a batch."""
    if not shape or shape[0] != batch or math.prod(shape[1:]) != layer.size:
        raise NetError(
            f"layer {layer.name!r} has no row for each picture: {batch} pictures give {tuple(shape)}; "
            "ask for another layer, or export the network for one picture at a time"
        )
