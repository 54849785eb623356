"""What all decoders share: errors, limits and the step to 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medbench.errors import DataError

MAX_PIXELS = 20_000 * 20_000
"""Images that declare more are refused: 1.2 GB decoded. Pillow's own limit (89 Mpixel) is below real radiographs."""

DEPTHS = (8, 12, 16, 24, 31)  # Pillow keeps more than 16 bits as signed 32
LEAVE_OUT = "replace it with a complete copy, or leave it out: --unreadable leave-out"


class Unreadable(DataError):  # noqa: N818 - a state of the file, named so by its callers
    """A file that is there but cannot be decoded as an image.

    Attributes:
        reason: Why, in a few words that are the same each time.
    """

    def __init__(self, reason: str, path: Path | None = None) -> None:
        place = f"{path}: " if path is not None else ""
        super().__init__(f"{place}{reason}", LEAVE_OUT)
        self.reason = reason


def eight_bits(values: np.ndarray[Any, Any], declared: int) -> np.ndarray[Any, Any]:
    """Scale grey values of a greater range to uint8 by the rule at the top of `decode`.

    Args:
        values: Of any shape and number type.
        declared: Depth in bits that the file declares, or `DEPTHS[0]`.
    """
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0)
    top = max(float(values.max(initial=0)), 0.0)
    if values.dtype.kind == "f" and top <= 1:
        full = 1.0
    else:
        bits = next((d for d in DEPTHS if top < 2**d and d >= declared), DEPTHS[-1])
        full = 2.0**bits - 1
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        table = np.floor(np.arange(65536) * (255 / full) + 0.5).clip(0, 255).astype(np.uint8)
        narrow: np.ndarray[Any, Any] = table[values]
        return narrow
    return np.floor(values.astype(np.float64) * (255 / full) + 0.5).clip(0, 255).astype(np.uint8)
