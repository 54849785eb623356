"""What `medbench run` prints at its end: a line a job, warnings once, where the records are."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from medbench.records import Record
    from medbench.runs import Plan, Result


def print_summary(plan: Plan, result: Result) -> None:
    """Print each job's primary metric as mean ± standard deviation over its seeds, then warnings and places."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in result.records:
        groups[record.group].append(record)
    for records in groups.values():
        typer.echo(_line(records))
    for text in dict.fromkeys(w for r in result.records for w in r.warnings):
        typer.echo(f"  note: {text}")
    if result.records:
        skipped = len(result.records) - result.made
        typer.echo(f"{result.made} units made, {skipped} were done; records below {plan.options.runs}")
    for path in result.tables:
        if path.suffix == ".md":
            typer.echo(f"table: {path}")


def _line(records: list[Record]) -> str:
    """Return one job's line: what was run, the primary metric over its seeds, what was chosen."""
    from medbench.stats import summary

    first, unit = records[0], records[0].unit
    mean, deviation, n = summary(r.score for r in records)
    spread = f" ± {deviation:.3f}" if deviation is not None else ""
    text = f"{mean:.3f}{spread} (n = {n})" if mean is not None else "undefined on this test split"
    marks = (" [random weights]" if unit.weights == "random" else "") + (" [toy data]" if unit.toy else "")
    chosen = "".join(
        f"; {name} {_brief(first.chosen[name])}" for name in ("learning_rate", "k") if name in first.chosen
    )
    return f"{unit.model} · {unit.protocol} · {unit.dataset}{marks}: {first.metric} {text}{chosen}"


def _brief(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
