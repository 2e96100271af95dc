"""Columns of a page as bytes: categories as small numbers, numbers as float32, texts end to end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CATEGORIES = 32_767  # of one column: int16


@dataclass(frozen=True, eq=False)
class Column:
    """Something known of each picture, to colour and to filter by.

    Attributes:
        name: as the page shows it.
        values: (n,) objects: texts, None where nothing is known; or (n,) floats, NaN where nothing is known.

    Example:
        >>> Column("label", np.array(["cat", "dog", None], object)).kind
        'category'
    """

    name: str
    values: NDArray[Any]

    @property
    def kind(self) -> str:
        """`category` or `number`."""
        return "category" if self.values.dtype == object else "number"

    def encoded(self) -> tuple[dict[str, Any], NDArray[Any]]:
        """What the page must know of the column, and its values: int16 codes, -1 for None; or float32."""
        if self.kind == "number":
            values = self.values.astype(np.float32)
            finite = values[np.isfinite(values)]
            least, greatest = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
            return {"name": self.name, "kind": "number", "least": least, "greatest": greatest}, values
        names, codes = _codes(self.values)
        return {"name": self.name, "kind": "category", "names": names}, codes


def _codes(values: NDArray[np.object_]) -> tuple[list[str], NDArray[np.int16]]:
    """Distinct texts in order, and which each row has. Of too many, the rarest count as unknown."""
    texts = np.array(["" if value is None else readable(value) for value in values], dtype=object)
    known = np.array([value is not None for value in values], dtype=bool)
    # as objects: NumPy's own texts lose zero bytes at their end
    names, inverse, counts = np.unique(texts[known], return_inverse=True, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_CATEGORIES])
    number_of = np.full(len(names), -1, np.int16)
    number_of[kept] = np.arange(len(kept))
    codes = np.full(len(values), -1, np.int16)
    codes[known] = number_of[inverse]
    return names[kept].tolist(), codes


def readable(text: object) -> str:
    """Text that UTF-8 can hold: bytes of a path that are none are written as escapes."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def packed_texts(texts: Iterable[object]) -> bytes:
    """n + 1 offsets as uint32, then all texts end to end in UTF-8."""
    parts = [readable(text).encode() for text in texts]
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.uint32)
    return offsets.astype("<u4").tobytes() + b"".join(parts)
