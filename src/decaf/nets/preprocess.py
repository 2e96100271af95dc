"""How pixels become a network's input: a frozen value that travels with the network and with its features."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from decaf.errors import NetError, UnknownName

Resize = Literal["warp", "short-side"]
Interpolation = Literal["bicubic", "bilinear"]
Channels = Literal["RGB", "BGR"]

_CHOICES = {"resize": get_args(Resize), "interpolation": get_args(Interpolation), "channels": get_args(Channels)}
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Preprocess:
    """Resize, centre crop, channel order and scale of a network's input picture.

    A picture of 8-bit sRGB values is resized with Pillow's antialiased filter on uint8, first along its rows and then
    along its columns, cropped to `crop` x `crop` pixels at the centre (offset rounded down), and each channel becomes
    `(value - mean) / std`.

    Attributes:
        resize: `warp` makes the picture `size` x `size` whatever its shape (the DeCAF paper, section 3.1);
            `short-side` makes its short side `size` pixels and keeps the shape.
        size: pixels.
        crop: side of the network's input, pixels.
        mean: per channel in the order of `channels`, in units of 0..255.
        std: as `mean`.
        channels: order of the network's input channels.
        interpolation: Pillow's filter.
    """

    size: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Resize = "short-side"
    channels: Channels = "RGB"
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in choices:
                raise UnknownName(f"{name} is {getattr(self, name)!r}: use one of {', '.join(choices)}")
        if not 0 < self.crop <= self.size <= LARGEST_SIDE:
            raise NetError(
                f"a crop of {self.crop} px from a side of {self.size} px: use 0 < crop <= size <= {LARGEST_SIDE}"
            )
        numbers = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(math.isfinite, numbers)) or 0 in self.std:
            raise NetError(f"mean {self.mean} and std {self.std}: give three finite numbers each, std without zeros")
        for name in ("mean", "std"):  # whole numbers and their floats are one preparation
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))

    def with_resize(self, resize: str) -> Preprocess:
        """The same preparation under another resize rule; `default` changes nothing."""
        if resize not in ("default", *get_args(Resize)):
            raise UnknownName(f"no resize rule {resize!r}: use one of default, {', '.join(get_args(Resize))}")
        return self if resize == "default" else replace(self, resize=resize)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocess:
        """The inverse of `to_dict`. Raises NetError when a field is missing, unknown or of the wrong kind."""
        if unknown := set(values) - {field.name for field in fields(cls)}:
            raise NetError(f"preprocessing has unknown fields {sorted(unknown)}: it needs {cls.field_names()}")
        try:
            numbers = {key: int(values[key]) for key in ("size", "crop")}
            triples = {key: tuple(map(float, _sequence(values[key]))) for key in ("mean", "std")}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise NetError(f"preprocessing {values} is incomplete ({error!r}): it needs {cls.field_names()}") from None
        return cls(**{**values, **numbers, **triples})

    @classmethod
    def field_names(cls) -> str:
        """The names of all fields, comma-separated, as messages print them."""
        return ", ".join(field.name for field in fields(cls))

    def digest(self) -> str:
        """16 hexadecimal digits that change whenever a pixel could."""
        return digest(self.to_dict())


def digest(values: Mapping[str, Any]) -> str:
    """16 hexadecimal digits of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


_IMAGENET = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}

# The values torchvision's classifiers are trained with: mean and std of ImageNet, in 0..255.
TORCHVISION: dict[str, Any] = {
    "resize": "short-side",
    "size": 256,
    "crop": 224,
    "channels": "RGB",
    "interpolation": "bilinear",
    **_IMAGENET,
}


def parse_preprocess(text: str, crop: int, base: Preprocess | None = None) -> Preprocess:
    """Read the value of `--preprocess`: `torchvision` and/or `field=value` pairs, comma-separated.

    Three numbers are joined by slashes: `mean=123.7/116.3/103.5,std=58,size=256`; one number serves all channels.
    What is not given stays as in `base`; without a base, `size` and `crop` default to `crop`, the side of the
    network's input. Raises UnknownName or NetError.
    """
    values: dict[str, Any] = base.to_dict() if base else {"size": crop, "crop": crop}
    for part in text.split(","):
        key, given, value = part.strip().partition("=")
        if part.strip() == "torchvision":
            values |= TORCHVISION | {"crop": crop, "size": max(TORCHVISION["size"], crop)}
        elif not given or key not in {field.name for field in fields(Preprocess)}:
            raise UnknownName(
                f"--preprocess does not know {part.strip()!r}: use torchvision, or field=value with a field of "
                f"{Preprocess.field_names()}"
            )
        else:
            values[key] = _triple(value) if key in ("mean", "std") else value
    return Preprocess.from_dict(values)


def _sequence(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is not a list")
    return value


def _triple(text: str) -> list[str]:
    numbers = text.split("/")
    return numbers * 3 if len(numbers) == 1 else numbers
