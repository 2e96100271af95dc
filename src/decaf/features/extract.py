"""The main job: pictures in, a feature set out."""

from __future__ import annotations

import atexit
import datetime
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from decaf.engines import Engine, make_engine
from decaf.errors import BrokenPicture, FeatureSetError, FolderInUse, ImageError, SettingsDiffer, UnknownName
from decaf.features.feature_set import ABOUT, FORMAT, FeatureSet, read_meta
from decaf.features.pipeline import Block, Progress, compute
from decaf.features.settings import describe_environment, describe_settings, refuse_difference
from decaf.features.shards import read_about, read_text, shard_name, stored_text, write_shard
from decaf.files import TEMPORARY, write_atomically
from decaf.images.decode import Pixels
from decaf.images.find import Listing, StrPath, find_images
from decaf.images.prepare import load
from decaf.nets.catalogue import Layer
from decaf.nets.cut import Pool, pooled
from decaf.nets.net import Net
from decaf.nets.preprocess import Preprocess, digest
from decaf.nets.registry import DEFAULT_NET, load_net

ROWS_PER_SHARD = 1000
_BYTES_PER_SHARD = 2**26  # layers too large for so many rows get fewer

_LARGEST_FLAT = 4 * 10**9  # bytes of a feature set; beyond it, positions are stored on request only
_ELSEWHERE = "write to another folder"

OnError = Literal["record", "stop"]


@dataclass(frozen=True)
class Options:
    """How to extract, in detail; `extract` tells what each means."""

    precision: str = "f32"
    resize: str = "default"
    preprocess: str | Preprocess | None = None
    jobs: int = 0
    shard_size: int = 0
    on_error: OnError = "record"
    engine: str = "openvino"
    device: str = "cpu"
    allow_mixed: bool = False
    pool: Pool = "none"
    flat: bool = False
    fast_decode: bool = False


@dataclass(frozen=True)
class Job:
    """An extraction, planned: everything is checked, nothing is computed.

    Attributes:
        listing: the pictures.
        net: the network, under the resize rule asked for.
        layers: what to extract.
        engine: the compiled network.
        options: how, in detail.
        out: the folder.
        meta: what `decaf.json` will say.
        todo: numbers of the shards that are not there yet.
    """

    listing: Listing
    net: Net
    layers: Sequence[Layer]
    engine: Engine
    options: Options
    out: Path
    meta: Mapping[str, Any]
    todo: Sequence[int]

    def rows(self, shard: int) -> range:
        """The rows of a shard."""
        first = shard * int(self.meta["shard_size"])
        return range(first, min(first + int(self.meta["shard_size"]), len(self.listing)))

    @property
    def rows_todo(self) -> int:
        """How many rows are still to be computed."""
        return sum(len(self.rows(shard)) for shard in self.todo)


def extract(
    source: StrPath | Sequence[StrPath],
    net: str | Path | Net = DEFAULT_NET,
    layers: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    *,
    precision: str = "f32",
    resize: str = "default",
    preprocess: str | Preprocess | None = None,
    jobs: int = 0,
    shard_size: int = 0,
    on_error: OnError = "record",
    engine: str = "openvino",
    device: str = "cpu",
    allow_mixed: bool = False,
    pool: Pool = "none",
    flat: bool = False,
    fast_decode: bool = False,
    progress: Progress | None = None,
) -> FeatureSet:
    """Extract deep features of pictures.

    Running it again on the same folder continues where it stopped; every file in the folder is whole or absent.

    Args:
        source: folders, picture files or `.txt` lists of paths; see `find_images`.
        net: a registered name, an ONNX file, or a loaded `Net`.
        layers: layers to extract in one pass; the network's default layer where none is named.
        out: the feature folder; a temporary one, gone with the process, where none is named.
        precision: `f32` or `bf16`.
        resize: `default` (the network's own), `warp` (the DeCAF paper) or `short-side`.
        preprocess: how pixels become the network's input, for a file that does not say; see `load_net`.
        jobs: threads; 0: one per core.
        shard_size: rows per shard; 0: 1000, fewer for large layers.
        on_error: `record` a broken picture as a row with the reason, or `stop` at it.
        engine: `openvino`, or `onnxruntime` (an extra).
        device: `cpu`, or `cuda` with ONNX Runtime's GPU build, which we could not test.
        allow_mixed: continue a folder that was begun with another engine version, instruction set or library.
        pool: `avg` or `max` over the positions of layers that have them; `none` stores them flattened.
        flat: store layers with positions flattened even where that takes more than 4 GB.
        fast_decode: decode large JPEG files at a reduced scale: faster, and not exactly the same features.
        progress: called as `progress(rows, broken)` with the rows done since the last call.

    Returns:
        The feature set, one row per picture in the order of the listing.

    Raises:
        ImageError: there is nothing to read.
        BrokenPicture: a picture is broken, under `on_error="stop"`.
        UnknownName, NetError: the network, layer, precision or engine is not to be had.
        SettingsDiffer: `out` holds features made otherwise; the message names the setting.
        FolderInUse: another process writes `out`.
        FeatureSetError: `out` cannot be written, or holds something else.

    Example:
        >>> features = extract("photos", layers=["pool"], out="features")
        >>> features.X("pool").shape
        (9144, 1280)
    """
    out = _temporary_folder() if out is None else Path(out)
    options = Options(
        precision, resize, preprocess, jobs, shard_size, on_error, engine, device, allow_mixed, pool, flat, fast_decode
    )
    with writing(plan(source, net, layers, out, options)) as job:
        run(job, progress)
    return FeatureSet.open(out)


