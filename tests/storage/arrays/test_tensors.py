"""Tensors are read back exactly, or the file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from medbench.storage.arrays.tensors import load_tensors, save_tensors

TENSORS = {
    "a": torch.randn(3, 4, generator=torch.Generator().manual_seed(0))[:, ::2],
    "half": torch.ones(5, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "one": torch.zeros(1, 1).expand(1, 1),
    "none": torch.empty(0, 3),
    "sure": torch.tensor([True, False]),
}


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    save_tensors(tmp_path / "f", TENSORS, {"seed": 1})
    found, facts = load_tensors(tmp_path / "f")
    assert facts == {"seed": 1}
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in TENSORS.items())


def test_every_changed_byte_of_the_content_is_noticed(tmp_path: Path) -> None:
    save_tensors(tmp_path / "f", TENSORS)
    content = (tmp_path / "f").read_bytes()
    first = 8 + int.from_bytes(content[:8], "little")
    values = {len(content) - first}
    for at in range(first, len(content)):
        (tmp_path / "f").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(ValueError, match="the checksum differs"):
            load_tensors(tmp_path / "f", foreign=True)
    assert values != {0}


def test_a_file_of_others_has_no_checksum(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "f")
    assert load_tensors(tmp_path / "f", foreign=True)[0]["a"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="the checksum differs"):
        load_tensors(tmp_path / "f")
