"""What all decoders share: errors, limits and the step to 8 bits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from medbench.errors import DataError

MAX_PIXELS = 200_000_000
"""Images that declare more are refused: 0.6 GB decoded. There are scans of 180 million; Pillow refuses them itself."""

MAX_BYTES = 1 << 30
"""Files that are larger, or are inflated to more, are refused: 0.7 GB hold the most pixels as 32-bit floats."""

MAX_DIGESTED = 16 * MAX_BYTES
"""Files that are larger are not even digested; smaller ones, whatever is wrong with them, may be left out."""

LARGE = 1 << 26
"""Images of more bytes or pixels are decoded one at a time, not in several threads."""

BLOCK = 1 << 20
"""Pixels that are brought to 8 bits at once: what is between the two depths takes several times their room."""

DECODERS = ("pillow", "pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "python-gdcm")
DEPTHS = (8, 12, 16, 24, 31)  # Pillow keeps more than 16 bits as signed 32
OVERSHOOT = 1.5
"""Floats below this are fractions: resampling takes some above 1. As grey of 8 bits such an image would be black."""

LEAVE_OUT = "replace it with a complete copy, or run without it: --unreadable leave-out"


class Unreadable(DataError):  # noqa: N818 - a state of the file, named so by its callers
    """A file that is there but cannot be decoded as an image.

    Attributes:
        reason: Why, in a few words that are the same each time.
    """

    def __init__(self, reason: str, path: Path | None = None) -> None:
        place = f"{path}: " if path is not None else ""
        super().__init__(f"{place}{reason}", LEAVE_OUT)
        self.reason = reason


class MissingDecoderError(DataError):
    """A file that is complete, but whose compression this machine cannot decode: no fault of the file.

    Attributes:
        what: The compression, and what is missing for it.
    """

    def __init__(self, what: str, install: str, path: Path | None = None) -> None:
        place = f"{path}: " if path is not None else ""
        super().__init__(f"{place}{what} needs a decoder that is not installed", install)
        self.what = what


def decoders() -> dict[str, str]:
    """Return the versions of the installed packages that decode images."""
    found = {}
    for name in DECODERS:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def eight_bits(values: np.ndarray[Any, Any], full: float | None = None) -> np.ndarray[Any, Any]:
    """Scale grey values of a greater range to uint8 by the rule at the top of `decode`.

    Args:
        values: Of any shape and number type.
        full: The value that becomes 255, where the file declares it; None: it is told from the values. A file with
            greater values than it declares is taken for one that declares nothing.
    """
    top = max((float(block.max(initial=0)) for block in _blocks(values)), default=0.0)
    if full is None or top > full:
        full = _full_scale(top, fractions=values.dtype.kind == "f")
    scale = 255 / full
    table = _eight(np.arange(65536), scale) if values.dtype == np.uint16 else None
    flat = np.empty(values.size, np.uint8)
    for start, block in zip(range(0, flat.size, BLOCK), _blocks(values), strict=True):
        flat[start : start + BLOCK] = _eight(block, scale) if table is None else table[block]
    return flat.reshape(values.shape)


def _eight(values: np.ndarray[Any, Any], scale: float) -> np.ndarray[Any, Any]:
    return np.floor(values.astype(np.float64) * scale + 0.5).clip(0, 255).astype(np.uint8)


def _blocks(values: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the values piece by piece, those that are no finite number as 0."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        yield np.where(np.isfinite(block), block, 0) if values.dtype.kind == "f" else block


def _full_scale(top: float, *, fractions: bool) -> float:
    """Return the full scale of values up to `top`: that of fractions, or of the smallest usual depth."""
    if fractions and top < OVERSHOOT:
        return 1.0
    return 2.0 ** next((bits for bits in DEPTHS if top < 2**bits), DEPTHS[-1]) - 1
