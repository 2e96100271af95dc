"""A run that is killed again and again ends in the same bytes as one that is left alone.

Extracts once without a break. Then extracts into another folder, kills all of it (SIGKILL) at a random moment, starts
it again, and so on. After every kill each shard that is there must equal the unbroken run's, byte for byte. After the
last one the run may finish: then all shards must be equal, and there must be no other file. A third of the kills come
before the first shard is written (start, listing, compiling), a third anywhere, a third as soon as a new file appears.
Where a run finishes before its kill, a random third of the shards or the whole folder is deleted, and it goes on. Exit
code 1 where anything differs. Linux and macOS.

    python benchmarks/kill.py PICTURES [--pictures 3000] [--kills 100] [--seed 0] [--update]

The network is a tiny one (see `memory.py`), so that much of the time goes to writing; `--net` takes another. Networks
that decaf keeps in its cache are kept in one of this run, which is emptied before every kill at the start.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import decaf
from decaf.images.find import find_images
from memory import DECAF, SHARDS, net_options

MOMENTS = ("start", "anywhere", "writing")
ABOUT = "decaf.json"


@dataclass(frozen=True)
class Whole:
    """The unbroken run.

    Attributes:
        files: name -> sha256.
        first: seconds until the first shard was there.
        seconds: until the end.
    """

    files: dict[str, str]
    first: float
    seconds: float


@dataclass(frozen=True)
class Runs:
    """How to extract, into folders below `folder`."""

    folder: Path
    options: list[str]

    def start(self, out: Path, *more: str) -> subprocess.Popen[str]:
        """Start in a process group of its own."""
        return subprocess.Popen(
            [DECAF, "extract", str(self.folder / "list.txt"), "-o", str(out), *self.options, *more, "--json"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "DECAF_CACHE": str(self.folder / "cache")},
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", metavar="PICTURES", help="a folder of pictures, repeated up to --pictures")
    parser.add_argument("--pictures", type=int, default=3000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard-size", type=int, default=100)
    parser.add_argument("--net", default="tiny", help="as `decaf extract` takes it, or `tiny`")
    parser.add_argument("--update", action="store_true", help="pass --update to every run that finds a folder begun")
    arguments = parser.parse_args()
    paths = find_images(arguments.folder).paths
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "list.txt").write_text(
            "".join(f"{os.path.abspath(paths[row % len(paths)])}\n" for row in range(arguments.pictures))
        )
        options = [*net_options(arguments.net, folder), "--shard-size", str(arguments.shard_size)]
        sys.exit(1 if trial(Runs(folder, options), arguments) else 0)


def trial(runs: Runs, arguments: argparse.Namespace) -> int:
    """All of it; the number of failures."""
    started = time.monotonic()
    rng, out, whole = random.Random(arguments.seed), runs.folder / "killed", unbroken(runs)
    print(
        f"unbroken: {len(whole.files)} files, first shard after {whole.first:.1f} s, {whole.seconds:.1f} s", flush=True
    )
    update = ["--update"] if arguments.update else []
    hit: Counter[str] = Counter()
    failures = finished = 0
    while hit.total() < arguments.kills and failures < 10:
        before = names(out)
        process = killed(runs, out, rng, whole, update)
        problems = list(after(process, out, whole))
        failures += tell(f"after {hit.total()} kills", problems)
        if process.returncode == -signal.SIGKILL:
            new_shards = any(name.startswith("shard-") for name in names(out) - before)
            left = names(out) - whole.files.keys()
            hit["with a file half written" if left else "between shards" if new_shards else "before a shard"] += 1
        else:
            finished += 1
            some_deleted(out, rng)
    process = runs.start(out, *(update if (out / ABOUT).exists() else []))
    failures += tell("at the end", list(at_the_end(process, out, runs.folder, whole)))
    print(f"{hit.total()} kills: " + ", ".join(f"{count} {where}" for where, count in hit.most_common()))
    print(f"{finished} runs ended before their kill; {time.monotonic() - started:.0f} s in all")
    same = sum(path.name in whole.files and digest(path) == whole.files[path.name] for path in out.glob(SHARDS))
    print(f"{same} of {len(whole.files) - 1} shards equal the unbroken run's; failures: {failures}")
    return failures


def tell(when: str, problems: list[str]) -> int:
    """Print problems; how many there are."""
    for problem in problems:
        print(f"{when}: {problem}", flush=True)
    return len(problems)


def some_deleted(out: Path, rng: random.Random) -> None:
    """Delete a third of the shards, or all of the folder."""
    if rng.random() < 0.5:
        shutil.rmtree(out)
        return
    shards = sorted(out.glob(SHARDS))
    for shard in rng.sample(shards, len(shards) // 3):
        shard.unlink()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sums(out: Path) -> dict[str, str]:
    """Name -> sha256 of all files but the lock, which is empty."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(out)): digest(path) for path in files}


