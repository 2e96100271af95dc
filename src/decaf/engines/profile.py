"""Where the time of a network goes: section 3.3 and Figure 3 of the DeCAF paper (Donahue et al., 2013), measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from decaf.engines.base import PRECISIONS, available_cores
from decaf.engines.counted import CountedNet, Sample, take_turns
from decaf.engines.machine import Machine, Meter
from decaf.engines.openvino import has_bf16, version
from decaf.engines.steps import KINDS, Step
from decaf.errors import UnknownName
from decaf.nets.catalogue import Layer, image_input
from decaf.nets.net import Net
from decaf.nets.registry import load_net

BATCHES = (1, 32)
LARGEST_BATCH = 1024


@dataclass(frozen=True)
class LayerTime:
    """One step of a network and its time.

    Attributes:
        step: what it is.
        seconds: for one batch, of the same calls as the whole.
        share: of the time of all steps.
        gflops: 10^9 operations per second, two per multiply-add.
        peak_share: `gflops` by what a large matrix product reaches in its precision; 0 where none was measured.
        gigabytes: 10^9 bytes of parameters and activations per second.
        memory_share: `gigabytes` by what memory gives; more than 1 comes from the cache.
    """

    step: Step
    seconds: float
    share: float
    gflops: float
    peak_share: float
    gigabytes: float
    memory_share: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = asdict(self)
        return {**values.pop("step"), **values}


@dataclass(frozen=True)
class Timing:
    """A network at one batch size and precision.

    Attributes:
        batch: pictures per call.
        precision: f32 or bf16.
        total_seconds: of a whole call, timed from outside: mean of the middle half of the calls that count.
        layers: what is carried out, in its order.
        free: layers that take no time: nothing is left to do for them.
        runs: calls that count.
        rounds: calls made; where the machine was busy, the quickest `runs` of them count.
        quiet: whether they were left alone by whatever else runs on the machine. If not, measure again.
    """

    batch: int
    precision: str
    total_seconds: float
    layers: tuple[LayerTime, ...]
    free: tuple[str, ...]
    runs: int
    rounds: int
    quiet: bool

    @property
    def layer_seconds(self) -> float:
        """The sum over the steps."""
        return sum(layer.seconds for layer in self.layers)

    @property
    def kinds(self) -> dict[str, float]:
        """Kind -> its share of the time of all steps, for every kind there is."""
        shares = dict.fromkeys(KINDS, 0.0)
        for layer in self.layers:
            shares[layer.step.kind] += layer.share
        return {kind: share for kind, share in shares.items() if any(x.step.kind == kind for x in self.layers)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "batch": self.batch,
            "precision": self.precision,
            "total_seconds": self.total_seconds,
            "layer_seconds": self.layer_seconds,
            "runs": self.runs,
            "rounds": self.rounds,
            "quiet": self.quiet,
            "layers": [layer.to_dict() for layer in self.layers],
            "free": list(self.free),
            "kinds": self.kinds,
        }


@dataclass(frozen=True)
class Profile:
    """Where the time of a network goes on this machine.

    Attributes:
        net: its name.
        outputs: the layers it was run up to.
        engine: name and version.
        instruction_set: what its kernels use.
        threads: that share the work on one batch.
        machine: its measured limits.
        timings: one for each batch size and precision.
    """

    net: str
    outputs: tuple[str, ...]
    engine: str
    instruction_set: str
    threads: int
    machine: Machine
    timings: tuple[Timing, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "net": self.net,
            "outputs": list(self.outputs),
            "engine": self.engine,
            "instruction_set": self.instruction_set,
            "threads": self.threads,
            "machine": self.machine.to_dict(),
            "configurations": [timing.to_dict() for timing in self.timings],
        }


def profile(
    net: str | Path | Net,
    batches: Sequence[int] | None = None,
    precisions: Sequence[str] | None = None,
    layers: Sequence[str] = (),
    runs: int = 10,
    threads: int = 0,
    engine: str = "openvino",
) -> Profile:
    """Measure the time of every layer of a network, and how near it comes to what this machine can do.

    All threads work on one batch (one stream), as for a single picture, unlike `extract`, which gives each thread a
    batch of its own. The times are OpenVINO's own counters, of the same calls that are timed as a whole. Batch sizes
    and precisions take turns, and so does the measurement of the machine's limits: what disturbs one disturbs all.
    Where something else had the processor, calls go on for up to 20 seconds, and the quickest count.

    Args:
        net: a `Net`, or what `load_net` takes.
        batches: pictures per call; 1 and 32 by default, or what the graph fixes.
        precisions: `f32`, `bf16`; by default those the processor has.
        layers: up to which layers it is run; the outputs of the network by default.
        runs: calls that count, after warm-up.
        threads: 0 or -1: one per processor core this process may use.
        engine: only `openvino` counts the time of layers.

    Raises:
        UnknownName: no such net, layer, precision or engine, or numbers out of range.
        NetError: OpenVINO cannot run the network, or not in batches.

    Example:
        >>> timing = profile("efficientnet-lite0", batches=[1], precisions=["f32"]).timings[0]
        >>> timing.kinds["convolution"] > 0.5
        True
    """
    chosen = net if isinstance(net, Net) else load_net(net)
    outputs = [chosen.layer(name) for name in layers] or _outputs(chosen)
    sizes, kinds = _checked_batches(chosen, batches), _checked_precisions(precisions)
    _check_rest(runs, threads, engine)
    threads = threads if threads > 0 else available_cores()
    nets = [CountedNet(chosen, outputs, size, kind, threads) for size in sizes for kind in kinds]
    machine, samples = take_turns(nets, runs, Meter(kinds, threads))
    return Profile(
        chosen.name,
        tuple(layer.name for layer in outputs),
        f"openvino {version()}",
        nets[0].instruction_set,
        threads,
        machine,
        tuple(_timing(counted, sample, machine) for counted, sample in zip(nets, samples, strict=True)),
    )


def _outputs(net: Net) -> list[Layer]:
    known = {layer.name: layer for layer in net.layers}
    return [known[value.name] for value in net.model.graph.output if value.name in known] or [net.layers[-1]]


def _checked_batches(net: Net, asked: Sequence[int] | None) -> list[int]:
    fixed: int = image_input(net.model).type.tensor_type.shape.dim[0].dim_value
    batches = list(dict.fromkeys(asked or ([fixed] if fixed > 0 else BATCHES)))
    for batch in batches:
        if not 1 <= batch <= LARGEST_BATCH:
            raise UnknownName(f"a batch of {batch}: use 1 to {LARGEST_BATCH}")
        if fixed > 0 and batch != fixed:
            raise UnknownName(f"{net.name} takes {fixed} at a time, not {batch}: use --batch {fixed}")
    return batches


def _checked_precisions(asked: Sequence[str] | None) -> list[str]:
    possible = PRECISIONS if has_bf16() else PRECISIONS[:1]
    for precision in asked or ():
        if precision not in PRECISIONS:
            raise UnknownName(f"no precision {precision!r}: use one of {', '.join(PRECISIONS)}")
        if precision not in possible:
            raise UnknownName(f"this processor has no {precision} instructions: use --precision f32")
    return list(dict.fromkeys(asked or possible))


def _check_rest(runs: int, threads: int, engine: str) -> None:
    if not 1 <= runs <= 1000:
        raise UnknownName(f"{runs} runs: use 1 to 1000")
    if threads < -1:
        raise UnknownName(f"{threads} threads: use a positive number, or 0 for one per core")
    if engine != "openvino":
        raise UnknownName(f"{engine} does not count the time of layers here: profile with --engine openvino")


def _timing(net: CountedNet, sample: Sample, machine: Machine) -> Timing:
    seconds = sample.seconds()
    layers = tuple(
        _layer_time(step, net.batch, float(each), float(each / max(seconds.sum(), 1e-12)), machine)
        for step, each in zip(net.steps, seconds, strict=True)
    )
    return Timing(
        net.batch, net.precision, sample.total(), layers, net.free, sample.runs, len(sample.calls), sample.is_quiet()
    )


def _layer_time(step: Step, batch: int, seconds: float, share: float, machine: Machine) -> LayerTime:
    per_second = 1e-9 / seconds if seconds > 0 else 0.0
    gflops = 2 * step.multiply_adds * batch * per_second
    gigabytes = step.bytes * per_second
    peak = machine.gflops.get(step.precision)
    return LayerTime(
        step, seconds, share, gflops, gflops / peak if peak else 0.0, gigabytes, gigabytes / machine.gigabytes
    )
