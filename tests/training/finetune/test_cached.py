"""Cached outputs are read by index or by (view, index), as they were stored, in single precision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from medbench.training.finetune.cached import Rows, ViewRows, cached_views

SOURCE = np.random.default_rng(0)
VIEWS = [SOURCE.normal(size=(5, 3, 2)).astype(np.float16) for _ in range(2)]


def test_rows_of_a_memory_mapped_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VIEWS[0])
    rows = Rows(np.load(tmp_path / "a.npy", mmap_mode="r"))
    assert len(rows) == 5
    assert np.array_equal(rows[3], VIEWS[0][3])
    assert np.array_equal(rows[[4, 0]], VIEWS[0][[4, 0]])
    assert np.array_equal(rows.__getitems__([1, 1, 2]), VIEWS[0][[1, 1, 2]])


def test_views_are_asked_for_by_view_and_row() -> None:
    views = ViewRows(VIEWS)
    assert len(views) == 5
    found = views.__getitems__([(1, 4), (0, 0), (1, 0)])
    assert np.array_equal(found, np.stack([VIEWS[1][4], VIEWS[0][0], VIEWS[1][0]]))


def test_training_on_them_is_in_single_precision() -> None:
    source = cached_views(VIEWS, VIEWS[0], VIEWS[1][:2])
    assert (len(source.val), len(source.test)) == (5, 2)  # type: ignore[arg-type]
    found = source.prepare(source.train.__getitems__([(0, 2)]))  # type: ignore[attr-defined]
    assert found.dtype == torch.float32
    assert np.array_equal(found[0], VIEWS[0][2].astype(np.float32))
