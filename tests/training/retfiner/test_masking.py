"""Masked reports: the official ids from the official draws, the shares, and what is never masked."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from medbench.seeding import generator
from medbench.training.retfiner.masking import NOT_MASKED, Words, masked, replaced

WORDS = Words(pad=0, mask=103, first=106, size=140)


def official_draws(ids: np.ndarray, rate: float, source: random.Random) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw in the published order: positions of each report until one is chosen; then, of each, what it becomes."""
    chosen, kind, others = np.zeros(ids.shape, bool), np.zeros(ids.shape), np.zeros(ids.shape, np.int64)
    for i, row in enumerate(ids):
        while not chosen[i].any():
            for j in range(1, len(row)):
                if row[j] != WORDS.pad and source.random() < rate:
                    chosen[i, j] = True
    for i, j in np.argwhere(chosen):
        kind[i, j] = source.random()
        if 0.8 <= kind[i, j] < 0.9:
            others[i, j] = source.choice(list(range(WORDS.first, WORDS.size)))
    return chosen, kind, others


def test_the_official_draws_give_the_official_ids_and_labels(parity: Any) -> None:
    golden, source = parity.read("retfiner_losses"), random.Random(0)
    ids = golden["input_ids"].numpy()
    for name, rate in (("mlm", 0.15), ("gm", 0.6)):
        found = replaced(ids, *official_draws(ids, rate, source), WORDS)
        assert np.array_equal(found.ids, golden[f"{name}_input_ids"].numpy())
        official = golden[f"{name}_labels"].numpy()
        assert np.array_equal(found.labels == NOT_MASKED, official < 0)
        assert np.array_equal(found.labels[official >= 0], official[official >= 0])


@pytest.mark.parametrize("rate", [0.15, 0.6])
def test_shares_and_limits(rate: float) -> None:
    lengths = np.arange(4000) % 28 + 2
    ids = np.where(np.arange(30) < lengths[:, None], 120, 0)
    ids[:, 0] = 101
    found = masked(ids, rate, WORDS, generator("test", 0))
    at = found.labels != NOT_MASKED
    assert at.any(axis=1).all(), "every report has a masked position"
    assert not at[:, 0].any(), "never [CLS]"
    assert not at[ids == 0].any(), "never padding"
    assert np.array_equal(found.ids[~at], ids[~at])
    assert np.array_equal(found.labels[at], ids[at])
    long = at[lengths > 20]
    share = long.sum() / (lengths[lengths > 20] - 1).sum()
    assert share == pytest.approx(rate, abs=0.02)
    became = found.ids[at]
    words = (became != 103) & (became != 120)
    assert (became == 103).mean() == pytest.approx(0.8, abs=0.02)
    assert words.mean() == pytest.approx(0.1 * 33 / 34, abs=0.01)
    assert became[words].min() >= 106
    assert became[words].max() == 139


def test_a_report_of_one_token_is_masked_there() -> None:
    ids = np.array([[101, 102, 0]])
    found = masked(ids, 0.15, WORDS, generator("test", 1))
    assert found.labels.tolist() == [[NOT_MASKED, 102, NOT_MASKED]]
