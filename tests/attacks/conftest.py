"""What the attacks share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.attacks.hostile import MIB


@pytest.fixture
def little_memory() -> Iterator[None]:
    """One more GiB of address space and no more, so that a bomb ends in MemoryError and not in the machine's death."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 2**22
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 1024 * MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
