"""The command line run in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from decaf.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """What `--json` prints, which is all that is printed, and strict JSON."""
    code, out, err = run(capsys, *arguments, "--json")
    assert (code, err) == (0, ""), err
    return json.loads(out, parse_constant=pytest.fail)
