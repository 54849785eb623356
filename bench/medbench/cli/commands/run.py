"""`medbench run`: models x protocols x data sets."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medbench.cli import complete, options, plan_text
from medbench.cli.cluster.elsewhere import Elsewhere
from medbench.storage import paths

if TYPE_CHECKING:
    from medbench.cards import PaperCard
    from medbench.runs.execute import Told
    from medbench.runs.jobs import Options, Plan, Result

    Carry = Callable[[Plan, Told], Result]
Choice = tuple[tuple[str, "str | None"], ...]
"""`model`, `protocol` and `dataset`, each with what was given for it."""


@dataclass(frozen=True)
class Shown:
    """What is printed.

    Attributes:
        dry_run: The plan and its cost, and nothing is run.
        calibrate: Models that have not run here are measured for the cost.
        as_json: For scripts.
    """

    dry_run: bool
    calibrate: bool
    as_json: bool


def run(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option(help="Model names, comma lists, globs (dinov2*) or card files.", autocompletion=complete.models),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="Protocol names, comma lists, globs or card files.", autocompletion=complete.protocols),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set names, comma lists, globs or card files; or your own labels CSV or folder.",
            autocompletion=complete.datasets,
        ),
    ] = None,
    test_on: Annotated[
        str | None,
        typer.Option(
            help="Also test on other data sets: names, comma lists, your own.", autocompletion=complete.datasets
        ),
    ] = None,
    test_part: Annotated[
        str,
        typer.Option(
            metavar="all|test", help="--test-on: test on all images of these data sets, or only on their test split."
        ),
    ] = "all",
    closed: Annotated[
        bool, typer.Option("--closed", help="--test-on: score only the classes that both data sets have.")
    ] = False,
    corrupt: options.Corrupt = None,
    paper: Annotated[
        str | None,
        typer.Option(
            help="Run all units that a paper's tables and figures need; restrict them by --model, --protocol, "
            "--dataset.",
            autocompletion=complete.papers,
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            help="Run all units of a study; restrict them by --model, --protocol, --dataset.",
            autocompletion=complete.studies,
        ),
    ] = None,
    preset: options.Preset = None,
    seeds: options.Seeds = None,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="N-fold cross-validation instead of seeds; the folds share one row of the table."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the protocol; repeatable."),
    ] = None,
    data_root: options.DataRoot = None,
    weights: options.WeightsFile = None,
    image_size: options.ImageSize = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    workers: options.Workers = None,
    runs: options.Runs = None,
    out: options.OutRuns = None,
    overwrite: Annotated[
        str, typer.Option(metavar="missing|always|never", help="Run the missing units, all units again, or none.")
    ] = "missing",
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep the best weights of trained networks next to their records.")
    ] = False,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="tensorboard|wandb", help="Also log the training curves there; repeatable."),
    ] = None,
    unreadable: Annotated[
        str, typer.Option(metavar="stop|leave-out", help="If images are unreadable: stop, or run without them.")
    ] = "stop",
    missing: options.Missing = "stop",
    label: options.Label = None,
    image: options.Image = None,
    group: options.Group = None,
    split_column: options.SplitColumn = None,
    task: options.TaskKind = None,
    metric: options.Metric = None,
    allow_outside: options.AllowOutside = False,
    on: Annotated[
        str | None,
        typer.Option(
            "--on", metavar="slurm|node|commands", help="Where the jobs run; default: in this process, one by one."
        ),
    ] = None,
    site: Annotated[Path | None, typer.Option(help="--on slurm: site file of the cluster.")] = None,
    gpus: Annotated[str | None, typer.Option(metavar="0,1,…", help="--on node: GPUs to use; default: all.")] = None,
    per_gpu: Annotated[int, typer.Option(help="--on node: number of tasks that share each GPU.")] = 1,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="--on slurm: wait until all tasks end; exit status 1 if one fails or is lost."),
    ] = False,
    dry_run: options.DryRun = False,
    calibrate: options.Calibrate = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the records as JSON lines; with --dry-run, print the plan as JSON.")
    ] = False,
) -> None:
    """Run models x protocols x data sets.

    Finished units are skipped, shared work is done once, and interrupted runs resume.
    """
    from medbench import progress
    from medbench.cards.resolve import parse_changes
    from medbench.runs.jobs import Options

    repeats = _repeats(seeds, folds)
    how = Options(
        preset=preset or "paper",
        seeds=5 if repeats is None else repeats,
        folds=folds,
        changes=parse_changes(set_ or []),
        data_root=data_root,
        test_on=test_on or (),
        test_part=test_part,  # type: ignore[arg-type]
        closed=closed,
        corrupt=corrupt or (),
        weights=weights,
        image_size=image_size,
        device=device,
        precision=precision,
        workers=workers,
        runs=paths.runs_dir(runs or out),
        overwrite=overwrite,  # type: ignore[arg-type]  # checked by make_plan
        unreadable=unreadable,  # type: ignore[arg-type]
        missing=missing,  # type: ignore[arg-type]
        label=label,
        image=image,
        group=group,
        split_column=split_column,
        task=task,
        metric=metric,
        allow_outside=allow_outside,
        download=not dry_run,
        keep_weights=keep_weights,
        log=tuple(log or ()),
        command=shlex.join(["medbench", *(context.find_root().obj or [])]),
    )
    choose = (("model", model), ("protocol", protocol), ("dataset", dataset))
    place = Elsewhere.of(on, site, gpus, per_gpu, wait=wait)
    with progress.quiet(quiet):
        _run_and_print(how, choose, _cells_of(paper, study), repeats, preset, place, Shown(dry_run, calibrate, as_json))


def _cells_of(paper: str | None, study: str | None) -> PaperCard | None:
    """Return the card whose cells `--paper` or `--study` asks for; None: neither was given."""
    from medbench import cards
    from medbench.errors import MedbenchError
    from medbench.papers.studies import paper_of

    if paper is not None and study is not None:
        raise MedbenchError("--paper and --study cannot be combined", "run one after the other")
    if study is not None:
        return paper_of(cards.find_study(study))
    return None if paper is None else cards.find_paper(paper)


def _repeats(seeds: str | None, folds: int | None) -> int | list[int] | None:
    """Return what `--seeds` asks for; folds have seeds of their own."""
    from medbench.errors import MedbenchError

    repeats = options.seeds_of(seeds)
    if folds is not None and repeats is not None:
        raise MedbenchError("--seeds and --folds cannot be combined: each fold is one seed", "remove one of them")
    return repeats


def _run_and_print(
    how: Options,
    choose: Choice,
    paper: PaperCard | None,
    seeds: int | list[int] | None,
    preset: str | None,
    place: Elsewhere | None,
    shown: Shown,
) -> None:
    """Run what is asked for, here or elsewhere; exit with 2 on a user's mistake, with 1 if a job failed."""
    from medbench import progress
    from medbench.api import carry_out

    options.check_calibrate(shown.calibrate, shown.dry_run, None if place is None else place.engine)
    first = progress.is_first()
    told = plan_text.teller(as_json=shown.as_json) if first else lambda _: None
    carry: Carry = carry_out
    if place is not None:
        carry = functools.partial(place.start, dry_run=shown.dry_run, as_json=shown.as_json)
        how, shown = place.options(how), dataclasses.replace(shown, dry_run=False)
    if paper is not None:
        done = _paper(paper, how, seeds, preset, choose, shown, told, carry)
    else:
        done = _named(how, choose, shown, told, carry)
    if done is not None and first:
        if not shown.as_json:
            plan_text.print_summary(*done)
        if status := plan_text.complain(done[1]):
            raise typer.Exit(status)


