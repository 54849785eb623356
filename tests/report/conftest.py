"""SYNTHETIC records: made-up numbers that no model was run for."""

from __future__ import annotations

import pytest

from ..records.made import save, synthetic


@pytest.fixture(name="synthetic")
def _synthetic():
    return synthetic


@pytest.fixture(name="save")
def _save():
    return save


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    """Only the paper card of the checkout, from a folder without cards of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDBENCH_CARDS", raising=False)
