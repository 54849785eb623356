"""Made-up images: a disc with dots, as a file of any usual kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.data.twins.image_names import Fake

SIZE = 96
"""Side of the images in pixels, before their width is varied."""

GRID, COARSE = 14, 40
"""Cells per side, and grey levels, of the texture that is different in each image."""


def drawn(fake: Fake, channels: int, rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Draw a disc with 2 dots for class 0, 4 for class 1, … (2 per finding): (height, width) or (height, width, 3)."""
    rows, columns = np.ogrid[:height, :width]
    disc = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (height * 0.45) ** 2
    shade = 110 + 15 * (fake.group % 5)
    cells = rng.integers(-COARSE, COARSE + 1, (GRID, GRID))  # no two discs are near duplicates
    texture = cells[rows * GRID // height, columns * GRID // width]
    pixels = np.where(disc, shade + texture, 4).astype(np.int64) + rng.integers(-3, 4, (height, width))
    marks = fake.target + 1 if isinstance(fake.target, int) else sum(fake.target)
    for _ in range(marks * 2):
        row, column = (int(v) for v in rng.integers(height // 4, 3 * height // 4, 2))
        pixels[row : row + 5, column : column + 5] += 60
    grey: npt.NDArray[np.uint8] = np.clip(pixels, 0, 255).astype(np.uint8)
    if channels == 1:
        return grey
    return np.stack([(grey * share).astype(np.uint8) for share in (1.0, 0.6, 0.3)], axis=-1)


def write_picture(file: Path, fake: Fake, channels: int, rng: np.random.Generator) -> None:
    """Draw an image of 96 x 96 to 96 x 127 pixels and save it in the format of its ending."""
    pixels = drawn(fake, channels, rng, SIZE, SIZE + int(rng.integers(0, 32)))
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix.lower() == ".dcm":
        _save_dicom(file, pixels)
        return
    from PIL import Image

    Image.fromarray(pixels).save(file, compress_level=1)


def _save_dicom(file: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Save 8-bit pixels as a secondary capture."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta: Any = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "2.25.1"
    picture: Any = pydicom.Dataset()
    picture.file_meta = meta
    picture.SOPClassUID, picture.SOPInstanceUID = SecondaryCaptureImageStorage, "2.25.1"
    picture.Rows, picture.Columns = pixels.shape[:2]
    picture.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    picture.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        picture.PlanarConfiguration = 0
    picture.BitsAllocated = picture.BitsStored = 8
    picture.HighBit, picture.PixelRepresentation = 7, 0
    data = pixels.tobytes()
    picture.PixelData = data + b"\0" * (len(data) % 2)
    picture.save_as(file, enforce_file_format=True)
