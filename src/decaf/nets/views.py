"""The ten views of a picture, and of whatever lies over it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_PLACES = ("tl", "tr", "bl", "br", "center")
VIEWS = (*_PLACES, *(f"{place}-mirror" for place in _PLACES))
CENTER = VIEWS.index("center")


def crop_views(whole: NDArray[Any], crop: int) -> tuple[NDArray[Any], ...]:
    """The four corners and the centre (offset rounded down), then the left-right mirror of each, as `VIEWS`.

    Args:
        whole: (h, w, c), no side shorter than `crop`.
        crop: side of a view.

    Returns:
        Ten views of the array's memory, (crop, crop, c).
    """
    bottom, right = whole.shape[0] - crop, whole.shape[1] - crop
    corners = ((0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2))
    views = [whole[top : top + crop, left : left + crop] for top, left in corners]
    return (*views, *(np.flip(view, 1) for view in views))
