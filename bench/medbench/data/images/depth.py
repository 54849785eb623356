"""What all decoders share: errors, limits and the step to 8 bits."""

from __future__ import annotations

import contextlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from medbench.errors import DataError

MAX_PIXELS = 20_000 * 20_000
"""Images that declare more are refused: 1.2 GB decoded. Pillow's own limit (89 Mpixel) is below real radiographs."""

DECODERS = ("pillow", "pydicom", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "python-gdcm")
DEPTHS = (8, 12, 16, 24, 31)  # Pillow keeps more than 16 bits as signed 32
OVERSHOOT = 1.5
"""Floats below this are fractions: resampling takes some above 1. As grey of 8 bits such an image would be black."""

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
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, 0)
    top = max(float(values.max(initial=0)), 0.0)
    if full is None or top > full:
        full = _full_scale(top, fractions=values.dtype.kind == "f")
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        table = np.floor(np.arange(65536) * (255 / full) + 0.5).clip(0, 255).astype(np.uint8)
        narrow: np.ndarray[Any, Any] = table[values]
        return narrow
    return np.floor(values.astype(np.float64) * (255 / full) + 0.5).clip(0, 255).astype(np.uint8)


def _full_scale(top: float, *, fractions: bool) -> float:
    """Return the full scale of values up to `top`: that of fractions, or of the smallest usual depth."""
    if fractions and top < OVERSHOOT:
        return 1.0
    return 2.0 ** next((bits for bits in DEPTHS if top < 2**bits), DEPTHS[-1]) - 1
