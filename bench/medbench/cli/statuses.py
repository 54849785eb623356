"""`medbench status`: what is done and what failed."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer

from medbench.cli import output

COLUMNS = ("dataset", "model", "protocol", "preset", "done", "failed", "seeds", "metric", "mean", "seen")


def status(
    out: Annotated[Path | None, typer.Option(help="Run store; default: MEDBENCH_RUNS or results/runs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show which units are done and which failed, with their errors, and where a model has seen the data."""
    from medbench import paths

    runs = paths.runs_dir(out)
    rows = statuses(runs)
    if as_json:
        output.write_json(rows)
        return
    done, failed = (sum(row[key] for row in rows) for key in ("done", "failed"))
    if rows:
        output.write_rows(rows, COLUMNS, title=str(runs))
    for row in rows:
        for failure in row["failures"]:
            where = f"{row['dataset']} {row['model']} {row['protocol']} seed {failure['seed']}"
            output.write(f"failed: {where}: {failure['error']}")
    output.note(f"{done} done, {failed} failed, in {runs}" if rows else f"nothing was run yet in {runs}")


def statuses(runs: Path) -> list[dict[str, Any]]:
    """Return one mapping per (data set, model, protocol, preset, weights) found in the run store.

    Keys: those five, `done` and `failed` (units), `seeds` (finished ones), `metric` with the `mean` of its defined
    values over the finished seeds, `seen` (whether the model's pre-training has seen the data: contamination), and
    `failures` (seed, error, folder).
    """
    from medbench.records import Unit, store

    done: dict[tuple[str, ...], list[Any]] = defaultdict(list)
    failed: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for record in store.read_all(runs):
        done[_place(record.unit)].append(record)
    for folder, failure in store.failures(runs):
        unit = Unit.model_validate(failure["unit"])
        failed[_place(unit)].append({"seed": unit.seed, "error": failure["error"], "folder": str(folder)})
    return [_row(place, done[place], failed[place]) for place in sorted({*done, *failed})]


def _place(unit: Any) -> tuple[str, ...]:
    return (unit.dataset, unit.model, unit.protocol, unit.preset, unit.weights)


def _row(place: tuple[str, ...], records: list[Any], failures: list[dict[str, Any]]) -> dict[str, Any]:
    from medbench.stats import summary

    mean, _, _ = summary(record.score for record in records)
    return {
        **dict(zip(("dataset", "model", "protocol", "preset", "weights"), place, strict=True)),
        "done": len(records),
        "failed": len(failures),
        "seeds": sorted({record.unit.seed for record in records}),
        "metric": records[0].metric if records else None,
        "mean": mean,
        "seen": any(text.startswith("contamination:") for record in records for text in record.warnings),
        "failures": failures,
    }
