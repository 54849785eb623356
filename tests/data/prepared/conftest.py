"""Data sets to prepare."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.data.dataset import Dataset

from ..made import dataset_of, picture


@pytest.fixture
def small(tmp_path: Path) -> Dataset:
    root = tmp_path / "small"
    root.mkdir()
    for k in range(20):
        picture(k).save(root / f"i{k:02}.png")
    return dataset_of(root)


@pytest.fixture
def spoilt(small: Dataset) -> Dataset:
    whole = (small.root / "i03.png").read_bytes()
    (small.root / "i03.png").write_bytes(whole[: len(whole) // 2])
    (small.root / "i11.png").write_bytes(b"")
    return dataset_of(small.root)
