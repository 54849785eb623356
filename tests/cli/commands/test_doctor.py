"""`medbench doctor`: the results as a table or JSON, and the exit status."""

from __future__ import annotations

import json

import pytest

from medbench import doctor
from medbench.doctor import Diagnosis


@pytest.fixture
def results(monkeypatch):
    """Set what the check finds."""

    def install(*states: str) -> None:
        monkeypatch.setattr(
            doctor, "examine", lambda part: iter([Diagnosis(f"thing {s}", s, "detail") for s in states])
        )

    return install


def test_results_are_a_table(medbench, results):
    results("ok", "note")
    done = medbench("doctor")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "what        state  detail",
        "thing ok    ok     detail",
        "thing note  note   detail",
    ]


def test_anything_wrong_is_status_1(medbench, results):
    results("ok", "wrong")
    done = medbench("doctor", "--json")
    assert done.status == 1
    assert json.loads(done.out)[1] == {"what": "thing wrong", "state": "wrong", "detail": "detail"}


def test_this_machine_in_a_screen_and_one_part_in_full(medbench):
    short = medbench("doctor")
    assert len(short.out.splitlines()) <= 15
    seen = {row["what"]: row["state"] for row in json.loads(medbench("doctor", "models", "--json").out)}
    assert seen["weights toy-vit"] == "ok"
    wrong = medbench("doctor", "modles")
    assert (wrong.status, wrong.err.splitlines()[0]) == (2, "error: unknown part 'modles'")