def _named(how: Options, choose: Choice, shown: Shown, told: Told, carry: Carry) -> tuple[Plan, Result] | None:
    """Run the named models, protocols and data sets; or print the plan of a dry run and return None."""
    from medbench.errors import MedbenchError
    from medbench.runs.plan import make_plan

    models, protocols, datasets = (_needed(option, value) for option, value in choose)
    try:
        plan = make_plan(models, protocols, datasets, how)
    except MedbenchError as error:
        if shown.dry_run:
            plan_text.print_absent(error, (models, protocols, datasets), how, shown.calibrate, shown.as_json)
        raise
    plan_text.say_sources(plan)
    if not shown.dry_run:
        return plan, carry(plan, told)
    plan_text.print_plan(plan, shown.calibrate, shown.as_json)
    return None


def _paper(
    paper: PaperCard,
    how: Options,
    seeds: int | list[int] | None,
    preset: str | None,
    choose: Choice,
    shown: Shown,
    told: Told,
    carry: Carry,
) -> tuple[Plan, Result] | None:
    """Run what the tables and figures of a paper or study need; or print the plan of a dry run and return None."""
    from medbench.cards.study import RANKS
    from medbench.errors import MedbenchError

    kind = "study" if paper.name == RANKS else "paper"
    if how.folds is not None:
        raise MedbenchError(
            f"--folds and --{kind} cannot be combined: the {kind}'s card defines the splits", "leave it out"
        )
    if how.test_on or how.corrupt:
        given = "--test-on" if how.test_on else "--corrupt"
        raise MedbenchError(
            f"{given} and --{kind} cannot be combined: a {kind}'s tables show results on the data sets themselves",
            "name the models, protocols and data sets: --model, --protocol, --dataset",
        )
    if how.image_size is not None:
        raise MedbenchError(
            f"--image-size {how.image_size} and --{kind} cannot be combined: the {kind}'s card defines the sizes",
            "remove it, or run other sizes with --model, --protocol and --dataset",
        )
    fill = functools.partial(plan_text.fill, dry_run=shown.dry_run, calibrate=shown.calibrate, as_json=shown.as_json)
    return fill(paper, None, how, seeds=seeds, preset=preset, choose=choose, told=told, carry=carry)


def _needed(option: str, value: str | None) -> str:
    from medbench.errors import MedbenchError

    if value is None:
        raise MedbenchError(
            f"--{option} is missing",
            "give --model, --protocol and --dataset; or --paper or --study, whose cards name them. See medbench run -h",
        )
    return value
