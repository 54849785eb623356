"""Runs: plan, keys, locks, execution."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medbench.errors import MedbenchError
from medbench.records import store
from medbench.runs.plan import Options, Plan, Result
from medbench.runs.planning import make_plan

if TYPE_CHECKING:
    from medbench.records import Record

__all__ = ["Options", "Plan", "Result", "RunFailedError", "carry_out", "make_plan", "run"]


class RunFailedError(MedbenchError):
    """Units that broke; the others were finished."""


def carry_out(plan: Plan) -> Result:
    """Run what is missing of a plan. Where nothing is, the records are read and torch is not even imported."""
    if plan.todo:
        from medbench.runs.execute import execute

        return execute(plan)
    return Result(records=[r for job in plan.jobs for folder in job.folders() if (r := store.read(folder))])


def run(
    model: str | Iterable[str], protocol: str | Iterable[str], dataset: str | Iterable[str], **options: Any
) -> list[Record]:
    """Run models x protocols x data sets and return the records, one a seed, finished ones read back.

    Args:
        model: Name, comma list, glob or card file; or several.
        protocol: Likewise.
        dataset: Likewise; also a CSV of labels or a folder of class folders.
        options: Fields of `Options`; `set` is another name for `changes`, and paths may be texts.

    Raises:
        MedbenchError: The request is wrong, or a job met something that a person must mend.
        RunFailedError: Jobs broke; the others were finished first.
    """
    if "set" in options:
        options["changes"] = options.pop("set")
    for name in ("data_root", "out"):
        if options.get(name) is not None:
            options[name] = Path(options[name])
    known = set(Options.__dataclass_fields__)
    if strange := set(options) - known:
        raise MedbenchError(f"unknown option: {', '.join(sorted(strange))}", f"known: {', '.join(sorted(known))}, set")
    result = carry_out(make_plan(model, protocol, dataset, Options(**options)))
    if result.mistakes:
        raise result.mistakes[0][1]
    if result.failures:
        raise RunFailedError("; ".join(f"{job}: {error}" for job, error in result.failures), "see: medbench status")
    return result.records
