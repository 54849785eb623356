"""Jobs that differ only in their split or their sweep: one computation can solve them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from medbench.protocols.context import Context
from medbench.runs.jobs import Job, Plan

Solve = Callable[[list[Any]], Sequence[Any]]
"""The contexts of jobs -> one result for each."""


class Siblings:
    """The jobs of a plan by family; keeps the results of the last family that was solved."""

    def __init__(self, plan: Plan) -> None:
        self._todo = plan.todo
        self._family: str = ""
        self._results: dict[tuple[str, ...], Any] = {}

    def solver(self, job: Job, context: Callable[[Job], Context[Any]]) -> Callable[[Solve], Any]:
        """Return `Context.together` of a job: the first call solves the whole family, the later ones look up.

        Args:
            job: One job of the plan.
            context: A job of its family -> that job's context.
        """

        def together(solve: Solve) -> Any:
            family = job.family
            if self._family != family or job.place not in self._results:
                jobs = [other for other in self._todo if other.family == family]
                jobs = jobs if any(other.place == job.place for other in jobs) else [job]
                found = solve([context(other) for other in jobs])
                self._family = family
                self._results = {other.place: one for other, one in zip(jobs, found, strict=True)}
            return self._results[job.place]

        return together
