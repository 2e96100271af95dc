"""What a run took, and what was warned of meanwhile."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """What a part of the work took: wall time, and processor time of all threads, in seconds."""

    name: str
    seconds: float
    cpu: float


class Clock:
    """Times steps one after another; `steps` are those that ended."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.steps.append(Step(name, time.perf_counter() - wall, time.process_time() - cpu))


@contextmanager
def noted() -> Iterator[list[warnings.WarningMessage]]:
    """Collect warnings instead of showing them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")  # one-shot
        yield caught


def counted(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Each warning once, with how often it came."""
    texts = Counter(" ".join(str(warning.message).split()) for warning in caught)
    return [text if times == 1 else f"{text} ({times} times)" for text, times in texts.items()]
