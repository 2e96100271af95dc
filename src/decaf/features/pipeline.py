"""Decode pictures and run the network on them, all cores busy with both, results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from decaf.engines import Engine
from decaf.errors import ImageError
from decaf.images.decode import Pixels

# Batches in flight per thread: enough to work on while a finished block is written to disk, but no more than memory
# should hold of large layers.
_AHEAD = 16
_BYTES_AHEAD = 2**28

Features = tuple[NDArray[np.float32], ...]
Progress = Callable[[int, int], None]
"""Called with the rows done and, among them, the broken ones, since the last call."""


@dataclass(frozen=True)
class Block:
    """Consecutive rows, computed.

    Attributes:
        rows: their numbers.
        features: per layer, (len(rows), size) float32; zeros where a picture was broken.
        errors: per row, None or the reason.
    """

    rows: range
    features: Features
    errors: tuple[str | None, ...]


def compute(
    blocks: Iterable[range], load: Callable[[int], Pixels], engine: Engine, progress: Progress | None = None
) -> Iterator[Block]:
    """Compute blocks of rows, one after the other.

    Every thread takes a few pictures through all of it, reading, decoding and the network, so that neither decoding
    nor the network waits for the other and memory holds only what is under way. There are twice as many threads as
    the network uses: some wait for the disk or for the network while others have the cores.

    Args:
        blocks: row numbers that belong together.
        load: row number -> prepared picture (side, side, 3) uint8; raises ImageError for a broken one.
        engine: the compiled network.
        progress: told about every few rows.

    Yields:
        The blocks, in order. Whatever `load` raises besides ImageError is raised here.
    """

    def work(rows: range) -> Block:
        return _run_batch(rows, load, engine)

    size = engine.runtime.batch
    fitting = _BYTES_AHEAD // (4 * size * sum(engine.sizes))
    ahead = max(2 * engine.runtime.threads, min(_AHEAD * engine.runtime.threads, fitting))
    with ThreadPoolExecutor(2 * engine.runtime.threads, thread_name_prefix="decaf") as pool:
        # Both read the same blocks; `batches` runs ahead of the block being put together.
        waiting: deque[range] = deque()

        def batches() -> Iterator[range]:
            for block in blocks:
                waiting.append(block)
                yield from (block[first : first + size] for first in range(0, len(block), size))

        futures: deque[Future[Block]] = deque()
        todo = batches()
        try:
            futures.extend(pool.submit(work, rows) for rows in islice(todo, ahead))
            parts: list[Block] = []
            while futures:
                part = futures.popleft().result()
                futures.extend(pool.submit(work, rows) for rows in islice(todo, 1))
                if progress:
                    progress(len(part.rows), sum(error is not None for error in part.errors))
                parts.append(part)
                if part.rows.stop == waiting[0].stop:
                    yield _joined(waiting.popleft(), parts)
                    parts = []
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _run_batch(rows: range, load: Callable[[int], Pixels], engine: Engine) -> Block:
    pictures: list[Pixels] = []
    errors: list[str | None] = []
    for row in rows:
        try:
            pictures.append(load(row))
            errors.append(None)
        except ImageError as error:
            errors.append(str(error))
    nothing = tuple(np.empty((0, size), np.float32) for size in engine.sizes)
    return Block(rows, engine.run(pictures) if pictures else nothing, tuple(errors))


def _joined(rows: range, parts: list[Block]) -> Block:
    """Put batches together; rows of broken pictures become zeros."""
    errors = tuple(error for part in parts for error in part.errors)
    intact = np.array([error is None for error in errors], dtype=bool)
    layers = zip(*(part.features for part in parts), strict=True)
    return Block(rows, tuple(_spread(np.concatenate(layer), intact) for layer in layers), errors)


def _spread(computed: NDArray[np.float32], intact: NDArray[np.bool_]) -> NDArray[np.float32]:
    if intact.all():
        return computed
    spread = np.zeros((len(intact), computed.shape[1]), np.float32)
    spread[intact] = computed
    return spread
