"""Feature folders of made-up vectors, written in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import decaf
from decaf.features.feature_set import write_meta
from decaf.features.settings import FORMAT
from decaf.features.shards import shard_name, write_shard
from decaf.nets.preprocess import Preprocess

SETTINGS: dict[str, Any] = {
    "net": "made-up",
    "net_sha256": "0" * 64,
    "preprocess": Preprocess(8, 8, (0, 0, 0), (1, 1, 1)).to_dict(),
    "decoding": "full",
    "max_bytes": 10,
    "max_pixels": 10,
    "pool": "none",
    "precision": "f32",
    "store": "f32",
    "regions": "whole",
    "views": "center",
}


def write_features(
    folder: Path,
    X: NDArray[Any],
    labels: Sequence[str | None],
    paths: Sequence[str] | None = None,
    errors: Sequence[str | None] | None = None,
    region: Sequence[str] | None = None,
    boxes: Sequence[Sequence[float] | None] | None = None,
    more: Mapping[str, NDArray[Any]] | None = None,
    sha256: Sequence[str | None] | None = None,
    **settings: Any,
) -> decaf.FeatureSet:
    """A feature folder with layer `vector`, and `more`; pictures lie in folders named for their labels."""
    n = len(X)
    paths = paths or [f"photos/{label}/{row}.bmp" for row, label in enumerate(labels)]
    columns: dict[str, Sequence[Any]] = {
        "path": paths,
        "label": labels,
        "region": region or ["whole"] * n,
        "view": ["center"] * n,
        "box": boxes or [None] * n,
        "error": errors or [None] * n,
        "size": [1] * n,
        "mtime": [1] * n,
        "sha256": sha256 or [None] * n,
    }
    folder.mkdir(parents=True, exist_ok=True)
    vectors = {name: values.astype(np.float32) for name, values in {"vector": X, **(more or {})}.items()}
    said = {**SETTINGS, "layers": {name: [values.shape[1]] for name, values in vectors.items()}, **settings}
    write_shard(folder / shard_name(0), columns, vectors, {"shard": 0, "settings": ""})
    write_meta(
        folder,
        {
            "format": FORMAT,
            "decaf": "0",
            "source": {"given": ["photos"], "folder": str(folder.parent), "count": n, "pictures": n, "digest": ""},
            "settings": said,
            "shard_size": 1000,
            "environments": [{}],
            "runtime": {},
            "provenance": {},
        },
    )
    return decaf.FeatureSet.open(folder)


def blobs(labels: Sequence[str | None], d: int = 6, noise: float = 0.3, seed: int = 0) -> NDArray[np.float32]:
    """(n, d) a cloud of points for each label, around a place that only depends on the label's rank."""
    random = np.random.default_rng(seed)
    places = {label: np.random.default_rng(k).normal(0, 1, d) for k, label in enumerate(sorted(set(map(str, labels))))}
    return np.array([places[str(label)] + random.normal(0, noise, d) for label in labels], np.float32)


def write_blobs(folder: Path, labels: Sequence[str | None], **options: Any) -> decaf.FeatureSet:
    """A feature folder with such clouds."""
    noise = options.pop("noise", 0.3)
    return write_features(folder, blobs(labels, noise=noise), labels, **options)
