"""`medbench run`: models x protocols x data sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medbench.runs import Plan, Result


def run(
    model: Annotated[str, typer.Option(help="Names, comma lists, globs (dinov2*) or card files.")],
    protocol: Annotated[str, typer.Option(help="Likewise.")],
    dataset: Annotated[str, typer.Option(help="Likewise; also a labels CSV or a folder of class folders of your own.")],
    preset: Annotated[str, typer.Option(help="paper, wacv-code or fixed.")] = "paper",
    seeds: Annotated[str, typer.Option(help="A number of seeds, or a list like 0,1,2.")] = "5",
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any protocol field.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where the data lie (else MEDBENCH_DATA).")] = None,
    weights: Annotated[str | None, typer.Option(metavar="FILE|random", help="Instead of the official file.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the input in pixels.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:i.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16.")] = "auto",
    workers: Annotated[int | None, typer.Option(help="Loader processes.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run store; default: MEDBENCH_RUNS or results/runs.")] = None,
    overwrite: Annotated[str, typer.Option(help="missing: run what is not done; always; never.")] = "missing",
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep the best weights of trained networks beside their records.")
    ] = False,
    log: Annotated[
        list[str] | None, typer.Option(metavar="tensorboard|wandb", help="Also send curves there; can be repeated.")
    ] = None,
    unreadable: Annotated[str, typer.Option(help="stop, or leave-out such images.")] = "stop",
    allow_outside: Annotated[bool, typer.Option("--allow-outside", help="Let image paths leave the root.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the records as JSON lines.")] = False,
) -> None:
    """Run models x protocols x data sets; finished units are skipped, shared work is done once."""
    from medbench import progress
    from medbench.runs import Options, carry_out, make_plan
    from medbench.runs.settings import parse_changes

    options = Options(
        preset=preset,
        seeds=_seeds(seeds),
        changes=parse_changes(set_ or []),
        data_root=data_root,
        weights=weights,
        image_size=image_size,
        device=device,
        precision=precision,
        workers=workers,
        out=out,
        overwrite=overwrite,  # type: ignore[arg-type]  # checked by make_plan, with the near ones named
        unreadable=unreadable,  # type: ignore[arg-type]
        allow_outside=allow_outside,
        download=not dry_run,
        keep_weights=keep_weights,
        log=tuple(log or ()),
    )
    with progress.quiet(quiet):
        plan = make_plan(model, protocol, dataset, options)
        if dry_run:
            _show_plan(plan)
            return
        result = carry_out(plan)
    if os.environ.get("RANK", "0") == "0":  # of several processes the first speaks
        _report(plan, result, as_json=as_json)


def _seeds(text: str) -> int | list[int]:
    from medbench.errors import MedbenchError

    try:
        return [int(part) for part in text.split(",")] if "," in text else int(text)
    except ValueError as error:
        raise MedbenchError(f"--seeds {text}: not a number or a list", "e.g. --seeds 5 or --seeds 0,1,2") from error


def _show_plan(plan: Plan) -> None:
    total = done = 0
    for job in plan.jobs:
        finished = job.done()
        total, done = total + len(finished), done + sum(finished)
        state = "done" if all(finished) else f"{len(finished) - sum(finished)} of {len(finished)} units to do"
        typer.echo(f"{job.name} [{job.options.preset}, {job.image_size} px, {job.precision}] {job.group[:12]}: {state}")
    typer.echo(f"{len(plan.jobs)} jobs, {total} units, {done} done, {total - done} to do")


def _report(plan: Plan, result: Result, *, as_json: bool) -> None:
    """Print what came out; exit 2 on a person's mistake, 1 if a job broke."""
    if as_json:
        for record in result.records:
            typer.echo(record.model_dump_json())
    else:
        from medbench.cli.summary import print_summary

        print_summary(plan, result)
    for job, mistake in result.mistakes:
        typer.echo(f"error: {job}: {mistake.message}", err=True)
        typer.echo(f"hint: {mistake.hint}", err=True)
    for job, error in result.failures:
        typer.echo(f"failed: {job}: {error}", err=True)
    if result.failures:
        typer.echo("hint: see medbench status; the other units are done, the same command tries these again", err=True)
    if result.mistakes or result.failures:
        raise typer.Exit(2 if result.mistakes else 1)
