"""What a network is: its definition, its layers, its metadata, and where its parameters come from.

>>> from decaf.nets import from_torch
>>> net = from_torch(module, 224, preprocess="torchvision")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decaf.nets.torch_export import from_torch as from_torch

__all__ = ["from_torch"]


def __getattr__(name: str) -> Any:
    if name != "from_torch":
        raise AttributeError(f"module 'decaf.nets' has no attribute {name!r}")
    from decaf.nets.torch_export import from_torch

    return from_torch
