"""`decaf nets import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from decaf.cli.common import json_option, preprocess_option, print_json

if TYPE_CHECKING:
    from decaf.nets.readers.importing import Imported


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("-o", "--out", metavar="OUT.onnx", required=True, help="The file to write.")
@click.option("--net", metavar="NAME|FILE.onnx", help="The network the parameters are for, where no file tells it.")
@preprocess_option
@click.option("--labels", metavar="FILE", help="The words of a class per line.")
@click.option("--name", help="What the network is called.")
@click.option("--by-order", is_flag=True, help="Take layers that only their order tells apart in the file's order.")
@json_option
def import_files(files: tuple[str, ...], out: str, as_json: bool, **options: Any) -> None:
    """Make an ONNX file of what you have: an ONNX file; a Caffe prototxt, caffemodel and binaryproto; a cuda-convnet
    pickle and its meta; or, with --net, the parameters in a torch checkpoint, a safetensors, npz or any of these files,
    poured into a network by name. What a file holds is told from its content; nothing of it is executed.

    \b
    decaf nets import deploy.prototxt bird.caffemodel mean.binaryproto -o bird.onnx
    decaf nets import checkpoint.pth --net caffenet -o mine.onnx
    """
    from decaf.nets.readers.importing import import_net

    imported = import_net(files, **options)
    imported.net.save(out)
    if as_json:
        print_json(_described(imported, out))
    else:
        _say(imported, out)


def _described(imported: Imported, out: str) -> dict[str, Any]:
    net = imported.net
    return {
        "out": out,
        "bytes": Path(out).stat().st_size,
        "net": net.name,
        "sha256": net.sha256,
        "files": [{"file": str(file.path), "kind": file.kind, "sha256": file.sha256} for file in imported.files],
        "poured_by": imported.how,
        "poured": imported.poured,
        "preprocess": net.preprocess.to_dict(),
        "default_layer": net.default_layer,
        "labels": len(net.labels),
        "note": imported.note,
    }


def _say(imported: Imported, out: str) -> None:
    net = imported.net
    for file in imported.files:
        click.echo(f"read {file.path}: {file.kind}")
    if imported.poured:
        click.echo(f"poured {len(imported.poured)} parameters, matched by {imported.how}")
    parameters = sum(layer.parameters for layer in net.layers)
    click.echo(
        f"wrote {out}: {net.name}, {parameters:,} parameters in {len(net.layers)} layers, pictures of "
        f"{net.input_side} px, default layer {net.default_layer}"
    )
    if imported.note:
        click.echo(f"note: {imported.note}", err=True)
