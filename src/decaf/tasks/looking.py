"""Look inside a network: its first filters, what a layer makes of a picture, its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from decaf.errors import ImageError, UnknownName
from decaf.nets.net import Net
from decaf.tasks.model_file import check_target
from decaf.viz.figures import check_ending


def check_figure(out: str) -> Path:
    """The file a figure goes to. Raises ModelError or UnknownName where it cannot be written."""
    check_target(out)
    check_ending(Path(out))
    return Path(out)


def draw_filters(net: Net, out: Path, theme: str = "light") -> dict[str, Any]:
    """Draw the filters of the first convolution.

    Returns:
        What was drawn: layer, filters, size, stride, and how many are as good as zero.

    Raises:
        NetError: the network has no such filters.
    """
    from decaf.nets.filters import first_filters
    from decaf.viz.grid import save_filters

    filters = first_filters(net)
    count, height, width, _ = filters.values.shape
    title = f"{net.name}, {filters.layer}: {count} filters of {height} x {width}, stride {filters.stride}"
    weak = save_filters(title, filters.values, out, theme)
    return {"layer": filters.layer, "filters": count, "size": [height, width], "stride": filters.stride, "weak": weak}


def draw_activations(net: Net, picture: str, layer: str, out: Path, theme: str = "light") -> dict[str, Any]:
    """Draw what a layer makes of one picture.

    Returns:
        What was drawn: picture, layer, shape, range of values, share of zeros, and the highest channels or units.

    Raises:
        ImageError: the picture cannot be read.
        UnknownName: no such layer.
    """
    from decaf.engines import make_engine
    from decaf.images.decode import decode, read_file
    from decaf.images.prepare import prepare
    from decaf.viz.grid import Activations, save_activations

    chosen = net.layer(layer)
    if not Path(picture).is_file():
        raise ImageError(f"{picture} is not a file: name one picture")
    try:
        seen = prepare(decode(read_file(picture)[0]), net.preprocess)
    except ImageError as error:
        raise ImageError(f"{picture}: {error}; name another picture") from None
    values = make_engine(net, [chosen.name], threads=1).run([seen])[0][0].reshape(chosen.shape or (-1,))
    upright = seen[::-1] if net.preprocess.orientation == "upside-down" else seen
    if upright is not seen and values.ndim == 3:
        values = values[:, ::-1]
    labels = net.labels if len(net.labels) == values.size else ()
    shown = Activations(net.name, chosen.name, upright, Path(picture).name, values, labels)
    save_activations(shown, out, theme)
    highest = values.reshape(len(values), -1).max(axis=1)
    best = (-highest).argsort(kind="stable")[:10].tolist()
    return {
        "picture": picture,
        "layer": chosen.name,
        "shape": list(values.shape),
        "lowest": float(values.min()),
        "highest": float(values.max()),
        "zeros": float((values == 0).mean()),
        "units": [{"unit": unit, "value": float(highest[unit])} | _label(labels, unit) for unit in best],
    }


def _label(labels: Any, unit: int) -> dict[str, str]:
    return {"label": labels[unit]} if labels else {}


def draw_network(net: Net, out: Path, theme: str = "light") -> dict[str, Any]:
    """Draw the graph. Returns how many layers are in how many rows."""
    from decaf.viz.network import save_network

    return {"layers": len(net.layers), "rows": save_network(net, out, theme)}


def draw(net: Net, out: str, theme: str, filters: bool, graph: bool, image: str | None, layer: str | None) -> Any:
    """The one figure that is asked for.

    Raises:
        UnknownName: none or several are asked for, or the file cannot be one.
    """
    if [filters, graph, bool(image)].count(True) != 1:
        raise UnknownName("-o draws one figure: name --filters, --draw, or --image with --layer")
    if bool(image) != bool(layer):
        raise UnknownName("--image PIC and --layer L go together: name both")
    path = check_figure(out)
    if filters:
        return draw_filters(net, path, theme)
    return draw_network(net, path, theme) if graph else draw_activations(net, image or "", layer or "", path, theme)
