"""The feature store: one folder per key; it is used only if its manifest confirms its content.

Each extraction writes into a folder of its own, `.KEY.MACHINE-PROCESS.RANDOM.parts`: parts
`part-START-STOP-CHECKSUM.npy`, each by atomic rename. At the end they become `features.npy`, (n, d) or, for a unit's
output, (n, …), in a second folder with `key.json` and `manifest.json`, which has the file's digest; this folder gets
the name of the key by one rename. So no process ever changes what another one writes, even where locks have no effect;
the first one to finish wins. A killed extraction is resumed after its last complete part.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench.errors import DataError
from medbench.features.spec import FeatureSpec, differences
from medbench.progress import say
from medbench.storage import cache_folder, files, paths
from medbench.storage.digests import file_digests

PART = re.compile(r"part-(\d+)-(\d+)-([0-9a-f]+)\.npy")

Span = tuple[int, int]
"""First row of a part, and the first row after it."""


class FeatureFolder:
    """The folder of one feature key.

    Attributes:
        spec: What the features depend on.
        n: Number of their rows.
        key: Digest of the spec.
        path: The folder.
    """

    def __init__(self, spec: FeatureSpec, n: int) -> None:
        self.spec, self.n, self.key = spec, n, spec.key()
        self.path = paths.home() / "features" / spec.dataset / spec.model / self.key[:16]
        self._parts: dict[Span, Path] = {}
        self._own = self.path

    @property
    def lock(self) -> Path:
        """The lock file of whoever writes or removes the folder."""
        return self.path.parent / f".{self.path.name}.lock"

    def load(self) -> NDArray[np.float32] | None:
        """Return the finished features (n, d), memory-mapped; None if they are missing, damaged or of another key.

        The file is read and hashed only if it has changed since it was last hashed (`digests`).
        """
        file = self.path / "features.npy"
        try:
            manifest = json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))
            array: NDArray[np.float32] = np.load(file, mmap_mode="r", allow_pickle=False)
            same = manifest["material"] == self._material() and array.shape == tuple(manifest["shape"])
            complete = same and len(array) == self.n and file_digests([file]) == [manifest["sha256"]]
        except (OSError, ValueError, EOFError, KeyError, TypeError, DataError):
            return None
        return array if complete else None

    def why_not(self) -> str | None:
        """Return how the stored features of this model on this data set that are most similar differ; None if none."""
        nearest: list[str] | None = None
        for file in self.path.parent.glob("*/key.json"):
            try:
                found = differences(self._material(), json.loads(file.read_text(encoding="utf-8")))
            except (OSError, ValueError):
                continue
            if found and (nearest is None or len(found) < len(nearest)):
                nearest = found
        return "; ".join(nearest[:4]) + (" …" if len(nearest) > 4 else "") if nearest else None

    def start(self) -> list[Span]:
        """Open a folder of parts for writing; return (start, stop) of the parts that are there, from row 0 on.

        They are those of the extraction that came furthest. If its process has ended, its folder is removed.
        """
        self._own = files.own_folder(self.path, ".parts")
        others = self._others()
        runs = [_first_parts(folder) for folder in others]
        for span, part in max(runs, key=lambda run: run[-1][0][1] if run else 0, default=[]):
            own = self._own / part.name
            try:
                _link(part, own)
            except OSError:  # its process has just finished
                break
            self._parts[span] = own
        _remove_left(others)
        return list(self._parts)

    def add(self, start: int, values: NDArray[np.float32]) -> None:
        """Write rows `start` to `start + len(values)` as one part."""
        span = start, start + len(values)
        self._parts[span] = self._own / f"part-{span[0]:09d}-{span[1]:09d}-{_checksum(values)}.npy"
        with files.atomic(self._parts[span]) as part, part.open("wb") as file:
            np.save(file, values, allow_pickle=False)

    def finish(self, spans: list[Span], facts: dict[str, Any]) -> NDArray[np.float32]:
        """Join the parts to `features.npy`, put it into the store and remove the parts; return the features.

        Returns:
            The features of the store, (n, …), memory-mapped: another process's if it was first.
        """
        arrays = [np.load(self._parts[span], mmap_mode="r", allow_pickle=False) for span in spans]
        made = files.own_folder(self.path)
        try:
            joined = self._write(made, spans, arrays, facts)
            with files.writing(self.path):
                first = cache_folder.put(made, self.path, lambda: self.load() is not None)
        finally:
            files.remove(made)
        found = None if first else self.load()
        _remove_left([self._own, *self._others()])
        return joined if found is None else found

    def _write(
        self, folder: Path, spans: list[Span], arrays: list[NDArray[np.float32]], facts: dict[str, Any]
    ) -> NDArray[np.float32]:
        """Write the joined parts with their key and manifest; return the features, memory-mapped."""
        shape, file = (self.n, *arrays[0].shape[1:]), folder / "features.npy"
        with files.atomic(file) as part:
            target = np.lib.format.open_memmap(part, mode="w+", dtype=arrays[0].dtype, shape=shape)
            for (start, stop), array in zip(spans, arrays, strict=True):
                target[start:stop] = array
            target.flush()
        manifest = {"material": self._material(), "shape": list(shape), "sha256": files.sha256_file(file)}
        files.write_json(folder / "key.json", self._material())
        files.write_json(folder / "manifest.json", {**manifest, "facts": facts})
        joined: NDArray[np.float32] = np.load(file, mmap_mode="r", allow_pickle=False)
        return joined

    def _others(self) -> list[Path]:
        """Return the other folders of parts of this key."""
        found = sorted(self.path.parent.glob(f".{self.path.name}.*.parts"))
        return [folder for folder in found if folder != self._own]

    def _material(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(files.canonical(self.spec.material()))
        return found


def _remove_left(folders: list[Path]) -> None:
    """Remove folders of parts: this process's own, and those whose processes have ended."""
    for folder in folders:
        with contextlib.suppress(OSError):  # another process removes it, too
            if files.is_own(folder) or files.is_abandoned(folder):
                files.remove(folder)


def _link(part: Path, own: Path) -> None:
    """Give a part, which is never changed, a second name; where that cannot be, copy it."""
    try:
        os.link(part, own)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(part, own)


def _first_parts(folder: Path) -> list[tuple[Span, Path]]:
    """Return the whole parts of a folder, from row 0 to the first gap."""
    found: list[tuple[Span, Path]] = []
    for path in sorted(folder.glob("part-*")):
        span = _checked(path)
        if span is not None and span[0] == (found[-1][0][1] if found else 0):
            found.append((span, path))
    return found


def _checked(path: Path) -> Span | None:
    """Return the (start, stop) of a part; None, with a message, if its content does not match its name."""
    named = PART.fullmatch(path.name)
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError:  # its process has just finished
        return None
    except (OSError, ValueError, EOFError):
        values = np.empty(0, np.float32)
    if named is None or len(values) != int(named[2]) - int(named[1]) or _checksum(values) != named[3]:
        say(f"{path.name} of an unfinished extraction is damaged; its images are extracted again")
        return None
    return int(named[1]), int(named[2])


def _checksum(values: NDArray[np.float32]) -> str:
    """Return the CRC-32 of an array's bytes: a part is read once more, at most, so a quick one will do."""
    return f"{zlib.crc32(np.ascontiguousarray(values).data):08x}"
