"""Jobs that one computation solves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from medbench.runs.inputs.siblings import Siblings


def job(family: str, place: str) -> Any:
    return SimpleNamespace(family=family, place=(family, place))


def test_a_family_is_solved_once() -> None:
    jobs = [job("a", "1"), job("a", "2"), job("b", "1")]
    siblings, calls = Siblings(SimpleNamespace(todo=jobs)), []  # type: ignore[arg-type]

    def solve(contexts: list[Any]) -> list[str]:
        calls.append(contexts)
        return [f"result of {one}" for one in contexts]

    results = [siblings.solver(one, lambda other: "-".join(other.place))(solve) for one in jobs]  # type: ignore[arg-type, return-value]
    assert results == ["result of a-1", "result of a-2", "result of b-1"]
    assert calls == [["a-1", "a-2"], ["b-1"]]


def test_a_job_that_is_not_among_those_to_do_is_solved_alone() -> None:
    siblings = Siblings(SimpleNamespace(todo=[job("a", "1")]))  # type: ignore[arg-type]
    solver = siblings.solver(job("a", "2"), lambda other: other.place[1])  # type: ignore[arg-type, return-value]
    assert solver(lambda contexts: contexts) == "2"
