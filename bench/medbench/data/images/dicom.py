"""DICOM files as 8-bit pictures.

What is decided here:

- Stored values are rescaled by slope and intercept, or by the table of values where the file has one.
- Display windows are ignored: files of one set often have windows of different makers, or none. The full scale counts
  instead, by the rule for deep grey in `depth`; where nothing is rescaled the bits stored, below 16, are declared.
  Values below 0 become 0: of a CT in Hounsfield units what is lighter than water is black.
- MONOCHROME1 (white is 0) is inverted after that, so that bone and tissue are bright as everywhere else.
- Colours are converted to RGB; of more than 8 bits the high ones are kept.
- Files with several frames are refused: no label file says which frame is meant.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from medbench.data.images.depth import DEPTHS, MAX_PIXELS, Unreadable, eight_bits


def image(data: bytes) -> Image.Image:
    """Decode a DICOM file.

    Returns:
        An image of mode L or RGB.

    Raises:
        Unreadable: The file has no picture, several frames, or more pixels than `depth.MAX_PIXELS`.
        Exception: Whatever a damaged file provokes in pydicom.
    """
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # odd texts in files that decode well
    found: Any = pydicom.dcmread(io.BytesIO(data), force=True)
    if "Rows" not in found or "Columns" not in found or "PhotometricInterpretation" not in found:
        raise Unreadable("a DICOM file without a picture")
    frames = int(found.get("NumberOfFrames") or 1)
    if frames > 1:
        raise Unreadable(f"a DICOM file of {frames} frames; save the one that is meant as a file of its own")
    height, width = int(found.Rows), int(found.Columns)
    if width * height > MAX_PIXELS:
        raise Unreadable(f"{width}x{height} pixels, more than the limit of {MAX_PIXELS:,}")
    if "TransferSyntaxUID" not in found.file_meta:  # a bare file, from before there were headers
        implicit = found.original_encoding[0]
        found.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    pixels = np.asarray(found.pixel_array)
    if found.PhotometricInterpretation == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        pixels = apply_color_lut(pixels, found)
        return Image.fromarray(_high_bits(pixels, 8 * pixels.dtype.itemsize))
    if pixels.ndim == 3:
        return Image.fromarray(_high_bits(pixels, int(found.BitsStored)))
    flat = _grey(found, pixels)
    return Image.fromarray(255 - flat if found.PhotometricInterpretation == "MONOCHROME1" else flat)


def _high_bits(pixels: Any, bits: int) -> Any:
    return np.ascontiguousarray((pixels >> max(bits - 8, 0)).astype(np.uint8))


def _grey(found: Any, pixels: Any) -> Any:
    """Return rescaled values as uint8."""
    plain = float(found.get("RescaleSlope") or 1) == 1 and float(found.get("RescaleIntercept") or 0) == 0
    if plain and "ModalityLUTSequence" not in found:
        bits = int(found.BitsStored)
        return eight_bits(pixels, bits if bits < 16 else DEPTHS[0])
    from pydicom.pixels.processing import apply_modality_lut

    values = np.asarray(apply_modality_lut(pixels, found))
    whole = values.dtype.kind == "f" and bool(np.all(values == np.floor(values)))
    return eight_bits(values.astype(np.int64) if whole else values, DEPTHS[0])
