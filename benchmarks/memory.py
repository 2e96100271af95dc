"""Resident memory of `decaf extract` does not grow with the number of pictures.

Extracts the same pictures, listed over and over, once for each count, each in a process of its own, and prints the
greatest resident memory the system saw.

    python benchmarks/memory.py PICTURES [--counts 10000 100000]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from decaf.images.find import find_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", help="a folder of pictures")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000], help="in rising order")
    parser.add_argument("--precision", default="bf16")
    arguments = parser.parse_args()
    paths = find_images(arguments.pictures).paths
    peaks = []
    for count in sorted(arguments.counts):
        with tempfile.TemporaryDirectory() as folder:
            listing = Path(folder) / "list.txt"
            listing.write_text("".join(f"{paths[index % len(paths)]}\n" for index in range(count)))
            command = ["decaf", "extract", str(listing), "-o", f"{folder}/out", "--precision", arguments.precision]
            subprocess.run([sys.executable, "-c", "from decaf.cli.main import main; main()", *command[1:]], check=True)
        # The greatest over all children so far: counts rise, so that it is this child's wherever memory grows.
        peaks.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
        print(f"{count:>9,} pictures: {peaks[-1]:.0f} MB resident at most", flush=True)
    print(f"growth: {peaks[-1] / peaks[0]:.3f} x")


if __name__ == "__main__":
    main()