def unbroken(runs: Runs) -> Whole:
    """Run once to the end."""
    out, started, first = runs.folder / "whole", time.monotonic(), 0.0
    process = runs.start(out)
    while process.poll() is None:
        if not first and any(out.glob(SHARDS)):
            first = time.monotonic() - started
        time.sleep(0.005)
    if process.returncode:
        sys.exit(f"the unbroken run failed: {process.communicate()[1]}")
    return Whole(sums(out), first, time.monotonic() - started)


def killed(runs: Runs, out: Path, rng: random.Random, whole: Whole, update: list[str]) -> subprocess.Popen[str]:
    """Start a run and kill it, unless it ends before."""
    moment = rng.choice(MOMENTS)
    if moment == "start":
        shutil.rmtree(runs.folder / "cache", ignore_errors=True)
    until = time.monotonic() + rng.uniform(0, whole.first if moment == "start" else whole.seconds)
    process = runs.start(out, *(update if (out / ABOUT).exists() else []))
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    known = names(out) & whole.files.keys()
    while process.poll() is None and moment == "writing" and names(out) <= known:
        pass  # a new file is half written for a millisecond
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return process


def names(out: Path) -> set[str]:
    """Of the files in the folder, without the lock."""
    return set(os.listdir(out)) - {".lock"} if out.is_dir() else set()


def after(process: subprocess.Popen[str], out: Path, whole: Whole) -> Iterator[str]:
    """What is wrong with a run that was killed, or ended before, and with the shards that are there."""
    _, complaints = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL) or complaints:
        yield f"exit code {process.returncode}: {complaints.strip()[-300:]}"
    for shard in out.glob(SHARDS):
        if digest(shard) != whole.files.get(shard.name):
            yield f"{shard.name} differs"
    if (out / ABOUT).exists() and not (out / ABOUT).read_bytes().endswith(b"}"):
        yield f"{ABOUT} is half written"


def at_the_end(process: subprocess.Popen[str], out: Path, folder: Path, whole: Whole) -> Iterator[str]:
    """What is wrong with the last run and what it leaves."""
    _, complaints = process.communicate()
    if process.returncode or complaints:
        yield f"exit code {process.returncode}: {complaints.strip()[-300:]}"
        return
    there = sums(out)
    for name in sorted(there.keys() | whole.files.keys()):
        if name not in there or name not in whole.files:
            yield f"{name} is {'missing' if name in whole.files else 'left behind'}"
        elif name != ABOUT and there[name] != whole.files[name]:
            yield f"{name} differs"
    for path in (folder / "cache").rglob("*.tmp"):
        yield f"{path.name} is left behind in the cache"
    one, other = decaf.FeatureSet.open(folder / "whole"), decaf.FeatureSet.open(out)
    if one.meta["settings"] != other.meta["settings"] or list(one.paths) != list(other.paths):
        yield f"{ABOUT} or the order of the rows differs"


if __name__ == "__main__":
    main()
