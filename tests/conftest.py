from __future__ import annotations

from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache and a run store of its own, and none of the person's data or cards."""
    place = tmp_path_factory.mktemp("isolated")
    monkeypatch.setenv("MEDBENCH_HOME", str(place / "home"))
    monkeypatch.setenv("MEDBENCH_RUNS", str(place / "runs"))
    for name in ("MEDBENCH_DATA", "MEDBENCH_CARDS"):
        monkeypatch.delenv(name, raising=False)
    return place


@pytest.fixture(scope="session")
def repo() -> Path:
    return REPO


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real data and weights that may lie beside the checkout."""
    folder = REPO.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return folder