def _temporary_folder() -> Path:
    folder = tempfile.mkdtemp(prefix="decaf-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def plan(
    source: StrPath | Sequence[StrPath],
    net: str | Path | Net,
    layers: str | Sequence[str] | None,
    out: Path,
    options: Options,
) -> Job:
    """Check all that an extraction needs but the folder, which `writing` looks at; see `extract`."""
    if options.shard_size < 0:
        raise UnknownName(f"{options.shard_size} rows per shard: use a positive number, or 0 for the default")
    if options.on_error not in get_args(OnError):
        raise UnknownName(f"on_error is {options.on_error!r}: use one of {', '.join(get_args(OnError))}")
    listing = find_images(source)
    loaded = _chosen_net(net, options).with_resize(options.resize)
    names = [layers] if isinstance(layers, str) else list(layers or [loaded.default_layer])
    chosen = list(dict.fromkeys(loaded.layer(name) for name in names))
    compiled = make_engine(
        loaded,
        [layer.name for layer in chosen],
        options.precision,
        options.engine,
        options.jobs,
        options.device,
        options.pool,
    )
    chosen = [pooled(layer, options.pool) for layer in chosen]
    _refuse_too_large(listing, chosen, options)
    meta = _describe(source, listing, loaded, chosen, compiled, options)
    return Job(listing, loaded, chosen, compiled, options, out, meta, ())


def _chosen_net(net: str | Path | Net, options: Options) -> Net:
    if not isinstance(net, Net):
        return load_net(net, options.preprocess)
    return net.with_preprocess(options.preprocess) if options.preprocess else net


def _refuse_too_large(listing: Listing, layers: Sequence[Layer], options: Options) -> None:
    size = 4 * len(listing) * sum(layer.size for layer in layers)
    with_positions = [layer.name for layer in layers if len(layer.shape or ()) == 3]
    if size > _LARGEST_FLAT and with_positions and not options.flat:
        raise FeatureSetError(
            f"{', '.join(with_positions)} of {len(listing)} pictures would take {size / 1e9:.1f} GB: "
            "pass --pool avg or --pool max, or --flat to store every position"
        )


def run(job: Job, progress: Progress | None = None) -> None:
    """Compute and write the shards that are missing."""
    with _disk_errors(job.out):
        write_atomically(job.out / ABOUT, json.dumps(job.meta, indent=1, ensure_ascii=False).encode())

    def load_row(row: int) -> Pixels:
        path = job.listing.path(row)
        try:
            return load(path, job.net.preprocess, fast_decode=job.options.fast_decode)
        except ImageError as error:
            if job.options.on_error == "record":
                raise
            raise BrokenPicture(f"{path}: {error}; replace it, or use --on-error record") from None

    blocks = compute(map(job.rows, job.todo), load_row, job.engine, progress)
    for shard, block in zip(job.todo, blocks, strict=True):
        with _disk_errors(job.out):
            _write(job, shard, block)


