"""What `medbench table --fill` and `medbench run --paper` share: the cells, the plan in words, and carrying it out."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from medbench.cli import output

if TYPE_CHECKING:
    from medbench.cards import PaperCard
    from medbench.papers.cells import CellSpec
    from medbench.runs.estimate import Estimate
    from medbench.runs.fill_paper import Filling
    from medbench.runs.jobs import Options, Plan, Result

FEW = 3  # cells that are named where more share a reason


def fill(
    paper: PaperCard,
    places: Iterable[str] | None,
    options: Options,
    *,
    seeds: Sequence[int] | int | None = None,
    preset: str | None = None,
    choose: Sequence[tuple[str, str | None]] = (),
    dry_run: bool = False,
) -> tuple[Plan, Result] | None:
    """Show the plan of a paper's cells and carry it out; None after a dry run.

    The plan goes to standard error, where a pipe does not pick it up; that of a dry run to standard output.

    Args:
        paper: The paper.
        places: Its tables and figures; None: all.
        options: How to run.
        seeds: Instead of the paper's: a number, or the seeds themselves.
        preset: Instead of the paper's.
        choose: (`model`, `protocol` or `dataset`, comma list of names and globs): only such cells.
        dry_run: Stop after the plan.
    """
    from medbench.api import carry_out
    from medbench.papers.cells import wanted_of
    from medbench.records import store
    from medbench.records.store import gc_paused
    from medbench.runs import fill_paper as cells
    from medbench.runs.estimate import estimate

    every = cells.adapted(wanted_of(paper), options, seeds, preset)
    wanted = cells.adapted(chosen(wanted_of(paper, places), choose), options, seeds, preset)
    listed = None if isinstance(seeds, int) or seeds is None else list(seeds)
    with gc_paused():
        records = list(store.read_all(options.runs))
        found = cells.plan_filling(wanted, records, options, listed, max(one.seeds for one in every))
        cost = estimate(found.plan, records)
        del records
    write = output.write if dry_run else output.note
    for line in lines(found, cost) if os.environ.get("RANK", "0") == "0" else ():  # of several processes the first
        write(line)
    return None if dry_run else (found.plan, carry_out(found.plan))


def chosen(wanted: list[CellSpec], choose: Sequence[tuple[str, str | None]]) -> list[CellSpec]:
    """Return the cells whose model, protocol and data set a person has named.

    Raises:
        CardError: The paper has no cell with a name.
    """
    from medbench.errors import unknown

    for field, words in choose:
        if words is None:
            continue
        named = {getattr(one, field) for one in wanted}
        patterns = [word.strip() for word in words.split(",") if word.strip()]
        for pattern in patterns:
            if not fnmatch.filter(named, pattern):
                raise unknown(f"{field} of this paper", pattern, named)
        wanted = [one for one in wanted if any(fnmatch.fnmatchcase(getattr(one, field), p) for p in patterns)]
    return wanted


def lines(filling: Filling, cost: Estimate) -> Iterator[str]:
    """Yield the plan for people: what is there, what will be run, what it costs, and what cannot be run."""
    there, todo, blocked = (len(part) for part in (filling.there, filling.todo, filling.blocked))
    yield f"{there} cells are there, {todo} to run, {blocked} cannot be run now"
    if filling.plan.jobs:
        yield from ("", "to run:")
        yield from (f"  {line}" for line in job_lines(filling.plan))
        yield from cost_lines(cost)
    if filling.blocked:
        yield from ("", "cannot be run now:")
        yield from (f"  {line}" for line in _blocked_lines(filling))


def job_lines(plan: Plan) -> Iterator[str]:
    """Yield one line per job, and the sum."""
    total = done = 0
    for job in plan.jobs:
        finished = job.done()
        total, done = total + len(finished), done + sum(finished)
        state = "done" if all(finished) else f"{len(finished) - sum(finished)} of {len(finished)} units to do"
        yield f"{job.name} [{job.options.preset}, {job.image_size} px, {job.precision}] {job.group[:12]}: {state}"
    yield f"{len(plan.jobs)} jobs, {total} units, {done} done, {total - done} to do"


def cost_lines(cost: Estimate) -> Iterator[str]:
    """Yield what the plan costs and what that rests on."""
    yield f"at most {cost.forwards:,} image forwards (features that are kept from before are not run again)"
    if cost.hours is None:
        yield "time: unknown: no such model, protocol and image size has run on this device yet"
        return
    yield f"time: about {_hours(cost.hours)}, by images/s measured on {cost.device}: {'; '.join(cost.basis)}"
    if cost.unknown:
        yield f"  not in it, unknown until it has run here: {'; '.join(cost.unknown)}"


def _hours(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(1, round(60 * hours))} min"


def _blocked_lines(filling: Filling) -> Iterator[str]:
    """Yield each reason once, with what it stops and what to do about it."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for one, error in filling.blocked:
        reasons.setdefault((error.message, error.hint), []).append(one.name)
    for (message, hint), names in reasons.items():
        more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
        yield " ".join(message.split())
        yield f"  stops {len(names)} cell{'s' * (len(names) > 1)}: {'; '.join(names[:FEW])}{more}"
        for i, line in enumerate(hint.splitlines()):
            yield f"  {'hint: ' if i == 0 else '      '}{line}"


def complain(result: Result, write: Callable[[str], None] = output.note) -> int:
    """Print what went wrong with a run and return its exit status: 2 for a person's mistake, 1 for a broken job."""
    for job, mistake in result.mistakes:
        write(f"error: {job}: {mistake.message}")
        write(f"hint: {mistake.hint}")
    for job, error in result.failures:
        write(f"failed: {job}: {error}")
    if result.failures:
        write("hint: see medbench status; the other units are done, the same command tries these again")
    return 2 if result.mistakes else 1 if result.failures else 0
