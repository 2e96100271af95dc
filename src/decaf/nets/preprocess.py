"""How pixels become a network's input: a frozen value that travels with the network and with its features."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from decaf.errors import NetError, UnknownName
from decaf.nets.mean_image import MEAN_IMAGE_FILES, MeanImage, read_mean_image

Resize = Literal["warp", "short-side", "square"]
Interpolation = Literal["bicubic", "bilinear"]
Channels = Literal["RGB", "BGR"]
Orientation = Literal["upright", "upside-down"]

_CHOICES = {
    "resize": get_args(Resize),
    "interpolation": get_args(Interpolation),
    "channels": get_args(Channels),
    "orientation": get_args(Orientation),
}
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Preprocess:
    """Resize, centre crop, channel order and scale of a network's input picture.

    A picture of 8-bit sRGB values is resized with Pillow's antialiased filter on uint8, first along its rows and then
    along its columns, turned upside down where the network was trained so, cropped to `crop` x `crop` pixels at the
    centre (offset rounded down), and each channel becomes `(value - mean) / std`.

    Attributes:
        resize: `warp` makes the picture `size` x `size` whatever its shape (the DeCAF paper, section 3.1);
            `short-side` makes its short side `size` pixels and keeps the shape; `square` as well, and then takes the
            `size` x `size` pixels at its centre (the DeCAF release), in which the corners of the ten views lie.
        size: pixels.
        crop: side of the network's input, pixels.
        mean: per channel in the order of `channels`, in units of 0..255.
        std: as `mean`.
        channels: order of the network's input channels.
        interpolation: Pillow's filter.
        orientation: `upside-down` turns the first row of the picture into the last.
        mean_image: subtracted before cropping, `size` x `size` pixels, so that each view and each mirror takes its own
            part of it; then `mean` is 0.
    """

    size: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Resize = "short-side"
    channels: Channels = "RGB"
    interpolation: Interpolation = "bicubic"
    orientation: Orientation = "upright"
    mean_image: MeanImage | None = None

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
        if self.mean_image is not None:
            self._check_mean_image(self.mean_image)

    def _check_mean_image(self, image: MeanImage) -> None:
        if image.side not in (None, self.size):
            raise NetError(f"the mean image has {image.side} px, pictures {self.size}: set size={image.side}")
        if self.resize == "short-side":
            raise NetError("a mean image needs pictures of its own shape: use resize=warp or resize=square")
        if any(self.mean):
            raise NetError(f"a mean image and a mean of {self.mean}: give one of them")

    def with_resize(self, resize: str) -> Preprocess:
        """The same preparation under another resize rule; `default` changes nothing."""
        if resize not in ("default", *get_args(Resize)):
            raise UnknownName(f"no resize rule {resize!r}: use one of default, {', '.join(get_args(Resize))}")
        return self if resize == "default" else replace(self, resize=resize)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON: of a mean image its sha256; what most networks do not have is left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["mean_image"] = self.mean_image and self.mean_image.sha256
        rare = {"orientation": "upright", "mean_image": None}
        return {name: value for name, value in values.items() if name not in rare or value != rare[name]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Preprocess:
        """The inverse of `to_dict`, but for the values of a mean image.

        Raises NetError when a field is missing, unknown or of the wrong kind.
        """
        if unknown := set(values) - {field.name for field in fields(cls)}:
            raise NetError(f"preprocessing has unknown fields {sorted(unknown)}: it needs {cls.field_names()}")
        try:
            numbers = {key: int(values[key]) for key in ("size", "crop")}
            triples = {key: tuple(map(float, _sequence(values[key]))) for key in ("mean", "std")}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise NetError(f"preprocessing {values} is incomplete ({error!r}): it needs {cls.field_names()}") from None
        return cls(**{**values, **numbers, **triples, "mean_image": _named_image(values.get("mean_image"))})

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


_SQUARE = {"size": 256, "std": (1.0, 1.0, 1.0), "interpolation": "bicubic"}
_PIXEL = (122.679, 116.669, 104.007)  # mean of ILSVRC-2012's training pictures, RGB (Caffe's mean image, averaged)

# What `--preprocess` knows by name. The first three stand for a mean image, where one is given.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {**_SQUARE, "resize": "warp", "channels": "RGB", "mean": _PIXEL},
    "decaf-release": {
        **_SQUARE,
        "resize": "square",
        "channels": "RGB",
        "mean": _PIXEL,
        "orientation": "upside-down",
    },
    "caffe": {**_SQUARE, "resize": "warp", "channels": "BGR", "mean": _PIXEL[::-1]},
    "torchvision": {
        "resize": "short-side",
        "size": 256,
        "channels": "RGB",
        "interpolation": "bilinear",
        "mean": (123.675, 116.28, 103.53),
        "std": (58.395, 57.12, 57.375),
    },
}
_WITH_MEAN_IMAGE = ("paper", "decaf-release", "caffe")


def preset(name: str, crop: int) -> Preprocess:
    """A preparation of `PRESETS` for a network that takes pictures of `crop` x `crop` pixels."""
    values = PRESETS[name]
    return Preprocess(**{**values, "crop": crop, "size": max(values["size"], crop)})


def parse_preprocess(text: str, crop: int, base: Preprocess | None = None) -> Preprocess:
    """Read the value of `--preprocess`: a name of `PRESETS` and/or `field=value` pairs, comma-separated.

    Three numbers are joined by slashes: `mean=123.7/116.3/103.5,std=58,size=256`; one number serves all channels.
    `mean=FILE.npy` or Caffe's `mean=FILE.binaryproto` is a mean image. What is not given stays as in `base`; without a
    base, `size` and `crop` default to `crop`, the side of the network's input. Raises UnknownName or NetError.
    """
    values: dict[str, Any] = base.to_dict() if base else {"size": crop, "crop": crop}
    image = base.mean_image if base else None
    file: Path | None = None
    for part in text.split(","):
        key, given, value = part.strip().partition("=")
        if part.strip() in PRESETS:
            values, image, file = preset(part.strip(), crop).to_dict(), None, None
        elif not given or key not in _TEXT_FIELDS:
            raise UnknownName(
                f"--preprocess does not know {part.strip()!r}: use {', '.join(PRESETS)}, or field=value with a field "
                f"of {', '.join(_TEXT_FIELDS)}"
            )
        elif key == "mean":
            image, file = None, Path(value) if Path(value).suffix in MEAN_IMAGE_FILES else None
            values["mean"] = [0, 0, 0] if file else _triple(value)
        else:
            values[key] = _triple(value) if key == "std" else value
    chosen = Preprocess.from_dict(values | {"mean_image": None})
    return replace(chosen, mean_image=read_mean_image(file, chosen.channels) if file else image)


def mean_note(text: str | Preprocess | None, chosen: Preprocess) -> str:
    """What a user should know who asked for a preset with a mean image and gave none; empty where there is nothing."""
    asked = {part.strip() for part in text.split(",")} if isinstance(text, str) else set()
    names = [name for name in _WITH_MEAN_IMAGE if name in asked]
    if not names or chosen.mean_image is not None:
        return ""
    pixel = "/".join(f"{value:g}" for value in chosen.mean)
    return f"{names[-1]} without a mean image subtracts the mean pixel {pixel}: add mean=FILE.npy or .binaryproto"


_TEXT_FIELDS = tuple(field.name for field in fields(Preprocess) if field.name != "mean_image")


def _named_image(sha256: Any) -> MeanImage | None:
    if sha256 is None:
        return None
    if isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256):
        return MeanImage(sha256)
    raise NetError(f"preprocessing has a mean image {str(sha256)[:80]!r}: its sha256 is needed")


def _sequence(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is not a list")
    return value


def _triple(text: str) -> list[str]:
    numbers = text.split("/")
    return numbers * 3 if len(numbers) == 1 else numbers
