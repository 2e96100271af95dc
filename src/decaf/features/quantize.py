"""A network in eight bits, calibrated on the user's pictures, kept only where it is faithful and faster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata as packages
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np

from decaf.engines import Engine, make_engine
from decaf.engines.base import available_cores
from decaf.engines.quantiser import Calibrated, Method, calibrate, quantisable
from decaf.engines.race import Rates, race, ratio
from decaf.errors import ImageError, NetError, UnknownName
from decaf.features.fidelity import Fidelity, compare, usual_layers
from decaf.features.loading import Loader
from decaf.features.pipeline import Progress
from decaf.features.rows import Rows
from decaf.images.decode import DEFAULT_LIMITS, Pixels
from decaf.images.find import StrPath, find_images
from decaf.nets.net import Net

Bar = Callable[[int], AbstractContextManager[Progress]]
"""Given the number of steps, something to tell about each of them; see `decaf.cli.common.progress_bar`."""

CALIBRATION = 128  # pictures
_LEAST = 24  # pictures in all; the worst of fewer than eight held out says nothing
_FOR_RANKING = 16  # pictures
_INT8 = "int8"


@dataclass(frozen=True)
class Gate:
    """What a quantised network must reach on the pictures held out: cosine to f32, mean and worst of each layer."""

    mean: float = 0.995
    worst: float = 0.98

    def lets_through(self, layer: Fidelity) -> bool:
        """Whether a layer is near enough; one that is not a number is not."""
        return layer.mean >= self.mean and layer.worst >= self.worst


@dataclass(frozen=True)
class Pictures:
    """What was read, prepared: (side, side, 3) uint8 each.

    Attributes:
        calibration: to find the ranges with.
        held_out: to measure on; they are seen by nothing before.
        broken: how many could not be read; others took their places.
    """

    calibration: Sequence[Pixels]
    held_out: Sequence[Pixels]
    broken: int


@dataclass(frozen=True)
class Quantised:
    """A quantised network and what was measured of it.

    Attributes:
        net: the network; its provenance says how it was made and how near it is.
        gated: the layers that the gate is for, by name.
        fidelity: of every layer that was looked at.
        rates: pictures/s of int8, f32 and, where there is such a thing, bf16, in each round, up to the gated layers.
        kept: layers left in floating point.
        calibration: how many pictures it was calibrated on.
        held_out: how many it was measured on.
        broken: how many pictures could not be read.
        gate: what it must reach.
    """

    net: Net = field(repr=False)
    gated: tuple[str, ...]
    fidelity: tuple[Fidelity, ...]
    rates: Rates = field(repr=False)
    kept: tuple[str, ...]
    calibration: int
    held_out: int
    broken: int
    gate: Gate

    @property
    def times_as_fast(self) -> dict[str, float]:
        """As each of the others, by its name."""
        return {name: round(ratio(self.rates, _INT8, name), 3) for name in self.rates if name != _INT8}

    @property
    def refusal(self) -> str:
        """Why it is not worth keeping, in one line with the numbers; empty where it is."""
        for layer in self.fidelity:
            if layer.layer in self.gated and not self.gate.lets_through(layer):
                return (
                    f"{self.net.name} is not near enough to f32 at {layer.layer}: cosine {layer.mean:.5f} mean, "
                    f"{layer.worst:.5f} worst of {self.held_out} pictures, {self.gate.mean:g} and "
                    f"{self.gate.worst:g} asked for: calibrate on more pictures of your own kind, take another "
                    "--method, or lower --min-mean and --min-worst"
                )
        name, times = min(self.times_as_fast.items(), key=lambda other: other[1])
        if not times > 1:
            rates = {name: median(self.rates[name]) for name in (_INT8, name)}
            return (
                f"{self.net.name} is not faster: {times:.2f} times as fast as {name} ({rates[_INT8]:.0f} and "
                f"{rates[name]:.0f} pictures/s to {', '.join(self.gated)}): use --precision {name}"
            )
        return ""

    def save(self, path: str | Path) -> None:
        """Write the ONNX file. Raises NetError when it is not worth keeping, or cannot be written."""
        if self.refusal:
            raise NetError(f"{self.refusal}; nothing is written")
        try:
            self.net.save(path)
        except OSError as error:
            raise NetError(f"cannot write {path} ({error.strerror}): name a file in a folder of yours") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "net": self.net.name,
            "sha256": self.net.sha256,
            "bytes": len(self.net.data),
            "provenance": dict(self.net.provenance or {}),
            "calibration": self.calibration,
            "held_out": self.held_out,
            "broken": self.broken,
            "gate": {"layers": list(self.gated), "mean": self.gate.mean, "worst": self.gate.worst},
            "layers": [layer.to_dict() for layer in self.fidelity],
            "pictures_per_second": {name: round(median(rates), 1) for name, rates in self.rates.items()},
            "times_as_fast": self.times_as_fast,
            "kept": list(self.kept),
        }


def quantize(
    net: Net,
    source: StrPath | Sequence[StrPath],
    layers: Sequence[str] = (),
    *,
    calibration: int = CALIBRATION,
    seed: int = 0,
    method: Method = "minmax",
    gate: Gate | None = None,
    jobs: int = 0,
    bar: Bar | None = None,
) -> Quantised:
    """Quantise a network to eight bits and measure what that costs and brings.

    Args:
        net: the network; its own preparation is used.
        source: pictures of the kind it will see; see `find_images`.
        layers: those that will be taken, which the gate is for. By default it is for the default layer, and the layers
            people usually take are looked at as well.
        calibration: pictures to calibrate on; half as many others are held out to measure on. Where there are fewer, a
            third of them is held out.
        seed: picks the pictures.
        method: see `calibrate`.
        gate: what the result must reach to be saved.
        jobs: threads; 0: one per core.
        bar: shows progress.

    Returns:
        The network and the measurements. `Quantised.save` refuses one that is not worth keeping.

    Raises:
        NetError: onnxruntime is not installed, or the network cannot be quantised or is already.
        UnknownName: no such layer or method.
        ImageError: too few pictures can be read.

    Example:
        >>> made = quantize(load_net("caffenet"), "photos")
        >>> made.save("caffenet-int8.onnx")
    """
    if method not in get_args(Method):
        raise UnknownName(f"no method {method!r}: use one of {', '.join(get_args(Method))}")
    gate = gate or Gate()
    gated = tuple(net.layer(name).name for name in layers or [net.default_layer])
    looked_at = [name for name in (layer.name for layer in usual_layers(net)) if not layers] or list(gated)
    graph = quantisable(net)
    rows = Rows(find_images(source))
    wanted = min(calibration + calibration // 2, len(rows))
    bar = bar or _silent
    with bar(2 * wanted) as progress:
        pictures = _read(rows, net, wanted, seed, progress)
        calibrated = calibrate(net, graph, pictures.calibration, method, progress)
        search = _Search(calibrated, looked_at, gated, gate or Gate(), pictures, jobs)
        made = search.attempt((), progress)
    if not search.passes(made):
        made = search.with_some_kept(made, bar)
    rates = race(search.contenders(made.net), pictures.held_out)
    told = {
        "of": {"net": net.name, "sha256": net.sha256},
        "by": f"onnxruntime {packages.version('onnxruntime')}, static, weights s8 per channel, activations u8",
        "method": method,
        "calibration": len(pictures.calibration),
        "held_out": len(pictures.held_out),
        "seed": seed,
        "kept": list(made.kept),
        "cosine": {layer.layer: {"mean": layer.mean, "worst": layer.worst} for layer in made.fidelity},
    }
    final = made.net.with_model(made.net.model, made.net.name, {**(net.provenance or {}), "quantised": told})
    counts = (len(pictures.calibration), len(pictures.held_out), pictures.broken)
    return Quantised(final, gated, made.fidelity, rates, made.kept, *counts, search.gate)


def check_place(path: str | Path) -> None:
    """Raise NetError where a file cannot be written, before anything is computed for it."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise NetError(f"{folder} is no folder: name a file in one that is there")
    if Path(path).is_dir():
        raise NetError(f"{path} is a folder: name a file in it")


