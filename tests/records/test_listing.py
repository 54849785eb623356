"""Which units are done, for many at once: the same answers as one by one, with fewer reads of the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medbench.records import Unit, store
from medbench.records.listing import Listing

KEYS = [f"{i:064x}"[::-1] for i in range(40)]


def unit_of(place: store.Place) -> Unit:
    dataset, model, protocol = place
    return Unit(dataset=dataset, model=model, protocol=protocol, preset="paper", seed=0)


PLACES: list[store.Place] = [("toy", "a", "knn"), ("toy", "a", "linear"), ("toy", "b", "knn"), ("other", "a", "knn")]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A store in which every third unit of two places is done, and every third has failed."""
    for place in PLACES[:2]:
        for i, key in enumerate(KEYS):
            folder = store.folder_at(tmp_path, place, key)
            if i % 3 == 0:
                folder.mkdir(parents=True)
                (folder / store.RECORD).write_text("{}")
            if i % 3 == 1:
                store.write_failure(tmp_path, unit_of(place), key, "broke")
    (tmp_path / "toy" / "file").write_text("")
    return tmp_path


def test_a_listing_says_what_single_looks_say(runs: Path) -> None:
    there = Listing(runs)
    for place in PLACES:
        for key in KEYS:
            folder = store.folder_at(runs, place, key)
            assert there.is_done(place, key) == store.is_done(runs, unit_of(place), key)
            assert there.has_folder(place, key) == folder.is_dir()
            assert there.exists(place, key, store.FAILURE) == (folder / store.FAILURE).is_file()


def test_there_need_be_no_store(tmp_path: Path) -> None:
    assert not Listing(tmp_path / "none").is_done(PLACES[0], KEYS[0])


def test_each_folder_is_listed_once_and_only_what_is_there_is_looked_up(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, looked = [], []
    scan, look = os.scandir, os.path.isfile
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(folder) or scan(folder))
    monkeypatch.setattr(os.path, "isfile", lambda file: looked.append(file) or look(file))
    there = Listing(runs)
    done = [there.is_done(place, key) for place in PLACES for key in KEYS]
    monkeypatch.undo()
    assert sum(done) == 28
    assert len(listed) == 5, "the store, one data set, one model and two protocols"
    assert len(looked) == 2 * 27, "units that are done or have failed"
