"""DICOM files as 8-bit pictures.

What is decided here:

- The bits in use are read as the file says: Bits Stored of them, the highest being High Bit, with a sign or without.
- Stored values are rescaled by slope and intercept, or by the table of values where the file has one.
- Display windows are ignored: files of one set often have windows of different makers, or none. The full scale counts
  instead: the greatest value that Bits Stored allows, after rescaling, becomes 255. Of 16 bits or more, and of floats,
  the rule for deep grey in `decode` is used. Values below 0 become 0: of a CT in Hounsfield units what is lighter than
  water is black. A data set's card can ask for the windows of the files (`dicom_window`).
- MONOCHROME1 (white is 0) is inverted after that, so that bone and tissue are bright as everywhere else.
- Colours are converted to RGB; of more than 8 bits the high ones are kept.
- Files with several frames are refused: no label file says which frame is meant.
"""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
from PIL import Image

from medbench.data.images.depth import MAX_BYTES, MAX_PIXELS, MissingDecoderError, Unreadable, eight_bits

INFLATED = 1 << 20
"""Bytes that are inflated at once."""

PLUGINS = ("pylibjpeg-libjpeg", "pylibjpeg-openjpeg")
"""Packages that decode what pydicom and Pillow cannot; `pip install medbench[dicom]` installs both."""


def image(data: bytes, *, window: bool = False) -> Image.Image:
    """Decode a DICOM file.

    Args:
        data: The file's bytes.
        window: Apply the file's first display window (or table), where it has one.

    Returns:
        An image of mode L or RGB.

    Raises:
        Unreadable: The file has no picture, several frames, more pixels than `depth.MAX_PIXELS`, or inflates
            to more than `depth.MAX_BYTES`.
        MissingDecoderError: A package that decodes its compression is missing.
        Exception: Whatever a damaged file provokes in pydicom.
    """
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    found = read(data)
    if "Rows" not in found or "Columns" not in found or "PhotometricInterpretation" not in found:
        raise Unreadable("a DICOM file without an image")
    frames = int(found.get("NumberOfFrames") or 1)
    if frames > 1:
        raise Unreadable(f"a DICOM file with {frames} frames; save the frame to be used as a separate file")
    height, width = int(found.Rows), int(found.Columns)
    if width * height > MAX_PIXELS:
        raise Unreadable(f"{width}x{height} pixels, more than the limit of {MAX_PIXELS:,}")
    if "TransferSyntaxUID" not in found.file_meta:  # a bare file, from before there were headers
        implicit = found.original_encoding[0]
        found.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    _require_decoder(found.file_meta.TransferSyntaxUID)
    pixels = _pixels(found)
    if found.PhotometricInterpretation == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        pixels = apply_color_lut(pixels, found)
        return Image.fromarray(_high_bits(pixels, 8 * pixels.dtype.itemsize))
    if pixels.ndim == 3:
        return Image.fromarray(_high_bits(pixels, int(found.BitsStored)))
    flat = _grey(found, pixels, window=window)
    return Image.fromarray(255 - flat if found.PhotometricInterpretation == "MONOCHROME1" else flat)


def read(data: bytes, *, header: bool = False) -> Any:
    """Return pydicom's data set of a file's bytes, of the `header` alone if asked.

    Raises:
        Unreadable: The file inflates to more than `depth.MAX_BYTES`.
        Exception: Whatever a damaged file provokes in pydicom.
    """
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # odd texts in files that decode well
    return pydicom.dcmread(_Inflatable(data), force=True, stop_before_pixels=header)


class _Inflatable(io.BytesIO):
    """A file for pydicom, which inflates deflated ones without a bound: it asks for all that is left only to do so."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is None or size < 0:
            _require_bounded(data)
        return data


def _require_bounded(deflated: bytes) -> None:
    """Inflate piece by piece, keeping nothing."""
    inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        while not inflater.eof and (piece := inflater.decompress(deflated, INFLATED)):
            deflated, total = inflater.unconsumed_tail, total + len(piece)
            if total > MAX_BYTES:
                raise Unreadable(f"a DICOM file that inflates to more than the limit of {MAX_BYTES:,} bytes")
    except zlib.error:
        return  # pydicom says so too


def _require_decoder(syntax: Any) -> None:
    """Refuse a compression that pydicom knows but cannot decode here."""
    from pydicom.pixels.decoders.base import get_decoder

    if not syntax.is_compressed:
        return
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise Unreadable(f"a DICOM file with the unknown compression {syntax.name}") from error
    if not decoder.is_available:
        lacking = "; ".join(decoder.missing_dependencies)
        needed = [name for name in PLUGINS if name in lacking]
        install = f"pip install {' '.join(['pylibjpeg', *needed])}" if needed else lacking
        raise MissingDecoderError(f"DICOM with the compression '{syntax.name}'", install)


def _pixels(found: Any) -> Any:
    """Return the stored numbers: Bits Stored of them up to High Bit; what lies above or below (overlays) is cut off.

    pydicom takes the lowest bits, whatever High Bit says. Decoders of compressed pixels return the bits in use alone.
    """
    below = int(found.get("HighBit", 0)) + 1 - int(found.get("BitsStored", 0))
    if below <= 0 or found.file_meta.TransferSyntaxUID.is_compressed:
        return np.asarray(found.pixel_array)
    found.BitsStored += below
    pixels = np.asarray(found.pixel_array) >> below
    found.BitsStored -= below
    return pixels


def _high_bits(pixels: Any, bits: int) -> Any:
    return np.ascontiguousarray((pixels >> max(bits - 8, 0)).astype(np.uint8))


def _grey(found: Any, pixels: Any, *, window: bool) -> Any:
    """Return grey values as uint8: rescaled, then by the file's window or by the full scale."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    if pixels.dtype.kind == "f":
        return eight_bits(pixels)
    bits = int(found.BitsStored)
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if pixels.dtype.kind == "i" else (0, 2**bits - 1)
    low, high = sorted(float(v) for v in apply_modality_lut(np.array([least, most], pixels.dtype), found))
    values = np.asarray(apply_modality_lut(pixels, found))
    if window and ("WindowCenter" in found or "VOILUTSequence" in found):
        if "VOILUTSequence" in found:
            low, high = 0.0, 2.0 ** int(found.VOILUTSequence[0].LUTDescriptor[2]) - 1
        shown = np.asarray(apply_voi_lut(values, found), np.float64)  # spread over the range of the values
        return eight_bits((shown - low) * (255 / max(high - low, 1)), 255)
    if "ModalityLUTSequence" in found:
        high = 2.0 ** int(found.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    if values.dtype.kind == "f" and bool(np.all(values == np.floor(values))):
        values = values.astype(np.int64)
    return eight_bits(values, high if bits < 16 and high > 0 else None)
