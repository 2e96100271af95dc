"""How to extract, in detail."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from numbers import Integral
from typing import Literal, get_args

from decaf.errors import UnknownName
from decaf.features.rows import Views
from decaf.images.decode import DEFAULT_LIMITS, Limits
from decaf.images.find import StrPath
from decaf.nets.cut import Pool
from decaf.nets.preprocess import Preprocess

OnError = Literal["record", "stop"]
Store = Literal["f32", "f16"]

_LARGEST_SHARD = 2**31


@dataclass(frozen=True)
class Options:
    """Options of `extract`.

    Attributes:
        precision: `f32` or `bf16`: what the network computes in.
        resize: `default` (the network's own), `warp` (the DeCAF paper), `short-side` or `square`; see `Preprocess`.
        preprocess: how pixels become the network's input, for a file that does not say; see `load_net`.
        random_weights: a seed: random parameters in place of the trained ones; see `load_net`.
        pool: `avg` or `max` over the positions of layers that have them; `none` stores them flattened.
        flat: store layers with positions flattened even where that takes more than 4 GB.
        views: `center`; `ten` rows per picture, the four corners and the centre and their mirrors; or `ten-mean`, one
            row with the mean of the ten.
        boxes: a CSV file of regions, a row for each; see `Boxes`.
        context: how much wider and higher than its box a region is (paper, section 4.3: 1.5).
        store: `f32` or `f16`: what vectors are stored as.
        update: compute only what is new or changed since the folder was made, and drop what is gone.
        checksum: with `update`, compare contents instead of sizes and times of change.
        column: of a Parquet source, the column that holds the pictures.
        max_megabytes: of a picture file (2^20 bytes); a larger one counts as broken.
        max_megapixels: of a picture (10^6 pixels); a larger one counts as broken.
        fast_decode: decode large JPEG files at a reduced scale: faster, and not exactly the same features.
        on_error: `record` a broken picture as a row with the reason, or `stop` at it.
        jobs: threads; 0: one per core.
        shard_size: rows per shard; 0: 1000, fewer for large layers.
        engine: `openvino`, or `onnxruntime` (an extra).
        device: `cpu`, or `cuda` with ONNX Runtime's GPU build, which we could not test.
        allow_mixed: continue a folder that was begun with another engine version, instruction set or library.
    """

    precision: str = "f32"
    resize: str = "default"
    preprocess: str | Preprocess | None = None
    random_weights: int | None = None
    pool: Pool = "none"
    flat: bool = False
    views: Views = "center"
    boxes: StrPath = ""
    context: float = 1.0
    store: Store = "f32"
    update: bool = False
    checksum: bool = False
    column: str = ""
    max_megabytes: float = DEFAULT_LIMITS.file / 2**20
    max_megapixels: float = DEFAULT_LIMITS.pixels / 1e6
    fast_decode: bool = False
    on_error: OnError = "record"
    jobs: int = 0
    shard_size: int = 0
    engine: str = "openvino"
    device: str = "cpu"
    allow_mixed: bool = False

    @property
    def limits(self) -> Limits:
        """The caps as bytes and pixels."""
        return Limits(round(self.max_megabytes * 2**20), round(self.max_megapixels * 1e6))

    def check(self) -> None:
        """Raise UnknownName for a value that means nothing here, or two that do not go together."""
        for name in ("shard_size", "jobs"):
            if not isinstance(value := getattr(self, name), Integral):
                raise UnknownName(f"{name} is {value!r}: use a whole number")
        for name, kind in (("on_error", OnError), ("views", Views), ("store", Store)):
            if (value := getattr(self, name)) not in get_args(kind):
                raise UnknownName(f"{name} is {value!r}: use one of {', '.join(get_args(kind))}")
        if not 0 <= self.shard_size < _LARGEST_SHARD:
            raise UnknownName(f"{self.shard_size} rows per shard: use 1 to {_LARGEST_SHARD - 1}, or 0 for the default")
        for name in ("context", "max_megabytes", "max_megapixels"):
            if not (isinstance(value := getattr(self, name), int | float) and isfinite(value) and value > 0):
                raise UnknownName(f"{name} is {value}: use a positive number")
        if self.context != 1 and not self.boxes:
            raise UnknownName("context widens boxes: name their CSV file with --boxes, or leave it out")
        if self.checksum and not self.update:
            raise UnknownName("checksum tells how to compare in an update: pass --update too, or leave it out")
        if self.fast_decode and self.boxes:
            raise UnknownName("a reduced scale would blur boxes: leave out --fast-decode or --boxes")
