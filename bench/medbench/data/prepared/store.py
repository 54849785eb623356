"""The prepared store: each image decoded and resized once, kept as raw uint8 that is mapped, not read.

One folder `prepared/<dataset>-<key>` in the cache per (rule, images' bytes): `images.u8` holds n * s * s * c bytes in
samples' order and `manifest.json`, written last, says of what they are made. A folder is used only if its manifest's
material is the wanted one and its file has the sha256 of the manifest; the file is hashed again whenever it has changed
(`digests`). See `fill` for how it is made and survives a kill.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench.cards import Settings
from medbench.data.dataset import Dataset
from medbench.data.images.depth import Unreadable, decoders
from medbench.data.images.square import SquareRule, rule_of
from medbench.errors import DataError
from medbench.progress import say
from medbench.storage import files, paths
from medbench.storage.digests import file_digests
from medbench.storage.locks import exclusive

STORE_VERSION = 2  # raise when decoding or resizing computes something else
STATS_BYTES = 1 << 24  # pixels looked at together by `channel_stats`
LISTED = 5  # unreadable images named in an error


def rule_for(dataset: Dataset, settings: Settings, input_size: int) -> SquareRule:
    """Return the rule by which a data set's images become squares for a network that takes `input_size` pixels a side.

    With `fit: centre` the stored side is that of the first image.

    Raises:
        DataError: That image is no square, or larger than the input, or cannot be read.
    """
    rule = rule_of(settings, input_size, dataset.card.channels, window=dataset.card.dicom_window)
    if rule.fit != "centre" or not dataset.content:
        return rule
    from medbench.data.images.decode import decode, read_bytes  # Pillow

    first = dataset.root / dataset.samples["path"].iloc[0]
    try:
        width, height = decode(read_bytes(first), rule.channels, None, first.name, window=rule.window).size
    except Unreadable as error:
        raise DataError(
            f"{first}: {error.reason}", "fit=centre needs the size of this image: replace the image"
        ) from error
    if width != height or width > input_size:
        raise DataError(
            f"{first}: {width}x{height} pixels are not allowed: fit=centre needs square images of at most "
            f"{input_size} pixels",
            "choose another fit, or a larger --image-size",
        )
    return replace(rule, size=width)


def store_key(rule: SquareRule, dataset: Dataset) -> dict[str, Any]:
    """Return all that the store depends on; Pillow's version is recorded in the manifest but is no part of it."""
    images = files.digest(list(dataset.content))
    made = {**asdict(rule), "fill": list(rule.fill)}  # as JSON gives it back
    return {"version": STORE_VERSION, "rule": made, "n": len(dataset.content), "images": images}


def store_path(rule: SquareRule, dataset: Dataset) -> Path:
    """Return the folder of the store."""
    return paths.home() / "prepared" / f"{dataset.card.name}-{files.digest(store_key(rule, dataset))[:12]}"


