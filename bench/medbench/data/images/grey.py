"""Whether an image file is grey, told by its header."""

from __future__ import annotations

from pathlib import Path

from medbench.data.images import decode

GREY = ("L", "LA", "1", "I", "I;16", "I;16B", "I;16L", "F")
"""Pillow's modes of one channel."""


def is_grey(file: Path) -> bool | None:
    """Return whether an image has one channel; None if it cannot be read, so that it says nothing of the others.

    Only the header is decoded, under the rules of `decode`: large scans are no fault here.
    """
    try:
        data = decode.read_bytes(file)
        if not decode.is_dicom(data, file.name):
            return decode.header_mode(data) in GREY
        from medbench.data.images import dicom

        with decode.decoding():
            return str(dicom.read(data, header=True).PhotometricInterpretation).startswith("MONOCHROME")
    except Exception:  # noqa: BLE001 - decoders raise whatever a damaged file provokes; preparing it says what is wrong
        return None
