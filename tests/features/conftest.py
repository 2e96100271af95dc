"""A network that is compiled once per file, pictures to edit, a folder to write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from decaf.nets.net import Net
from tests.features.folders import draw_all, engines_compiled_once, load_tiny_net


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with engines_compiled_once():
        yield load_tiny_net(tmp_path_factory.mktemp("net") / "tiny.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return draw_all(tmp_path / "photos")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
