"""A network run with OpenVINO's counters of time, several of them in turns."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from decaf.engines.base import check_rows
from decaf.engines.machine import Machine, Meter
from decaf.engines.openvino import OpenVinoGraph, Request, instruction_set
from decaf.engines.steps import mark, read_steps
from decaf.nets.catalogue import Layer
from decaf.nets.cut import cut
from decaf.nets.net import Net

_WARM_UP = 2
_COUNTED = 16  # calls of one compilation: counters are averages over all its calls, cut to microseconds
_AGREEMENT = 0.9  # of the whole; where the medians of steps add up to less, something else had the processor
_CALL = 1e-4  # seconds: what a call costs beside its steps
_PREEMPTIONS, _PREEMPTIONS_A_SECOND = 10, 120  # more than that: not alone (alone 35 a second, beside others 300)
_EXTRA_SECONDS = 20.0  # to wait for quiet moments


@dataclass(frozen=True)
class Call:
    """One call of a network.

    Attributes:
        whole: seconds, timed from outside.
        steps: (steps,) seconds, by the counters.
        preemptions: how often the system took the processor away meanwhile.
    """

    whole: float
    steps: NDArray[np.float64]
    preemptions: int = 0


def _preemptions() -> int:
    """Of all threads of this process, so far; 0 where the system does not tell (Windows)."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return 0
    return getrusage(RUSAGE_SELF).ru_nivcsw


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

    def run(self) -> Call:
        """Call it once more."""
        if self._calls >= _COUNTED:
            self._compile()
        return self._run()

    def _compile(self) -> None:
        compiled = self._graph.compile(self.precision, streams=1, threads=self._threads, counting=True)
        for layer, output in zip(self._outputs, compiled.outputs, strict=True):
            check_rows(layer, output.partial_shape.get_max_shape(), self.batch)
        self._request = Request(compiled)
        self._request.pixels[:] = self._pixels
        self._calls, self._before = 0, np.zeros(0)
        self._request.infer(share_outputs=True)
        self._calls = 1
        counters = self._request.counters()
        steps, self.free = read_steps(compiled, counters, self._net, self._outputs)
        self.steps, self._places = tuple(steps.values()), list(steps)
        self.instruction_set = instruction_set(compiled)
        self._before = self._counted()
        for _ in range(_WARM_UP):
            self._run()

    def _run(self) -> Call:
        preempted = _preemptions()
        start = time.perf_counter()
        self._request.infer(share_outputs=True)
        whole = time.perf_counter() - start
        preempted = _preemptions() - preempted
        self._calls += 1
        counted = self._counted()
        steps, self._before = counted - self._before, counted
        return Call(whole, steps, preempted)

    def _counted(self) -> NDArray[np.float64]:
        """Seconds that each step has taken over all calls. The counters hold the average."""
        counters = self._request.counters()
        average = [counters[place].real_time / timedelta(seconds=1) for place in self._places]
        return np.array(average) * self._calls


class Sample:
    """The calls of one network. The quickest of them count, which were disturbed least."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.calls: list[Call] = []

    def total(self) -> float:
        """Seconds of a call as a whole: the mean of the calls about the median."""
        return float(np.mean([call.whole for call in self._middle()]))

    def seconds(self) -> NDArray[np.float64]:
        """(steps,) of the same calls. A mean, because medians of single steps do not add up to any call's time."""
        mean: NDArray[np.float64] = np.mean([call.steps for call in self._middle()], axis=0)
        return np.maximum(mean, 0)

    def is_quiet(self) -> bool:
        """Whether nothing else had the processor: it was hardly taken away, and the steps explain the time.

        What something else takes falls on another step in every call, so that the medians of steps leave it out.
        """
        kept = self._kept()
        preemptions = sum(call.preemptions for call in kept)
        explained = np.median([call.steps for call in kept], axis=0).sum() + _CALL
        seldom = preemptions <= max(_PREEMPTIONS, _PREEMPTIONS_A_SECOND * sum(call.whole for call in kept))
        return bool(seldom and explained >= _AGREEMENT * self.total())

    def _middle(self) -> list[Call]:
        outer = self.runs // 4
        return self._kept()[outer : self.runs - outer]

    def _kept(self) -> list[Call]:
        return sorted(self.calls, key=lambda call: call.whole)[: self.runs]


def take_turns(nets: Sequence[CountedNet], runs: int, meter: Meter) -> tuple[Machine, list[Sample]]:
    """Let all take turns, the machine's limits too, until every sample is quiet or the time for that is up."""
    samples = [Sample(runs) for _ in nets]
    pending = list(zip(nets, samples, strict=True))
    deadline = math.inf
    while pending and time.monotonic() < deadline:
        meter.measure()
        for net, sample in pending:
            sample.calls.append(net.run())
        if len(pending[0][1].calls) < runs:
            continue
        deadline = min(deadline, time.monotonic() + _EXTRA_SECONDS)
        noisy = {net.batch for net, sample in pending if not sample.is_quiet()}
        pending = [(net, sample) for net, sample in pending if net.batch in noisy]  # precisions stay comparable
    return meter.machine(), samples
