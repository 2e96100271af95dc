"""The package as a whole: its names, its weight, its silence."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import decaf

HEAVY = ("torch", "openvino", "onnx", "sklearn", "matplotlib", "pyarrow", "PIL", "numpy")


def python(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_exported_names() -> None:
    names = ["DeCAF", "DecafError", "FeatureSet", "LinearProbe", "LinearProbeCV", "Net", "Preprocess", "export"]
    names += ["extract", "load_net", "profile"]
    assert decaf.__all__ == names == dir(decaf)
    assert all(getattr(decaf, name).__doc__ for name in names)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        decaf.nothing  # noqa: B018


def test_import_is_light() -> None:
    script = f"import sys, decaf; print([name for name in {HEAVY} if name in sys.modules])"
    assert python(script).strip() == "[]"
    script = "import time; start = time.perf_counter(); import decaf; print(time.perf_counter() - start)"
    assert min(float(python(script)) for _ in range(3)) < 0.3


def test_extraction_needs_no_torch_and_no_plots(pictures: Path, tmp_path: Path) -> None:
    script = (
        "import sys, decaf; decaf.extract(sys.argv[1], out=sys.argv[2]);"
        "print([name for name in ('torch', 'matplotlib', 'sklearn', 'ray') if name in sys.modules])"
    )
    assert python(script, str(pictures), str(tmp_path / "out")).strip() == "[]"


def test_one_picture_from_a_cold_process_in_under_two_seconds(pictures: Path, tmp_path: Path) -> None:
    """Of processor time, which other work on the machine does not stretch."""
    script = "from decaf.cli.main import main; main()"
    seconds = []
    for attempt in range(3):
        command = [
            sys.executable,
            "-c",
            script,
            "extract",
            str(pictures / "cat" / "0.jpg"),
            "-o",
            str(tmp_path / str(attempt)),
        ]
        start = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        end = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(end.ru_utime - start.ru_utime + end.ru_stime - start.ru_stime)
    assert min(seconds) < 2


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: no way to see sockets")
def test_extract_opens_no_socket_and_leaves_only_our_cache_in_home(pictures: Path, tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "strace.log"
    home.mkdir()
    kept = ("PATH", "LD_LIBRARY_PATH", "LANG")
    environment = {name: os.environ[name] for name in kept if name in os.environ} | {"HOME": str(home)}
    assert "CI" not in environment
    script = "from decaf.cli.main import main; main()"
    command = ["strace", "-f", "-qq", "-e", "trace=socket,connect,execve", "-o", str(log), sys.executable, "-c", script]
    done = subprocess.run(
        [*command, "extract", str(pictures), "-o", str(tmp_path / "out")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = log.read_text()
    assert seen.count("execve(") == 1, seen  # it watched, and no child process was started
    assert "socket(" not in seen and "connect(" not in seen, seen
    cached = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    assert [path.parent for path in cached] == [Path(".cache/decaf/nets")]
