"""SYNTHETIC records as fixtures."""

from __future__ import annotations

import pytest

from .made import save, synthetic


@pytest.fixture(name="synthetic")
def _synthetic():
    return synthetic


@pytest.fixture(name="save")
def _save():
    return save
