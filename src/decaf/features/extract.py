"""The main job: pictures in, a feature set out."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decaf.engines import Engine, make_engine
from decaf.errors import BrokenPicture, FeatureSetError
from decaf.features.derived import remove_stale
from decaf.features.feature_set import FeatureSet, write_meta
from decaf.features.folder import Work, disk_errors, held, shard_about
from decaf.features.layout import ORDER_FILES, write_order
from decaf.features.loading import Loader
from decaf.features.options import Options
from decaf.features.pipeline import Block, Progress, compute
from decaf.features.rows import Rows
from decaf.features.settings import describe
from decaf.features.shards import shard_name, write_shard
from decaf.features.update import identity, microseconds
from decaf.images.boxes import Boxes
from decaf.images.find import StrPath, as_list, find_images
from decaf.nets.catalogue import Layer
from decaf.nets.cut import pooled
from decaf.nets.net import Net
from decaf.nets.registry import DEFAULT_NET, load_net

_LARGEST_FLAT = 4 * 10**9  # bytes of a feature set; beyond it, positions are stored on request only


@dataclass(frozen=True)
class Job:
    """An extraction, planned: everything is checked, nothing is computed.

    Attributes:
        rows: what each row is.
        net: the network, under the resize rule asked for.
        layers: what to extract.
        engine: the compiled network.
        options: how, in detail.
        out: the folder.
        meta: what `decaf.json` would say of a new folder.
    """

    rows: Rows
    net: Net
    layers: Sequence[Layer]
    engine: Engine
    options: Options
    out: Path
    meta: Mapping[str, Any] = field(repr=False)


def extract(
    source: StrPath | Sequence[StrPath],
    net: str | Path | Net = DEFAULT_NET,
    layers: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> FeatureSet:
    """Extract deep features of pictures.

    Running it again on the same folder continues where it stopped; every file in the folder is whole or absent.

    Args:
        source: folders, picture files, tar or Parquet files or `.txt` lists of paths; see `find_images`.
        net: a registered name, an ONNX file, or a loaded `Net`.
        layers: layers to extract in one pass; the network's default layer where none is named.
        out: the feature folder; a temporary one, gone with the process, where none is named.
        progress: called as `progress(rows, broken)` with the rows done since the last call.
        **options: the fields of `Options`: precision, resize, pool, views, boxes, update, on_error, jobs, ...

    Returns:
        The feature set: rows in the order of the pictures; one per picture, or one per region and view.

    Raises:
        ImageError: there is nothing to read.
        BrokenPicture: a picture is broken, under `on_error="stop"`.
        TableError: the boxes cannot be read, or do not fit the pictures.
        UnknownName, NetError: the network, layer, precision, engine or another option is not to be had.
        SettingsDiffer: `out` holds features made otherwise; the message names the setting.
        FolderInUse: another process writes `out`.
        FeatureSetError: `out` cannot be written, or holds something else.

    Example:
        >>> features = extract("photos", layers=["pool"], out="features")
        >>> features.X("pool").shape
        (9144, 1280)
    """
    out = _temporary_folder() if out is None else Path(out)
    job = plan(source, net, layers, out, Options(**options))
    with held(job.out, job.meta, job.rows, job.options) as work:
        run(job, work, progress)
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
    """Check all that an extraction needs but the folder, which `held` looks at; see `extract`."""
    options.check()
    sources = as_list(source)
    listing = find_images(sources, options.column)
    boxes = Boxes(os.fspath(options.boxes), listing, sources) if options.boxes else None
    rows = Rows(listing, boxes, options.views)
    loaded = _chosen_net(net, options).with_resize(options.resize)
    names = [layers] if isinstance(layers, str) else list(layers or [loaded.default_layer])
    chosen = list(dict.fromkeys(loaded.layer(name) for name in names))
    engine = make_engine(
        loaded,
        [layer.name for layer in chosen],
        options.precision,
        options.engine,
        options.jobs,
        options.device,
        options.pool,
    )
    chosen = [pooled(layer, options.pool) for layer in chosen]
    _refuse_too_large(rows, chosen, options)
    meta = describe(sources, rows, loaded, chosen, engine.runtime, options)
    return Job(rows, loaded, chosen, engine, options, out, meta)


def _chosen_net(net: str | Path | Net, options: Options) -> Net:
    if not isinstance(net, Net):
        return load_net(net, options.preprocess, options.random_weights)
    chosen = net.with_preprocess(options.preprocess) if options.preprocess else net
    return chosen if options.random_weights is None else chosen.with_random_weights(options.random_weights)


def _refuse_too_large(rows: Rows, layers: Sequence[Layer], options: Options) -> None:
    size = (2 if options.store == "f16" else 4) * len(rows) * sum(layer.size for layer in layers)
    with_positions = [layer.name for layer in layers if len(layer.shape or ()) == 3]
    if size > _LARGEST_FLAT and with_positions and not options.flat:
        raise FeatureSetError(
            f"{', '.join(with_positions)} of {len(rows)} pictures would take {size / 1e9:.1f} GB: "
            "pass --pool avg or --pool max, or --flat to store every position"
        )


def run(job: Job, work: Work, progress: Progress | None = None) -> None:
    """Compute and write the shards that are missing, and with an update the order of all rows."""
    with disk_errors(job.out):
        write_meta(job.out, work.meta)
    load = Loader(
        job.rows,
        job.net.preprocess,
        job.options.limits,
        job.options.context,
        job.options.fast_decode,
        _stop if job.options.on_error == "stop" else _go_on,
    )
    blocks = compute(work.todo.values(), load, job.engine, progress, job.rows.aligned(job.engine.runtime.batch))
    for shard, block in zip(work.todo, blocks, strict=True):
        with disk_errors(job.out):
            _write(job, shard, block)
    if work.update:
        with disk_errors(job.out):
            _finish_update(job, work)


def _stop(path: str, reason: str) -> None:
    raise BrokenPicture(f"{path}: {reason}; replace it, or use --on-error record")


def _go_on(path: str, reason: str) -> None:
    """The row will say so."""


def _write(job: Job, shard: int, block: Block) -> None:
    identities = zip(*(identity(job.rows, job.rows[row]) for row in block.rows), strict=True)
    columns: dict[str, Sequence[Any]] = dict(zip(("path", "label", "region", "view", "box"), identities, strict=True))
    columns["error"] = block.errors
    columns["size"] = [origin.size if origin else None for origin in block.origins]
    columns["mtime"] = [microseconds(origin) if origin else None for origin in block.origins]
    columns["sha256"] = [origin.sha256 or None if origin else None for origin in block.origins]
    features = {layer.name: values for layer, values in zip(job.layers, block.features, strict=True)}
    about = shard_about(job.meta, shard)
    write_shard(job.out / shard_name(shard), columns, features, about, job.options.store)


def _finish_update(job: Job, work: Work) -> None:
    """Make the new order the one that counts, all at once."""
    assert work.update is not None
    meta = {key: value for key, value in work.meta.items() if key != "order"} | {"source": job.meta["source"]}
    if not work.update.layout.is_in_order():
        meta["order"] = write_order(job.out, work.update.layout, int(meta["shard_size"]))
    write_meta(job.out, meta)
    for path in job.out.glob(ORDER_FILES):
        if path.name != meta.get("order"):
            path.unlink()
    remove_stale(FeatureSet.open(job.out))
