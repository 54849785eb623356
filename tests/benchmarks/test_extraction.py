"""The benchmark of extraction, with a fast network: each row is yielded as soon as it is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import extraction


def test_rows_come_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    plain = extraction.costs_by_turns
    monkeypatch.setattr(extraction, "costs_by_turns", lambda *a, **k: turns.append(len(a)) or plain(*a, **k))
    rows = extraction.measure(tmp_path, torch.device("cpu"), "test_vit", 12, rounds=1)
    clean = [next(rows), next(rows)]
    assert turns == [2], "views are measured later"
    assert all(row.ratio > 0 for row in [*clean, *rows])
    assert turns == [2, 2]


def test_corrupted_sets_are_compared_with_clean_ones(tmp_path: Path) -> None:
    (row,) = extraction.corrupted(tmp_path, "cpu", 12, "test_vit", "blur:1,jpeg:5")
    assert row.what.startswith("extraction, test_vit fp32, 2 corrupted test sets")
    assert row.ratio is not None
    assert row.ratio > 0