@contextmanager
def writing(job: Job) -> Iterator[Job]:
    """Hold the job's folder, made where it is missing, and yield the job with what is still to be done.

    Raises:
        FolderInUse: another process writes the folder.
        FeatureSetError: the folder holds other things, or a damaged or foreign shard, or cannot be written.
        SettingsDiffer: the folder holds features made otherwise.
    """
    import filelock

    with _disk_errors(job.out):
        _refuse_other_things(job.out)
        job.out.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(job.out / ".lock", blocking=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            message = f"{job.out} is being written by another decaf: wait for it, or name another folder"
            raise FolderInUse(message) from None
    try:
        for pattern in (".shard-*.parquet.*", f".{ABOUT}.*"):
            for left_behind in job.out.glob(pattern + TEMPORARY):  # by a process that was killed: we hold the folder
                left_behind.unlink()
        if (job.out / ABOUT).exists():
            job = replace(job, meta=_continued(job.out, job.meta, job.options))
        shards = range(-(-len(job.listing) // int(job.meta["shard_size"])))
        yield replace(job, todo=[shard for shard in shards if not _is_done(job, shard)])
    finally:
        lock.release()


def _refuse_other_things(out: Path) -> None:
    if not out.is_dir() or (out / ABOUT).exists():
        return
    if others := [path.name for path in out.iterdir() if not path.name.startswith(".")]:
        raise FeatureSetError(f"{out} holds other things ({others[0]}): name a new or an empty folder")


@contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except FolderInUse:
        raise
    except FileExistsError:
        raise FeatureSetError(f"{out} is a file: name a folder") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise FeatureSetError(f"cannot write {out} ({why}): make room or name another folder") from error


def _describe(
    source: StrPath | Sequence[StrPath],
    listing: Listing,
    net: Net,
    layers: Sequence[Layer],
    engine: Engine,
    options: Options,
) -> dict[str, Any]:
    given = [source] if isinstance(source, str | os.PathLike) else source
    return {
        "format": FORMAT,
        "decaf": _version(),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "source": {
            "given": [str(stored_text(os.fspath(path))) for path in given][:100],
            "folder": stored_text(os.getcwd()),
            "count": len(listing),
            "digest": listing.digest(),
        },
        "settings": describe_settings(net, layers, engine.runtime, options.pool, options.fast_decode),
        "shard_size": options.shard_size or _default_shard_size(layers),
        "environments": [describe_environment(engine.runtime)],
        "runtime": engine.runtime.to_dict(),
        "provenance": dict(net.provenance or {}),
    }


def _version() -> str:
    from importlib.metadata import version

    return version("decaf-vision")


def _default_shard_size(layers: Sequence[Layer]) -> int:
    fitting = _BYTES_PER_SHARD // (4 * sum(layer.size for layer in layers))
    return min(max(fitting, 1), ROWS_PER_SHARD)


def _continued(out: Path, asked: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """The stored description, extended where another environment is allowed; SettingsDiffer where it does not fit."""
    stored = read_meta(out)
    another = f"use the same, or {_ELSEWHERE}"
    refuse_difference(out, stored["settings"], asked["settings"], another)
    if _same_listing(stored) != _same_listing(asked):
        source = stored["source"]
        raise SettingsDiffer(
            f"{out} was made from {source['count']} pictures ({', '.join(source['given'][:3])}, seen from "
            f"{source['folder']}), this run has {asked['source']['count']} or other paths: "
            f"name the same sources from there, or {_ELSEWHERE}"
        )
    if options.shard_size:
        refuse_difference(out, {"shard_size": stored["shard_size"]}, {"shard_size": options.shard_size}, another)
    environment = asked["environments"][0]
    if environment not in stored["environments"]:
        if not options.allow_mixed:
            refuse_difference(out, stored["environments"][-1], environment, f"pass --allow-mixed, or {_ELSEWHERE}")
        stored["environments"].append(environment)
    return stored


def _same_listing(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {key: meta["source"][key] for key in ("count", "digest")}


def _is_done(job: Job, shard: int) -> bool:
    """Whether a shard is there, whole and ours. Raises FeatureSetError for a damaged or foreign one."""
    path = job.out / shard_name(shard)
    if not path.exists():
        return False
    rows = job.rows(shard)
    expected = [stored_text(job.listing.path(row)) for row in rows]
    if read_about(path) != _about(job, shard) or read_text(path, "path", len(rows)) != expected:
        raise FeatureSetError(f"{path} belongs to another run: delete it and run again")
    return True


def _about(job: Job, shard: int) -> dict[str, Any]:
    return {"shard": shard, "settings": digest(job.meta["settings"])}


def _write(job: Job, shard: int, block: Block) -> None:
    texts: dict[str, Sequence[str | None]] = {
        "path": [job.listing.path(row) for row in block.rows],
        "label": [job.listing.label(row) for row in block.rows],
        "error": block.errors,
    }
    features = {layer.name: values for layer, values in zip(job.layers, block.features, strict=True)}
    write_shard(job.out / shard_name(shard), texts, features, _about(job, shard))
