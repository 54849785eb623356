"""What was asked for and is not done."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from medbench.errors import OutputError
from medbench.records import Unit, pending, store
from medbench.records.pending import Planned


def unit(seed: int) -> Unit:
    return Unit(model="m", protocol="knn", dataset="toy", preset="paper", seed=seed)


def planned(*seeds: int) -> Planned:
    return Planned(unit(seeds[0]), seeds, [str(seed) * 64 for seed in seeds], "job")


UNITS = [planned(0, 1), planned(2)]


def left(runs: Path) -> list[tuple[Unit, bool]]:
    """Return each unit that is left, and whether it has begun."""
    return [(one, begun) for job, begun in pending.left(runs) for one, _ in job.units()]


def finish(runs, seed: int) -> None:
    folder = store.folder_of(runs, unit(seed), str(seed) * 64)
    folder.mkdir(parents=True)
    (folder / store.RECORD).write_text("{}")


def test_units_are_left_until_they_are_done_or_failed(tmp_path):
    with pending.noted(tmp_path, UNITS):
        assert left(tmp_path) == [(unit(seed), False) for seed in range(3)]
        finish(tmp_path, 0)
        store.write_failure(tmp_path, unit(1), "1" * 64, "broke")
        pending.unfinished("job").mkdir(parents=True)
        assert left(tmp_path) == [(unit(2), True)]
    assert left(tmp_path) == []


def test_a_run_that_was_broken_off_leaves_its_note(tmp_path):
    with pytest.raises(KeyboardInterrupt), pending.noted(tmp_path, UNITS):
        raise KeyboardInterrupt
    assert len(left(tmp_path)) == 3
    with pending.noted(tmp_path, UNITS):  # the same command again
        pass
    assert left(tmp_path) == []


def test_a_failure_of_an_earlier_run_is_none_of_this_one(tmp_path):
    store.write_failure(tmp_path, unit(1), "1" * 64, "broke yesterday")
    os.utime(store.folder_of(tmp_path, unit(1), "1" * 64) / store.FAILURE, (1, 1))
    with pending.noted(tmp_path, UNITS):
        assert [left.seed for left, _ in left(tmp_path)] == [0, 1, 2]


def test_the_note_of_a_broken_run_goes_with_its_last_unit(tmp_path):
    with pytest.raises(KeyboardInterrupt), pending.noted(tmp_path, [planned(0)]):
        raise KeyboardInterrupt
    with pending.noted(tmp_path, UNITS):  # another request, with the same unit in it
        finish(tmp_path, 0)
    assert not list((tmp_path / pending.FOLDER).iterdir())


def test_a_unit_of_two_notes_is_left_once_and_a_damaged_note_says_nothing(tmp_path):
    with pending.noted(tmp_path, UNITS), pending.noted(tmp_path, [planned(0)]):
        (tmp_path / pending.FOLDER / "damaged.json").write_text("[[")
        assert len(left(tmp_path)) == 3


def test_a_store_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), pending.noted(tmp_path / "file", UNITS):
        pass


def test_the_units_of_a_note_are_those_that_were_planned(tmp_path):
    """Seeds, settings and weights of each job; a note has common settings once, and the names of folders of keys."""
    other = unit(0).model_copy(update={"options": {"k": 5}, "weights": "random", "toy": True})
    jobs = [*UNITS, Planned(other, (7, 9), ["7" * 64, "9" * 64], "another")]
    with pending.noted(tmp_path, jobs):
        assert [found for found, _ in left(tmp_path)] == [one for job in jobs for one, _ in job.units()]
        (note,) = (json.loads(file.read_text()) for file in (tmp_path / pending.FOLDER).iterdir())
    assert len(note["shared"]) == 2
    assert "7" * store.SHORT in json.dumps(note)
    assert "7" * (store.SHORT + 1) not in json.dumps(note)


def test_a_note_of_version_0_1_0_says_nothing_and_goes_with_the_next_run(tmp_path):
    old = tmp_path / pending.FOLDER / "0123456789abcdef.json"
    old.parent.mkdir()
    old.write_text(json.dumps([[unit(0).model_dump(mode="json"), "0" * 64, "job"]]))
    assert not left(tmp_path)
    with pending.noted(tmp_path, UNITS):
        pass
    assert not old.exists()
