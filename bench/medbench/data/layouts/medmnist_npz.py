"""MedMNIST files: arrays of images and labels, unpacked once into PNG files that are then read as any CSV data set.

PNG keeps every value. A volume becomes a folder of slices, and its middle slice is the image. The folder of a set is
named by the digest of the file, so a new release of it is unpacked again. Images are read one by one: the largest file
holds 24 GB of pixels. Object arrays, which would be unpickled, are refused.
"""

from __future__ import annotations

import contextlib
import csv
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from medbench import progress
from medbench.cards.dataset import CsvLayout, DatasetCard, LabelTable, NpzLayout
from medbench.errors import DataError, MissingDataError
from medbench.storage import cache_folder, digests, files, paths

VERSION = 1
"""Raised whenever unpacking writes something else: the images lie in a folder of their own per version."""

SPLITS = ("train", "val", "test")
HINT = "download the file again: see https://github.com/MedMNIST/MedMNIST"


def csv_layout(card: DatasetCard) -> CsvLayout:
    """Return how the unpacked images and labels lie on disk."""
    several = card.task == "multilabel"
    assert isinstance(card.layout, NpzLayout)
    return CsvLayout(
        kind="csv",
        input=card.layout.input,
        inputs=card.layout.inputs,
        tables=[LabelTable(file="labels.csv")],
        image="{image}",
        label=None if several else "label",
        labels=[f"label_{index}" for index in range(len(card.classes))] if several else None,
        values={} if several else {str(index): index for index in range(len(card.classes))},
        split="split",
        split_values={"train": "train", "val": "val", "test": "test"},
    )


def ensure(card: DatasetCard, place: Path, marker: str = "") -> Path:
    """Return the folder of the unpacked images and labels of an npz data set.

    Args:
        card: Its layout is npz.
        place: The data folder.
        marker: Name of a file that, if it lies next to the npz file, is copied along.

    Raises:
        MissingDataError: The file does not exist.
        DataError: The file is damaged, or does not fit the card.
        OutputError: The cache is read-only or full.
    """
    layout = card.layout
    assert isinstance(layout, NpzLayout)
    file = place / layout.file
    if not file.is_file():
        raise MissingDataError(f"the file {file} of '{card.name}' does not exist")
    digest = digests.file_digests([file], f"hashing {file.name}")[0]
    folder = paths.home() / "unpacked" / f"{file.stem}-{VERSION}-{digest[:16]}"

    def fill(part: Path) -> None:
        _unpack(card, file, part)
        if marker and (place / marker).is_file():
            shutil.copyfile(place / marker, part / marker)

    busy = f"{card.name}: another process is unpacking {file.name}; waiting for it"
    return cache_folder.ensure(folder, busy, lambda: _whole(folder), fill)


def _whole(folder: Path) -> bool:
    """Tell whether there are as many images as labels."""
    try:
        with (folder / "labels.csv").open(encoding="utf-8") as table:
            n = sum(1 for _ in table) - 1
        return sum(1 for split in SPLITS for _ in (folder / split).iterdir()) == n
    except OSError:
        return False


def _unpack(card: DatasetCard, file: Path, folder: Path) -> None:
    """Write train/, val/ and test/ with one PNG an image, or one folder of PNGs a volume, and labels.csv."""
    assert isinstance(card.layout, NpzLayout)
    volume = card.layout.volume
    with _reading(file), zipfile.ZipFile(file) as archive:
        labels = {split: _labels(card, file, archive, split) for split in SPLITS}
        total = sum(map(len, labels.values()))
        width = labels["train"].shape[1]
        names = ["label"] if width == 1 else [f"label_{index}" for index in range(width)]
        table = _written(folder / "labels.csv")
        with table as handle, progress.bar(f"unpacking {file.name}", total) as advance:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(["image", "split", *(["volume"] * volume), *names])
            for split in SPLITS:
                with files.writing(folder):
                    (folder / split).mkdir()
                for row, pixels in enumerate(_images(file, archive, split, len(labels[split]), volume=volume)):
                    stem = f"{split}/{row:06d}"
                    name = _save_volume(pixels, folder, stem) if volume else _save(pixels, folder, f"{stem}.png")
                    writer.writerow([name, split, *([stem] * volume), *labels[split][row].tolist()])
                    advance(1)


def _save(pixels: npt.NDArray[np.uint8], folder: Path, name: str) -> str:
    from PIL import Image

    Image.fromarray(pixels).save(folder / name, compress_level=1)
    return name


def _save_volume(slices: npt.NDArray[np.uint8], folder: Path, stem: str) -> str:
    """Write each slice of a volume (d, h, w); return the name of the middle one."""
    (folder / stem).mkdir()
    names = [_save(pixels, folder, f"{stem}/{number:03d}.png") for number, pixels in enumerate(slices)]
    return names[len(names) // 2]


def _written(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="")


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turn what a damaged file provokes into an error that names it."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, NotImplementedError) as error:
        raise DataError(f"{file} is not a valid MedMNIST file: {error}", HINT) from error


def _labels(card: DatasetCard, file: Path, archive: zipfile.ZipFile, split: str) -> npt.NDArray[np.int64]:
    """Return the labels of one split, shape (n, 1) or, for multilabel tasks, (n, classes)."""
    key = f"{split}_labels"
    with archive.open(f"{key}.npy") as stream:
        found = np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    found = found[:, None] if found.ndim == 1 else found
    n = len(card.classes)
    several = card.task == "multilabel"
    if found.ndim != 2 or found.dtype.kind not in "iu" or found.shape[1] != (n if several else 1):
        raise DataError(
            f"{file}: {key} has the shape {found.shape} and type {found.dtype}",
            f"{card.name} needs integers of shape (images, {n if several else 1}); is it the right file?",
        )
    top = 1 if several else n - 1
    wrong = np.argwhere((found < 0) | (found > top))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise DataError(
            f"{file}: {key}[{row}]: the label {found[row, column]} is out of range",
            f"{card.name} has labels 0 to {top}; is it the right file?",
        )
    return found.astype(np.int64)


def _images(
    file: Path, archive: zipfile.ZipFile, split: str, n: int, *, volume: bool
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the images of one split, (h, w), (h, w, 3) or for volumes (d, h, w) uint8, without holding the array."""
    key = f"{split}_images"
    with archive.open(f"{key}.npy") as stream:
        shape, fortran, dtype = _header(stream)
        fits = len(shape) == 4 if volume else len(shape) == 3 or (len(shape) == 4 and shape[-1] in (1, 3))
        if not fits or dtype != np.uint8 or fortran:
            shapes = "(n, depth, height, width)" if volume else "(n, height, width) or (n, height, width, 3)"
            raise DataError(
                f"{file}: {key} has the shape {shape} and type {dtype}",
                f"the card needs uint8 of the shape {shapes}; is it the right file?",
            )
        if shape[0] != n:
            raise DataError(f"{file}: {shape[0]} images in {key}, but {n} labels", HINT)
        shown = shape[1:3] if shape[-1] == 1 and not volume else shape[1:]
        size = int(np.prod(shown, dtype=np.int64))
        for _ in range(n):
            data = stream.read(size)
            if len(data) != size:
                raise EOFError(f"{key} ends early")
            yield np.frombuffer(data, np.uint8).reshape(shown)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return (shape, whether in Fortran's order, type) of an array; only these three are read, as literals."""
    readers: dict[tuple[int, int], Callable[..., Any]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(stream)
    shape, fortran, dtype = readers[version](stream)
    return shape, fortran, dtype
