"""The command line, called as a shell would."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.records import Unit, store

from ..records.made import save, synthetic


@pytest.fixture
def own_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of cards of the user's own, searched first."""
    folder = tmp_path / "cards"
    for kind in ("model_zoo", "datasets", "protocols", "results/published"):
        (folder / kind).mkdir(parents=True)
    monkeypatch.setenv("MEDBENCH_CARDS", str(folder))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run store that is not the default: three SYNTHETIC records, one without a score, and two failed units."""
    place = tmp_path / "elsewhere" / "runs"
    save(place, synthetic("m", "knn", "toy", (0, 1, 2), values={"accuracy": [0.5, 0.7, None]}))
    failed = Unit(model="m", protocol="knn", dataset="toy", preset="paper", seed=3)
    store.write_failure(place, failed, "3" * 64, "RuntimeError: out of memory")
    store.write_failure(place, failed.model_copy(update={"model": "other", "seed": 0}), "4" * 64, "ValueError: bad")
    return place
