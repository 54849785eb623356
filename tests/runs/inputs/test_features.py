"""The features of a job's images: shared between protocols and runs; unreadable images."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench.errors import MedbenchError
from medbench.storage import paths

from ..conftest import SHORT, forwards, run


def test_features_are_shared_between_protocols_and_runs(pictures: Path) -> None:
    both = run(pictures)
    assert forwards(both[:1]) == 90 + 2 * both[0].n["train"].images
    assert forwards(both[2:]) == 0
    assert forwards(run(pictures, "linear-frozen", set={**SHORT, "epochs": 3})) == 0
    more = run(pictures, "linear-frozen", set={**SHORT, "views": 3})
    assert forwards(more[:1]) == both[0].n["train"].images, "two of three views were there"


def test_unreadable_images_stop_the_run_or_are_left_out_and_said(pictures: Path) -> None:
    bad = pictures.parent / "images" / "004.png"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(MedbenchError) as caught:
        run(pictures)
    assert "004.png" in caught.value.message
    assert "--unreadable leave-out" in caught.value.hint
    assert not list(Path(paths.runs_dir()).rglob("*.json"))
    records = run(pictures, unreadable="leave-out")
    assert sum(n.images for n in records[0].n.values()) == 89
    assert any("1 unreadable images were left out" in w for w in records[0].warnings)
    assert list(records[0].provenance["data"]["left_out"]) == ["images/004.png"]
