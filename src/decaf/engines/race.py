"""How fast engines are beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import perf_counter

from decaf.engines.base import Engine, Pictures

_PICTURES = 64  # of a turn, at least
ROUNDS = 9

Rates = Mapping[str, Sequence[float]]
"""Engine -> pictures/s in each round."""


def race(engines: Mapping[str, Engine], pictures: Pictures, rounds: int = ROUNDS) -> Rates:
    """Let engines take turns on the same pictures, as many calls at a time as each has threads.

    What slows the machine down for a while slows all of them: compare the rates of one round, see `ratio`.
    """
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for engine in engines.values():
        _turn(engine, pictures)  # the first run of an engine is slow
    for _ in range(rounds):
        for name, engine in engines.items():
            rates[name].append(_turn(engine, pictures))
    return rates


def ratio(rates: Rates, name: str, other: str) -> float:
    """How many times as fast as another an engine is: the median over rounds."""
    return median(a / b for a, b in zip(rates[name], rates[other], strict=True))


def _turn(engine: Engine, pictures: Pictures) -> float:
    """Pictures per second."""
    size, threads = engine.runtime.batch, engine.runtime.threads
    calls = threads * -(-_PICTURES // (size * threads))
    batch = [pictures[index % len(pictures)] for index in range(size)]
    with ThreadPoolExecutor(threads) as pool:
        started = perf_counter()
        list(pool.map(engine.run, [batch] * calls))
        return calls * size / (perf_counter() - started)
