"""A network run with OpenVINO's counters of time, several of them in turns."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from decaf.engines.base import check_rows
from decaf.engines.machine import Machine, Meter
from decaf.engines.openvino import OpenVinoGraph, instruction_set
from decaf.engines.steps import mark, read_steps
from decaf.nets.catalogue import Layer
from decaf.nets.cut import cut
from decaf.nets.net import Net

_WARM_UP = 2
_COUNTED = 16  # calls of one compilation: counters are averages over all its calls, cut to microseconds
_AGREEMENT = 0.9  # of the whole; where the medians of steps add up to less, something else had the processor
_CALL = 1e-4  # seconds: what a call costs beside its steps
_EXTRA_SECONDS = 20.0  # to wait for quiet moments


class CountedNet:
    """A network compiled for one batch size and precision, with counters of time."""

    def __init__(self, net: Net, outputs: Sequence[Layer], batch: int, precision: str, threads: int) -> None:
        self.batch, self.precision = batch, precision
        self._net, self._outputs, self._threads = net, outputs, threads
        graph = cut(net.model, outputs, net.preprocess, batch)
        mark(graph, net)
        self._graph = OpenVinoGraph(graph, net.name)
        side = net.input_side
        self._pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
        self._compile()

    def run(self) -> tuple[float, NDArray[np.float64]]:
        """Seconds of one call: as a whole, and (steps,) of each."""
        if self._calls >= _COUNTED:
            self._compile()
        return self._run()

    def _compile(self) -> None:
        compiled = self._graph.compile(self.precision, streams=1, threads=self._threads, counting=True)
        for layer, output in zip(self._outputs, compiled.outputs, strict=True):
            check_rows(layer, output.partial_shape.get_max_shape(), self.batch)
        self._request = compiled.create_infer_request()
        self._request.get_input_tensor(0).data[:] = self._pixels
        self._calls, self._before = 0, np.zeros(0)
        self._request.infer(share_outputs=True)
        self._calls = 1
        counters = self._request.get_profiling_info()
        steps, self.free = read_steps(compiled, counters, self._net, self._outputs)
        self.steps, self._places = tuple(steps.values()), list(steps)
        self.instruction_set = instruction_set(compiled)
        self._before = self._counted()
        for _ in range(_WARM_UP):
            self._run()

    def _run(self) -> tuple[float, NDArray[np.float64]]:
        start = time.perf_counter()
        self._request.infer(share_outputs=True)
        whole = time.perf_counter() - start
        self._calls += 1
        counted = self._counted()
        seconds, self._before = counted - self._before, counted
        return whole, seconds

    def _counted(self) -> NDArray[np.float64]:
        """Seconds that each step has taken over all calls. The counters hold the average."""
        counters = self._request.get_profiling_info()
        average = [counters[place].real_time / timedelta(seconds=1) for place in self._places]
        return np.array(average) * self._calls


class Sample:
    """The calls of one network. The quickest of them count, which were disturbed least."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.wholes: list[float] = []
        self.steps: list[NDArray[np.float64]] = []

    def add(self, whole: float, steps: NDArray[np.float64]) -> None:
        """One more call: seconds as a whole, and (steps,) of each step."""
        self.wholes.append(whole)
        self.steps.append(steps)

    def total(self) -> float:
        """Seconds of a call as a whole: the mean of the calls about the median."""
        return float(np.array(self.wholes)[self._middle()].mean())

    def seconds(self) -> NDArray[np.float64]:
        """(steps,) of the same calls. A mean, because medians of single steps do not add up to any call's time."""
        mean: NDArray[np.float64] = np.array(self.steps)[self._middle()].mean(axis=0)
        return np.maximum(mean, 0)

    def is_quiet(self) -> bool:
        """Whether the steps alone explain the time: what something else took falls on another step in every call."""
        undisturbed = np.median(np.array(self.steps)[self._kept()], axis=0).sum()
        return bool(undisturbed + _CALL >= _AGREEMENT * self.total())

    def _middle(self) -> NDArray[np.intp]:
        outer = self.runs // 4
        return self._kept()[outer : self.runs - outer]

    def _kept(self) -> NDArray[np.intp]:
        return np.argsort(self.wholes, kind="stable")[: self.runs]


def take_turns(nets: Sequence[CountedNet], runs: int, meter: Meter) -> tuple[Machine, list[Sample]]:
    """Let all take turns, the machine's limits too, until every sample is quiet or the time for that is up."""
    samples = [Sample(runs) for _ in nets]
    pending = list(zip(nets, samples, strict=True))
    deadline = math.inf
    while pending and time.monotonic() < deadline:
        meter.measure()
        for net, sample in pending:
            sample.add(*net.run())
        if len(pending[0][1].wholes) < runs:
            continue
        deadline = min(deadline, time.monotonic() + _EXTRA_SECONDS)
        noisy = {net.batch for net, sample in pending if not sample.is_quiet()}
        pending = [(net, sample) for net, sample in pending if net.batch in noisy]  # precisions stay comparable
    return meter.machine(), samples
