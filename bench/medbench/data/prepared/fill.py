"""How a prepared store is filled: by threads, in chunks, with a journal that a kill cannot spoil.

A chunk of pixels is written and flushed to the disk before its line goes to `journal.jsonl` (and is flushed in turn).
Whoever continues believes the journal's whole lines only as far as the chunks' digests agree, and does the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from numpy.typing import NDArray

from medbench.data.dataset import Dataset
from medbench.data.images.decode import decode, decoding, read_bytes
from medbench.data.images.depth import Unreadable, decoders
from medbench.data.images.resize import fitted
from medbench.data.images.square import SquareRule
from medbench.errors import DataError, OutputError
from medbench.progress import bar, say, steps
from medbench.storage import files
from medbench.storage.digests import file_digests

CHUNK_IMAGES = 64
CHUNK_BYTES = 1 << 24  # large images make smaller chunks: what is held in memory stays the same
GB = 1e9

Entry = dict[str, Any]
"""One line of the journal: number of the chunk, digest of its bytes, row -> reason of its unreadable images."""


@dataclass(frozen=True)
class Work:
    """What is to be filled.

    Attributes:
        folder: Of the store.
        material: What the store depends on.
        dataset: The images.
        rule: How they become squares.
        files: The image files.
    """

    folder: Path
    material: dict[str, Any]
    dataset: Dataset
    rule: SquareRule
    files: list[Path] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", [self.dataset.root / path for path in self.dataset.samples["path"]])

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.files)

    @property
    def image_bytes(self) -> int:
        """Size of one stored image."""
        return int(np.prod(self.rule.shape))

    @property
    def chunk(self) -> int:
        """Images in a chunk: by the rule alone, for the digest depends on it."""
        return max(1, min(CHUNK_IMAGES, CHUNK_BYTES // self.image_bytes))

    def span(self, number: int) -> range:
        """Return the rows of a chunk."""
        return range(number * self.chunk, min((number + 1) * self.chunk, self.n))


def fill(work: Work, workers: int | None = None) -> None:
    """Make the store's files, going on from where an earlier preparation stopped. The caller holds the lock.

    Raises:
        DataError: An image file has gone or changed since it was digested.
        OutputError: The disk is full or cannot be written.
    """
    from joblib import cpu_count

    with files.writing(work.folder):
        work.folder.mkdir(parents=True, exist_ok=True)
        pixels = _opened(work.folder / "images.u8")
        journal = _opened(work.folder / "journal.jsonl")
    with pixels, journal:
        entries = _resume(work, pixels, journal)
        _require_space(work, len(entries))
        with files.writing(work.folder):
            pixels.truncate(work.n * work.image_bytes)
        done = min(len(entries) * work.chunk, work.n)
        what = f"preparing {work.dataset.card.name}"
        with steps() as to_stop, decoding(), bar(what, work.n, done=done) as advance:
            for number, chunk, unreadable in _chunks(work, len(entries), workers or cpu_count(), advance):
                with files.writing(work.folder):
                    _write(pixels, number * work.chunk * work.image_bytes, chunk.tobytes())
                    entry = {"chunk": number, "digest": _digest(chunk.tobytes()), "unreadable": unreadable}
                    _append(journal, entry)
                entries.append(entry)
                if to_stop():
                    break
    _finish(work, entries)


def _opened(path: Path) -> BinaryIO:
    """Open a file for reading and writing without losing what is in it."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644), "r+b", buffering=0)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(file: BinaryIO, offset: int, data: bytes) -> None:
    """Write all of `data` at `offset` and wait until it is on the disk."""
    file.seek(offset)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


def _append(journal: BinaryIO, line: Entry) -> None:
    _write(journal, journal.seek(0, os.SEEK_END), files.canonical(line).encode() + b"\n")


def _header(work: Work) -> Entry:
    """Return the journal's first line: chunks made under another one are not mixed with ours."""
    return {"material": work.material, "pillow": PIL.__version__, "chunk_images": work.chunk}


