"""Whole-pipeline speed of `decaf.extract` against torch: decode, prepare, network, write.

Every contender reads the same JPEG files, computes the same feature (by default the 1280-D one of efficientnet-lite0)
with the same parameters, and writes it to disk. Runs are interleaved (A B C ... A B C ...), each contender in a process
of its own that has imported its libraries and run a few pictures before the clock starts. The clock covers everything a
user waits for after that: compiling the network, listing, decoding, computing, writing.

    python benchmarks/extract.py PICTURES [--count 1000] [--rounds 5] [--net NET --layer L --random-weights SEED]

Peers: torch eager f32 with a DataLoader of 2 workers; torch at its best: bf16, channels-last, compiled with frozen
parameters (its compilation is NOT counted, so that the comparison is of throughput). Needs torch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decaf.nets.net import Net
from decaf.nets.registry import DEFAULT_NET, load_net

CONTENDERS = ("decaf-f32", "decaf-bf16", "torch-f32", "torch-best")
PARTS = ("parts-f32", "parts-bf16")
TORCH_BATCH = 32


@dataclass(frozen=True)
class Job:
    """What every contender computes: a layer (the default one where empty) of a network, of `count` pictures."""

    pictures: str
    count: int
    net: str = DEFAULT_NET
    layer: str = ""
    random_weights: int | None = None

    def load(self) -> tuple[Net, str]:
        """The network and the layer's name."""
        net = load_net(self.net, random_weights=self.random_weights)
        return net, net.layer(self.layer or net.default_layer).name

    def paths(self) -> list[str]:
        """`count` files; where there are fewer, they come again."""
        from decaf.images.find import find_images

        paths = find_images(self.pictures).paths
        return [paths[index % len(paths)] for index in range(self.count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", help="a folder of pictures, repeated up to --count")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--net", default=DEFAULT_NET)
    parser.add_argument("--layer", default="")
    parser.add_argument("--random-weights", type=int)
    parser.add_argument("--contender", choices=(*CONTENDERS, *PARTS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    job = Job(given.pictures, given.count, given.net, given.layer, given.random_weights)
    if given.contender:
        print(json.dumps(_run(given.contender, job)))
    else:
        _report(measure(job, (*CONTENDERS, *PARTS), given.rounds))


def measure(job: Job, contenders: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Pictures per second of each contender, one number per round."""
    measured: dict[str, list[float]] = {}
    for number in range(rounds):
        for contender in contenders:
            for name, rate in _in_a_process(contender, job).items():
                measured.setdefault(name, []).append(rate)
        print(f"round {number + 1}: " + ", ".join(f"{name} {rates[-1]:.0f}/s" for name, rates in measured.items()))
    return measured


def _in_a_process(contender: str, job: Job) -> dict[str, float]:
    options = ["--count", str(job.count), "--net", job.net, "--layer", job.layer, "--contender", contender]
    if job.random_weights is not None:
        options += ["--random-weights", str(job.random_weights)]
    command = [sys.executable, __file__, job.pictures, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def ratio(measured: dict[str, list[float]], a: str, b: str) -> str:
    """Median of the rounds, and the least and the greatest."""
    pairs = [x / y for x, y in zip(measured[a], measured[b], strict=True)]
    return f"{statistics.median(pairs):5.2f}  ({min(pairs):.2f} to {max(pairs):.2f})"


def _report(measured: dict[str, list[float]]) -> None:
    print("\nimages/s, median:")
    for name, rates in measured.items():
        print(f"  {name:24} {statistics.median(rates):7.1f}")
    print("ratio, median of the rounds (least to greatest):")
    print(f"  decaf f32  / torch eager f32    {ratio(measured, 'decaf-f32', 'torch-f32')}")
    print(f"  decaf bf16 / torch eager f32    {ratio(measured, 'decaf-bf16', 'torch-f32')}")
    print(f"  decaf bf16 / torch's best       {ratio(measured, 'decaf-bf16', 'torch-best')}")
    print(f"  decaf f32  / torch's best       {ratio(measured, 'decaf-f32', 'torch-best')}")
    print("  of the limit 1/(1/decode + 1/network), the whole call and without its start (compiling the network):")
    for precision in ("f32", "bf16"):
        limit = f"limit-{precision}"
        print(f"  decaf {precision:4} whole call            {ratio(measured, f'decaf-{precision}', limit)}")
        print(f"  decaf {precision:4} without its start     {ratio(measured, f'running-{precision}', limit)}")


def _run(contender: str, job: Job) -> dict[str, float]:
    kind, _, how = contender.partition("-")
    if kind == "decaf":
        return _run_decaf(job, how)
    return _run_parts(job, how) if kind == "parts" else {contender: _run_torch(job, best=how == "best")}


def _rate(count: int, started: float) -> float:
    return count / (time.perf_counter() - started)


def _run_decaf(job: Job, precision: str) -> dict[str, float]:
    import decaf
    from decaf.features.extract import Options, held, plan, run

    paths, (net, layer) = job.paths(), job.load()
    decaf.extract(paths[:8], net, [layer], precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "features"
        started = time.perf_counter()
        planned = plan(paths, net, [layer], out, Options(precision=precision))
        ready = time.perf_counter()
        with held(out, planned.meta, planned.rows, planned.options) as work:
            run(planned, work)
        decaf.FeatureSet.open(out)
        return {f"decaf-{precision}": _rate(len(paths), started), f"running-{precision}": _rate(len(paths), ready)}


def _run_parts(job: Job, precision: str) -> dict[str, float]:
    """Decoding alone and the network alone, with the threads and the batch that `extract` uses."""
    from concurrent.futures import ThreadPoolExecutor

    from decaf.engines import make_engine
    from decaf.images.prepare import load

    paths, (net, layer) = job.paths(), job.load()
    engine = make_engine(net, [layer], precision)
    threads, batch = engine.runtime.threads, engine.runtime.batch
    pictures = np.stack([load(path, net.preprocess) for path in paths[:200]])
    with ThreadPoolExecutor(threads) as pool:
        started = time.perf_counter()
        list(
            pool.map(
                lambda start: [load(path, net.preprocess) for path in paths[start : start + 8]], range(0, len(paths), 8)
            )
        )
        decode = _rate(len(paths), started)

        def compute(thread: int) -> None:
            for start in range(thread * batch, len(paths), threads * batch):
                first = start % len(pictures)
                engine.run(list(pictures[first : first + batch]))

        list(pool.map(compute, range(threads)))
        started = time.perf_counter()
        list(pool.map(compute, range(threads)))
        network = _rate(len(paths), started)
    limit = 1 / (1 / decode + 1 / network)
    return {f"decode-{precision}": decode, f"network-{precision}": network, f"limit-{precision}": limit}


def _run_torch(job: Job, *, best: bool) -> float:
    import torch
    from PIL import Image

    from decaf.nets.torch_module import OnnxModule

    paths, (net, layer) = job.paths(), job.load()
    how = net.preprocess
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (how.mean, how.std))

    class Pictures(torch.utils.data.Dataset):  # type: ignore[misc]
        """What a torchvision user writes: open, convert, resize or warp, centre crop, scale."""

        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            picture = Image.open(paths[index]).convert("RGB")
            short = min(picture.size)
            width, height = (how.size if how.resize == "warp" else how.size * side // short for side in picture.size)
            resized = picture.resize((width, height), Image.Resampling.BICUBIC)
            left, top = (resized.width - how.crop) // 2, (resized.height - how.crop) // 2
            array = np.array(resized.crop((left, top, left + how.crop, top + how.crop)))
            ordered = array if how.channels == "RGB" else array[..., ::-1].copy()
            return (torch.from_numpy(ordered).permute(2, 0, 1).float() - mean) / std

    module = OnnxModule(net.model, [layer]).eval()
    if best:
        import torch._inductor.config

        torch._inductor.config.freezing = True
        module = torch.compile(module.to(torch.bfloat16).to(memory_format=torch.channels_last))

    def run(batch: torch.Tensor) -> np.ndarray:
        if best:
            batch = batch.to(torch.bfloat16).to(memory_format=torch.channels_last)
        return module(batch)[layer].float().numpy()

    with torch.inference_mode():
        run(torch.zeros(TORCH_BATCH, 3, how.crop, how.crop))
        rest = len(paths) % TORCH_BATCH
        if rest:
            run(torch.zeros(rest, 3, how.crop, how.crop))
        started = time.perf_counter()
        loader = torch.utils.data.DataLoader(Pictures(), batch_size=TORCH_BATCH, num_workers=2)
        features = np.concatenate([run(batch) for batch in loader])
        with tempfile.TemporaryFile() as file:
            np.save(file, features)
        return _rate(len(paths), started)


if __name__ == "__main__":
    main()