@dataclass(frozen=True, eq=False)
class Store:
    """The prepared pixels of a data set.

    Attributes:
        images: (n, s, s, c) uint8, read-only map of the file, in samples' order; unreadable images are zeros.
        unreadable: Sample id -> why it could not be decoded.
        digest: sha256 over shape and pixels.
        path: The folder.
    """

    images: NDArray[np.uint8]
    unreadable: dict[str, str]
    digest: str
    path: Path

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the path, not the pixels, to other processes."""
        return _reopened, (self.path, self.images.shape, self.unreadable, self.digest)


def _reopened(path: Path, shape: tuple[int, ...], unreadable: dict[str, str], digest: str) -> Store:
    return Store(_mapped(path, shape), unreadable, digest, path)


def _mapped(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.memmap(path / "images.u8", np.uint8, "r", shape=shape)


def prepare(dataset: Dataset, rule: SquareRule, *, workers: int | None = None) -> Store:
    """Return the prepared store, made now if it does not exist.

    Images that cannot be decoded do not stop the preparation: see `Store.unreadable` and `refuse_unreadable`. Another
    process that prepares the same store is waited for; an interrupted preparation is continued.

    Args:
        dataset: Its images.
        rule: How they become squares.
        workers: Threads that decode; default: as many as there are processors.

    Raises:
        DataError: There are no images, or a file has gone or changed since the data set was loaded.
        OutputError: The cache is full or cannot be written.
    """
    if not dataset.content:
        raise DataError(f"the data set '{dataset.card.name}' has no images", "check its labels and the data folder")
    folder, material = store_path(rule, dataset), store_key(rule, dataset)
    found = _open(folder, material, dataset)
    if isinstance(found, Store):
        return found
    busy = f"{dataset.card.name}: another process is preparing these images; waiting for it"
    with exclusive(folder.parent / f".{folder.name}.lock", busy):
        found = _open(folder, material, dataset)
        if isinstance(found, Store):
            return found
        if found:
            say(f"{folder}: {found}; the images are prepared again")
            _discard(folder)
        from medbench.data.prepared import fill  # Pillow

        fill.fill(fill.Work(folder, material, dataset, rule), workers)
    made = _open(folder, material, dataset, hashed=True)
    assert isinstance(made, Store), made
    return made


def _open(folder: Path, material: dict[str, Any], dataset: Dataset, *, hashed: bool = False) -> Store | str:
    """Return the finished store, or why it cannot be used; an empty text where there is none or it is under way.

    `hashed` says that its pixels have just been hashed.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if manifest["material"] != material:
            return "it was made with other settings or from other images"
        side, channels = material["rule"]["size"], material["rule"]["channels"]
        shape = len(dataset.content), side, side, channels
        size, wanted = (folder / "images.u8").stat().st_size, int(np.prod(shape, dtype=np.int64))
        if size != wanted:
            return f"images.u8 has {size:,} bytes instead of {wanted:,}"
        if not hashed and file_digests([folder / "images.u8"]) != [manifest["sha256"]]:
            return "images.u8 is damaged: its digest differs"
        if manifest["unreadable"] and manifest["decoders"] != decoders():
            return "it has unreadable images, and the installed decoders have changed"
        unreadable = {dataset.samples["id"].iloc[int(row)]: why for row, why in manifest["unreadable"].items()}
        return Store(_mapped(folder, shape), unreadable, manifest["digest"], folder)
    except (FileNotFoundError, NotADirectoryError):
        return "images.u8 is missing" if (folder / "manifest.json").exists() else ""
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        return f"its manifest is damaged ({type(error).__name__})"
    except OSError as error:
        raise DataError(
            f"cannot read {folder}: {error.strerror}", "check the permissions of the folder, or remove it"
        ) from error


def _discard(folder: Path) -> None:
    with files.writing(folder):
        (folder / "manifest.json").unlink(missing_ok=True)  # first: it is what is believed
        for file in folder.iterdir():
            file.unlink()


def refuse_unreadable(store: Store) -> None:
    """Raise DataError if images could not be decoded, naming the first of them."""
    if not store.unreadable:
        return
    listed = "; ".join(f"{name}: {why}" for name, why in list(store.unreadable.items())[:LISTED])
    more = len(store.unreadable) - LISTED
    raise DataError(
        f"{len(store.unreadable)} of {len(store.images)} images cannot be decoded: {listed}"
        + (f"; and {more} more" if more > 0 else ""),
        "replace them with complete copies, or run without them: --unreadable leave-out",
    )


def take(images: NDArray[np.uint8], rows: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Return `images[rows]` as a new array; neighbouring rows are taken in one piece."""
    if len(rows) and (np.diff(rows) == 1).all():
        return np.array(images[rows[0] : rows[-1] + 1])
    return np.asarray(images[rows])


def channel_stats(store: Store, rows: NDArray[np.integer[Any]]) -> tuple[list[float], list[float]]:
    """Return mean and population standard deviation of each channel over whole stored images, on [0, 1].

    Sums are of integers and therefore exact: neither chunks nor order change a bit of the result.

    Args:
        store: The pixels.
        rows: (k,) positions in the store, e.g. of the training split.

    Raises:
        DataError: There are no rows, or a channel is the same everywhere and cannot be normalised.
    """
    rows = np.asarray(rows)
    if not len(rows):
        raise DataError("no images to compute mean and deviation from", "check that the training split is not empty")
    from PIL import Image  # it counts six times as fast as numpy

    side, channels = store.images.shape[2:]
    counts = np.zeros((channels, 256), np.int64)
    step = max(1, STATS_BYTES // int(np.prod(store.images.shape[1:])))
    for start in range(0, len(rows), step):
        block = take(store.images, rows[start : start + step]).reshape(-1, side, channels)
        counted = Image.fromarray(block[..., 0] if channels == 1 else block).histogram()
        counts += np.array(counted).reshape(channels, 256)
    return _moments(counts)


def _moments(counts: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Return means and deviations of values k / 255 from how often each k = 0..255 occurs per channel."""
    means: list[float] = []
    deviations: list[float] = []
    for histogram in counts.tolist():
        n = sum(histogram)
        first = sum(k * count for k, count in enumerate(histogram))
        second = sum(k * k * count for k, count in enumerate(histogram))
        variance = (n * second - first * first) / (n * n)  # of integers: no cancellation
        if variance == 0:
            raise DataError(
                f"channel {len(means)} has the same value in all training images", "check that the images are complete"
            )
        means.append(first / n / 255)
        deviations.append(variance**0.5 / 255)
    return means, deviations