def _resume(work: Work, pixels: BinaryIO, journal: BinaryIO) -> list[Entry]:
    """Return the entries of the chunks that are whole, and cut all that comes after them off the journal."""
    journal.seek(0)
    lines = [line + b"\n" for line in journal.read().split(b"\n")[:-1]]  # a torn last line has no end
    entries: list[Entry] = []
    end = 0
    if lines and _parsed(lines[0]) == _header(work):
        end = len(lines[0])
        for line in lines[1:]:
            entry = _parsed(line)
            if entry is None or not _whole(work, pixels, len(entries), entry):
                break
            entries.append(entry)
            end += len(line)
    elif lines:
        say(
            f"{work.folder}: the preparation was started with another version of Pillow or medbench; the images are "
            f"prepared again"
        )
    with files.writing(work.folder):
        journal.truncate(end)
        if not end:
            _append(journal, _header(work))
    return entries


def _parsed(line: bytes) -> Entry | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _whole(work: Work, pixels: BinaryIO, number: int, entry: Entry) -> bool:
    """Tell whether an entry is of chunk `number` and the file holds the pixels it speaks of."""
    span = work.span(number)
    if entry.get("chunk") != number or not len(span) or not isinstance(entry.get("unreadable"), dict):
        return False
    pixels.seek(span.start * work.image_bytes)
    wanted = len(span) * work.image_bytes
    found = bytearray()
    while len(found) < wanted and (piece := pixels.read(wanted - len(found))):
        found += piece
    return _digest(bytes(found)) == entry.get("digest")


def _require_space(work: Work, done: int) -> None:
    need = (work.n - min(done * work.chunk, work.n)) * work.image_bytes
    free = shutil.disk_usage(work.folder).free
    if need > free:
        raise OutputError(
            f"the prepared images of '{work.dataset.card.name}' need {need / GB:,.2f} GB more, "
            f"but {free / GB:,.2f} GB are free at {work.folder}",
            "free some space there, or choose another folder with MEDBENCH_HOME",
        )


def _chunks(
    work: Work, first: int, workers: int, advance: Callable[[int], None]
) -> Iterator[tuple[int, NDArray[np.uint8], dict[str, str]]]:
    """Yield (number, pixels (k, s, s, c), row -> reason) of the chunks from `first` on, in order.

    Threads decode image by image, ahead of the chunk being gathered, so that none waits for the disk.
    """
    ahead = 1 + -(-2 * workers // work.chunk)
    pool = ThreadPoolExecutor(workers, "decode")
    waiting: deque[tuple[int, list[Future[NDArray[np.uint8] | str]]]] = deque()
    try:
        for number in range(first, -(-work.n // work.chunk)):
            waiting.append((number, [pool.submit(_square, work, row) for row in work.span(number)]))
            if len(waiting) > ahead:
                yield _gathered(work, *waiting.popleft(), advance)
        while waiting:
            yield _gathered(work, *waiting.popleft(), advance)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _gathered(
    work: Work, number: int, squares: list[Future[NDArray[np.uint8] | str]], advance: Callable[[int], None]
) -> tuple[int, NDArray[np.uint8], dict[str, str]]:
    chunk = np.zeros((len(squares), *work.rule.shape), np.uint8)
    unreadable: dict[str, str] = {}
    for place, (row, square) in enumerate(zip(work.span(number), squares, strict=True)):
        result = square.result()
        if isinstance(result, str):
            unreadable[str(row)] = result
        else:
            chunk[place] = result
        advance(1)
    return number, chunk, unreadable


def _square(work: Work, row: int) -> NDArray[np.uint8] | str:
    """Return one image as (s, s, c), or why it cannot be decoded."""
    rule = work.rule
    try:
        data = read_bytes(work.files[row])
        if _digest(data) != work.dataset.content[row]:  # else wrong pixels would be kept under the right key
            raise DataError(
                f"{work.files[row]} changed while the data set was in use",
                "run the command again; it reads the data set anew",
            )
        image = decode(data, rule.channels, rule.draft_size, work.files[row].name, window=rule.window)
        image = fitted(image, rule)
    except Unreadable as error:
        return error.reason
    return np.asarray(image, np.uint8).reshape(rule.shape)


def _finish(work: Work, entries: list[Entry]) -> None:
    shape = [work.n, *work.rule.shape]
    unreadable: dict[str, str] = {}
    for entry in entries:
        unreadable.update(entry["unreadable"])
    manifest = {
        "material": work.material,
        "shape": shape,
        "digest": files.digest({"shape": shape, "chunks": [entry["digest"] for entry in entries]}),
        "sha256": file_digests([work.folder / "images.u8"])[0],
        "unreadable": unreadable,
        "decoders": decoders(),
    }
    files.write_json(work.folder / "manifest.json", manifest)
    (work.folder / "journal.jsonl").unlink(missing_ok=True)
