"""Whether an image file is grey, told by its header."""

from __future__ import annotations

from pathlib import Path

from medbench.data.images import decode

GREY = ("L", "LA", "1", "I", "I;16", "I;16B", "I;16L", "F")
"""Pillow's modes of one channel."""


def is_grey(file: Path) -> bool | None:
    """Return whether an image has one channel; None if it cannot be read, so that it says nothing of the others.

    Only the header is read, under the rules of `decode`: large scans are no fault here.
    """
    if not file.is_file():
        return None
    try:
        with file.open("rb") as handle:
            start = handle.read(132)
        if start[128:132] == b"DICM" or file.name.lower().endswith((".dcm", ".dicom")):
            import pydicom

            pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
            found = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            return str(found.PhotometricInterpretation).startswith("MONOCHROME")
        return decode.header_mode(file) in GREY
    except Exception:  # noqa: BLE001 - decoders raise whatever a damaged file provokes; preparing it says what is wrong
        return None
