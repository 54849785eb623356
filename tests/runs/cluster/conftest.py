"""One small request with everything that a cluster has to keep in order, and what a single process makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from medbench.cli import main
from medbench.records import Record, store
from medbench.storage import paths

from ..conftest import write_pictures
from . import loopback

DINO = """
kind: dino-pretrain
defaults: {epochs: 1, batch_size: 16, hidden: 16, bottleneck: 8, outputs: 16, local_crops: 1, local_size: 16,
  warmup_steps: 1, teacher_warmup: 1, k: 3}
presets: {paper: {}}
"""
TRAINED = {"epochs": 1, "batch_size": 16, "learning_rates": "[1e-3]", "warmup_epochs": 1, "views": 1}
SHORT = {
    "nearest-mean": {},
    "knn": {"k": 3, "batch_size": 16},
    "linear-probe": {},
    "linear-frozen": TRAINED,
    "linear-unfrozen": TRAINED,
    "cka": {**TRAINED, "images": 8, "batch": 4},
}
"""Protocol -> its short settings: those of all that the single process runs which it has."""
ALL = ",".join(SHORT)


@dataclass(frozen=True)
class World:
    """Pictures and cards of a request, and a single process's results.

    Attributes:
        data: The CSV of the pictures.
        cards: Folder of the user's own cards: a short pre-training.
        runs: Run store of the single process.
    """

    data: Path
    cards: Path
    runs: Path

    def words(self, models: str, protocols: str, runs: Path, *more: str | Path) -> list[str]:
        """Return the words of `medbench run` with short settings and five seeds."""
        short = {key: value for name in protocols.split(",") for key, value in SHORT[name].items()}
        changes = [word for key, value in short.items() for word in ("--set", f"{key}={value}")]
        asked = ["--model", models, "--protocol", protocols, "--dataset", str(self.data), *changes, "--seeds", "5"]
        return ["run", *asked, "--runs", str(runs), "--workers", "0", "--device", "cpu", "--quiet", *map(str, more)]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return pictures and cards; the single process has not run yet, since that takes seconds."""
    place = tmp_path_factory.mktemp("world")
    (place / "cards" / "protocols").mkdir(parents=True)
    (place / "cards" / "protocols" / "tiny-dino.yaml").write_text(DINO)
    return World(write_pictures(place / "pictures", 48), place / "cards", place / "single" / "runs")


@pytest.fixture(scope="session")
def world(prepared: World) -> World:
    """Return pictures and cards with the single process's results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(prepared.cards.parent / "home"))
        patch.setenv("MEDBENCH_CARDS", str(prepared.cards))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        assert main(prepared.words("toy-vit@tiny-dino,toy-vit", ALL, prepared.runs)) == 0
        torch.set_num_threads(threads)
    return prepared


@pytest.fixture
def apart(prepared: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a run store of another cluster, with a cache of its own; its workers find package and cards."""
    import medbench

    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MEDBENCH_CARDS", str(prepared.cards))
    monkeypatch.setenv("PYTHONPATH", str(Path(medbench.__file__).parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "cluster" / "runs"


def all_of(record: Record) -> tuple[Any, ...]:
    """All that a record says but where and when it was made, with its predictions and curves."""
    folder = record.path
    assert folder is not None
    tables = {file.name: file.read_bytes() for file in sorted(folder.glob("*.csv"))}
    scores = folder / store.PREDICTIONS
    kept = pd.read_parquet(scores).to_dict("list") if scores.is_file() else {}
    content = record.model_dump(exclude={"provenance", "timings", "counts"})
    return content, tables, repr(kept)


def same_as_single(world: World, runs: Path) -> int:
    """Compare a run store with the single process's, bit for bit; return the number of its records."""
    single = {record.key: record for record in store.read_all(world.runs)}
    found = {record.key: record for record in store.read_all(runs)}
    for key, record in found.items():
        assert all_of(record) == all_of(single[key]), record
    return len(found)


def tables_of(runs: Path) -> dict[str, bytes]:
    """Return the files of a run store's tables."""
    return {file.name: file.read_bytes() for file in sorted(paths.tables_dir(runs).iterdir())}


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start a Slurm of this machine alone, if it is installed."""
    if why := loopback.lacking():
        pytest.skip(why)
    with loopback.running(tmp_path_factory.mktemp("slurm")) as variables:
        yield variables


@pytest.fixture
def cluster(slurm: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Return what writes a site file of that Slurm; commands of the test talk to it."""
    for key, value in slurm.items():
        monkeypatch.setenv(key, value)

    def site(resources: dict[str, Any] | None = None, **changes: Any) -> Path:
        own = {"cpus": 1, "memory_gb": 0.5, "minutes": 10, **(resources or {})}
        content = {
            "device": "cpu",
            "precision": "fp32",
            "chunk_minutes": 30,
            "classes": {name: own.copy() for name in ("prepare", "features", "heads", "train")},
            **changes,
        }
        file = tmp_path / "lab.yaml"
        file.write_text(repr(content))  # a mapping of Python's is one of YAML's
        return file

    return site
