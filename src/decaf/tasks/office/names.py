"""What domains and classes are called, in Office-31, in Office-Caltech10 and in Caltech-256, and what we call them."""

from __future__ import annotations

import re

AMAZON, WEBCAM, DSLR, CALTECH = "amazon", "webcam", "dslr", "caltech10"
DOMAINS = (CALTECH, AMAZON, WEBCAM, DSLR)  # in the order of the Office-Caltech10 tables
LETTERS = {"c": CALTECH, "a": AMAZON, "w": WEBCAM, "d": DSLR}
_DOMAIN_NAMES = {"caltech256": CALTECH, "caltech": CALTECH} | {name: name for name in DOMAINS}

TEN = (
    "back_pack", "bike", "calculator", "headphones", "keyboard", "laptop_computer", "monitor", "mouse", "mug",
    "projector",
)  # fmt: skip
"""The classes Office-31 shares with Caltech-256, in the order of the labels 1 to 10 (Gong et al. 2012)."""

THIRTY_ONE = (
    "back_pack", "bike", "bike_helmet", "bookcase", "bottle", "calculator", "desk_chair", "desk_lamp",
    "desktop_computer", "file_cabinet", "headphones", "keyboard", "laptop_computer", "letter_tray", "mobile_phone",
    "monitor", "mouse", "mug", "paper_notebook", "pen", "phone", "printer", "projector", "punchers", "ring_binder",
    "ruler", "scissors", "speaker", "stapler", "tape_dispenser", "trash_can",
)  # fmt: skip
"""The classes of Office-31 (Saenko et al. 2010)."""

# The ten under the names of Office-Caltech10's folders and of Caltech-256's.
_ALIASES = {
    "backpack": "back_pack", "touring_bike": "bike", "head_phones": "headphones", "headphone": "headphones",
    "computer_keyboard": "keyboard", "laptop": "laptop_computer", "laptop_101": "laptop_computer",
    "computer_monitor": "monitor", "computer_mouse": "mouse", "coffee_mug": "mug", "video_projector": "projector",
}  # fmt: skip


def class_name(folder: str) -> str:
    """The class a folder holds, under its name in Office-31: `041.coffee-mug` and `mug` are one. Others: unchanged."""
    plain = re.sub(r"[\W_]+", "_", re.sub(r"^\d+[._]", "", folder.casefold())).strip("_")
    known = _ALIASES.get(plain, plain)
    return known if known in THIRTY_ONE else folder


def domain_name(folder: str) -> str | None:
    """The domain a folder holds, by its whole name, in any case; None: of none."""
    return _DOMAIN_NAMES.get(re.sub(r"[\W_]+", "", folder.casefold()))


def split_stem(stem: str) -> tuple[str, str] | None:
    """The domain a file name begins with, and what follows: `Caltech10_SURF_L10` is (`caltech10`, `surf_l10`)."""
    for begin in sorted(_DOMAIN_NAMES, key=len, reverse=True):
        if found := re.fullmatch(rf"{begin}(?:[\W_]+(.*))?", stem.casefold(), re.DOTALL):
            return _DOMAIN_NAMES[begin], found[1] or ""
    return None


def arrow(source: str, target: str) -> str:
    """A pair as the paper writes it: `Amazon → Webcam`."""
    return f"{source.capitalize()} → {target.capitalize()}"


def letters(source: str, target: str) -> str:
    """A pair as the tables of Office-Caltech10 write it: `A → W`."""
    return f"{source[0].upper()} → {target[0].upper()}"
