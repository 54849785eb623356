"""The feature store: one folder per key; it is used only if its manifest confirms its content.

During extraction the folder holds `key.json` and parts `part-START-STOP.npy`, each written by atomic rename. At the end
the parts become `features.npy`, (n, d) or, for a unit's output, (n, …). `manifest.json` is written last, with the
array's digest. A killed extraction resumes after its last complete part.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medbench.features.spec import FeatureSpec, differences
from medbench.storage import files, paths

PART = re.compile(r"part-(\d+)-(\d+)\.npy")


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
            for stale in self.path.glob(".*.part"):
                stale.unlink()
        known = self.path / "key.json"
        if not known.is_file():
            files.write_json(known, self._material())
        done: list[tuple[int, int]] = []
        spans = sorted((int(m[1]), int(m[2])) for p in self.path.glob("part-*") if (m := PART.fullmatch(p.name)))
        for start, stop in spans:
            if start == (done[-1][1] if done else 0):
                done.append((start, stop))
        return done

    def add(self, start: int, values: NDArray[np.float32]) -> None:
        """Write rows `start` to `start + len(values)` as one part."""
        with files.atomic(self._part(start, start + len(values))) as part, part.open("wb") as file:
            np.save(file, values, allow_pickle=False)

    def finish(self, spans: list[tuple[int, int]], facts: dict[str, Any]) -> NDArray[np.float32]:
        """Join the parts to `features.npy`, write the manifest and remove the parts; return the features."""
        arrays = [np.load(self._part(*span), mmap_mode="r", allow_pickle=False) for span in spans]
        shape = (self.n, *arrays[0].shape[1:])
        with files.atomic(self.path / "features.npy") as part:
            target = np.lib.format.open_memmap(part, mode="w+", dtype=arrays[0].dtype, shape=shape)
            for (start, stop), array in zip(spans, arrays, strict=True):
                target[start:stop] = array
            target.flush()
        joined: NDArray[np.float32] = np.load(self.path / "features.npy", mmap_mode="r", allow_pickle=False)
        manifest = {"material": self._material(), "shape": list(shape), "digest": _digest(joined), "facts": facts}
        files.write_json(self.path / "manifest.json", manifest)
        for span in spans:
            self._part(*span).unlink(missing_ok=True)
        return joined

    def _part(self, start: int, stop: int) -> Path:
        return self.path / f"part-{start:09d}-{stop:09d}.npy"

    def _material(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(files.canonical(self.spec.material()))
        return found


def _digest(array: NDArray[np.float32]) -> str:
    """Return the BLAKE2b digest of an array's bytes, read in pieces."""
    sha = hashlib.blake2b(digest_size=16)
    rows = max(1, (1 << 24) // max(array[:1].nbytes, 1))
    for start in range(0, len(array), rows):
        sha.update(np.ascontiguousarray(array[start : start + rows]).tobytes())
    return sha.hexdigest()
