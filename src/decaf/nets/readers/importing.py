"""Make a network of the files people have: what each is, is told from its name or its content."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from decaf.errors import NetError
from decaf.nets.fill import zeros
from decaf.nets.mean_image import mean_image
from decaf.nets.net import Net, net_of
from decaf.nets.pack import model_bytes, packed
from decaf.nets.preprocess import Preprocess, mean_note, preset
from decaf.nets.readers.caffe import caffe_parameters, read_binaryproto, read_caffe
from decaf.nets.readers.checkpoint import is_checkpoint, is_onnx, read_checkpoint, read_file
from decaf.nets.readers.cuda_convnet import PREPARATION, is_meta, read_cuda_convnet, read_meta
from decaf.nets.readers.plain_pickle import read_plain_pickle
from decaf.nets.readers.pour import How, Poured, check_finite, parameters_of, pour_all
from decaf.nets.registry import REGISTRY, load_net

Kind = Literal["ONNX", "prototxt", "caffemodel", "binaryproto", "cuda-convnet", "cuda-convnet meta", "checkpoint"]

_SUFFIXES: dict[str, Kind] = {
    ".onnx": "ONNX",
    ".prototxt": "prototxt",
    ".pbtxt": "prototxt",
    ".caffemodel": "caffemodel",
    ".binaryproto": "binaryproto",
}
# Files with parameters -> what may stand beside them.
_COMPANIONS: dict[Kind, tuple[Kind, ...]] = {
    "ONNX": (),
    "caffemodel": ("prototxt", "binaryproto"),
    "cuda-convnet": ("cuda-convnet meta",),
    "checkpoint": (),
}
# How the pictures were prepared that such networks were trained with.
_RULES = {"caffemodel": "caffe", "cuda-convnet": PREPARATION}
_SYNSET = re.compile(r"^n[0-9]{8}\s+")  # before the words of a class, in ImageNet's lists
_LARGEST_LABELS = 2**26  # bytes


@dataclass(frozen=True)
class File:
    """One of the files.

    Attributes:
        path: of the file.
        kind: what it is.
        sha256: of its bytes.
        content: its bytes; of a pickle its value.
    """

    path: Path
    kind: Kind
    sha256: str
    content: Any


@dataclass(frozen=True)
class Imported:
    """A network made of files.

    Attributes:
        net: ready to be saved.
        files: what was read.
        how: where parameters were poured into a network known already: what told which is which; else None.
        poured: then, parameter of the network -> array of the file.
        note: what the user should know; may be empty.
    """

    net: Net
    files: tuple[File, ...]
    how: How | None = None
    poured: Mapping[str, str] | None = None
    note: str = ""


def import_net(
    paths: Sequence[str | Path],
    *,
    net: str | Path | None = None,
    preprocess: str | None = None,
    labels: str | Path | None = None,
    name: str | None = None,
    names: Mapping[str, str] | None = None,
    by_order: bool = False,
) -> Imported:
    """Make a network of files: an ONNX file; a prototxt with its caffemodel and binaryproto; a cuda-convnet pickle with
    its meta; or the parameters of any of these, a torch checkpoint, safetensors or npz, for a network decaf knows.

    Args:
        paths: the files, each of another kind.
        net: the network the parameters are for, by name or as an ONNX file.
        preprocess: how pixels become its input, as `--preprocess` takes it, where the files do not say it or wrongly.
        labels: a text file with the words of a class per line.
        name: of the network; by default what the files say, else the name of the file with the parameters.
        names, by_order: see `pour_all`.

    Raises:
        NetError: a file cannot be read, is of no use beside the others, or does not fit. Nothing of it is executed.
    """
    files = tuple(_file(Path(path)) for path in paths)
    contents = _by_kind(files)
    source = _source(contents)
    rule = _RULES.get(source.kind)
    poured = None
    if net is None:
        made = _network(source, contents, preprocess)
    else:
        made, poured = _filled(net, source, contents, names, by_order)
        made = made.with_preprocess(preprocess) if preprocess else made
    made = replace(made, provenance=_provenance(files, poured), labels=_labels(made, contents, labels))
    made = replace(made, name=name) if name else made
    check_finite(made.model)
    note = mean_note(preprocess or rule, made.preprocess)
    imported = Imported(packed(made), files, note=note)
    return replace(imported, how=poured.how, poured=poured.names) if poured else imported


def _file(path: Path) -> File:
    data = read_file(path)
    kind, content = _kind_of(path, data)
    return File(path, kind, hashlib.sha256(data).hexdigest(), content)


def _kind_of(path: Path, data: bytes) -> tuple[Kind, Any]:
    if known := _SUFFIXES.get(path.suffix.lower()):
        return known, data
    if is_onnx(data) or is_checkpoint(data):
        return ("ONNX" if is_onnx(data) else "checkpoint"), data
    if data[:1] in (b"\x80", b"(", b"]"):  # pickles of a list or dict, of any protocol
        with _about(path):
            value = read_plain_pickle(data)
        return ("cuda-convnet meta" if is_meta(value) else "cuda-convnet"), value
    raise NetError(
        f"{path} is no file decaf makes networks of: it reads ONNX, Caffe (.prototxt, .caffemodel, .binaryproto), "
        "cuda-convnet pickles, torch checkpoints, safetensors and npz"
    )


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Errors inside name the file."""
    try:
        yield
    except NetError as error:
        raise NetError(f"{path}: {error}") from error


