"""Whole-pipeline speed of `decaf.extract` against torch: decode, prepare, network, write.

Every contender reads the same JPEG files, computes the same 1280-D feature with the same parameters, and writes it to
disk. Runs are interleaved (A B C ... A B C ...), each contender in a process of its own that has imported its
libraries and run a few pictures before the clock starts. The clock covers everything a user waits for after that:
compiling the network, listing, decoding, computing, writing.

    python benchmarks/extract.py PICTURES [--count 1000] [--rounds 5]

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
from pathlib import Path

import numpy as np

CONTENDERS = ("decaf-f32", "decaf-bf16", "torch-f32", "torch-best")
TORCH_BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", help="a folder of pictures, repeated up to --count")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contender", choices=(*CONTENDERS, "parts-f32", "parts-bf16"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    paths = _repeated(arguments.pictures, arguments.count)
    if arguments.contender:
        print(json.dumps(_run(arguments.contender, paths)))
        return
    measured: dict[str, list[float]] = {}
    for number in range(arguments.rounds):
        for contender in (*CONTENDERS, "parts-f32", "parts-bf16"):
            for name, rate in _in_a_process(contender, arguments).items():
                measured.setdefault(name, []).append(rate)
        print(f"round {number + 1}: " + ", ".join(f"{name} {rates[-1]:.0f}/s" for name, rates in measured.items()))
    _report(measured)


def _repeated(folder: str, count: int) -> list[str]:
    from decaf.images.find import find_images

    paths = find_images(folder).paths
    return [paths[index % len(paths)] for index in range(count)]


def _in_a_process(contender: str, arguments: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, arguments.pictures, "--count", str(arguments.count), "--contender", contender]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _report(measured: dict[str, list[float]]) -> None:
    def ratio(a: str, b: str) -> str:
        pairs = [x / y for x, y in zip(measured[a], measured[b], strict=True)]
        return f"{statistics.median(pairs):5.2f}  ({min(pairs):.2f} to {max(pairs):.2f})"

    print("\nimages/s, median:")
    for name, rates in measured.items():
        print(f"  {name:24} {statistics.median(rates):7.1f}")
    print("ratio, median of the rounds (least to greatest):")
    print(f"  decaf f32  / torch eager f32    {ratio('decaf-f32', 'torch-f32')}")
    print(f"  decaf bf16 / torch eager f32    {ratio('decaf-bf16', 'torch-f32')}")
    print(f"  decaf bf16 / torch's best       {ratio('decaf-bf16', 'torch-best')}")
    print(f"  decaf f32  / torch's best       {ratio('decaf-f32', 'torch-best')}")
    print("  of the limit 1/(1/decode + 1/network), the whole call and without its start (compiling the network):")
    for precision in ("f32", "bf16"):
        print(f"  decaf {precision:4} whole call            {ratio(f'decaf-{precision}', f'limit-{precision}')}")
        print(f"  decaf {precision:4} without its start     {ratio(f'running-{precision}', f'limit-{precision}')}")


def _run(contender: str, paths: list[str]) -> dict[str, float]:
    kind, _, how = contender.partition("-")
    if kind == "decaf":
        return _run_decaf(paths, how)
    return _run_parts(paths, how) if kind == "parts" else {contender: _run_torch(paths, best=how == "best")}


def _rate(count: int, started: float) -> float:
    return count / (time.perf_counter() - started)


def _run_decaf(paths: list[str], precision: str) -> dict[str, float]:
    import decaf
    from decaf.features.extract import Options, plan, run, writing
    from decaf.nets.registry import DEFAULT_NET

    decaf.extract(paths[:8], precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "features"
        started = time.perf_counter()
        with writing(plan(paths, DEFAULT_NET, None, out, Options(precision=precision))) as job:
            planned = time.perf_counter()
            run(job)
        decaf.FeatureSet.open(out)
        return {f"decaf-{precision}": _rate(len(paths), started), f"running-{precision}": _rate(len(paths), planned)}


def _run_parts(paths: list[str], precision: str) -> dict[str, float]:
    """Decoding alone and the network alone, with the threads and the batch that `extract` uses."""
    from concurrent.futures import ThreadPoolExecutor

    from decaf.engines import make_engine
    from decaf.images.prepare import load
    from decaf.nets.registry import load_net

    net = load_net()
    engine = make_engine(net, [net.default_layer], precision)
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


def _run_torch(paths: list[str], *, best: bool) -> float:
    import torch
    from PIL import Image

    from decaf.nets.registry import load_net
    from decaf.nets.torch_module import OnnxModule

    net = load_net()
    how = net.preprocess

    class Pictures(torch.utils.data.Dataset):  # type: ignore[misc]
        """What a torchvision user writes: open, convert, resize the short side, centre crop, scale."""

        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            picture = Image.open(paths[index]).convert("RGB")
            width, height = picture.size
            short = min(width, height)
            resized = picture.resize((how.size * width // short, how.size * height // short), Image.Resampling.BICUBIC)
            left, top = (resized.width - how.crop) // 2, (resized.height - how.crop) // 2
            array = np.array(resized.crop((left, top, left + how.crop, top + how.crop)))
            return (torch.from_numpy(array).permute(2, 0, 1).float() - how.mean[0]) / how.std[0]

    module = OnnxModule(net.model, ["pool"]).eval()
    if best:
        import torch._inductor.config

        torch._inductor.config.freezing = True
        module = torch.compile(module.to(torch.bfloat16).to(memory_format=torch.channels_last))

    def run(batch: torch.Tensor) -> np.ndarray:
        if best:
            batch = batch.to(torch.bfloat16).to(memory_format=torch.channels_last)
        return module(batch)["pool"].float().numpy()

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
