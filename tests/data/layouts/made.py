"""What the tests of layouts share: refusals, workbooks, folders of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from medbench.errors import DataError, MedbenchError

from ..conftest import write_image

XLSX: dict[str, Any] = {"tables": [{"file": "l.xlsx"}], "image": "{id}.png", "label": "grade"}
"""The layout of a workbook `l.xlsx` with the columns `id` and `grade`."""


def refused(call: Callable[[], object], *words: str, error: type[MedbenchError] = DataError) -> None:
    """Check that a call fails with these words in its message or hint, and with a hint."""
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), f"'{word}' is not in: {caught.value}"
    assert caught.value.hint


def book(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    """Write a workbook with these rows and a second sheet; return its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    made.create_sheet("other").append(["not", "read"])
    made.save(path)
    return path.parent


def folder(root: Path, *names: str) -> Path:
    """Write a small image to each of these paths below a folder; return the folder."""
    for shade, name in enumerate(names):
        write_image(root / name, shade)
    return root
