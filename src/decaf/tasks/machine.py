"""What ran: versions and the machine, for reports."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from importlib import metadata as packages
from pathlib import Path

_PACKAGES = ("numpy", "scipy", "scikit-learn", "openvino", "pillow", "simplejpeg", "pyarrow", "matplotlib", "opentsne")


def versions() -> dict[str, str]:
    """Name -> version, of decaf, Python and the libraries that decide a number."""
    found = {"decaf": packages.version("decaf-vision"), "Python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(packages.PackageNotFoundError):
            found[name] = packages.version(name)
    return found


def machine() -> dict[str, str]:
    """Processor, cores this process may use, system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": _processor(),
        "cores": f"{cores} core{'s' if cores > 1 else ''}",
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    with suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or "unknown processor"
