"""Reads the tensors of a TorchScript archive (OpenAI's CLIP files) without running its program, as torch.jit.load does.

The archive is a zip file. Its `data.pkl` names classes of the program (`__torch__…`), with modules, tensors and plain
values as attributes; its files `data/N` are the bytes of the tensors. Each such class is read as a set of attributes,
and only tensors may be created.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medbench.storage.archives import require_sound

STORAGES = {
    "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64, "LongStorage": torch.int64, "IntStorage": torch.int32, "ShortStorage": torch.int16,
    "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip


MOST_PICKLE, MOST_PARTS, DEEPEST = 64 << 20, 100_000, 100
"""Bytes of the list of modules, its modules and tensors, and modules within modules."""


def is_torchscript(path: Path) -> bool:
    """Return whether a zip file is a TorchScript archive, not a state dict: only archives have `constants.pkl`."""
    with zipfile.ZipFile(path) as archive:
        return any(name.count("/") == 1 and name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Return the parameters and buffers of the archived module by the names of its state dict.

    Other tensors in a module are included: only the program knows the difference.

    Raises:
        pickle.UnpicklingError: The archive would create something other than modules and tensors.
        ValueError: The archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        require_sound(archive, path.stat().st_size)
        listed = archive.namelist()
        data = next((name for name in listed if name.count("/") == 1 and name.endswith("/data.pkl")), "data.pkl")
        if archive.getinfo(data).file_size > MOST_PICKLE:
            raise ValueError(f"{data} has {archive.getinfo(data).file_size:,} bytes")
        with archive.open(data) as file:
            module = _Reader(file, archive, data.removesuffix("data.pkl")).load()
    return dict(_tensors(module))


class _Attributes:
    """A module of the program: its attributes, without its code."""

    def __init__(self, *_: Any) -> None:
        self.held: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.held = state if isinstance(state, dict) else {}


def _tensors(module: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield (name, tensor), in order; a module that is used again and again has as many names."""
    waiting, seen = [("", module)], 0
    while waiting:
        prefix, held = waiting.pop()
        seen += 1
        if seen > MOST_PARTS or prefix.count(".") > DEEPEST:
            raise ValueError("its modules have no end")
        if isinstance(held, Tensor):
            yield prefix, held
        elif isinstance(held, _Attributes):
            inner = [(f"{prefix}.{name}" if prefix else str(name), part) for name, part in held.held.items()]
            waiting += reversed(inner)


def _tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    return storage.as_strided(size, stride, offset)


class _Reader(pickle.Unpickler):
    """Creates sets of attributes and tensors, and refuses everything else."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self.archive, self.folder = archive, folder
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a class or function that the pickle names."""
        if module.split(".")[0] == "__torch__":
            return type(name, (_Attributes,), {})
        known = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("torch.jit._pickle", "restore_type_tag"): lambda value, _: value,
            ("collections", "OrderedDict"): OrderedDict,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module == "torch.jit._pickle" and name.startswith("build_") and name.endswith("list"):
            return list
        raise pickle.UnpicklingError(f"GLOBAL {module}.{name} is not part of a network's weights")

    def persistent_load(self, pid: Any) -> Tensor:
        """Return a storage as a flat tensor."""
        _, dtype, key, _, count = pid
        if key not in self.storages:
            raw = bytearray(self.archive.read(f"{self.folder}data/{key}"))
            if not isinstance(dtype, torch.dtype) or len(raw) < count * dtype.itemsize:
                raise ValueError(f"storage {key} is truncated")
            self.storages[key] = (
                torch.frombuffer(raw, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)
            )
        return self.storages[key]
