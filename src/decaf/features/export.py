"""Write a feature set as one file for other tools."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from decaf.errors import FeatureSetError, UnknownName
from decaf.features.feature_set import FeatureSet
from decaf.files import atomic_path

_TEXTS = {"path": "paths", "label": "labels", "error": "errors", "region": "regions", "view": "views"}
_LARGEST_IN_MAT = 2**32  # bytes of one variable


def export(features: FeatureSet, out: str | Path, layer: str | None = None) -> None:
    """Write features to one file; its suffix names the format. Memory holds a shard at a time, or all of it for `npz`
    and `mat`.

    - `.npy`: one layer, (n, size) float32, NaN rows where a picture was broken.
    - `.npz`: each layer as in `.npy`, and `paths`, `labels`, `errors` as text arrays (empty where there is none), and
      `regions`, `views` where pictures have several rows.
    - `.csv`: the columns of `FeatureSet.texts`, then `layer_0`, `layer_1`, ...; empty cells where a picture was broken.
    - `.parquet`: the table of `FeatureSet.to_arrow` as one file.
    - `.h5`: as `.npz`; a layer's attribute `shape` tells its shape per picture. Needs h5py, an extra.
    - `.mat` (MATLAB 5): as `.npz`, texts as cell arrays, dots in names as underscores; up to 4 GB a layer.

    Args:
        features: what to write, possibly a slice of a set.
        out: the file; replaced if it exists, whole or not at all.
        layer: one layer; all of them where none is named (`.npy` needs one).

    Raises:
        UnknownName: no such format or layer, or the format has no name for a layer.
        FeatureSetError: the file cannot be written, or cannot hold so much.
    """
    out = Path(out)
    write = FORMATS.get(out.suffix.lower())
    if write is None:
        raise UnknownName(f"{out} names no format: end it in one of {' '.join(FORMATS)}")
    if out.absolute().parent == features.folder.absolute():
        raise FeatureSetError(f"{out} lies in the feature folder itself: name a file elsewhere")
    layers = (layer,) if layer else features.layers
    if out.suffix.lower() == ".npy" and len(layers) > 1:
        raise UnknownName(f"a .npy file holds one layer: pass --layer with one of {', '.join(layers)}")
    for name in layers:
        features.shape(name)  # a misspelt layer is found before anything is written
    try:
        with atomic_path(out) as temporary, temporary.open("w+b") as file:
            write(features, layers, file)
    except OSError as error:
        raise FeatureSetError(f"cannot write {out} ({error.strerror or error}): make room or name another") from error


def _parts(features: FeatureSet) -> Iterator[FeatureSet]:
    """As many rows at once as a shard has; one part without rows where there are none."""
    step = int(features.meta["shard_size"])
    return (features[start : start + step] for start in range(0, max(len(features), 1), step))


def _write_npy(features: FeatureSet, layers: Sequence[str], file: BinaryIO) -> None:
    shape = (len(features), math.prod(features.shape(layers[0])))
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for part in _parts(features):
        file.write(part.X(layers[0]).astype("<f4", copy=False).tobytes())


def _write_npz(features: FeatureSet, layers: Sequence[str], file: BinaryIO) -> None:
    arrays: dict[str, Any] = {name: np.array(texts, dtype=str) for name, texts in _plain_texts(features).items()}
    np.savez(file, **arrays | {_array_name(layer): features.X(layer) for layer in layers})


def _array_name(layer: str) -> str:
    """A layer called like one of the texts, or like a parameter of NumPy's, gets an underscore behind."""
    return f"{layer}_" if layer in (*_TEXTS.values(), "file") else layer


def _plain_texts(features: FeatureSet) -> dict[str, list[str]]:
    """What the rows are, empty where there is nothing to say."""
    return {_TEXTS[name]: [text or "" for text in texts] for name, texts in features.texts.items()}


def _write_mat(features: FeatureSet, layers: Sequence[str], file: BinaryIO) -> None:
    from scipy.io import savemat

    names = {layer: re.sub(r"\W", "_", _array_name(layer)) for layer in layers}
    if bad := [layer for layer, name in names.items() if not name[0].isalpha() or list(names.values()).count(name) > 1]:
        raise UnknownName(f"MATLAB has no variable for layer {bad[0]!r}: export .h5")
    if large := [layer for layer in layers if 4 * len(features) * math.prod(features.shape(layer)) >= _LARGEST_IN_MAT]:
        raise FeatureSetError(f"layer {large[0]!r} has 4 GB or more, which a .mat file cannot hold: export .h5")
    cells = {name: np.array(texts, dtype=object) for name, texts in _plain_texts(features).items()}
    savemat(
        file,
        cells | {name: features.X(layer) for layer, name in names.items()},
        oned_as="column",
        long_field_names=True,
    )


def _write_h5(features: FeatureSet, layers: Sequence[str], file: BinaryIO) -> None:
    try:
        import h5py
    except ImportError:
        raise FeatureSetError('h5py is not installed: pip install "decaf-vision[h5]"') from None
    with h5py.File(file, "w") as h5:
        for name, texts in _plain_texts(features).items():
            h5.create_dataset(name, data=texts, dtype=h5py.string_dtype())
        for layer in layers:
            shape = (len(features), math.prod(features.shape(layer)))
            vectors = h5.create_dataset(_array_name(layer), shape, np.float32)
            vectors.attrs["shape"] = features.shape(layer)
            start = 0
            for part in _parts(features):
                vectors[start : start + len(part)] = part.X(layer)
                start += len(part)


def _write_csv(features: FeatureSet, layers: Sequence[str], file: BinaryIO) -> None:
    from pyarrow import csv

    for number, part in enumerate(_parts(features)):
        csv.write_csv(_wide_table(part, layers), file, csv.WriteOptions(include_header=number == 0))


def _wide_table(features: FeatureSet, layers: Sequence[str]) -> Any:
    import pyarrow as pa

    texts = features.to_arrow(())
    columns = dict(zip(texts.column_names, texts.columns, strict=True))
    for layer in layers:
        for index, values in enumerate(features.X(layer).T):
            columns[f"{layer}_{index}"] = pa.array(np.ascontiguousarray(values), mask=features.broken)
    return pa.table(columns)


def _write_parquet(features: FeatureSet, layers: Sequence[str], file: BinaryIO) -> None:
    import pyarrow.parquet as pq

    tables = (part.to_arrow(layers) for part in _parts(features))
    first = next(tables)
    with pq.ParquetWriter(file, first.schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table)


FORMATS: dict[str, Callable[[FeatureSet, Sequence[str], BinaryIO], None]] = {
    ".npy": _write_npy,
    ".npz": _write_npz,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".h5": _write_h5,
    ".mat": _write_mat,
}
