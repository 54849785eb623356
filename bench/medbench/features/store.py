"""The feature store: one folder per key; it is used only if its manifest confirms its content.

During extraction the folder holds `key.json` and parts `part-START-STOP-CHECKSUM.npy`, each written by atomic rename; a
part whose content has another checksum is removed and made again. At the end the parts become `features.npy`, (n, d)
or, for a unit's output, (n, …). `manifest.json` is written last, with the array's digest. A killed extraction resumes
after its last complete part.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench.features.spec import FeatureSpec, differences
from medbench.progress import say
from medbench.storage import files, paths

PART = re.compile(r"part-(\d+)-(\d+)-([0-9a-f]+)\.npy")


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
        self._parts: dict[tuple[int, int], Path] = {}

    @property
    def lock(self) -> Path:
        """The lock file of whoever writes or removes the folder."""
        return self.path.parent / f".{self.path.name}.lock"

    def load(self) -> NDArray[np.float32] | None:
        """Return the finished features (n, d), memory-mapped; None if they are missing, damaged or of another key."""
        try:
            manifest = json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))
            array: NDArray[np.float32] = np.load(self.path / "features.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        same = manifest.get("material") == self._material() and array.shape == tuple(manifest.get("shape", ()))
        complete = same and len(array) == self.n and _digest(array) == manifest.get("digest")
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

    def start(self) -> list[tuple[int, int]]:
        """Open the folder for writing; return (start, stop) of the finished parts, from row 0 to the first gap."""
        with files.writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            for name in ("manifest.json", "features.npy"):  # damaged, or `load` would have returned them
                (self.path / name).unlink(missing_ok=True)
        known = self.path / "key.json"
        if not known.is_file():
            files.write_json(known, self._material())
        done: list[tuple[int, int]] = []
        for path in sorted(self.path.glob("part-*")):
            span = _checked(path)
            if span is None:
                say(f"{path.name} of an unfinished extraction is damaged; its images are extracted again")
                path.unlink()
            elif span[0] == (done[-1][1] if done else 0):
                done.append(span)
                self._parts[span] = path
        return done

    def add(self, start: int, values: NDArray[np.float32]) -> None:
        """Write rows `start` to `start + len(values)` as one part."""
        span = start, start + len(values)
        self._parts[span] = self.path / f"part-{span[0]:09d}-{span[1]:09d}-{_checksum(values)}.npy"
        with files.atomic(self._parts[span]) as part, part.open("wb") as file:
            np.save(file, values, allow_pickle=False)

    def finish(self, spans: list[tuple[int, int]], facts: dict[str, Any]) -> NDArray[np.float32]:
        """Join the parts to `features.npy`, write the manifest and remove the parts; return the features."""
        arrays = [np.load(self._parts[span], mmap_mode="r", allow_pickle=False) for span in spans]
        shape = (self.n, *arrays[0].shape[1:])
        with files.atomic(self.path / "features.npy") as part:
            target = np.lib.format.open_memmap(part, mode="w+", dtype=arrays[0].dtype, shape=shape)
            for (start, stop), array in zip(spans, arrays, strict=True):
                target[start:stop] = array
            target.flush()
        joined: NDArray[np.float32] = np.load(self.path / "features.npy", mmap_mode="r", allow_pickle=False)
        manifest = {"material": self._material(), "shape": list(shape), "digest": _digest(joined), "facts": facts}
        files.write_json(self.path / "manifest.json", manifest)
        for path in self.path.glob("part-*"):
            path.unlink(missing_ok=True)
        return joined

    def _material(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(files.canonical(self.spec.material()))
        return found


def _checked(path: Path) -> tuple[int, int] | None:
    """Return the (start, stop) of a part; None if its content is not what its name says."""
    named = PART.fullmatch(path.name)
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if named is None or len(values) != int(named[2]) - int(named[1]) or _checksum(values) != named[3]:
        return None
    return int(named[1]), int(named[2])


def _checksum(values: NDArray[np.float32]) -> str:
    """Return the CRC-32 of an array's bytes: a part is read once more, at most, so a quick one will do."""
    return f"{zlib.crc32(np.ascontiguousarray(values).data):08x}"


def _digest(array: NDArray[np.float32]) -> str:
    """Return the BLAKE2b digest of an array's bytes, read in pieces."""
    sha = hashlib.blake2b(digest_size=16)
    rows = max(1, (1 << 24) // max(array[:1].nbytes, 1))
    for start in range(0, len(array), rows):
        sha.update(np.ascontiguousarray(array[start : start + rows]).tobytes())
    return sha.hexdigest()
