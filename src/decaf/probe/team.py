"""Work on blocks of rows side by side, each with a single-threaded BLAS.

OpenBLAS's own threads wait for each other in a loop, which on a busy machine costs many times the work; these do not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

CALM_BELOW = 2e7  # numbers
FINE_BYTES = 1e6  # of a (classes, rows) block that should stay in the cache


@dataclass(frozen=True)
class Team:
    """Slices of the rows: `coarse`, one for each core; `fine`, small enough for the cache; and who works on them."""

    coarse: tuple[slice, ...] = (slice(None),)
    fine: tuple[slice, ...] = (slice(None),)
    pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """work(item) for each, in order."""
        if self.pool is None or len(items) == 1:
            return [work(item) for item in items]
        return list(self.pool.map(work, items))

    def do(self, *jobs: Callable[[], Result]) -> list[Result]:
        """What each of them returns."""
        return self.map(lambda job: job(), jobs)


@cache
def _controller() -> Any:
    return ThreadpoolController()


def calm_blas(numbers: int) -> Any:
    """A context in which BLAS is single-threaded, where X has so few numbers that its own threads do not pay."""
    return _controller().limit(limits=1 if numbers < CALM_BELOW else None, user_api="blas")


@contextmanager
def team(cores: int, rows: int, bytes_per_row: int) -> Iterator[Team]:
    """A team for (classes, rows) arrays; BLAS is single-threaded as long as it lasts."""
    if cores == 1:
        yield Team((slice(0, rows),), _slices(rows, int(-(-rows * bytes_per_row // FINE_BYTES))))
        return
    fine = _slices(rows, max(cores, int(-(-rows * bytes_per_row // FINE_BYTES))))
    with _controller().limit(limits=1, user_api="blas"), ThreadPoolExecutor(cores) as pool:
        yield Team(_slices(rows, cores), fine, pool)


def _slices(rows: int, count: int) -> tuple[slice, ...]:
    count = max(min(count, rows), 1)
    return tuple(slice(rows * k // count, rows * (k + 1) // count) for k in range(count))


def cores_for(n_jobs: int | None) -> int:
    """`n_jobs`, and for None or -1 every core this process may use."""
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