def _source(contents: Mapping[Kind, File]) -> File:
    """The file with the parameters; all others must belong to it."""
    kind = next((kind for kind in _COMPANIONS if kind in contents), None)
    if kind is None:
        raise NetError(f"no parameters in {_listed(contents.values())}: name the file that holds them as well")
    extra = [file for other, file in contents.items() if other not in (kind, *_COMPANIONS[kind])]
    if extra:
        raise NetError(f"{_listed(extra)} does not belong to a {kind} file: import them one by one")
    return contents[kind]


def _by_kind(files: Sequence[File]) -> dict[Kind, File]:
    found = {file.kind: file for file in files}
    if len(found) < len(files):
        twice = next(file for file in files if found[file.kind] is not file)
        raise NetError(f"{twice.path} and {found[twice.kind].path} are both {twice.kind} files: name one of them")
    return found


def _listed(files: Iterable[File]) -> str:
    return ", ".join(str(file.path) for file in files)


def _network(source: File, contents: Mapping[Kind, File], preprocess: str | None) -> Net:
    """The network that is in the files."""
    if source.kind == "checkpoint":
        raise NetError(f"{source.path} holds parameters without a network: name the network with --net")
    if source.kind == "ONNX":
        return net_of(source.content, source.path.name, source.path, preprocess)
    net = net_of(model_bytes(_model(source, contents), str(source.path)), source.path.name, source.path)
    net = replace(net, preprocess=_with_mean(net.preprocess, contents))
    return net.with_preprocess(preprocess) if preprocess else net


def _model(source: File, contents: Mapping[Kind, File]) -> onnx.ModelProto:
    with _about(source.path):
        if source.kind == "cuda-convnet":
            return read_cuda_convnet(source.content, source.path.stem)
        prototxt = contents["prototxt"].content if "prototxt" in contents else None
        return read_caffe(prototxt, source.content, name=source.path.stem)


def _with_mean(how: Preprocess, contents: Mapping[Kind, File]) -> Preprocess:
    """The same preparation with the mean image among the files, where there is one."""
    mean = None
    if "binaryproto" in contents:
        with _about(contents["binaryproto"].path):
            mean = read_binaryproto(contents["binaryproto"].content)
    elif "cuda-convnet meta" in contents:
        mean = read_meta(contents["cuda-convnet meta"].content).mean
    if mean is None:
        return how
    image = mean_image(mean)
    return replace(how, size=image.side or how.size, mean=(0, 0, 0), mean_image=image)


def _filled(
    net: str | Path,
    source: File,
    contents: Mapping[Kind, File],
    names: Mapping[str, str] | None,
    by_order: bool,
) -> tuple[Net, Poured]:
    """A network known already, with the parameters of a file."""
    if "prototxt" in contents:
        raise NetError(f"{contents['prototxt'].path} tells the network as well as --net does: leave out one of them")
    target = _without_parameters(net)
    poured = pour_all(target.model, _arrays(source), names=names, by_order=by_order)
    how = preset(_RULES[source.kind], target.input_side) if source.kind in _RULES else target.preprocess
    data = model_bytes(poured.model, str(source.path))
    return replace(target, name=source.path.stem, data=data, preprocess=_with_mean(how, contents)), poured


def _without_parameters(net: str | Path) -> Net:
    entry = REGISTRY.get(str(net))
    if entry is None or entry.design is None:
        return load_net(net)
    return net_of(entry.design.write(entry.name, zeros, {}), entry.name, entry.name)


def _arrays(source: File) -> Mapping[str, NDArray[Any]]:
    with _about(source.path):
        if source.kind == "caffemodel":
            return caffe_parameters(source.content)
        if source.kind == "cuda-convnet":
            return {t.name: numpy_helper.to_array(t) for t in parameters_of(read_cuda_convnet(source.content))}
        return read_checkpoint(source.content)


def _provenance(files: Sequence[File], poured: Poured | None) -> dict[str, Any]:
    read = [{"file": file.path.name, "kind": file.kind, "sha256": file.sha256} for file in files]
    return {"imported": read} | ({"poured_by": poured.how} if poured else {})


def _labels(net: Net, contents: Mapping[Kind, File], path: str | Path | None) -> tuple[str, ...]:
    """The words of the classes: of a text file, else of the meta file, else those known already."""
    labels = net.labels
    if path is not None:
        labels = _label_lines(Path(path))
    elif "cuda-convnet meta" in contents:
        labels = read_meta(contents["cuda-convnet meta"].content).labels or labels
    output = net.layers[-1]
    if labels and output.shape is not None and len(labels) != output.size:
        raise NetError(f"{len(labels)} labels for {output.size} outputs of {net.name}: give one per output, in order")
    return labels


def _label_lines(path: Path) -> tuple[str, ...]:
    data = read_file(path)
    try:
        if len(data) > _LARGEST_LABELS:
            raise NetError(f"{path} has more than {_LARGEST_LABELS:,} bytes: give a text file with a class per line")
        return tuple(_SYNSET.sub("", line.strip()) for line in data.decode().splitlines())
    except UnicodeDecodeError:
        raise NetError(f"{path} is not text in UTF-8: give a text file with a class per line") from None
