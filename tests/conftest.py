"""Where the real data lies, one small network, one cache for the whole run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from decaf.nets.net import Net
from decaf.nets.registry import load_net


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing is read from or left in the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("DECAF_CACHE")
    os.environ["DECAF_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["DECAF_CACHE"]
    else:
        os.environ["DECAF_CACHE"] = before


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real test data; tests that need it are skipped where it is absent."""
    given = os.environ.get("DECAF_TEST_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real test data is not at {folder}: set DECAF_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def lite0(own_cache: Path) -> Net:
    """The default network."""
    return load_net("efficientnet-lite0")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of seven small pictures in two classes; the third of them is broken."""
    folder = tmp_path / "photos"
    random = np.random.default_rng(0)
    for index in range(7):
        path = folder / ("cat" if index < 4 else "dog") / f"{index}.{'png' if index % 2 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (40 + index, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    broken = folder / "cat" / "2.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    return folder


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.iterdir():
        path.chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything, so be nobody for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)
