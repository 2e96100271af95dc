"""Any `torch.nn.Module` that takes pictures, as a Net. The only way in for networks defined by Python code."""

from __future__ import annotations

import ast
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import onnx

from decaf.errors import NetError
from decaf.nets.net import Net
from decaf.nets.pack import model_bytes, packed
from decaf.nets.preprocess import Preprocess, parse_preprocess

if TYPE_CHECKING:
    import torch

_OPSET = 18  # the exporter's own; older ones it makes by a conversion that fails for some operators
_INPUT, _OUTPUT = "data", "output"
_SCOPES = "pkg.torch.onnx.name_scopes"  # of a node: the modules it was called in, outermost first, and the operator


def from_torch(
    module: torch.nn.Module,
    side: int | None = None,
    *,
    preprocess: str | Preprocess | Mapping[str, Any] | None = None,
    name: str | None = None,
    labels: tuple[str, ...] = (),
    default_layer: str | None = None,
) -> Net:
    """Turn a torch module into a Net that runs without torch.

    The module is taken in evaluation mode, its parameters become part of the Net. The tensor that a part of the module
    ends with is named after it (`layer1.0.conv2`), others as torch's exporter names them. A batch normalisation is
    merged into the convolution before it.

    Args:
        module: takes (N, 3, side, side) float32 and returns a tensor, or several.
        side: height and width of its input, pixels.
        preprocess: how pixels become its input: a `Preprocess`; text as `--preprocess` takes it, such as `torchvision`;
            or the dict that `timm.data.resolve_model_data_config(module)` gives. A timm model carries that itself, with
            its side, so that neither needs to be given.
        name: of the network; by default the name of the module's class.
        labels: the words of its output classes, in order.
        default_layer: what `extract` takes when no layer is named; by default the output.

    Raises:
        NetError: torch or onnxscript is missing, the module cannot be exported, or nothing says how pixels become its
            input.

    Example:
        >>> from_torch(torchvision.models.resnet50(weights="DEFAULT"), 224, preprocess="torchvision").save("r50.onnx")
        >>> from_torch(timm.create_model("vit_base_patch14_dinov2.lvd142m", pretrained=True)).save("dinov2.onnx")
    """
    how, side = _preparation(module, side, preprocess)
    name = name or type(module).__name__.lower()
    model = _exported(module, side)
    aliases = _name_layers(model)
    told = {"exported_from": f"{type(module).__module__}.{type(module).__qualname__}"}
    default = default_layer or model.graph.output[0].name
    net = packed(Net(name, model_bytes(model, name), how, default, labels, aliases, told))
    net.layer(default)
    return net


def _preparation(module: Any, side: int | None, given: Any) -> tuple[Preprocess, int]:
    said = getattr(module, "pretrained_cfg", None) if given is None else given
    how = _timm_preprocess(said, side) if isinstance(said, Mapping) else said
    side = side or (how.crop if isinstance(how, Preprocess) else None)
    if side is None:
        raise NetError("the side of the module's input is not known: pass side=224, or what it was trained with")
    how = parse_preprocess(how, side) if isinstance(how, str) else how
    if not isinstance(how, Preprocess):
        raise NetError('nothing says how pixels become the module\'s input: pass preprocess="torchvision", or its own')
    if how.crop != side:
        raise NetError(f"the module takes pictures of {side} px, its preprocessing makes {how.crop}: set crop={side}")
    return how, side


def _timm_preprocess(config: Mapping[str, Any], side: int | None) -> Preprocess:
    """What timm says about a model: the short side is crop / crop_pct, rounded down; values are in 0..1."""
    try:
        crop = side or int(config["input_size"][-1])
        return Preprocess.from_dict(
            {
                "size": math.floor(crop / config["crop_pct"]),
                "crop": crop,
                "mean": [255 * value for value in config["mean"]],
                "std": [255 * value for value in config["std"]],
                "interpolation": config["interpolation"],
            }
        )
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise NetError(f"timm's configuration of the module is not complete ({error!r}): pass preprocess=") from None


def _exported(module: torch.nn.Module, side: int) -> onnx.ModelProto:
    try:
        import onnxscript  # noqa: F401  # what the exporter writes ONNX with
        import torch
    except ImportError as error:
        raise NetError(f"a torch module needs {error.name}: pip install 'decaf-vision[torch]'") from None
    pictures = torch.zeros(2, 3, side, side)
    try:
        with _evaluated(module), _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                (pictures,),
                dynamo=True,
                verbose=False,
                opset_version=_OPSET,
                input_names=[_INPUT],
                output_names=[_OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("N")},),
            )
    except Exception as error:  # the exporter raises whatever the module's own code does not allow
        why = str(error).strip().split("\n")[0]
        raise NetError(f"{type(module).__name__} cannot be exported ({why}): see torch.onnx.export") from error
    assert program is not None
    return program.model_proto


@contextmanager
def _evaluated(module: torch.nn.Module) -> Iterator[None]:
    """The module in evaluation mode, and every part of it as before afterwards."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about packages it could use and what of it will be removed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _name_layers(model: onnx.ModelProto) -> dict[str, str]:
    """Name tensors after the modules that end in them, and forget where the exporting program's code lies.

    Returns:
        Further names: module -> tensor, for a module that ends where one inside of it does.
    """
    ends: dict[str, list[str]] = {}  # tensor -> modules, the innermost last
    for module, tensor in _ends(model).items():
        ends.setdefault(tensor, []).append(module)
    fixed = {value.name for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]}
    names = {tensor: modules[-1] for tensor, modules in ends.items() if tensor not in fixed}
    _rename(model.graph, names)
    _forget(model)
    aliases = {module: names.get(tensor, tensor) for tensor, modules in ends.items() for module in modules}
    return {module: tensor for module, tensor in aliases.items() if module != tensor}


def _ends(model: onnx.ModelProto) -> dict[str, str]:
    """Module -> the last tensor it computes, outer modules before inner ones."""
    last: dict[str, str] = {}
    for node in model.graph.node:
        for module in _modules(node):
            last[module] = node.output[0]
    return dict(sorted(last.items(), key=lambda item: len(item[0])))


def _modules(node: onnx.NodeProto) -> list[str]:
    said = next((prop.value for prop in node.metadata_props if prop.key == _SCOPES), "[]")
    scopes = ast.literal_eval(said)
    return [scope for scope in scopes[:-1] if scope]


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    taken = {tensor for node in graph.node for tensor in node.output} - names.keys()
    spare = {name: f"{name}.inner" for name in taken.intersection(names.values())}
    renamed = {**names, **spare}
    for node in graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [renamed.get(tensor, tensor) for tensor in tensors]
        node.name = node.output[0]
    for value in graph.value_info:
        value.name = renamed.get(value.name, value.name)


def _forget(model: onnx.ModelProto) -> None:
    """Drop what the exporter remembers of the program it ran in: lines of code and the paths of files."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
