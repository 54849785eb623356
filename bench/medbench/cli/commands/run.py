"""`medbench run`: models x protocols x data sets."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import plan_text

if TYPE_CHECKING:
    from medbench.records import Record
    from medbench.runs.jobs import Options, Plan, Result


def run(
    model: Annotated[str | None, typer.Option(help="Names, comma lists, globs (dinov2*) or card files.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Likewise.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Likewise; also a labels CSV or a folder of class folders of your own.")
    ] = None,
    paper: Annotated[
        str | None, typer.Option(help="All that a paper's tables and figures need (or such models, … of it).")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="paper, wacv-code or fixed; default: paper.")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="A number of seeds, or a list like 0,1,2; default: 5, or the paper's.")
    ] = None,
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
    from medbench.api import carry_out
    from medbench.cards.resolve import parse_changes
    from medbench.runs.jobs import Options
    from medbench.runs.plan import make_plan

    repeats = seeds_of(seeds)
    options = Options(
        preset=preset or "paper",
        seeds=5 if repeats is None else repeats,
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
    choose = (("model", model), ("protocol", protocol), ("dataset", dataset))
    with progress.quiet(quiet):
        if paper is not None:
            done = _paper(paper, options, repeats, preset, choose, dry_run)
        else:
            models, protocols, datasets = (_needed(option, value) for option, value in choose)
            plan = make_plan(models, protocols, datasets, options)
            if dry_run:
                for line in plan_text.job_lines(plan):
                    typer.echo(line)
            done = None if dry_run else (plan, carry_out(plan))
    if done is None:
        return
    plan, result = done
    if os.environ.get("RANK", "0") == "0":  # of several processes the first speaks
        _report(plan, result, as_json=as_json)


def _paper(
    name: str,
    options: Options,
    seeds: int | list[int] | None,
    preset: str | None,
    choose: tuple[tuple[str, str | None], ...],
    dry_run: bool,
) -> tuple[Plan, Result] | None:
    from medbench import cards
    from medbench.errors import MedbenchError

    if options.image_size is not None:
        raise MedbenchError(
            f"--image-size {options.image_size} with --paper: its rows have sizes of their own",
            "leave it out, or run other sizes with --model, --protocol and --dataset",
        )
    paper = cards.find_paper(name)
    return plan_text.fill(paper, None, options, seeds=seeds, preset=preset, choose=choose, dry_run=dry_run)


def _needed(option: str, value: str | None) -> str:
    from medbench.errors import MedbenchError

    if value is None:
        raise MedbenchError(
            f"--{option} is missing: nothing tells what to run",
            "give --model, --protocol and --dataset, or --paper for all that a paper shows; see: medbench run -h",
        )
    return value


def seeds_of(text: str | None) -> int | list[int] | None:
    """Return what `--seeds` asks for: a number, a list (`3,` is of one seed), or None where it was not given."""
    from medbench.errors import MedbenchError

    if text is None:
        return None
    try:
        return [int(part) for part in text.removesuffix(",").split(",")] if "," in text else int(text)
    except ValueError as error:
        raise MedbenchError(f"--seeds {text}: not a number or a list", "e.g. --seeds 5 or --seeds 0,1,2") from error


def _report(plan: Plan, result: Result, *, as_json: bool) -> None:
    """Print what came out; exit 2 on a person's mistake, 1 if a job broke."""
    if as_json:
        for record in result.records:
            typer.echo(record.model_dump_json())
    else:
        print_summary(plan, result)
    if status := plan_text.complain(result):
        raise typer.Exit(status)


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
