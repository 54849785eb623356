"""Waiting for submitted tasks, with states that are made up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from medbench.errors import MedbenchError
from medbench.runs.cluster import wait as waiting
from medbench.runs.cluster.follow import State, TaskState


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL", 0.0)


def task(number: int, state: State, submission: str = "1") -> TaskState:
    return TaskState(submission, f"train-{number}", f"1_{number}", state, 0, 1, "", Path("log"), Path("printed"))


def looks(monkeypatch: pytest.MonkeyPatch, *states: Iterable[State]) -> list[int]:
    """Let each check see the next states, and later ones the last; return a list that counts the checks."""
    seen: list[int] = []

    def found(_: Path, whole: list[str]) -> Iterator[TaskState]:
        assert whole == ["1"]
        now = list(states[min(len(seen), len(states) - 1)])
        seen.append(1)
        yield from (task(number, state) for number, state in enumerate(now))
        yield task(9, "lost", "another")

    monkeypatch.setattr(waiting, "states", found)
    return seen


def test_it_ends_with_the_last_task(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = looks(monkeypatch, ["queued", "running"], ["unknown", "failed"], ["running", "failed"], ["done", "failed"])
    assert waiting.wait(Path(), ["1"]) == [task(1, "failed")]
    assert len(seen) == 5


def test_a_record_that_is_seen_late_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    looks(monkeypatch, ["running"], ["lost"], ["done"])
    assert waiting.wait(Path(), ["1"]) == []


def test_it_does_not_wait_for_ever_for_squeue(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = looks(monkeypatch, ["unknown"])
    with pytest.raises(MedbenchError, match="squeue has not answered"):
        waiting.wait(Path(), ["1"])
    assert len(seen) == waiting.PATIENCE + 1
