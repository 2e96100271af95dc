"""Small folders laid out like the originals."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = ((210, 60, 60), (60, 190, 70), (60, 80, 200), (200, 190, 60))


def write_classes(folder: Path, counts: dict[str, int], suffix: str = ".png") -> Path:
    """Noisy pictures, each class of a colour of its own, in a folder for each class."""
    random = np.random.default_rng(0)
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            noise = random.normal(0, 40, (20, 24, 3))
            pixels = np.clip(np.array(COLOURS[number % len(COLOURS)]) + noise, 0, 255).astype(np.uint8)
            flat = name.replace("/", "_")
            Image.fromarray(pixels).save(folder / name / f"sun_{flat}{index:03d}{suffix}")
    return folder


def caltech(folder: Path, count: int = 8) -> Path:
    """Caltech-101 with three classes; returns the folder the archive was unpacked in."""
    write_classes(folder / "101_ObjectCategories", {"BACKGROUND_Google": count, "ant": count, "<b>&bass": count + 2})
    return folder


def write_partition(folder: Path, number: int, train: Iterable[str], test: Iterable[str]) -> None:
    """An official pair of lists."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, names in (("Training", train), ("Testing", test)):
        text = "".join(f"{name}\r\n" for name in names)
        (folder / f"{kind}_{number:02d}.txt").write_bytes(text.encode())


SUN = {"a/abbey": 9, "d/desert/sand": 9, "i/inn/indoor": 9}


def sun(folder: Path, splits: int = 2) -> Path:
    """SUN-397 with three classes and its lists: 4 pictures to train on, 3 to test on, and names that are not here."""
    write_classes(folder / "SUN397", SUN)
    for number in range(splits):
        train, test = [], []
        for name, count in SUN.items():
            files = [
                f"/{name}/sun_{name.replace('/', '_')}{(index + number) % count:03d}.png" for index in range(count)
            ]
            train += [*files[:4], f"/{name}/sun_notherea{number}{len(name)}.png"]
            test += [*files[4:7], f"/{name}/sun_nothereb{number}{len(name)}.png"]
        write_partition(folder / "Partitions", number + 1, train, test)
    return folder
