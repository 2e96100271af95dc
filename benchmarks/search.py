"""Search and duplicates, measured.

    python benchmarks/search.py million [--rows 1000000] [--others usearch faiss]
    python benchmarks/search.py like FEATURES --layer pool            what the made-up rows are like, beside real ones
    python benchmarks/search.py planted FEATURES PICTURES --layer pool
    python benchmarks/search.py layers FEATURES

`million` makes rows that resemble the features of a convolutional network (see `Maker`), searches them exactly by a
plain scan and by bounds (the results must be the same), and approximately, in one process, the ways taking turns; the
ratios are those of median times. Query vectors are new draws. `--others` builds HNSW graphs of other packages on the
same sketches, refined by the same exact step. Needs 6.3 GB on disk per million rows and as much memory to stay warm.

`planted` extracts changed copies of 500 of the pictures that FEATURES was made of and counts which find their originals
and what else they find. `layers` measures retrieval: mean average precision of each picture as a query for its label.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import pathlib
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import decaf
from decaf.search.duplicates import _alike, _Joined
from decaf.search.exact import by_bounds, by_scan, top
from decaf.search.index import Index
from decaf.search.lists import make_lists, share_found
from decaf.search.matrix import ROWS_AT_ONCE, Matrix, Query, matrix_of, scan
from decaf.search.sketch import Sketch, find_basis, sketch_of, units_of

K = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    made = commands.add_parser("million")
    made.add_argument("--rows", type=int, default=1_000_000)
    made.add_argument("--size", type=int, default=1280)
    made.add_argument("--queries", type=int, default=100)
    made.add_argument("--others", nargs="*", default=[], choices=["usearch", "faiss"])
    made.add_argument("--place", type=pathlib.Path, help="a folder for the rows; by default a temporary one")
    made.set_defaults(run=million)
    alike = commands.add_parser("like")
    alike.add_argument("features")
    alike.add_argument("--layer", default="pool")
    alike.set_defaults(run=like)
    planted_ = commands.add_parser("planted")
    planted_.add_argument("features")
    planted_.add_argument("pictures", type=pathlib.Path)
    planted_.add_argument("--layer", default="pool")
    planted_.set_defaults(run=planted)
    by_layer = commands.add_parser("layers")
    by_layer.add_argument("features")
    by_layer.set_defaults(run=layers)
    arguments = parser.parse_args()
    arguments.run(arguments)


class Maker:
    """Rows like pooled activations: clusters within classes, a spectrum that falls slowly, no negative numbers.

    z = class + 0.6 subclass + 0.75 own, each normal in 400 directions with standard deviations proportional to
    i^-1/2; x = max(0, z W + b + 0.4 e) with normal W and e. 1,000 classes of 10 subclasses.
    """

    def __init__(self, size: int, classes: int = 1000, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        spectrum = np.arange(1, 401) ** -0.5
        self._spectrum = spectrum / np.sqrt((spectrum**2).sum())
        self._to_size = self._random.normal(size=(400, size)).astype(np.float32)
        self._classes = self._random.normal(size=(classes, 400))
        self._subclasses = self._random.normal(0, 0.6, size=(10 * classes, 400))
        self._bias = (-0.3 + 0.15 * self._random.normal(size=size)).astype(np.float32)

    def rows(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(count, size) float32, and the class of each."""
        sub = self._random.integers(0, len(self._subclasses), count)
        own = self._random.normal(0, 0.75, size=(count, 400))
        z = (self._classes[sub // 10] + self._subclasses[sub] + own) * self._spectrum
        x = z.astype(np.float32) @ self._to_size + self._bias
        x += 0.4 * self._random.standard_normal(x.shape, np.float32)
        return np.maximum(x, 0, out=x), sub // 10


def million(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        place = arguments.place or pathlib.Path(temporary)
        matrix, queries = rows_on_disk(arguments.rows, arguments.size, arguments.queries, place)
        sketch = timed("basis and sketches", lambda: sketches(matrix, place))
        lists = timed("lists", lambda: make_lists(matrix, sketch, "cosine"))
        print(
            f"  {len(lists.centres):,} lists, {lists.probes} looked at, recall measured when built {lists.recall:.3f}"
        )
        asked = [Query(query, "cosine", matrix.usable) for query in queries.astype(np.float64)]
        ways: dict[str, Callable[[Query], Any]] = {
            "scan": lambda query: by_scan(matrix, query, K),
            "bounds": lambda query: by_bounds(matrix, query, K, sketch.bounds(query.unit[None])[0].astype(np.float64)),
            "lists": lambda query: lists.search(matrix, sketch, query, K),
        }
        for name in arguments.others:
            ways[name] = timed(f"{name} graph", lambda name=name: OTHERS[name](matrix, sketch, place))
        race(ways, asked)
        batch(matrix, sketch, asked)
        pairs(matrix, sketch, min(len(matrix), 50_000))
        print(f"greatest resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB")


def rows_on_disk(count: int, size: int, queries: int, place: pathlib.Path) -> tuple[Matrix, np.ndarray]:
    maker = Maker(size)
    asked, _ = maker.rows(queries)
    file = place / "rows.npy"
    if not file.exists():
        values = np.lib.format.open_memmap(file, "w+", np.float32, (count, size))
        for start in range(0, count, 10_000):
            values[start : start + 10_000] = maker.rows(min(10_000, count - start))[0]
        values.flush()
    values = np.load(file, mmap_mode="r")
    print(f"{count:,} x {size} float32, {values.nbytes / 1e9:.2f} GB")
    return timed("norms", lambda: matrix_of(values)), asked


def sketches(matrix: Matrix, place: pathlib.Path) -> Sketch:
    basis = find_basis(matrix)
    shape = (len(matrix), basis.shape[1] + 1)
    values = np.lib.format.open_memmap(place / "sketch.npy", "w+", np.float32, shape)
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        values[start : start + ROWS_AT_ONCE] = sketch_of(units_of(matrix, start), basis)
    return Sketch(basis, values)


def race(ways: dict[str, Callable[[Query], Any]], asked: list[Query]) -> None:
    times: dict[str, list[float]] = {name: [] for name in ways}
    recalls: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # what is mapped is read once
        way(asked[0])
    for query in asked:
        exact = None
        for name, way in ways.items():
            started = time.perf_counter()
            rows, keys = way(query)
            times[name].append(time.perf_counter() - started)
            exact = (rows, keys) if exact is None else exact
            recalls[name].append(share_found(keys, exact[1]))
            if name == "bounds" and not (np.array_equal(rows, exact[0]) and np.array_equal(keys, exact[1])):
                raise AssertionError("bounds and scan differ")
    print(f"\n{len(asked)} queries one by one, k = {K}: median time (worst), against the scan, recall@{K}")
    slowest = statistics.median(times["scan"])
    for name in ways:
        middle = statistics.median(times[name])
        ratios = f"{slowest / middle:6.1f} x, {statistics.median(times['bounds']) / middle:6.1f} x of bounds"
        print(
            f"  {name:8} {middle * 1e3:8.2f} ms ({max(times[name]) * 1e3:8.2f}) {ratios}  {np.mean(recalls[name]):.3f}"
        )


def batch(matrix: Matrix, sketch: Sketch, asked: list[Query]) -> None:
    units = np.stack([query.unit for query in asked[:32]])
    started = time.perf_counter()
    for query, cosines in zip(asked, scan(matrix, units), strict=False):
        by_scan(matrix, query, K, cosines)
    scanned = (time.perf_counter() - started) / len(units)
    started = time.perf_counter()
    for query, bounds in zip(asked, sketch.bounds(units), strict=False):
        by_bounds(matrix, query, K, bounds.astype(np.float64))
    bounded = (time.perf_counter() - started) / len(units)
    print(f"32 queries together, each: scan {scanned * 1e3:.1f} ms, bounds {bounded * 1e3:.1f} ms")


def pairs(matrix: Matrix, sketch: Sketch, count: int) -> None:
    """All pairs of some rows, as `--duplicates` compares them."""
    part, coarse = matrix_of(matrix.values[:count]), Sketch(sketch.basis, sketch.values[:count])
    joined, rows = _Joined(count), np.arange(count)
    started = time.perf_counter()
    found = 0
    for first, others in _alike(part, coarse, rows, 0.9, joined, rows, None):
        joined.join(first, others)
        found += len(first)
    print(f"all pairs of {count:,} rows: {time.perf_counter() - started:.1f} s, {found:,} joined")


def usearch_way(matrix: Matrix, sketch: Sketch, place: pathlib.Path) -> Callable[[Query], Any]:
    import usearch.index

    graph = usearch.index.Index(ndim=sketch.basis.shape[1], metric="ip", dtype="f16", connectivity=16, expansion_add=64)
    for start in range(0, len(matrix), 50_000):
        block = np.asarray(sketch.values[start : start + 50_000, :-1])
        graph.add(np.arange(start, start + len(block)), block, threads=2)
    graph.expansion_search = 128
    graph.save(place / "graph.usearch")
    told("usearch", place / "graph.usearch")

    def search(query: Query) -> Any:
        likely = np.asarray(graph.search(sketch.of(query.unit[None])[0, :-1], 10 * K).keys, np.intp)
        return top(likely, query.keys(matrix, likely), K)

    return search


def faiss_way(matrix: Matrix, sketch: Sketch, place: pathlib.Path) -> Callable[[Query], Any]:
    import faiss

    graph = faiss.IndexHNSWFlat(sketch.basis.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = 64, 128
    for start in range(0, len(matrix), 50_000):
        graph.add(np.ascontiguousarray(sketch.values[start : start + 50_000, :-1]))
    faiss.write_index(graph, str(place / "graph.faiss"))
    told("faiss", place / "graph.faiss")

    def search(query: Query) -> Any:
        likely = graph.search(np.ascontiguousarray(sketch.of(query.unit[None])[:, :-1]), 10 * K)[1][0].astype(np.intp)
        likely = likely[likely >= 0]
        return top(likely, query.keys(matrix, likely), K)

    return search


OTHERS = {"usearch": usearch_way, "faiss": faiss_way}


def told(package: str, file: pathlib.Path) -> None:
    spec = importlib.util.find_spec(package)
    folder = pathlib.Path(spec.origin).parent if spec and spec.origin else pathlib.Path()
    installed = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"  {package}: {file.stat().st_size / 1e6:.0f} MB on disk; the package itself {installed / 1e6:.0f} MB")


def timed(what: str, work: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    made = work()
    print(f"{what}: {time.perf_counter() - started:.1f} s")
    return made


def like(arguments: argparse.Namespace) -> None:
    features = decaf.FeatureSet.open(arguments.features).valid
    chosen = np.random.default_rng(0).permutation(len(features))[:6000]
    describe("real", features[chosen].X(arguments.layer), features[chosen].labels)
    describe("made up", *Maker(1280, 100).rows(6000))


def describe(name: str, x: np.ndarray, labels: np.ndarray) -> None:
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = units @ units.T
    pairs = np.triu_indices(len(x), 1)
    same = (labels[:, None] == labels[None])[pairs]
    np.fill_diagonal(cosines, -1)
    nearest = np.percentile(cosines.max(axis=1), [10, 50, 90])
    spectrum = np.linalg.svd(units - units.mean(axis=0), compute_uv=False) ** 2
    share = np.cumsum(spectrum) / spectrum.sum()
    print(f"{name}: zeros {(x == 0).mean():.2f}; cosine within a class {cosines[pairs][same].mean():.2f}, between")
    print(
        f"  {cosines[pairs][~same].mean():.2f}, to the nearest (10, 50, 90 %) {' '.join(f'{v:.2f}' for v in nearest)};"
    )
    print(f"  variance in 16, 64, 256 directions {share[15]:.2f} {share[63]:.2f} {share[255]:.2f}")


def changed(picture: Any) -> dict[str, bytes]:
    """A picture as others may have saved it."""
    from PIL import Image

    w, h = picture.size
    smaller = (max(w * 3 // 4, 1), max(h * 3 // 4, 1))
    inner = picture.crop((w // 40, h // 40, w - w // 40, h - h // 40))
    ways = {
        "resized to 3/4": (picture.resize(smaller, Image.Resampling.LANCZOS), 90),
        "JPEG quality 50": (picture, 50),
        "cropped by 5 %": (inner, 90),
        "all three": (inner.resize(smaller, Image.Resampling.LANCZOS), 50),
        "resized to 1/2": (picture.resize((max(w // 2, 1), max(h // 2, 1)), Image.Resampling.LANCZOS), 90),
        "JPEG quality 20": (picture, 20),
        "corner off, 10 %": (picture.crop((w // 10, h // 10, w, h)), 90),
        "mirrored": (picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 90),
    }
    return {name: as_jpeg(*way) for name, way in ways.items()}


def as_jpeg(picture: Any, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def planted(arguments: argparse.Namespace) -> None:
    from PIL import Image

    from decaf.tasks.same_net import Alike, Network, plan_alike

    features = decaf.FeatureSet.open(arguments.features)
    index = Index.open(features, arguments.layer)
    rows = sorted(random.Random(0).sample(range(len(features)), 500))
    with tempfile.TemporaryDirectory() as place:
        copies = pathlib.Path(place) / "copies"
        copies.mkdir()
        ways: list[str] = []
        for row in rows:
            file = next(arguments.pictures.rglob("/".join(pathlib.Path(features.paths[row]).parts[-2:])))
            made = changed(Image.open(file).convert("RGB"))
            for number, data in enumerate(made.values()):
                (copies / f"{row:06d}-{number}.jpg").write_bytes(data)
            ways = list(made)
        alike = Alike(features.meta["settings"], arguments.layer, "the features hold", "extract anew")
        job = plan_alike(alike, [str(copies)], pathlib.Path(place) / "f", Network())
        from decaf.features.extract import run
        from decaf.features.folder import held

        with held(job.out, job.meta, job.rows, job.options) as work:
            run(job, work)
        x = decaf.FeatureSet.open(job.out).X(arguments.layer).reshape(500, len(ways), -1)
    count(index, rows, x, ways)


def count(index: Index, rows: list[int], x: np.ndarray, ways: list[str]) -> None:
    units = x / np.linalg.norm(x, axis=2, keepdims=True)
    cosines = np.stack([scan(index.matrix, units[:, way].astype(np.float64)) for way in range(len(ways))], axis=1)
    own = np.take_along_axis(cosines, np.array(rows)[:, None, None], axis=2)[..., 0]
    np.put_along_axis(cosines, np.array(rows)[:, None, None], -1, axis=2)
    print(f"500 pictures, layer {index.layer}; copies that find their original at a cosine of")
    thresholds = (0.8, 0.85, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98)
    print(f"  {'':18}" + "".join(f"{at:8.2f}" for at in thresholds))
    for number, way in enumerate(ways):
        print(f"  {way:18}" + "".join(f"{(own[:, number] >= at).mean():8.3f}" for at in thresholds))
    main_ways = slice(0, 4)
    found = [(own[:, main_ways] >= at).sum() for at in thresholds]
    others = [(cosines[:, main_ways] >= at).sum() for at in thresholds]
    print(f"  {'first four: recall':18}" + "".join(f"{n / (500 * 4):8.3f}" for n in found))
    print(f"  {'precision':18}" + "".join(f"{n / max(n + m, 1):8.3f}" for n, m in zip(found, others, strict=True)))
    print("precision: originals among all pairs; what is near an original by nature counts against it")


def layers(arguments: argparse.Namespace) -> None:
    features = decaf.FeatureSet.open(arguments.features).valid
    labels = np.unique(features.labels.astype(str), return_inverse=True)[1]
    print(
        f"{len(features):,} pictures, {labels.max() + 1} labels: each a query for the others of its label, all ranked"
    )
    for layer in features.layers:
        for metric in ("cosine", "l2"):
            precision, first = retrieval(features.X(layer), labels, metric)
            print(f"  {layer:10} {metric:6} mAP {precision:.3f}, nearest has the same label {first:.3f}", flush=True)


def retrieval(x: np.ndarray, labels: np.ndarray, metric: str) -> tuple[float, float]:
    """Mean average precision over all queries that have another of their label, and the accuracy of the nearest."""
    if metric == "cosine":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
    half = np.einsum("ij,ij->i", x, x) / 2
    precisions, first = [], []
    for start in range(0, len(x), 512):
        keys = x[start : start + 512] @ x.T - half
        for row, key in enumerate(keys, start):
            key[row] = -np.inf
            relevant = (labels == labels[row])[np.argsort(-key, kind="stable")[:-1]]
            if relevant.any():
                ranks = np.flatnonzero(relevant) + 1
                precisions.append((np.arange(1, len(ranks) + 1) / ranks).mean())
                first.append(relevant[0])
    return float(np.mean(precisions)), float(np.mean(first))


if __name__ == "__main__":
    main()