@contextmanager
def _silent(_steps: int) -> Iterator[Progress]:
    yield lambda _done, _broken: None


def _read(rows: Rows, net: Net, wanted: int, seed: int, progress: Progress) -> Pictures:
    """Pictures at random; a broken one's place is taken by the next."""
    load = Loader(rows, net.preprocess, DEFAULT_LIMITS, 1.0, False, lambda _path, _reason: progress(0, 1))
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    found: list[Pixels] = []
    tried = 0
    with ThreadPoolExecutor(available_cores(), thread_name_prefix="decaf") as pool:
        while len(found) < wanted and tried < len(order):
            numbers = order[tried : tried + wanted - len(found)]
            tried += len(numbers)
            for (sample,) in pool.map(load, [[number] for number in numbers]):
                found.extend(sample.pictures)
                progress(len(sample.pictures), 0)
    broken = tried - len(found)
    if len(found) < _LEAST:
        raise ImageError(
            f"{len(found)} pictures can be read and {broken} cannot: quantising needs {_LEAST} or more, some hundred "
            "of the kind the network will see"
        )
    held_out = max(len(found) // 3, _LEAST // 3)
    return Pictures(found[:-held_out], found[-held_out:], broken)


@dataclass(frozen=True)
class _Attempt:
    net: Net
    kept: tuple[str, ...]
    fidelity: tuple[Fidelity, ...]


@dataclass(frozen=True)
class _Search:
    """For the fewest layers in floating point with which the gate is passed."""

    calibrated: Calibrated
    looked_at: Sequence[str]
    gated: tuple[str, ...]
    gate: Gate
    pictures: Pictures
    jobs: int

    @cached_property
    def _wanted(self) -> Engine:
        return self._engine(self.calibrated.net, self.looked_at)

    @cached_property
    def _contended(self) -> Engine:
        return self._engine(self.calibrated.net, self.gated)

    def attempt(self, kept: tuple[str, ...], progress: Progress | None = None) -> _Attempt:
        """The network with some layers in floating point, measured on the pictures held out."""
        net = self._net(kept)
        given = self._engine(net, self.looked_at)
        return _Attempt(net, kept, compare(self.looked_at, self._wanted, given, self.pictures.held_out, progress))

    def passes(self, attempt: _Attempt) -> bool:
        """Whether every layer the gate is for does."""
        return all(self.gate.lets_through(layer) for layer in attempt.fidelity if layer.layer in self.gated)

    def with_some_kept(self, made: _Attempt, bar: Bar) -> _Attempt:
        """The first attempt that passes, with one, two, four ... layers in floating point, else the last one.

        Those that do most harm when they alone are rounded are kept first. The first layer and the last are not always
        the ones: in EfficientNet-lite0 (cosine at `pool` .9948 mean) keeping both helps by .0001, keeping the first
        depthwise convolution, whose channels have ranges far apart, by .0014. No more than a quarter is kept.
        """
        with bar(len(self.calibrated.weighing)) as progress:
            harmful = sorted(self.calibrated.weighing, key=lambda name: self._alone(name, progress))
        count = 1
        while count <= max(len(harmful) // 4, 1) and not self.passes(made):
            made = self.attempt(tuple(harmful[:count]))
            count *= 2
        return made

    def contenders(self, net: Net) -> dict[str, Engine]:
        """The quantised network, and the ways to run the one it was made from, up to the layers the gate is for."""
        original = self.calibrated.net
        engines = {
            _INT8: self._engine(net, self.gated),
            "bf16": make_engine(original, self.gated, "bf16", threads=self.jobs),
            "f32": self._contended,
        }
        return {name: engine for name, engine in engines.items() if name in (_INT8, engine.runtime.precision)}

    def _alone(self, name: str, progress: Progress) -> float:
        """Least mean cosine with one layer in eight bits; on pictures that the result is not measured on."""
        net = self._net([other for other in self.calibrated.weighing if other != name])
        some, given = self.pictures.calibration[:_FOR_RANKING], self._engine(net, self.gated)
        near = compare(self.gated, self._contended, given, some)
        progress(1, 0)
        return min(layer.mean for layer in near)

    def _net(self, kept: Collection[str]) -> Net:
        net = self.calibrated.net
        return net.with_model(self.calibrated.quantised(kept), f"{net.name}-{_INT8}", {})

    def _engine(self, net: Net, layers: Sequence[str]) -> Engine:
        return make_engine(net, layers, threads=self.jobs)
