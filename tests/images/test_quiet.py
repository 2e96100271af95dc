"""Nothing but rows says that a picture is broken."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from PIL import Image


def test_what_pillow_logs_of_broken_files_does_not_reach_the_user(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    place = data.index((277).to_bytes(2, "little") + (3).to_bytes(2, "little"))  # SamplesPerPixel, a short
    data[place + 8 : place + 10] = b"\xff\xff"
    (tmp_path / "many.tif").write_bytes(data)
    script = """
import sys
from pathlib import Path
from decaf.errors import ImageError
from decaf.images.decode import decode
try:
    decode(Path(sys.argv[1]).read_bytes())
except ImageError:
    sys.exit(3)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "many.tif")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
