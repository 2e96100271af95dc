"""Speed of a network alone and end to end, side by side with torch and ONNX Runtime on the same graph.

    python benchmarks/nets.py [--pictures FOLDER] [--int8 FILE.onnx] [--net caffenet --layer fc7] [--rounds 11]

1. The network to one layer, prepared pictures of the same numbers in, batches of 32: torch eager f32, ONNX Runtime,
   decaf in f32, bf16 and, where a quantised file is given, int8.
2. Every convolution and fully connected layer of its own: asking for an earlier layer is never slower.
3. What OpenVINO's counters cost, with which `decaf profile` measures.
4. With --pictures, end to end from JPEG files to features on disk; see `extract.py`.

Each contender lives in a process of its own. They take turns within a round, and while one works the others wait: what
slows the machine down for a while slows all. Ratios are of numbers of one round. Needs torch and onnxruntime.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

import extract
from decaf.engines import make_engine
from decaf.engines.base import available_cores
from decaf.engines.openvino import OpenVinoGraph
from decaf.nets.cut import cut
from decaf.nets.net import Net
from decaf.nets.registry import load_net

BATCH = 32
AT_LEAST = {"decaf-f32": 1.5, "decaf-bf16": 2.7, "decaf-int8": 4.0}  # times torch eager f32
END_TO_END_AT_LEAST = 2.5  # in bf16
SLACK = 0.95  # of the rate of a later layer, for noise
LAYERS = ("Conv", "Gemm", "MatMul")

Work = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="caffenet")
    parser.add_argument("--random-weights", type=int, default=0)
    parser.add_argument("--layer", default="fc7")
    parser.add_argument("--int8", metavar="FILE", help="the same network, quantised: `decaf nets quantize`")
    parser.add_argument("--pictures", metavar="FOLDER", help="JPEG pictures, for the whole way")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args()
    _compare_engines(given)
    _compare_layers(given)
    _compare_counters(given)
    if given.pictures:
        _compare_end_to_end(given)


# Contenders: each returns a function that computes a layer of `pictures` pictures, again and again.


def _net(given: argparse.Namespace) -> Net:
    return load_net(given.net, random_weights=given.random_weights)


def _torch(given: argparse.Namespace, layer: str, _how: str) -> Work:
    import torch

    from decaf.nets.torch_module import OnnxModule

    net = _net(given)
    module = OnnxModule(net.model, [net.layer(layer).name]).eval()
    batch = torch.from_numpy(_prepared(net))

    def work() -> None:
        with torch.inference_mode():
            module(batch)

    return work


def _onnxruntime(given: argparse.Namespace, layer: str, _how: str) -> Work:
    import onnx
    import onnxruntime

    net, model = _net(given), onnx.ModelProto()
    model.CopyFrom(net.model)
    del model.graph.output[:]
    model.graph.output.append(onnx.ValueInfoProto(name=net.layer(layer).name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: _prepared(net)}
    return lambda: session.run(None, inputs)


def _decaf(given: argparse.Namespace, layer: str, how: str) -> Work:
    """As `extract` runs it: a call of the engine per thread."""
    net = load_net(given.int8) if how == "int8" else _net(given)
    engine = make_engine(net, [layer], "f32" if how == "int8" else how)
    pictures = list(_pixels(net))
    size = min(engine.runtime.batch, BATCH)
    parts = [pictures[start : start + size] for start in range(0, BATCH, size)]
    pool = ThreadPoolExecutor(engine.runtime.threads)
    return lambda: list(pool.map(engine.run, parts * engine.runtime.threads))


def _counters(given: argparse.Namespace, layer: str, how: str) -> Work:
    """As `profile` runs it: one stream of all threads, with or without counters."""
    net = _net(given)
    graph = OpenVinoGraph(cut(net.model, [net.layer(layer)], net.preprocess, 1), net.name)
    compiled = graph.compile("f32", streams=1, threads=available_cores(), counting=how == "with")
    request = compiled.create_infer_request()
    request.get_input_tensor(0).data[:] = _pixels(net)[:1]
    return lambda: request.infer(share_outputs=True)


def _pixels(net: Net) -> np.ndarray:
    side = net.input_side
    return np.random.default_rng(0).integers(0, 256, (BATCH, side, side, 3), dtype=np.uint8)


def _prepared(net: Net) -> np.ndarray:
    how = net.preprocess
    ordered = _pixels(net)[..., :: 1 if how.channels == "RGB" else -1]
    scaled = (ordered - np.array(how.mean, np.float32)) / np.array(how.std, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), np.float32)


MAKERS = {"torch": _torch, "onnxruntime": _onnxruntime, "decaf": _decaf, "counters": _counters}


# Turns.


class Contender:
    """A process that computes when it is told to, and how long that took."""

    def __init__(self, given: argparse.Namespace, name: str, layer: str, pictures: int) -> None:
        self._mine, theirs = get_context("spawn").Pipe()
        self._pictures = pictures
        process = get_context("spawn").Process(target=_serve, args=(theirs, given, name, layer), daemon=True)
        process.start()
        self._mine.recv()  # compiled and warm

    def rate(self) -> float:
        """Pictures per second of one turn."""
        self._mine.send(True)
        return self._pictures / float(self._mine.recv())

    def end(self) -> None:
        """Let the process go."""
        self._mine.send(False)


def _serve(pipe: Connection, given: argparse.Namespace, name: str, layer: str) -> None:
    kind, _, how = name.partition("-")
    work = MAKERS[kind](given, layer, how)
    for _ in range(2):
        work()
    pipe.send("ready")
    while pipe.recv():
        start = time.perf_counter()
        work()
        pipe.send(time.perf_counter() - start)


def _rates(contenders: dict[str, Contender], rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            rates[name].append(contender.rate())
    for contender in contenders.values():
        contender.end()
    return rates


# Reports.


def _compare_engines(given: argparse.Namespace) -> None:
    names = ["torch-f32", "onnxruntime-f32", "decaf-f32", "decaf-bf16", *(["decaf-int8"] if given.int8 else [])]
    threads = available_cores()
    pictures = {name: BATCH * (threads if name.startswith("decaf") else 1) for name in names}
    rates = _rates({name: Contender(given, name, given.layer, pictures[name]) for name in names}, given.rounds)
    print(f"1. {given.net} to {given.layer}, network alone, pictures/s (least, median, greatest of {given.rounds}):")
    for name in names:
        print(f"  {name:16} {_spread(rates[name])}")
    print("ratio to torch eager f32, median (least to greatest):")
    for name in names[1:]:
        _judge(f"  {name:16} {extract.ratio(rates, name, 'torch-f32')}", rates, name, "torch-f32", AT_LEAST.get(name))


def _compare_layers(given: argparse.Namespace) -> None:
    net = _net(given)
    layers = [layer.name for layer in net.layers if layer.kind in LAYERS]
    layers = layers if len(layers) <= 12 else layers[:: len(layers) // 8]
    for precision in ("f32", "bf16"):
        pictures = BATCH * available_cores()
        contenders = {layer: Contender(given, f"decaf-{precision}", layer, pictures) for layer in layers}
        rates = _rates(contenders, given.rounds)
        print(f"\n2. asked for one layer, {precision}, pictures/s, and how much faster than the next layer:")
        for layer, later in zip(layers, [*layers[1:], None], strict=True):
            line = f"  {layer:16} {_spread(rates[layer])}"
            if later is None:
                print(line)
            else:
                _judge(f"{line}   {extract.ratio(rates, layer, later)}", rates, layer, later, SLACK)


def _compare_counters(given: argparse.Namespace) -> None:
    names = ("counters-without", "counters-with")
    contenders = {name: Contender(given, name, given.layer, 1) for name in names}
    rates = _rates(contenders, 10 * given.rounds)
    print(f"\n3. calls/s of one picture with counters / without: {extract.ratio(rates, names[1], names[0])}")


def _compare_end_to_end(given: argparse.Namespace) -> None:
    job = extract.Job(given.pictures, given.count, given.net, given.layer, given.random_weights)
    print(f"\n4. end to end, {given.count} pictures:")
    rates = extract.measure(job, ("decaf-f32", "decaf-bf16", "torch-f32"), max(3, given.rounds // 3))
    for name, least in (("decaf-f32", None), ("decaf-bf16", END_TO_END_AT_LEAST)):
        line = f"  {name} / torch eager f32  {extract.ratio(rates, name, 'torch-f32')}"
        _judge(line, rates, name, "torch-f32", least)


def _spread(rates: Sequence[float]) -> str:
    return f"{min(rates):7.1f} {statistics.median(rates):7.1f} {max(rates):7.1f}"


def _judge(line: str, rates: dict[str, list[float]], name: str, other: str, least: float | None) -> None:
    if least is None:
        print(line)
        return
    reached = statistics.median(a / b for a, b in zip(rates[name], rates[other], strict=True)) >= least
    print(f"{line}   {'as promised' if reached else 'LESS THAN PROMISED'}: at least {least}")


if __name__ == "__main__":
    main()
