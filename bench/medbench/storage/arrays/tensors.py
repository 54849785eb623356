"""Tensors in a safetensors file, with a checksum of all of them: a file that has changed since is noticed.

The checksum is CRC-32, which costs a training less than 1 % (4 GB/s); it is against damage, not against people.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from medbench.storage import files


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any] | None = None) -> None:
    """Write tensors, and facts that JSON can hold, by atomic rename."""
    content = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    about = json.dumps(facts or {})
    with files.atomic(path) as part:
        save_file(content, part, metadata={"facts": about, "checksum": _checksum(content, about)})


def load_tensors(path: Path, *, foreign: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the facts of a file.

    Args:
        path: The file.
        foreign: Whether the file may be one that `save_tensors` did not write; it has no checksum then.

    Raises:
        SafetensorError: The file is not one of tensors, or is truncated.
        OSError: The file cannot be read.
        ValueError: The content is not what was written.
    """
    with safe_open(path, framework="pt") as opened:
        about = opened.metadata() or {}
        content = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    facts = about.get("facts", "{}")
    if not (foreign and "checksum" not in about) and about.get("checksum") != _checksum(content, facts):
        raise ValueError("its content is damaged: the checksum differs")
    return content, json.loads(facts)


def _checksum(content: Mapping[str, Tensor], facts: str) -> str:
    found = zlib.crc32(facts.encode())
    for name in sorted(content):
        value = content[name]
        found = zlib.crc32(f"{name} {value.dtype} {tuple(value.shape)}".encode(), found)
        found = zlib.crc32(value.as_strided((value.numel(),), (1,)).view(torch.uint8).numpy().data, found)
    return f"{found:08x}"
