"""Decode pictures and run the network on them, all cores busy with both, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from decaf.engines import Engine
from decaf.images.decode import Origin, Pixels
from decaf.nets.views import CENTER

# Batches in flight per thread: enough to work on while a finished block is written to disk, but no more than memory
# should hold of large layers.
_AHEAD = 16
_BYTES_AHEAD = 2**28

Features = tuple[NDArray[np.float32], ...]
Progress = Callable[[int, int], None]
"""Called with the rows done and, among them, the broken ones, since the last call."""


@dataclass(frozen=True)
class Sample:
    """What the network sees of one row.

    Attributes:
        pictures: prepared, (side, side, 3) uint8; the row is the mean of their features. None where it is broken; as
            many for every row.
        error: None, or why there are none.
        origin: what the file was when it was read, where it was.
        views: which of the ten views each picture is.
    """

    pictures: tuple[Pixels, ...]
    error: str | None = None
    origin: Origin | None = None
    views: tuple[int, ...] = (CENTER,)


Load = Callable[[Sequence[int]], Sequence[Sample]]


@dataclass(frozen=True)
class Block:
    """Rows that belong together, computed.

    Attributes:
        rows: their numbers.
        features: per layer, (len(rows), size) float32; zeros where a picture was broken.
        errors: per row, None or the reason.
        origins: per row, what its file was.
    """

    rows: Sequence[int]
    features: Features
    errors: tuple[str | None, ...]
    origins: tuple[Origin | None, ...]


def compute(
    blocks: Iterable[Sequence[int]],
    load: Load,
    engine: Engine,
    progress: Progress | None = None,
    at_a_time: int = 0,
) -> Iterator[Block]:
    """Compute blocks of rows, one after the other.

    Every thread takes a few pictures through all of it, reading, decoding and the network, so that neither decoding
    nor the network waits for the other and memory holds only what is under way. There are twice as many threads as
    the network uses: some wait for the disk or for the network while others have the cores.

    Args:
        blocks: row numbers that belong together.
        load: a few row numbers -> a sample each. Called by several threads.
        engine: the compiled network.
        progress: told about every few rows.
        at_a_time: rows a thread takes; 0: one batch.

    Yields:
        The blocks, in order. Whatever `load` raises is raised here.
    """

    def work(rows: Sequence[int]) -> Block:
        return _run_some(rows, load, engine)

    size = at_a_time or engine.runtime.batch
    fitting = _BYTES_AHEAD // (4 * size * sum(engine.sizes))
    ahead = max(2 * engine.runtime.threads, min(_AHEAD * engine.runtime.threads, fitting))
    with ThreadPoolExecutor(2 * engine.runtime.threads, thread_name_prefix="decaf") as pool:
        # Both read the same blocks; `parts` runs ahead of the block being put together.
        waiting: deque[Sequence[int]] = deque()

        def parts() -> Iterator[Sequence[int]]:
            for block in blocks:
                waiting.append(block)
                yield from (block[first : first + size] for first in range(0, len(block), size))

        futures: deque[Future[Block]] = deque()
        todo = parts()
        try:
            futures.extend(pool.submit(work, rows) for rows in islice(todo, ahead))
            done: list[Block] = []
            while futures:
                part = futures.popleft().result()
                futures.extend(pool.submit(work, rows) for rows in islice(todo, 1))
                if progress:
                    progress(len(part.rows), sum(error is not None for error in part.errors))
                done.append(part)
                if sum(len(part.rows) for part in done) == len(waiting[0]):
                    yield _joined(waiting.popleft(), done)
                    done = []
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _run_some(rows: Sequence[int], load: Load, engine: Engine) -> Block:
    samples = load(rows)
    most = max((len(sample.pictures) for sample in samples), default=0)
    pictures = [picture for sample in samples for picture in sample.pictures]
    views = [view for sample in samples if sample.pictures for view in sample.views]
    features = _run(engine, pictures, views)
    if most > 1:
        features = tuple(_mean(layer, most) for layer in features)
    return Block(rows, features, tuple(s.error for s in samples), tuple(s.origin for s in samples))


def _run(engine: Engine, pictures: Sequence[Pixels], views: Sequence[int]) -> Features:
    """The layers of any number of pictures."""
    size = engine.runtime.batch
    slices = [slice(start, start + size) for start in range(0, len(pictures), size)]
    parts = [engine.run(pictures[part], views[part]) for part in slices]
    if len(parts) == 1:
        return parts[0]
    return tuple(
        np.concatenate([np.empty((0, width), np.float32), *(part[layer] for part in parts)])
        for layer, width in enumerate(engine.sizes)
    )


def _mean(layer: NDArray[np.float32], views: int) -> NDArray[np.float32]:
    mean: NDArray[np.float64] = layer.reshape(-1, views, layer.shape[1]).mean(axis=1, dtype=np.float64)
    return mean.astype(np.float32)


def _joined(rows: Sequence[int], parts: list[Block]) -> Block:
    """Put parts together; rows of broken pictures become zeros."""
    errors = tuple(error for part in parts for error in part.errors)
    origins = tuple(origin for part in parts for origin in part.origins)
    intact = np.array([error is None for error in errors], dtype=bool)
    layers = zip(*(part.features for part in parts), strict=True)
    return Block(rows, tuple(_spread(np.concatenate(layer), intact) for layer in layers), errors, origins)


def _spread(computed: NDArray[np.float32], intact: NDArray[np.bool_]) -> NDArray[np.float32]:
    if intact.all():
        return computed
    spread = np.zeros((len(intact), computed.shape[1]), np.float32)
    spread[intact] = computed
    return spread
